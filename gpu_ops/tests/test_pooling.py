from __future__ import annotations

import pytest
import torch

from gpu_ops import last_token_scores

NAN = float("nan")


def test_the_last_tokens_are_read_and_others_are_not() -> None:
    hidden = torch.tensor([[NAN, NAN], [1.0, 2.0], [3.0, 1.0], [NAN, NAN]], requires_grad=True)
    weight = torch.tensor([[10.0, 1.0]], requires_grad=True)
    scores = last_token_scores(hidden, torch.tensor([1, 2]), weight, torch.tensor([0.5]))
    assert scores.tolist() == [[12.5], [31.5]]
    (scores * torch.tensor([[3.0], [-0.5]])).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    assert hidden.grad.tolist() == [[0, 0], [30, 3], [-5, -0.5], [0, 0]]
    assert weight.grad.tolist() == [[3 - 1.5, 6 - 0.5]]


def test_every_head_reads_every_sequence() -> None:
    scores = last_token_scores(
        torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        torch.tensor([1, 0]),
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        torch.tensor([0.0, 0.5, -1.0]),
    )
    assert scores.tolist() == [[3, 4.5, 6], [1, 2.5, 2]]


def test_bfloat16_states_give_float32_scores_under_autocast_too() -> None:
    hidden = torch.full((1, 256), 1.01).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        scores = last_token_scores(hidden, torch.tensor([0]), torch.full((1, 256), 1.001))
    assert scores.dtype == torch.float32
    assert scores.item() == pytest.approx(256 * 1.001 * hidden[0, 0].item(), rel=1e-6)


def test_bad_places_and_shapes_are_refused() -> None:
    hidden, weight = torch.zeros(3, 4), torch.zeros(1, 4)
    with pytest.raises(ValueError, match=r"last spans 0\.\.3 but must lie in 0\.\.2"):
        last_token_scores(hidden, torch.tensor([0, 3]), weight)
    with pytest.raises(ValueError, match=r"last spans -1\.\.0"):
        last_token_scores(hidden, torch.tensor([0, -1]), weight)
    with pytest.raises(ValueError, match=r"head_weight \(1, 5\)"):
        last_token_scores(hidden, torch.tensor([0]), torch.zeros(1, 5))
    with pytest.raises(ValueError, match=r"hidden \(1, 3, 4\)"):
        last_token_scores(hidden[None], torch.tensor([0]), weight)
