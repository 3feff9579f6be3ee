from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gpu_ops import gae, value_loss, whiten

NAN = float("nan")


def test_value_loss_by_hand() -> None:
    """Errors 1 and, unclipped, 1 against (0.7 - 2)^2 = 1.69 where value 1 is held at 0.7; half, over 4."""
    values = torch.tensor([1.0, 0.5, NAN], requires_grad=True)
    old, target = torch.tensor([1.0, 0.9, NAN]), torch.tensor([0.0, 2.0, NAN])
    mask = torch.tensor([True, True, False])
    result = value_loss(values, old, target, mask, clip=0.2, denominator=4.0)
    assert result.loss.item() == pytest.approx((1 + 1.5**2) / 2 / 4)
    assert result.clip_fraction_sum.item() == 0
    held = value_loss(values, torch.tensor([1.0, 0.5 - 0.4, NAN]), target, mask, clip=0.2, denominator=4.0)
    assert held.loss.item() == pytest.approx((1 + 1.7**2) / 2 / 4)
    assert held.clip_fraction_sum.item() == 1
    (3 * held.loss).backward()
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([3 / 4, 0, 0])


def test_value_loss_without_clip_is_half_the_squared_error() -> None:
    result = value_loss(
        torch.tensor([[1.0], [5.0]]), None, torch.tensor([[0.0], [2.0]]), None, clip=None, denominator=2
    )
    assert result.loss.item() == pytest.approx((1 + 9) / 2 / 2)


def test_value_loss_without_tokens_is_zero() -> None:
    values = torch.full((2, 2), NAN, requires_grad=True)
    result = value_loss(values, values, values, torch.zeros(2, 2, dtype=torch.bool), denominator=0.0)
    result.loss.backward()
    assert result.loss.item() == 0
    assert values.grad is not None
    assert not values.grad.any()


def test_value_loss_of_parts_adds_up() -> None:
    values, old, target = (torch.randn(8, 5, dtype=torch.float64) for _ in range(3))
    mask = torch.rand(8, 5) < 0.7
    whole = value_loss(values, old, target, mask, denominator=mask.sum())
    parts = [value_loss(values[i], old[i], target[i], mask[i], denominator=mask.sum()).loss.item() for i in range(8)]
    assert sum(parts) == pytest.approx(whole.loss.item())


@pytest.mark.usefixtures("each_path")
def test_gae_by_hand() -> None:
    rewards, values = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.4, 0.2]])
    result = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), gamma=1.0, lam=0.5)
    assert result.advantages[0].tolist() == pytest.approx([0.0, 0.2, 0.8], abs=1e-7)
    assert result.returns[0].tolist() == pytest.approx([0.5, 0.6, 1.0])


def test_gae_of_a_cut_off_answer_continues_with_the_bootstrap() -> None:
    """The last delta is 0.5 * 0.6 - 0.2; the finished answer beside it gets none."""
    rewards, values = torch.zeros(2, 1), torch.full((2, 1), 0.2)
    result = gae(rewards, values, torch.ones(2, 1, dtype=torch.bool), gamma=0.5, bootstrap=torch.tensor([0.6, 0.0]))
    assert result.advantages.squeeze(1).tolist() == pytest.approx([0.1, -0.2])


def plain_gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float, bootstrap: Tensor) -> Tensor:
    """Each sequence's real tokens as Python lists."""
    out = torch.zeros_like(values)
    for b in range(values.shape[0]):
        places = mask[b].nonzero().squeeze(1).tolist()
        running, following = 0.0, bootstrap[b].item()
        for t in reversed(places):
            running = rewards[b, t].item() + gamma * following - values[b, t].item() + gamma * lam * running
            following = values[b, t].item()
            out[b, t] = running
    return out


@pytest.mark.usefixtures("each_path")
@pytest.mark.parametrize("padding", ["right", "left", "holes"])
def test_gae_equals_a_plain_float64_loop(padding: str) -> None:
    rewards, values = (torch.randn(7, 13, dtype=torch.float64) for _ in range(2))
    lengths = torch.tensor([0, 1, 2, 5, 11, 12, 13])[:, None]
    place = torch.arange(13)[None]
    masks = {"right": place < lengths, "left": place >= 13 - lengths, "holes": torch.rand(7, 13) < 0.5}
    mask, bootstrap = masks[padding], torch.randn(7, dtype=torch.float64)
    expected = plain_gae(rewards, values, mask, 0.98, 0.9, bootstrap)
    rewards[~mask], values[~mask] = NAN, NAN
    result = gae(rewards, values, mask, gamma=0.98, lam=0.9, bootstrap=bootstrap)
    torch.testing.assert_close(result.advantages, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(result.returns, (expected + values).masked_fill(~mask, 0.0), rtol=0, atol=1e-14)


@pytest.mark.usefixtures("each_path")
@pytest.mark.parametrize("length", [1023, 1024, 1025])
def test_gae_goes_on_across_blocks(length: int) -> None:
    """1024 tokens are one block of the scan. Float32 in and out; the loop is float64."""
    random = torch.Generator().manual_seed(length)
    rewards, values = (torch.randn(2, length, generator=random) for _ in range(2))
    mask = torch.rand(2, length, generator=random) < 0.9
    bootstrap = torch.tensor([0.0, 0.7])
    expected = plain_gae(rewards, values, mask, 0.999, 0.97, bootstrap)
    found = gae(rewards, values, mask, gamma=0.999, lam=0.97, bootstrap=bootstrap)
    torch.testing.assert_close(found.advantages, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("each_path")
def test_gae_of_no_tokens_is_empty() -> None:
    nothing = torch.zeros(2, 0)
    assert gae(nothing, nothing, nothing.bool()).advantages.shape == (2, 0)


def test_whiten_by_hand_with_unbiased_variance() -> None:
    """1, 2, 3: mean 2, variance 1."""
    x = torch.tensor([[1.0, NAN], [2.0, 3.0]])
    mask = ~x.isnan()
    assert whiten(x, mask).flatten().tolist() == pytest.approx([-1, 0, 0, 1], abs=1e-6)
    assert whiten(x, mask, shift_mean=False).flatten().tolist() == pytest.approx([1, 0, 2, 3], abs=1e-6)


def test_whiten_of_one_token_and_of_none_is_zero() -> None:
    x = torch.tensor([5.0, NAN])
    assert whiten(x, torch.tensor([True, False])).tolist() == [0, 0]
    assert whiten(x, torch.tensor([False, False])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": torch.zeros(2, 4)}, r"rewards has shape \(2, 4\) but values has shape \(2, 3\)"),
        ({"rewards": torch.full((2, 3), NAN)}, "rewards is not finite at 6 of 6"),
        ({"lam": 1.5}, r"lam \(1.5\) must lie in 0..1"),
        ({"bootstrap": torch.zeros(3)}, r"bootstrap has shape \(3,\)"),
        ({"mask": torch.ones(2, 3)}, "mask has dtype torch.float32"),
    ],
)
def test_bad_input_to_gae_is_refused(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"rewards": torch.zeros(2, 3), "values": torch.zeros(2, 3)}
    given |= {"mask": torch.ones(2, 3, dtype=torch.bool)} | changes
    with pytest.raises(ValueError, match=message):
        gae(**given)


def test_bad_input_to_value_loss_is_refused() -> None:
    x = torch.zeros(3)
    with pytest.raises(ValueError, match=r"clip \(0.2\) needs old_values"):
        value_loss(x, None, x, None, denominator=3)
    with pytest.raises(ValueError, match=r"returns has shape \(2,\) but values has shape \(3,\)"):
        value_loss(x, x, torch.zeros(2), None, denominator=3)
    with pytest.raises(ValueError, match="returns is not finite at 3 of 3"):
        value_loss(x, x, x + NAN, None, denominator=3)
