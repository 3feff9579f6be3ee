from __future__ import annotations

import pytest
import torch

from gpu_ops import last_states, linear_scores, span_means

NAN = float("nan")


def test_the_last_tokens_are_read_and_others_are_not() -> None:
    hidden = torch.tensor([[NAN, NAN], [1.0, 2.0], [3.0, 1.0], [NAN, NAN]], requires_grad=True)
    weight = torch.tensor([[10.0, 1.0]], requires_grad=True)
    scores = linear_scores(last_states(hidden, torch.tensor([1, 2])), weight, torch.tensor([0.5]))
    assert scores.tolist() == [[12.5], [31.5]]
    (scores * torch.tensor([[3.0], [-0.5]])).sum().backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    assert hidden.grad.tolist() == [[0, 0], [30, 3], [-5, -0.5], [0, 0]]
    assert weight.grad.tolist() == [[3 - 1.5, 6 - 0.5]]


def test_a_mean_reads_its_span_and_nothing_else() -> None:
    hidden = torch.tensor([[NAN, NAN], [1.0, 2.0], [3.0, 1.0], [NAN, NAN], [5.0, 7.0]], requires_grad=True)
    means = span_means(hidden, torch.tensor([4, 1]), torch.tensor([4, 2]))
    assert means.tolist() == [[5, 7], [2, 1.5]]
    (means * torch.tensor([[1.0, 2.0], [6.0, -2.0]])).sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[0, 0], [3, -1], [3, -1], [0, 0], [1, 2]]


def test_means_are_those_of_a_plain_loop_where_spans_overlap() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(40, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    first = torch.randint(0, 20, (15,), generator=generator)
    last = first + torch.randint(0, 20, (15,), generator=generator)
    plain = torch.stack([hidden[a : b + 1].mean(dim=0) for a, b in zip(first.tolist(), last.tolist(), strict=True)])
    torch.testing.assert_close(span_means(hidden, first, last), plain)
    assert torch.autograd.gradcheck(lambda states: span_means(states, first, last), (hidden,))


def test_every_head_reads_every_sequence() -> None:
    scores = linear_scores(
        torch.tensor([[3.0, 4.0], [1.0, 2.0]]),
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        torch.tensor([0.0, 0.5, -1.0]),
    )
    assert scores.tolist() == [[3, 4.5, 6], [1, 2.5, 2]]


def test_bfloat16_states_give_float32_scores_under_autocast_too() -> None:
    hidden = torch.full((2, 256), 1.01).bfloat16()
    weight = torch.full((1, 256), 1.001)
    first, last = torch.tensor([0]), torch.tensor([1])
    with torch.autocast("cpu", torch.bfloat16):
        scores = [linear_scores(f, weight) for f in (last_states(hidden, last), span_means(hidden, first, last))]
    for score in scores:
        assert score.dtype == torch.float32
        assert score.item() == pytest.approx(256 * 1.001 * hidden[0, 0].item(), rel=1e-6)


def test_bad_places_and_shapes_are_refused() -> None:
    hidden = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"last spans 0\.\.3 but must lie in 0\.\.2"):
        last_states(hidden, torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=r"first spans -1\.\.0"):
        span_means(hidden, torch.tensor([0, -1]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"last spans 1\.\.3"):
        span_means(hidden, torch.tensor([0, 1]), torch.tensor([1, 3]))
    with pytest.raises(ValueError, match="last must not lie before first"):
        span_means(hidden, torch.tensor([0, 2]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"first has shape \(1,\) but last has shape \(2,\)"):
        span_means(hidden, torch.tensor([0]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"head_weight \(1, 5\)"):
        linear_scores(hidden, torch.zeros(1, 5))
    for read in (last_states, lambda states, last: span_means(states, last, last)):
        with pytest.raises(ValueError, match=r"hidden \(1, 3, 4\)"):
            read(hidden[None], torch.tensor([0]))
