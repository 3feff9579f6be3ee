"""The losses as PyTorch sees them: schemas, fake tensors, torch.compile, second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gpu_ops import linear_logp, linear_ppo_loss
from gpu_ops.linear_logp import op as logp_op
from gpu_ops.linear_ppo_loss import op as ppo_op
from gpu_ops.projection import Projection
from gpu_ops.rows import Softmax
from gpu_ops.tests.cases import Case, make_case


def logp_loss(case: Case) -> Tensor:
    result = linear_logp(case.hidden, case.weight, case.ids, mask=case.mask, temperature=0.9, want=["entropy"])
    assert result.entropy is not None
    return (result.logp.square() + 0.1 * result.entropy).sum()


def ppo_loss(case: Case) -> Tensor:
    return linear_ppo_loss(
        *case[:5], case.mask, ref_logp=case.ref_logp, kl_coef=0.1, entropy_coef=0.01, denominator=case.mask.sum()
    ).loss


LOSSES: list[Callable[[Case], Tensor]] = [logp_loss, ppo_loss]


@pytest.mark.parametrize("softcap", [None, 5.0])
def test_linear_logp_passes_opcheck(softcap: float | None) -> None:
    case = make_case(30).to(torch.float32)
    torch.library.opcheck(
        logp_op.linear_logp, (case.hidden, case.weight, case.ids, case.mask, 0.7, softcap, torch.float32)
    )


@pytest.mark.parametrize("needed", [(True, True), (True, False), (False, False)])
def test_linear_ppo_loss_passes_opcheck(needed: tuple[bool, bool]) -> None:
    case = make_case(30).to(torch.float32)
    hidden, weight = (x.detach().requires_grad_(need) for x, need in zip(case[:2], needed, strict=True))
    columns = (case.ids, case.old_logp, case.advantages, case.mask, case.ref_logp, torch.tensor(18.0))
    options = (0.9, None, 0.2, 0.2, None, 0.01, 0.1, "k3", 1.0, torch.float32)
    torch.library.opcheck(ppo_op.linear_ppo_loss, (hidden, weight, *columns, *options, *needed))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.usefixtures("chunked_path")
def test_compiles_whole_and_gives_the_same_numbers(loss: Callable[[Case], Tensor]) -> None:
    torch._dynamo.reset()
    case = make_case(60).to(torch.float32)
    eager = loss(case)
    expected = torch.autograd.grad(3.0 * eager, (case.hidden, case.weight))
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")(case)
    torch.testing.assert_close(compiled, eager, rtol=0, atol=0)
    torch.testing.assert_close(torch.autograd.grad(3.0 * compiled, (case.hidden, case.weight)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_inductor_gives_the_same_numbers(loss: Callable[[Case], Tensor]) -> None:
    torch._dynamo.reset()
    case = make_case(30).to(torch.float32)
    eager = loss(case)
    expected = torch.autograd.grad(eager, (case.hidden, case.weight))
    # Its cache on disk would give back a backward of earlier code: the key does not see into our ops.
    with torch._inductor.config.patch(force_disable_caches=True):
        compiled = torch.compile(loss, fullgraph=True)(case)
    torch.testing.assert_close(compiled, eager)
    torch.testing.assert_close(torch.autograd.grad(compiled, (case.hidden, case.weight)), expected)


def test_autocast_is_seen_through_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    case = make_case(100).to(torch.float32)
    seen: list[torch.dtype] = []
    plain = Projection.of

    def spy(hidden: Tensor, weight: Tensor, softmax: Softmax, gemm_dtype: torch.dtype) -> Projection:
        seen.append(gemm_dtype)
        return plain(hidden, weight, softmax, gemm_dtype)

    def loss(case: Case) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return ppo_loss(case)

    monkeypatch.setattr(ppo_op.Projection, "of", spy)
    torch.compile(loss, fullgraph=True, backend="aot_eager")(case)
    assert seen == [torch.bfloat16]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.usefixtures("chunked_path")
def test_a_second_derivative_is_refused(loss: Callable[[Case], Tensor]) -> None:
    case = make_case(20).to(torch.float32)

    def twice() -> None:
        (gradient,) = torch.autograd.grad(loss(case), case.hidden, create_graph=True)
        gradient.sum().backward()

    with pytest.raises(RuntimeError, match=r"no second derivative|no autograd formula"):
        twice()


def test_only_a_scalar_upstream_passes() -> None:
    case = make_case(20).to(torch.float32)
    with pytest.raises(RuntimeError):
        ppo_loss(case).backward(torch.ones(20))  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError):
        torch.autograd.grad(ppo_loss(case), case.hidden, torch.ones(3), is_grads_batched=True)
    outputs: Any = ppo_op.linear_ppo_loss(
        *case[:5],
        case.mask,
        None,
        torch.tensor(9.0),
        *(1.0, None, 0.2, 0.2, None, 0.0, 0.0, "k3", 1.0, torch.float32, True, True),
    )
    with pytest.raises(RuntimeError, match="does not require grad"):
        outputs[2].sum().backward()
