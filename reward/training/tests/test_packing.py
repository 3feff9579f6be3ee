"""Answers packed behind their prompt: the same states and gradients as each sequence alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModel

from reward.training.packing import Prefixed, pack, use_packed_attention

GROUPS = [
    Prefixed([1, 70, 71, 72, 73], [[80, 81, 2], [90], [82, 83, 84, 85, 86, 87, 2]]),
    Prefixed([], [[1, 70, 2], [5]]),
    Prefixed([9], [[60, 61, 62]]),
]


def alone(groups: list[Prefixed]) -> list[list[int]]:
    return [[*group.prompt, *answer] for group in groups for answer in group.answers]


@pytest.fixture(scope="module")
def plain(tiny: Path) -> Any:
    return AutoModel.from_pretrained(tiny, dtype=torch.float64).eval()


@pytest.fixture(scope="module")
def packed(tiny: Path) -> Any:
    model = AutoModel.from_pretrained(tiny, dtype=torch.float64).eval()
    use_packed_attention(model)
    return model


def last_states(model: Any, groups: list[Prefixed]) -> Tensor:
    row = pack(groups)
    hidden = model(input_ids=row.ids, position_ids=row.positions, blocks=row.blocks, use_cache=False).last_hidden_state
    return hidden[0, row.last]


def states_alone(model: Any, groups: list[Prefixed]) -> Tensor:
    return torch.stack([model(input_ids=torch.tensor([s])).last_hidden_state[0, -1] for s in alone(groups)])


def test_a_pack_by_hand() -> None:
    row = pack([Prefixed([7, 8], [[1, 2], [3]]), Prefixed([], [[4]])])
    assert row.ids.tolist() == [[7, 8, 1, 2, 3, 4]]
    assert row.positions.tolist() == [[0, 1, 2, 3, 2, 0]]
    assert row.last.tolist() == [3, 4, 5]
    assert [block.table.tolist() for block in row.blocks] == [[[2, 3], [4, 4]], [[5]]]
    assert [block.real.tolist() for block in row.blocks] == [[0, 1, 2], [0]]


ANSWERS = st.lists(st.lists(st.integers(3, 90), min_size=1, max_size=9), min_size=1, max_size=4)
GROUP = st.builds(Prefixed, st.lists(st.integers(3, 90), max_size=9), ANSWERS)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=st.lists(GROUP, min_size=1, max_size=3))
def test_every_answer_sees_what_it_would_see_alone(plain: Any, packed: Any, groups: list[Prefixed]) -> None:
    with torch.no_grad():
        torch.testing.assert_close(last_states(packed, groups), states_alone(plain, groups), rtol=0, atol=1e-10)


def test_gradients_are_those_of_sequences_that_share_nothing(plain: Any, packed: Any) -> None:
    direction = torch.randn(6, plain.config.hidden_size, dtype=torch.float64)

    def gradients(model: Any, states: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        (states * direction).sum().backward()
        return {name: parameter.grad for name, parameter in model.named_parameters()}

    expected = gradients(plain, states_alone(plain, GROUPS))
    actual = gradients(packed, last_states(packed, GROUPS))
    assert all(float(gradient.abs().max()) > 0 for gradient in expected.values())
    # The layers' norms and rotations work in float32 whatever the weights are.
    errors = {name: float((actual[name] - g).norm() / g.norm()) for name, g in expected.items()}
    assert max(errors.values()) < 2e-6, errors


def test_the_prompt_is_computed_once_and_nothing_is_padded() -> None:
    row = pack(GROUPS)
    assert row.ids.shape[1] == sum(group.num_tokens for group in GROUPS) == 5 + 11 + 4 + 1 + 3
    assert sum(map(len, alone(GROUPS))) == 11 + 15 + 4 + 4


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "at least 1 group, got 0"),
        ([Prefixed([1], [])], r"group 0 needs answers of at least 1 token, got lengths \[\]"),
        ([Prefixed([1], [[2]]), Prefixed([1], [[2], []])], r"group 1 needs answers .* got lengths \[1, 0\]"),
    ],
)
def test_what_cannot_be_packed_is_refused(groups: list[Prefixed], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack(groups)


def test_a_model_with_a_window_shorter_than_an_answer_is_refused(packed: Any) -> None:
    row = pack(GROUPS)
    with pytest.raises(ValueError, match="has 12 tokens but the model's window is 11"):
        packed(input_ids=row.ids, position_ids=row.positions, blocks=row.blocks, use_cache=False, sliding_window=11)


def test_a_model_that_computes_its_attention_by_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear computes its attention by itself"):
        use_packed_attention(torch.nn.Linear(1, 1))
