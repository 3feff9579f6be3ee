"""Answers from a decoder: batches of like length, a key-value cache, one random number per token.

B answers side by side, P longest prompt, R longest answer, V vocabulary. Prompts are padded on the left; masks and
positions come from lengths. An answer's random numbers come from its own key, so it does not matter which answers it
shares a batch with (up to rounding of the logits), nor when those end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gpu_ops import few_rows
from policy.training.attention import KVCache, use_grouped_attention
from policy.training.graphs import Graph, has_fixed_steps
from policy.training.layers import run_layers
from policy.training.randomness import generator

COMPACT_BELOW = 0.75
"""Finished rows are dropped once no more than this share is alive: each drop copies the cache."""

LOOK_EVERY = 8
"""Recorded steps between two looks at which rows are finished: a look makes the GPU wait for the host."""


class Request(NamedTuple):
    """An answer to draw. key: what its random numbers derive from."""

    prompt: Sequence[int]
    key: tuple[int | str, ...]


class Answer(NamedTuple):
    """A drawn answer. token_ids end with EOS when finish_reason is stop. logp: nats, at the temperature, no top_p."""

    token_ids: list[int]
    finish_reason: Literal["stop", "length"]
    logp: list[float]


class SampleProgress(NamedTuple):
    """Told after each batch."""

    done: int
    total: int
    answers_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """How to draw. temperature 0 takes the likeliest token (its logp is then at temperature 1)."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    batch_size: int = 32


@torch.inference_mode()
def sample(
    model: nn.Module,
    requests: Sequence[Request],
    *,
    draw: Draw,
    eos_id: int,
    progress: Callable[[SampleProgress], None] | None = None,
) -> list[Answer]:
    """Draw one answer per request, in the order of the requests.

    Args:
        model: a Llama-like causal language model of transformers, in evaluation mode, any floating dtype.
        progress: called after each batch; may raise to stop.

    Raises:
        ValueError: an empty prompt, or one that leaves no room for an answer within the model's positions.
    """
    use_grouped_attention(model)
    limit = getattr(model.config, "max_position_embeddings", None)
    for request in requests:
        if not request.prompt:
            raise ValueError("a prompt needs at least 1 token")
        if limit is not None and len(request.prompt) + draw.max_new_tokens > limit:
            raise ValueError(f"a prompt of {len(request.prompt)} and {draw.max_new_tokens} new tokens exceed {limit}")
    order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt), list(requests[i].prompt)))
    answers: dict[int, Answer] = {}
    started = time.monotonic()
    for start in range(0, len(order), draw.batch_size):
        chosen = order[start : start + draw.batch_size]
        with few_rows(model):
            found = _Batch(model, [requests[i] for i in chosen], draw, eos_id).run()
        answers |= dict(zip(chosen, found, strict=True))
        if progress is not None:
            progress(SampleProgress(len(answers), len(order), len(answers) / (time.monotonic() - started)))
    return [answers[i] for i in range(len(requests))]


def pick(logits: Tensor, uniforms: Tensor, *, top_p: float = 1.0) -> Tensor:
    """Token ids [B] by inverting the distribution function. logits: [B, V]; uniforms: [B] float64 in [0, 1)."""
    probabilities = torch.softmax(logits.float(), dim=-1)
    if top_p < 1:
        probabilities = nucleus(probabilities, top_p)
    edges = probabilities.cumsum(-1, dtype=torch.float64)
    at = uniforms[:, None] * edges[:, -1:]
    return torch.searchsorted(edges, at, right=True).squeeze(1).clamp(max=logits.shape[1] - 1)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Zero all but the likeliest tokens that together reach top_p (Holtzman et al. 2020). [B, V], not of sum 1."""
    ranked, order = probabilities.sort(dim=-1, descending=True)
    kept = ranked.cumsum(-1) - ranked < top_p
    return torch.zeros_like(probabilities).scatter(-1, order, ranked * kept)


class _Batch:
    """Decoding state of up to batch_size answers; `live` says which answer a row of the cache belongs to."""

    def __init__(self, model: nn.Module, requests: Sequence[Request], draw: Draw, eos_id: int) -> None:
        decoder: Any = model.model
        self.model, self.decoder, self.draw, self.eos_id = model, decoder, draw, eos_id
        weight: Tensor = model.lm_head.weight  # type: ignore[union-attr, assignment]
        self.device, self.dtype = weight.device, weight.dtype
        rows = [torch.rand(draw.max_new_tokens, generator=generator(*r.key), dtype=torch.float64) for r in requests]
        self.uniforms = torch.stack(rows).to(self.device)
        self.tokens = torch.zeros(len(requests), draw.max_new_tokens, dtype=torch.int64, device=self.device)
        self.logp = torch.zeros(len(requests), draw.max_new_tokens, device=self.device)
        self.lengths = torch.zeros(len(requests), dtype=torch.int64, device=self.device)
        self.finished = torch.zeros(len(requests), dtype=torch.bool, device=self.device)
        self.live = torch.arange(len(requests), device=self.device)
        self.step = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.prompts = [tuple(request.prompt) for request in requests]

    def run(self) -> list[Answer]:
        chosen = self._choose(self._prefill())
        if has_fixed_steps(self.model):
            self._run_fixed(chosen)
        else:
            self._run_growing(chosen)
        return [
            Answer(
                self.tokens[i, :n].tolist(), "stop" if bool(self.finished[i]) else "length", self.logp[i, :n].tolist()
            )
            for i, n in enumerate(self.lengths.tolist())
        ]

    def _run_growing(self, chosen: Tensor) -> None:
        """Each step attends to what is there, and finished rows are dropped: the fewest operations."""
        for _ in range(1, self.draw.max_new_tokens):
            if bool(self.finished.all()):
                break
            rows = self._alive()
            if rows is not None:
                self._keep(rows)
                chosen = chosen[rows]
            chosen = self._choose(self._advance(chosen))

    def _run_fixed(self, chosen: Tensor) -> None:
        """Each step attends to all of the cache's memory, so that one recorded step serves them all."""
        self.cache.place = torch.tensor([self.cache.length], device=self.device)
        graph = Graph(lambda token: self._choose(self._advance_fixed(token)), chosen)
        for number in range(1, self.draw.max_new_tokens):
            if number % LOOK_EVERY == 0:
                if bool(self.finished.all()):
                    break
                rows = self._alive()
                if rows is not None:
                    self._keep(rows)
                    graph.begin(graph.value[rows])
            graph.run()

    def _prefill(self) -> Tensor:
        """Run each distinct prompt once; return the last hidden state of every answer's prompt, [B, D]."""
        distinct = list(dict.fromkeys(self.prompts))
        longest = max(map(len, distinct))
        ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in distinct], device=self.device)
        pads = torch.tensor([longest - len(p) for p in distinct], device=self.device)
        # To a multiple of 8: kernels of attention on a GPU want masks of such a width.
        total = -(-(longest + self.draw.max_new_tokens) // 8) * 8
        self.columns = torch.arange(total, device=self.device)
        real = self.columns[:longest] >= pads[:, None]
        seen = torch.ones(longest, longest, dtype=torch.bool, device=self.device).tril() & real[:, None]
        # A padded position sees itself: a row that sees nothing would be NaN.
        seen = seen | torch.eye(longest, dtype=torch.bool, device=self.device)
        self.cache = KVCache(
            self.model.config, rows=len(distinct), positions=total, dtype=self.dtype, device=self.device
        )
        positions = (self.columns[:longest] - pads[:, None]).clamp(min=0)
        hidden = self._forward(ids, positions, self._additive(seen[:, None]) if int(pads.max()) else None)
        self.cache.advance(longest)
        of = {prompt: row for row, prompt in enumerate(distinct)}
        rows = torch.tensor([of[prompt] for prompt in self.prompts], device=self.device)
        self.pads = pads[rows]
        if len(distinct) < len(rows):
            self.cache.select(rows)
        return hidden[rows]

    def _choose(self, hidden: Tensor) -> Tensor:
        """Draw the next token of every row of the cache and note it for those not finished. Asks the host nothing."""
        logits = self.model.lm_head(hidden).float()  # type: ignore[operator]
        scaled = logits / (self.draw.temperature or 1.0)
        if self.draw.temperature == 0:
            chosen = scaled.argmax(-1)
        else:
            chosen = pick(scaled, self.uniforms[self.live, self.step], top_p=self.draw.top_p)
        logp = scaled.gather(1, chosen[:, None]).squeeze(1) - scaled.logsumexp(-1)
        done = self.finished[self.live]
        self.tokens[self.live, self.step] = chosen.masked_fill(done, 0)
        self.logp[self.live, self.step] = logp.masked_fill(done, 0.0)
        self.lengths[self.live] += ~done
        self.finished[self.live] = done | (chosen == self.eos_id)
        self.step += 1
        return chosen

    def _alive(self) -> Tensor | None:
        """The rows to go on with, where dropping the finished ones is worth it."""
        alive = ~self.finished[self.live]
        return None if int(alive.sum()) > COMPACT_BELOW * len(self.live) else alive.nonzero().squeeze(1)

    def _keep(self, rows: Tensor) -> None:
        self.cache.select(rows)
        self.live, self.pads = self.live[rows], self.pads[rows]

    def _advance(self, chosen: Tensor) -> Tensor:
        length = self.cache.length
        seen = self.columns[: length + 1] >= self.pads[:, None]
        hidden = self._forward(chosen[:, None], (length - self.pads)[:, None], self._additive(seen[:, None, None]))
        self.cache.advance(1)
        return hidden

    def _advance_fixed(self, chosen: Tensor) -> Tensor:
        place = self.cache.place
        assert place is not None
        seen = (self.columns >= self.pads[:, None]) & (self.columns <= place)
        hidden = self._forward(chosen[:, None], (place - self.pads)[:, None], self._additive(seen[:, None, None]))
        place += 1
        return hidden

    def _forward(self, ids: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        start = self.decoder.embed_tokens(ids)
        hidden = run_layers(
            self.decoder.layers, self.decoder.rotary_emb, start, positions=positions, mask=mask, cache=self.cache
        )
        last: Tensor = self.decoder.norm(hidden[:, -1])
        return last

    def _additive(self, seen: Tensor) -> Tensor:
        """0 where seen, minus infinity elsewhere."""
        return torch.zeros(seen.shape, dtype=self.dtype, device=self.device).masked_fill(~seen, -torch.inf)
