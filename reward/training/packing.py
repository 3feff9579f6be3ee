"""Prompts with all their answers in one row of tokens: a prompt is computed once, padding never.

N tokens in the row, K answers of a prompt, P tokens of the prompt, R of its longest answer, H query heads, G key-value
heads, E head size, A answers in the row.

    row        prompt | answer 1 | answer 2 | ... | next prompt | ...
    position   0..P-1   P..        P..              0..

A prompt's tokens attend to those before them; an answer's to the prompt and to those before them in the same answer.
Each answer so sees what it would see alone behind its prompt, and the prompt's keys and values collect the gradients of
all answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NAME = "plumbline_packed"


class Prefixed(NamedTuple):
    """A prompt and its answers, as token ids. An empty prompt makes the answers sequences of their own."""

    prompt: Sequence[int]
    answers: Sequence[Sequence[int]]

    @property
    def num_tokens(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


def by_prompt(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> list[Prefixed]:
    """Answers in their order, those whose prompts are equal and stand side by side behind one prompt."""
    groups: list[tuple[Sequence[int], list[Sequence[int]]]] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        if not groups or groups[-1][0] != prompt:
            groups.append((prompt, []))
        groups[-1][1].append(answer)
    return [Prefixed(prompt, together) for prompt, together in groups]


class Block(NamedTuple):
    """Where one prompt and its answers stand in the row."""

    prompt: slice
    answers: slice
    table: Tensor  # [K, R] int64 places in the row; beyond an answer's end its first token again
    real: Tensor  # [tokens of the answers] int64 places in the flattened table, in the row's order


class Pack(NamedTuple):
    """ids, positions: [1, N] int64. last: [A] int64, the place of each answer's last token."""

    ids: Tensor
    positions: Tensor
    last: Tensor
    blocks: tuple[Block, ...]

    @property
    def first(self) -> Tensor:
        """[A] int64, the place of each answer's first token."""
        return torch.cat([block.table[:, 0] for block in self.blocks])


def pack(groups: Iterable[Prefixed], device: torch.device | str = "cpu") -> Pack:
    """Lay groups end to end, answers in order.

    Raises:
        ValueError: no group, a group without answers, an answer without tokens.
    """
    ids: list[int] = []
    positions: list[int] = []
    last: list[int] = []
    blocks = []
    for number, (prompt, answers) in enumerate(groups):
        lengths = [len(answer) for answer in answers]
        if not lengths or min(lengths) < 1:
            raise ValueError(f"group {number} needs answers of at least 1 token, got lengths {lengths}")
        block = _block(len(ids), len(prompt), lengths, device)
        ids += [*prompt, *(token for answer in answers for token in answer)]
        positions += [*range(len(prompt)), *(len(prompt) + i for length in lengths for i in range(length))]
        last += (block.table[:, 0].cpu() + torch.tensor(lengths) - 1).tolist()
        blocks.append(block)
    if not blocks:
        raise ValueError("a pack needs at least 1 group, got 0")
    row = torch.tensor([ids, positions], dtype=torch.int64, device=device)
    return Pack(row[:1], row[1:], torch.tensor(last, device=device), tuple(blocks))


def _block(start: int, prompt: int, lengths: Sequence[int], device: torch.device | str) -> Block:
    counts = torch.tensor(lengths)
    first = start + prompt + counts.cumsum(0) - counts
    column = torch.arange(int(counts.max()))
    is_real = column < counts[:, None]
    table = first[:, None] + torch.where(is_real, column, 0)
    real = is_real.flatten().nonzero().squeeze(1)
    end = start + prompt + sum(lengths)
    return Block(slice(start, start + prompt), slice(start + prompt, end), table.to(device), real.to(device))


def use_packed_attention(model: nn.Module) -> None:
    """Let `model` attend by `attend`. Configs are written without it, so a saved model knows nothing of this.

    Raises:
        ValueError: a model whose layers do not ask for their attention by name; its answers would see each other.
    """
    if not getattr(model, "_supports_attention_backend", False):
        raise ValueError(f"{type(model).__name__} computes its attention by itself, so its answers cannot be packed")
    ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
    model.config._attn_implementation = NAME  # type: ignore[union-attr]


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    blocks: Sequence[Block],
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each block of a pack. query: [1, H, N, E]; key, value: [1, G, N, E]. Returns [1, N, H, E].

    Raises:
        ValueError: capped logits, or a window shorter than a prompt with its longest answer.
    """
    if softcap is not None:
        raise ValueError(f"a model with capped attention logits ({softcap}) is not supported")
    repeats = query.shape[1] // key.shape[1]
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    pieces = []
    for block in blocks:
        longest = block.prompt.stop - block.prompt.start + block.table.shape[1]
        if sliding_window is not None and longest > sliding_window:
            raise ValueError(
                f"a prompt with its answer has {longest} tokens but the model's window is {sliding_window}"
            )
        if block.prompt.stop > block.prompt.start:
            own = (x[None, block.prompt] for x in (q, k, v))
            pieces.append(_attend(*own, repeats=repeats, scaling=scaling)[0])
        pieces.append(_attend_answers(q, k, v, block, repeats, scaling))
    return torch.cat(pieces)[None], None


def _attend_answers(q: Tensor, k: Tensor, v: Tensor, block: Block, repeats: int, scaling: float | None) -> Tensor:
    """[tokens of the answers, H, E]: every answer against the prompt and itself. q: [N, H, E]; k, v: [N, G, E]."""
    places, shape = block.table.flatten(), block.table.shape
    queries, keys, values = (x.index_select(0, places).unflatten(0, shape) for x in (q, k, v))
    if block.prompt.stop > block.prompt.start:
        shared = (x[block.prompt].expand(shape[0], -1, -1, -1) for x in (k, v))
        keys, values = (torch.cat([prompt, own], dim=1) for prompt, own in zip(shared, (keys, values), strict=True))
    return _attend(queries, keys, values, repeats=repeats, scaling=scaling).flatten(0, 1).index_select(0, block.real)


def _attend(query: Tensor, key: Tensor, value: Tensor, *, repeats: int, scaling: float | None) -> Tensor:
    """[B, Q, H, E] of query [B, Q, H, E] and key, value [B, K, G, E]: causal, the last query at the last key."""
    queries, keys = query.shape[1], key.shape[1]
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    if repeats > 1:
        # enable_gqa falls back to a slow kernel on CPU; a repeat is cheap beside the projections.
        k, v = (x.repeat_interleave(repeats, dim=1) for x in (k, v))
    mask = None
    if keys > queries:
        mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling)
    return out.transpose(1, 2)
