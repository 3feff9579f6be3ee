from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from gpu_ops import LinearPPO, linear_logp, linear_ppo_loss
from gpu_ops.tests.cases import CHUNK, SIZES, VOCABULARY, WIDTH, Case, GemmCounter, LargestTensor, make_case

EVERYTHING: dict[str, Any] = {
    "temperature": 0.9,
    "softcap": 8.0,
    "dual_clip": 1.5,
    "entropy_coef": 0.02,
    "kl_coef": 0.1,
    "clip_low": 0.1,
    "clip_high": 0.3,
    "loss_scale": 2.0,
}
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12, torch.bfloat16: 0.1}
UPSTREAM = (3.0, -0.5)


def run(case: Case, **options: Any) -> LinearPPO:
    defaults: dict[str, Any] = {"denominator": float(case.mask.sum()), "ref_logp": case.ref_logp}
    options = defaults | options
    return linear_ppo_loss(case.hidden, case.weight, case.ids, case.old_logp, case.advantages, case.mask, **options)


def loss_and_gradients(case: Case, upstream: Sequence[float] = (1.0,), **options: Any) -> tuple[Tensor, ...]:
    """The loss, and for each factor from above the gradients of hidden states and weight."""
    loss = run(case, **options).loss
    leaves = case.hidden, case.weight
    found = [torch.autograd.grad(each * loss, leaves, retain_graph=True) for each in upstream]
    return loss.detach(), *itertools.chain(*found)


def coin(ratios: list[float], advantages: list[float], **options: Any) -> tuple[LinearPPO, Tensor]:
    """Tokens of probability 1/2 with these ratios. The weight is ±1, so d loss / d hidden = d loss / d logp."""
    hidden = torch.zeros(len(ratios), 1, requires_grad=True)
    old = torch.tensor([math.log(0.5 / r) for r in ratios])
    ids = torch.zeros(len(ratios), dtype=torch.int64)
    result = linear_ppo_loss(
        hidden, torch.tensor([[1.0], [-1.0]]), ids, old, torch.tensor(advantages), None, denominator=4.0, **options
    )
    (gradient,) = torch.autograd.grad(result.loss, hidden)
    return result, gradient.squeeze(1)


@pytest.mark.usefixtures("each_path")
def test_numbers_by_hand() -> None:
    """Terms -1.2 (clipped), -0.5, 3 and 1.6 (clipped), over a denominator of 4."""
    result, gradient = coin([1.5, 0.5, 1.5, 0.5], [1.0, 1.0, -2.0, -2.0])
    assert result.loss.item() == pytest.approx(2.9 / 4)
    assert gradient.tolist() == pytest.approx([0, -0.5 / 4, 3 / 4, 0])
    kl = -2 * math.log(0.75)
    metrics = {name: value.item() for name, value in result.metrics._asdict().items()}
    assert metrics == pytest.approx(
        {
            "approx_kl_k1": kl,
            "approx_kl_k3": kl,
            "clip_fraction": 2.0,
            "ratio_max": 1.5,
            "clamped": 0.0,
            "entropy": 4 * math.log(2),
            "kl_ref": 0.0,
        },
        abs=1e-6,
    )


@pytest.mark.usefixtures("each_path")
def test_dual_clip_bounds_the_loss_of_negative_advantages_only() -> None:
    result, gradient = coin([4.0, 0.9, 1.1], [-2.0, -2.0, 1.0], dual_clip=3.0)
    assert result.loss.item() == pytest.approx((6.0 + 1.8 - 1.1) / 4)
    assert gradient.tolist() == pytest.approx([0, 1.8 / 4, -1.1 / 4])
    assert result.metrics.clip_fraction.item() == 1


@pytest.mark.usefixtures("each_path")
def test_log_ratio_beyond_20_is_held_counted_and_gives_no_gradient() -> None:
    result, gradient = coin([math.exp(25), math.exp(19)], [-1.0, -1.0])
    assert result.loss.item() == pytest.approx((math.exp(20) + math.exp(19)) / 4, rel=1e-4)
    assert gradient[0].item() == 0
    assert gradient[1].item() == pytest.approx(math.exp(19) / 4, rel=1e-4)
    assert result.metrics.clamped.item() == 1


@pytest.mark.usefixtures("each_path")
@pytest.mark.parametrize(
    ("kind", "value", "slope"),
    [("k1", -math.log(1.5), 1.0), ("k2", math.log(1.5) ** 2 / 2, -math.log(1.5)), ("k3", 0.5 - math.log(1.5), -0.5)],
)
def test_kl_estimators_by_hand(kind: str, value: float, slope: float) -> None:
    """The reference gives the token 3/4, the policy 1/2."""
    result, gradient = coin([1.0], [0.0], ref_logp=torch.tensor([math.log(0.75)]), kl_coef=0.4, kl_kind=kind)
    assert result.metrics.kl_ref.item() == pytest.approx(value)
    assert result.loss.item() == pytest.approx(0.4 * value / 4)
    assert gradient.item() == pytest.approx(0.4 * slope / 4, abs=1e-7)


def plain_loop(case: Case) -> float:
    """EVERYTHING with k3, one token and one Python float at a time."""
    total, h = 0.0, EVERYTHING
    for t in range(case.ids.shape[0]):
        if not case.mask[t]:
            continue
        raw = [sum(a * b for a, b in zip(case.hidden[t].tolist(), row, strict=True)) for row in case.weight.tolist()]
        z = [h["softcap"] * math.tanh(a / h["softcap"]) / h["temperature"] for a in raw]
        lse = math.log(sum(map(math.exp, z)))
        logp, entropy = z[int(case.ids[t])] - lse, -sum(math.exp(x - lse) * (x - lse) for x in z)
        ratio, advantage = math.exp(logp - case.old_logp[t].item()), case.advantages[t].item()
        gain = min(advantage * ratio, advantage * min(max(ratio, 1 - h["clip_low"]), 1 + h["clip_high"]))
        if advantage < 0:
            gain = max(gain, advantage * h["dual_clip"])
        e = case.ref_logp[t].item() - logp
        total += -gain + h["kl_coef"] * (math.exp(e) - 1 - e) - h["entropy_coef"] * entropy
    return h["loss_scale"] * total / int(case.mask.sum())


@pytest.mark.usefixtures("each_path")
def test_loss_equals_a_plain_loop() -> None:
    case = make_case(60).to(torch.float64)
    assert run(case, **EVERYTHING).loss.item() == pytest.approx(plain_loop(case), rel=1e-12)


@pytest.mark.parametrize("num_tokens", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.usefixtures("chunked_path")
def test_loss_and_gradients_agree_with_float64(
    num_tokens: int, dtype: torch.dtype, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = {name: options[name] for name in ("temperature", "softcap") if name in options}
    case = make_case(num_tokens, **logits).to(dtype)
    actual = loss_and_gradients(case, UPSTREAM, **options)
    monkeypatch.setenv("GPU_OPS", "reference")
    expected = loss_and_gradients(case.to(torch.float64), UPSTREAM, **options)
    for got, wanted in zip(actual, expected, strict=True):
        scale = max(float(wanted.abs().max()), 1e-2)  # of a term: a loss may cancel to nearly 0
        torch.testing.assert_close(got.double(), wanted, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
@pytest.mark.usefixtures("chunked_path")
def test_kl_gradients_of_every_estimator_agree_with_float64(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(40).to(torch.float32)
    actual = loss_and_gradients(case, kl_coef=0.5, kl_kind=kind)
    monkeypatch.setenv("GPU_OPS", "reference")
    expected = loss_and_gradients(case.to(torch.float64), kl_coef=0.5, kl_kind=kind)
    for got, wanted in zip(actual, expected, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=0, atol=2e-5 * max(float(wanted.abs().max()), 1e-3))


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_metrics_and_kl_gradients_agree_with_the_reference(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(53).to(torch.float64)
    options = EVERYTHING | {"kl_kind": kind}
    actual, gradients = run(case, **options), loss_and_gradients(case, **options)
    monkeypatch.setenv("GPU_OPS", "reference")
    expected = run(case, **options)
    torch.testing.assert_close([*actual.metrics], [*expected.metrics], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close((actual.logp, actual.entropy), (expected.logp, expected.entropy))
    torch.testing.assert_close(gradients, loss_and_gradients(case, **options), rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("each_path")
def test_masked_slots_take_no_gradient_though_they_hold_nan() -> None:
    case = make_case(70).to(torch.float32)
    result = run(case, **EVERYTHING)
    _, d_hidden, d_weight = loss_and_gradients(case, **EVERYTHING)
    for value in (result.logp, result.entropy, d_hidden):
        assert not value[~case.mask].any()
        assert value[case.mask].ne(0).any()
    assert d_weight.isfinite().all()
    assert d_weight.any()


@pytest.mark.usefixtures("each_path")
def test_batch_without_tokens_is_zero_with_zero_gradients() -> None:
    case = make_case(9).to(torch.float32)._replace(mask=torch.zeros(9, dtype=torch.bool))
    assert all(not x.any() for x in loss_and_gradients(case, denominator=case.mask.sum()))
    assert not any(run(case).metrics)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("real_chunks")
def test_first_ratio_is_exactly_one(dtype: torch.dtype, autocast: bool) -> None:
    case = make_case(1031).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        with torch.no_grad():
            old = linear_logp(case.hidden, case.weight, case.ids, temperature=0.7, mask=case.mask).logp
        result = run(case._replace(old_logp=old), temperature=0.7)
    assert torch.equal(result.logp, old)
    assert result.metrics.ratio_max.item() == 1
    assert result.metrics.approx_kl_k1.item() == result.metrics.approx_kl_k3.item() == 0


@pytest.mark.usefixtures("each_path")
def test_without_old_logp_the_ratio_is_one_and_the_gradient_is_the_policy_gradient() -> None:
    case = make_case(30).to(torch.float64)
    on_policy = loss_and_gradients(case._replace(old_logp=None))  # type: ignore[arg-type]
    logp = linear_logp(case.hidden, case.weight, case.ids, mask=case.mask).logp
    plain = -(logp * case.advantages.nan_to_num()).sum() / case.mask.sum()
    torch.testing.assert_close(on_policy[1:], torch.autograd.grad(plain, (case.hidden, case.weight)))


@pytest.mark.usefixtures("each_path")
def test_one_batch_of_eight_equals_eight_batches_of_one() -> None:
    case = make_case(8 * 10).to(torch.float64)
    whole = loss_and_gradients(case, **EVERYTHING)
    totals = [torch.zeros_like(x) for x in whole]
    for part in range(8):
        cut = slice(10 * part, 10 * (part + 1))
        piece = Case(*(x if x is case.weight else x[cut] for x in case))
        loss = run(piece, **EVERYTHING, denominator=case.mask.sum()).loss
        for total, share in zip(totals, (loss, *torch.autograd.grad(loss, (case.hidden, case.weight))), strict=True):
            total += share.detach()
    torch.testing.assert_close(tuple(totals), whole)


def gemms(case: Case, *, hidden: bool = True, weight: bool = True, **options: Any) -> float:
    """GEMMs of N·D·V, forward and backward."""
    case.hidden.requires_grad_(hidden)
    case.weight.requires_grad_(weight)
    with GemmCounter() as counter:
        result = run(case, **options)
        if hidden or weight:
            result.loss.backward()
    return counter.multiply_adds / (int(case.mask.sum()) * WIDTH * VOCABULARY)


def test_masked_tokens_and_frozen_inputs_cost_no_gemm() -> None:
    case = make_case(53).to(torch.float32)
    assert gemms(case, entropy_coef=0.1) == 3
    assert gemms(case, entropy_coef=0.1, hidden=False) == 2
    assert gemms(case, entropy_coef=0.1, weight=False) == 2
    assert gemms(case, entropy_coef=0.1, hidden=False, weight=False) == 1


def test_tokens_without_gradient_go_forward_only() -> None:
    """Zero advantages and no entropy or KL term: half the tokens cost one GEMM, the others three."""
    case = make_case(40, share=1.0).to(torch.float32)
    case.advantages.fill_(1.0)[::2] = 0.0
    on_policy = case._replace(old_logp=None)  # type: ignore[arg-type]
    assert gemms(on_policy) == 2
    on_policy.advantages.zero_()
    assert gemms(on_policy) == 1


def test_no_tensor_is_larger_than_a_chunk_of_logits() -> None:
    case = make_case(4 * CHUNK, share=1.0).to(torch.float32)
    with LargestTensor() as largest:
        run(case, **EVERYTHING).loss.backward()
    assert largest.elements == CHUNK * VOCABULARY


@pytest.mark.usefixtures("chunked_path")
def test_backward_twice_gives_the_same_gradient() -> None:
    case = make_case(30).to(torch.float32)
    loss = run(case).loss
    first = torch.autograd.grad(loss, (case.hidden, case.weight), retain_graph=True)
    torch.testing.assert_close(first, torch.autograd.grad(loss, (case.hidden, case.weight)), rtol=0, atol=0)


def test_only_the_loss_carries_a_gradient() -> None:
    result = run(make_case(30).to(torch.float32))
    assert result.loss.requires_grad
    assert not any(x.requires_grad for x in (result.logp, result.entropy, *result.metrics))


NAN = torch.tensor([0.0, float("nan"), 0.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"old_logp": NAN}, "old_logp is not finite at 1 of 3"),
        ({"advantages": NAN}, "advantages is not finite at 1 of 3"),
        ({"ref_logp": NAN}, "ref_logp is not finite at 1 of 3"),
        ({"advantages": torch.zeros(2)}, r"advantages has shape \(2,\) but ids has shape \(3,\)"),
        ({"kl_coef": 0.1}, r"kl_coef \(0.1\) needs ref_logp"),
        ({"kl_kind": "k4"}, "'k4'"),
        ({"dual_clip": 1.1}, r"dual_clip \(1.1\) must exceed 1 \+ clip_high \(1.2\)"),
        ({"clip_low": 1.0}, r"clip_low \(1.0\)"),
        ({"denominator": 0.0}, r"denominator \(0.0\)"),
        ({"denominator": torch.ones(2)}, r"denominator must hold 1 number, got shape \(2,\)"),
        ({"hidden": torch.full((3, 4), float("inf"))}, "loss .* not finite"),
    ],
)
@pytest.mark.usefixtures("each_path")
def test_bad_input_is_refused_with_both_numbers(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "hidden": torch.zeros(3, 4),
        "weight": torch.ones(5, 4),
        "ids": torch.tensor([0, 1, 2]),
        "old_logp": torch.zeros(3),
        "advantages": torch.zeros(3),
        "mask": None,
        "denominator": 3.0,
    } | changes
    with pytest.raises(ValueError, match=message):
        linear_ppo_loss(**given)
