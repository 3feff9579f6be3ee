"""On a CUDA device only: what an interpreter on a CPU cannot show. `benchmarks/gpu.sh` runs this file."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gpu_ops import gae, linear_logp, linear_ppo_loss, projection

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

T, D, V = 5000, 256, 32003
OPTIONS: dict[str, Any] = {"entropy_coef": 0.01, "kl_coef": 0.1, "denominator": float(T)}


def batch(dtype: torch.dtype) -> tuple[Tensor, ...]:
    """hidden, weight, ids, old_logp, advantages, ref_logp; logits of a standard deviation of about 1.6."""
    random = torch.Generator("cuda").manual_seed(1)
    hidden = torch.randn(T, D, generator=random, device="cuda").to(dtype).requires_grad_()
    weight = (0.1 * torch.randn(V, D, generator=random, device="cuda")).to(dtype).requires_grad_()
    ids = torch.randint(0, V, (T,), generator=random, device="cuda")
    near = linear_logp(hidden, weight, ids).logp.detach()
    noise = torch.randn(2, T, generator=random, device="cuda")
    return hidden, weight, ids, near + 0.1 * noise[0], noise[1], near - 0.2


def loss_scale(dtype: torch.dtype) -> float:
    """Logits' gradients of about 1e-9 are nothing in float16 without one."""
    return 2.0**16 if dtype == torch.float16 else 1.0


def loss_of(case: tuple[Tensor, ...]) -> Tensor:
    hidden, weight, ids, old_logp, advantages, ref_logp = case
    options = OPTIONS | {"ref_logp": ref_logp, "loss_scale": loss_scale(hidden.dtype)}
    return linear_ppo_loss(hidden, weight, ids, old_logp, advantages, None, **options).loss


def loss_and_gradients(case: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    loss = loss_of(case)
    return loss, *torch.autograd.grad(loss, (case[0], case[1]))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 1e-2), (torch.float16, 2e-3), (torch.float32, 1e-4)])
def test_agrees_with_float64(dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    case = batch(dtype)
    found = loss_and_gradients(case)
    monkeypatch.setenv("GPU_OPS", "reference")
    hidden, weight = (x.detach().double().requires_grad_() for x in case[:2])
    columns = [x if x.dtype == torch.int64 else x.double() for x in case[2:]]
    scale = loss_scale(dtype)
    for got, wanted in zip(found, loss_and_gradients((hidden, weight, *columns)), strict=True):
        assert float((got.detach().double() / scale - wanted.detach()).norm() / wanted.detach().norm()) < tolerance


def test_logits_are_float32_though_operands_are_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, ids, *_ = batch(torch.bfloat16)
    found = linear_logp(hidden, weight, ids, want=["entropy"])
    monkeypatch.setenv("GPU_OPS", "reference")
    exact = linear_logp(hidden.double(), weight.double(), ids, want=["entropy"])
    assert found.entropy is not None
    assert exact.entropy is not None
    assert float((found.logp - exact.logp).abs().max()) < 5e-5
    assert float((found.entropy - exact.entropy).abs().max()) < 1e-4


def test_the_same_bits_every_time_and_a_first_ratio_of_one() -> None:
    hidden, weight, ids, _, advantages, _ = batch(torch.bfloat16)
    with torch.no_grad():
        old = linear_logp(hidden, weight, ids).logp
    case = (hidden, weight, ids, old, advantages, old)
    for first, second in zip(loss_and_gradients(case), loss_and_gradients(case), strict=True):
        assert torch.equal(first, second)
    assert linear_ppo_loss(hidden, weight, ids, old, advantages, None, denominator=1.0).metrics.ratio_max.item() == 1


def test_an_upstream_scales_gradients_that_are_rounded_once() -> None:
    case = batch(torch.bfloat16)
    plain = torch.autograd.grad(loss_of(case), case[:2])
    halved = torch.autograd.grad(0.5 * loss_of(case), case[:2])
    for one, other in zip(plain, halved, strict=True):
        assert torch.equal(0.5 * one, other)


def test_compiled_equals_eager() -> None:
    case = batch(torch.bfloat16)
    eager, compiled = loss_of(case), torch.compile(loss_of, fullgraph=True)(case)
    assert torch.equal(eager, compiled)
    for first, second in zip(*(torch.autograd.grad(x, case[:2]) for x in (eager, compiled)), strict=True):
        assert torch.equal(first, second)


def test_more_than_two_billion_logits() -> None:
    """17,000 tokens of 128,256 words are 2.18e9 logits; a late token must come out like the same token alone."""
    tokens, vocabulary = 17_000, 128_256
    hidden = torch.randn(tokens, 64, device="cuda", dtype=torch.bfloat16)
    weight = 0.2 * torch.randn(vocabulary, 64, device="cuda", dtype=torch.bfloat16)
    ids = torch.randint(0, vocabulary, (tokens,), device="cuda")
    assert tokens * vocabulary > 2**31
    whole = linear_logp(hidden, weight, ids).logp
    torch.testing.assert_close(whole[-5:], linear_logp(hidden[-5:], weight, ids[-5:]).logp, rtol=0, atol=1e-4)


def test_rows_of_one_chunk_beyond_two_billion_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels' own offsets: all of it in a single chunk."""
    monkeypatch.setattr(projection, "DEVICE_CHUNK_ROWS", 17_000)
    test_more_than_two_billion_logits()


def test_gae_agrees_with_the_cpu() -> None:
    random = torch.Generator().manual_seed(3)
    rewards, values = (torch.randn(64, 3001, generator=random) for _ in range(2))
    mask = torch.rand(64, 3001, generator=random) < 0.9
    expected = gae(rewards, values, mask, gamma=0.999)
    found = gae(rewards.cuda(), values.cuda(), mask.cuda(), gamma=0.999)
    torch.testing.assert_close(found.advantages.cpu(), expected.advantages, rtol=1e-5, atol=1e-5)
