"""The reward model: one score per sequence, the same whatever it is batched with."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from reward.training.config import Pooling
from reward.training.language_model import load_policy
from reward.training.packing import Prefixed
from reward.training.reward_model import RewardModel
from reward.training.rundir import TrainingRefused

SEQUENCES = [[1, 70, 71, 2], [1, 80, 2], [1, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 2], [5]]
GROUPS = [Prefixed([1], [sequence[1:] for sequence in SEQUENCES[:3]]), Prefixed([], [[5]])]


@pytest.fixture
def model(tiny: Path) -> RewardModel:
    return RewardModel.from_base(tiny, seed=0)


def test_a_score_is_the_head_on_the_last_real_token(model: RewardModel, tiny: Path) -> None:
    policy, _ = load_policy(tiny)
    with torch.no_grad():
        model.head_bias.fill_(0.5)
        scores = model.score(GROUPS)
        for sequence, score in zip(SEQUENCES, scores, strict=True):
            hidden = policy(torch.tensor([sequence]), output_hidden_states=True).hidden_states[-1][0, -1]
            assert float(score) == pytest.approx(float(hidden @ model.head_weight[0]) + 0.5, abs=1e-5)


def test_a_backbone_of_fewer_layers_is_the_models_own_first_layers(tiny: Path, tmp_path: Path) -> None:
    policy, _ = load_policy(tiny)
    norm = policy.get_submodule("model.norm")
    model = RewardModel.from_base(tiny, seed=0, layers=1)
    with torch.no_grad():
        scores = model.score(GROUPS)
        for sequence, score in zip(SEQUENCES, scores, strict=True):
            first = policy(torch.tensor([sequence]), output_hidden_states=True).hidden_states[1][0, -1]
            assert float(score) == pytest.approx(float(norm(first) @ model.head_weight[0]), abs=1e-5)
    model.save(tmp_path / "rm", meta={})
    again = RewardModel.load(tmp_path / "rm")
    assert len(list(again.backbone.get_submodule("layers").children())) == 1
    with torch.no_grad():
        assert torch.equal(again.score(GROUPS), scores)


def test_a_mean_over_the_answers_tokens_is_read_beside_its_last_token(tiny: Path, tmp_path: Path) -> None:
    policy, _ = load_policy(tiny)
    model = RewardModel.from_base(tiny, seed=0, pooling="last-and-mean")
    last_weight, mean_weight = model.head_weight[0].chunk(2)
    with torch.no_grad():
        scores = model.score(GROUPS)
        features = model.features(GROUPS)
        for sequence, score in zip(SEQUENCES, scores, strict=True):
            hidden = policy(torch.tensor([sequence]), output_hidden_states=True).hidden_states[-1][0]
            answer = hidden[-1:] if len(sequence) == 1 else hidden[1:]
            expected = float(answer[-1] @ last_weight + answer.mean(dim=0) @ mean_weight)
            assert float(score) == pytest.approx(expected, abs=1e-5)
        torch.testing.assert_close(features @ model.head_weight[0], scores)
    model.save(tmp_path / "rm", meta={})
    with torch.no_grad():
        assert torch.equal(RewardModel.load(tmp_path / "rm").score(GROUPS), scores)


def test_a_saved_model_that_reads_answers_in_an_unknown_way_is_refused(model: RewardModel, tmp_path: Path) -> None:
    model.save(tmp_path / "rm", meta={})
    meta = json.loads((tmp_path / "rm" / "plumbline.json").read_text())
    for pooling, reason in (("max", "must be one of last, last-and-mean"), ("last-and-mean", "size")):
        (tmp_path / "rm" / "plumbline.json").write_text(json.dumps({**meta, "pooling": pooling}))
        with pytest.raises(TrainingRefused, match=reason) as refused:
            RewardModel.load(tmp_path / "rm")
        assert refused.value.code == "model_unreadable"


@pytest.mark.parametrize("pooling", ["last", "last-and-mean"])
def test_an_answers_score_does_not_depend_on_its_company(pooling: Pooling, tiny: Path) -> None:
    model = RewardModel.from_base(tiny, seed=0, pooling=pooling)
    each = [Prefixed(group.prompt, [answer]) for group in GROUPS for answer in group.answers]
    with torch.no_grad():
        together, alone = model.score(GROUPS), torch.cat([model.score([one]) for one in each])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_an_answer_behind_its_prompt_scores_as_their_whole_sequence(model: RewardModel) -> None:
    with torch.no_grad():
        together, alone = model.score(GROUPS), torch.cat([model.score([Prefixed([], [s])]) for s in SEQUENCES])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_score_is_the_mean_of_the_heads(tiny: Path, tmp_path: Path) -> None:
    model = RewardModel.from_base(tiny, seed=0, heads=3)
    with torch.no_grad():
        members = model.members(GROUPS)
        assert members.shape == (4, 3)
        assert float(members.std(dim=1).min()) > 0
        assert torch.equal(model.score(GROUPS), members.mean(dim=1))
        model.center(members)
        centered = model.members(GROUPS)
    torch.testing.assert_close(centered.mean(dim=0), torch.zeros(3), rtol=0, atol=1e-6)
    model.save(tmp_path / "rm", meta={})
    with torch.no_grad():
        assert torch.equal(RewardModel.load(tmp_path / "rm").members(GROUPS), centered)


def test_the_head_starts_with_the_standard_deviation_that_is_asked_for(model: RewardModel) -> None:
    std = float(model.head_weight.detach().std())
    assert std == pytest.approx(1 / math.sqrt(65), rel=0.25)
    assert float(model.head_bias) == 0


def test_a_saved_reward_model_scores_the_same(model: RewardModel, tmp_path: Path) -> None:
    with torch.no_grad():
        model.log_tie.fill_(-0.7)
        model.center(model.members(GROUPS))
        expected = model.score(GROUPS)
    model.save(tmp_path / "rm", meta={"base": "tiny", "licence": "MIT"})

    again = RewardModel.load(tmp_path / "rm")

    with torch.no_grad():
        assert torch.equal(again.score(GROUPS), expected)
    assert float(expected.mean()) == pytest.approx(0, abs=1e-6)
    assert again.score_std == pytest.approx(float(expected.std()), rel=1e-5)
    assert again.tie_strength == pytest.approx(math.exp(-0.7))
    meta = json.loads((tmp_path / "rm" / "plumbline.json").read_text())
    assert (meta["kind"], meta["base"], meta["licence"], meta["eos_required"]) == ("reward", "tiny", "MIT", True)
    assert sorted(p.suffix for p in (tmp_path / "rm").iterdir() if p.suffix != ".json") == [
        ".jinja", ".safetensors", ".safetensors",
    ]  # fmt: skip


def test_what_is_not_a_reward_model_is_refused(tiny: Path, model: RewardModel, tmp_path: Path) -> None:
    with pytest.raises(TrainingRefused) as refused:
        RewardModel.load(tiny)
    assert refused.value.code == "not_a_reward_model"

    model.save(tmp_path / "rm", meta={})
    (tmp_path / "rm" / "head.safetensors").write_bytes(b"broken")
    with pytest.raises(TrainingRefused) as refused:
        RewardModel.load(tmp_path / "rm")
    assert refused.value.code == "model_unreadable"


def test_training_the_last_layers_leaves_the_others_alone(model: RewardModel) -> None:
    model.train_only_last(1)

    trainable = {
        name.split(".")[2] if ".layers." in name else name for name, p in model.named_parameters() if p.requires_grad
    }
    assert trainable == {"1", "backbone.norm.weight", "head_weight", "log_tie", "anchor"}
    with pytest.raises(ValueError, match=r"train_layers \(3\) must be at most the model's 2 layers"):
        model.train_only_last(3)


def test_bfloat16_autocast_keeps_weights_and_scores_in_float32(model: RewardModel) -> None:
    with torch.no_grad():
        exact = model.score(GROUPS)
        model.autocast_dtype = torch.bfloat16
        rounded = model.score(GROUPS)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0, atol=0.05)


def test_a_sequence_without_tokens_cannot_be_scored(model: RewardModel) -> None:
    with pytest.raises(ValueError, match="at least 1 token"):
        model.score([Prefixed([1], [[1], []])])
