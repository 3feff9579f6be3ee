"""The sampler: same distribution as the plain model, whatever shares the batch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import LlamaForCausalLM

from gpu_ops import cpp, decoding, few_rows
from policy.training import graphs, sampling
from policy.training.sampling import Answer, Draw, Request, SampleProgress, nucleus, pick, sample
from policy.training.tests.conftest import EOS, build_llama

PARITY = 1.6e-5


def draw_all(
    model: LlamaForCausalLM, prompts: Sequence[Sequence[int]], *, copies: int = 1, **settings: float
) -> list[Answer]:
    requests = [Request(p, (7, i, copy)) for i, p in enumerate(prompts) for copy in range(copies)]
    return sample(model, requests, draw=Draw(**{"max_new_tokens": 12, **settings}), eos_id=EOS)  # type: ignore[arg-type]


def plain_logp(
    model: LlamaForCausalLM, prompt: Sequence[int], answer: Sequence[int], temperature: float
) -> list[float]:
    """Log-probabilities by transformers' own eager attention, one sequence, no padding, no cache."""
    model.config._attn_implementation = "eager"
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0] / temperature
    logp = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    found: list[float] = logp[torch.arange(len(answer)), torch.tensor(answer)].tolist()
    return found


def test_left_padded_log_probs_are_those_of_the_plain_model(llama: LlamaForCausalLM, prompts: list[list[int]]) -> None:
    answers = draw_all(llama, prompts, copies=3, temperature=0.7)

    for prompt, answer in zip([p for p in prompts for _ in range(3)], answers, strict=True):
        assert answer.logp == pytest.approx(plain_logp(llama, prompt, answer.token_ids, 0.7), abs=PARITY)


def test_answer_does_not_depend_on_what_shares_its_batch(llama: LlamaForCausalLM, prompts: list[list[int]]) -> None:
    together = draw_all(llama, prompts, copies=4, batch_size=24, max_new_tokens=50)
    alone = draw_all(llama, prompts, copies=4, batch_size=1, max_new_tokens=50)

    assert [a.token_ids for a in together] == [a.token_ids for a in alone]
    early = sum(len(a.token_ids) < 40 for a in together)
    assert early >= 10, "many answers must end early, or dropping finished rows is not tested"


def test_steps_of_fixed_shapes_draw_the_same_answers(
    llama: LlamaForCausalLM, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"copies": 4, "batch_size": 24, "max_new_tokens": 50}
    growing = draw_all(llama, prompts, **settings)
    monkeypatch.setattr(sampling, "has_fixed_steps", lambda model: True)
    fixed = draw_all(llama, prompts, **settings)

    assert [a.token_ids for a in fixed] == [a.token_ids for a in growing]
    for one, other in zip(fixed, growing, strict=True):
        assert one.logp == pytest.approx(other.logp, abs=PARITY)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_recorded_step_draws_the_same_answers(
    llama: LlamaForCausalLM, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.nn.Module.cuda(llama)
    settings = {"copies": 4, "batch_size": 24, "max_new_tokens": 50}
    assert graphs.has_fixed_steps(llama)
    recorded = draw_all(llama, prompts, **settings)
    monkeypatch.setattr(sampling, "has_fixed_steps", lambda model: False)
    growing = draw_all(llama, prompts, **settings)

    assert [a.token_ids for a in recorded] == [a.token_ids for a in growing]


@pytest.mark.parametrize(
    ("kind", "asks"), [("default", False), ("linear", False), ("dynamic", True), ("longrope", True)]
)
def test_a_rotary_embedding_that_reads_positions_back_is_not_recorded(
    llama: LlamaForCausalLM, kind: str, asks: bool
) -> None:
    llama.model.rotary_emb.rope_type = kind
    assert graphs.asks_the_host(llama) is asks


def test_layers_of_several_ranks_are_not_recorded(llama: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "FSDPModule", type(llama.model.layers[0]))
    assert graphs.asks_the_host(llama)


def test_nothing_is_recorded_on_a_cpu(llama: LlamaForCausalLM) -> None:
    assert not graphs.has_fixed_steps(llama)


def test_copies_of_a_prompt_get_different_answers(llama: LlamaForCausalLM, prompts: list[list[int]]) -> None:
    answers = draw_all(llama, prompts[:1], copies=6)

    assert len({tuple(a.token_ids) for a in answers}) == 6


def test_answer_ends_with_eos_exactly_when_it_stopped(llama: LlamaForCausalLM, prompts: list[list[int]]) -> None:
    answers = draw_all(llama, prompts, copies=8)

    assert {a.finish_reason for a in answers} == {"stop", "length"}
    for answer in answers:
        assert EOS not in answer.token_ids[:-1]
        assert (answer.token_ids[-1] == EOS) == (answer.finish_reason == "stop")
        assert answer.finish_reason == "stop" or len(answer.token_ids) == 12
        assert len(answer.logp) == len(answer.token_ids)


def test_temperature_zero_is_greedy_decoding(prompts: list[list[int]]) -> None:
    answers = draw_all(build_llama(), prompts, temperature=0)

    for prompt, answer in zip(prompts, answers, strict=True):
        expected = build_llama().generate(  # type: ignore[misc]
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=12, do_sample=False
        )
        assert answer.token_ids == expected[0, len(prompt) :].tolist()


def test_pick_inverts_the_distribution_function() -> None:
    logits = torch.tensor([[0.5, 0.0, 0.25, 0.25]]).log().expand(6, 4)

    chosen = pick(logits, torch.tensor([0.0, 0.49, 0.51, 0.74, 0.76, 1 - 1e-12], dtype=torch.float64))

    assert chosen.tolist() == [0, 0, 2, 2, 3, 3]


def test_token_without_probability_is_never_picked() -> None:
    logits = torch.tensor([[0.0, 1.0]]).log()

    assert pick(logits, torch.zeros(1, dtype=torch.float64)).tolist() == [1]


def test_nucleus_keeps_the_fewest_tokens_that_reach_top_p() -> None:
    kept = nucleus(torch.tensor([[0.1, 0.5, 0.15, 0.25]]), 0.6)

    assert kept.tolist() == [[0.0, 0.5, 0.0, 0.25]]


def test_drawn_tokens_follow_the_model(llama: LlamaForCausalLM) -> None:
    requests = [Request([5, 9], (1, i)) for i in range(4000)]
    answers = sample(llama, requests, draw=Draw(max_new_tokens=1, batch_size=4000), eos_id=EOS)

    counts = torch.bincount(torch.tensor([a.token_ids[0] for a in answers]), minlength=llama.config.vocab_size)
    with torch.no_grad():
        expected = llama(torch.tensor([[5, 9]])).logits[0, -1].softmax(-1)
    chi_square = float(((counts - 4000 * expected) ** 2 / (4000 * expected)).sum())
    assert chi_square < 110  # 63 degrees of freedom: beyond the 99.9 % point


def test_progress_is_told_after_every_batch(llama: LlamaForCausalLM, prompts: list[list[int]]) -> None:
    told: list[SampleProgress] = []
    requests = [Request(p, (i,)) for i, p in enumerate(prompts)]

    sample(llama, requests, draw=Draw(max_new_tokens=2, batch_size=4), eos_id=EOS, progress=told.append)

    assert [(t.done, t.total) for t in told] == [(4, 6), (6, 6)]
    assert all(t.answers_per_second > 0 for t in told)


@pytest.mark.parametrize(("prompt", "message"), [([], "at least 1 token"), ([5] * 60, "exceed 64")])
def test_prompt_that_does_not_fit_is_refused(llama: LlamaForCausalLM, prompt: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_all(llama, [prompt])


def test_the_model_is_as_it_was_after_drawing_even_where_drawing_fails() -> None:
    model = build_llama()

    sample(model, [Request([3, 4], (0,))], draw=Draw(max_new_tokens=2), eos_id=EOS)
    with pytest.raises(RuntimeError), few_rows(model), few_rows(model):
        raise RuntimeError

    assert not [name for name, module in model.named_modules() if "forward" in vars(module)]


@torch.no_grad()
def test_answers_are_the_same_whoever_computes_the_linear_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LEAST_WEIGHTS", 1)
    requests = [Request([3 + i, 4], (0, i)) for i in range(5)]
    drawn = []
    for path in ("cpp" if cpp.load().usable else "reference", "torch"):
        monkeypatch.setenv("GPU_OPS", path)
        drawn.append(sample(build_llama(), requests, draw=Draw(max_new_tokens=8), eos_id=EOS))

    assert [answer.token_ids for answer in drawn[0]] == [answer.token_ids for answer in drawn[1]]
    told = [torch.tensor([value for answer in answers for value in answer.logp]) for answers in drawn]
    torch.testing.assert_close(*told)
