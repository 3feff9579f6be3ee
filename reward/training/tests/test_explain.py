"""Attributions of a score: by hand where they are known, then what must hold of any model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reward.training.explain import explain
from reward.training.language_model import load_tokenizer
from reward.training.packing import Block, Prefixed
from reward.training.reward_model import RewardModel
from tests.tiny import build_tiny_model

PROMPT = [1, 70, 71, 72]
ANSWER = [80, 81, 90, 91, 92, 85, 2]
EOS = 2


class Toy(nn.Module):
    """An answer's hidden state is sum_i c_i e_i^power over its own tokens, in one dimension: what IG gives is known."""

    _supports_attention_backend = True

    def __init__(self, values: dict[int, float], weights: Sequence[float], power: int = 1) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=1)
        self.embedding = nn.Embedding(100, 1)
        self.weights, self.power = torch.tensor(weights), power
        with torch.no_grad():
            self.embedding.weight.zero_()
            for token, value in values.items():
                self.embedding.weight[token] = value

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embedding

    def forward(self, inputs_embeds: Tensor, blocks: Sequence[Block], **_: Any) -> SimpleNamespace:
        (block,) = blocks
        answers = inputs_embeds[0, :, 0][block.table] ** self.power
        hidden = inputs_embeds[0].detach().clone()
        hidden = hidden.index_put((block.table[:, -1],), (answers * self.weights).sum(dim=1, keepdim=True))
        return SimpleNamespace(last_hidden_state=hidden[None])


def toy_model(tiny: Path, toy: Toy, head: float = 2.0) -> RewardModel:
    model = RewardModel(toy, load_tokenizer(tiny))
    with torch.no_grad():
        model.head_weight.fill_(head)
    return model


@pytest.fixture
def model(tmp_path: Path) -> RewardModel:
    """Wider weights than a fresh model's: its score bends on the way from the baseline."""
    return RewardModel.from_base(build_tiny_model(tmp_path / "bent", initializer_range=0.2), seed=0, heads=3)


def test_a_linear_score_is_divided_by_hand(tiny: Path) -> None:
    toy = Toy({10: 3.0, 11: -1.0, 12: 5.0, EOS: 0.5}, weights=[1.0, 2.0, 0.0, 4.0])

    found = explain(toy_model(tiny, toy), [7, 7], [10, 11, 12, EOS], steps=1)

    # head * c_i * (e_i - e_eos): 2*1*2.5, 2*2*-1.5, a place the score ignores, and EOS itself
    assert found.attributions.tolist() == pytest.approx([5.0, -6.0, 0.0, 0.0])
    assert (found.score, found.baseline_score) == pytest.approx((2 * (3 - 2 + 0 + 2), 2 * (0.5 + 1 + 0 + 2)))
    assert found.gap == pytest.approx(0, abs=1e-6)


def test_a_curved_score_is_integrated_and_not_differentiated_at_its_end(tiny: Path) -> None:
    toy = Toy({10: 3.0, 11: -2.0, EOS: 1.0}, weights=[1.0, 1.0, 1.0], power=2)

    found = explain(toy_model(tiny, toy, head=1.0), [7], [10, 11, EOS], steps=2)

    assert found.attributions.tolist() == pytest.approx([9 - 1, 4 - 1, 0])  # x^2 - b^2


def test_attributions_add_up_to_the_difference_with_enough_points(model: RewardModel) -> None:
    gaps = [abs(explain(model, PROMPT, ANSWER, steps=steps).gap) for steps in (2, 16, 128)]

    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2]
    assert gaps[2] < 1e-5


def test_score_and_baseline_are_the_models_own_scores(model: RewardModel) -> None:
    found = explain(model, PROMPT, ANSWER, steps=4)

    with torch.no_grad():
        expected = model.score([Prefixed(PROMPT, [ANSWER, [EOS] * len(ANSWER)])])
    assert [found.score, found.baseline_score] == pytest.approx(expected.tolist(), abs=1e-6)
    assert found.relative_gap == pytest.approx(abs(found.gap) / abs(found.score - found.baseline_score))


def test_close_to_the_baseline_an_attribution_is_the_gradient_times_the_way(model: RewardModel) -> None:
    embed = model.backbone.get_input_embeddings()  # type: ignore[operator]
    with torch.no_grad():
        embed.weight[90] = embed.weight[EOS] + 1e-3 * embed.weight[91]
    answer = [90, EOS]

    found = explain(model, PROMPT, answer, steps=8)

    assert float(found.attributions[0]) == pytest.approx(found.score - found.baseline_score, rel=1e-2)
    assert found.attributions[1] == 0


def test_points_of_one_forward_pass_do_not_see_each_other(model: RewardModel) -> None:
    alone, together = (explain(model, PROMPT, ANSWER, steps=7, steps_per_forward=k) for k in (1, 5))

    torch.testing.assert_close(together.attributions, alone.attributions, rtol=1e-4, atol=1e-6)


def test_the_same_question_gets_the_same_bits(model: RewardModel) -> None:
    first, second = (explain(model, PROMPT, ANSWER, steps=6) for _ in range(2))

    assert torch.equal(first.attributions, second.attributions)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_saved_model_explains_the_same(model: RewardModel, tmp_path: Path) -> None:
    model.save(tmp_path / "rm", meta={})

    again = explain(RewardModel.load(tmp_path / "rm"), PROMPT, ANSWER, steps=6)

    assert torch.equal(again.attributions, explain(model, PROMPT, ANSWER, steps=6).attributions)


def test_several_heads_are_explained_by_their_mean(model: RewardModel) -> None:
    whole = explain(model, PROMPT, ANSWER, steps=6).attributions
    weight = model.head_weight.detach().clone()
    parts = []
    for head in weight:
        with torch.no_grad():
            model.head_weight.copy_(head.expand_as(weight))
        parts.append(explain(model, PROMPT, ANSWER, steps=6).attributions)

    torch.testing.assert_close(whole, torch.stack(parts).mean(dim=0), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(parts[0], parts[1], atol=1e-3)


def test_an_empty_prompt_and_an_empty_answer_are_explained(model: RewardModel) -> None:
    assert abs(explain(model, [], ANSWER, steps=128).gap) < 1e-4
    silent = explain(model, PROMPT, [EOS], steps=2)
    assert (silent.attributions.tolist(), silent.relative_gap) == ([0.0], None)


def test_progress_is_told_before_each_forward_pass(model: RewardModel) -> None:
    told: list[int] = []

    explain(model, PROMPT, ANSWER, steps=5, steps_per_forward=2, tick=told.append)

    assert told == [0, 0, 2, 4]


def test_no_step_is_refused(model: RewardModel) -> None:
    with pytest.raises(ValueError, match=r"steps \(0\) and steps_per_forward \(4\) must be at least 1"):
        explain(model, PROMPT, ANSWER, steps=0)
