"""What a DPO or SFT run with TRL's trainers will need. Imports no torch: forms estimate with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from policy.training.trl_config import DPOConfig, SFTConfig
from reward.training import footprint
from reward.training.estimate import Estimate, Phase, gettext_noop
from reward.training.footprint import FLOAT, Part
from reward.training.shape import Shape
from reward.training.speed import Speed

SMALLER_TUNING = gettext_noop("start from a smaller model: every weight learns")
"""What makes a run need less, said where it cannot fit."""

PROGRAM_BYTES = 540 * 2**20
"""Resident memory once TRL and datasets are imported as well: 540 MiB, measured with TRL 1.16 on a CPU."""
TILE = (4096, 32768)
"""Tokens and words of the logits that TRL's fused head holds at once."""
TILES = 8
"""Such tiles at its peak, with what is made of them: 8.3 measured at 380 and 760 tokens (TRL 1.16, without Triton)."""
HEAD_GRADIENTS = 2
"""Copies of the head's gradient beside the gradient itself, from the same measurement (2.2)."""


class Pair(NamedTuple):
    """Tokens of a prompt with its better and with its worse answer."""

    chosen: int
    rejected: int


class PairData(NamedTuple):
    """The preferences that DPO learns from, and those it is measured on."""

    train: Sequence[Pair]
    heldout: Sequence[Pair]


class AnswerData(NamedTuple):
    """Tokens of the answers that SFT imitates, with their prompts, and of those it is measured on."""

    train: Sequence[int]
    heldout: Sequence[int]


def estimate_dpo(policy: Shape, config: DPOConfig, data: PairData | None, speed: Speed | None) -> Estimate:
    """Of a run of kind `policy.dpo`; preferences with an answer that is too long are left out of data.

    Args:
        data, speed: None where they are not known.
    """
    phases = None
    if data is not None and speed is not None:
        train, heldout = ([max(pair) for pair in pairs] for pairs in data)
        phases = _phases(policy, config, _Work(train, heldout, sequences=2, references=1), speed)
    return Estimate(parts=dpo_memory(policy, config, data), phases=phases)


def dpo_memory(policy: Shape, config: DPOConfig, data: PairData | None = None) -> list[Part]:
    """data: None counts only what does not depend on it."""
    lengths = None if data is None else [length for pair in data.train for length in pair]
    return [
        *_held(policy),
        footprint.weights("reference", policy.total),
        *_learn(policy, lengths, 2 * config.micro_batch_size),
    ]


def estimate_sft(policy: Shape, config: SFTConfig, data: AnswerData | None, speed: Speed | None) -> Estimate:
    """Of a run of kind `policy.sft`; data, speed: None where they are not known."""
    phases = None
    if data is not None and speed is not None:
        phases = _phases(policy, config, _Work(data.train, data.heldout, sequences=1, references=0), speed)
    return Estimate(parts=sft_memory(policy, config, data), phases=phases)


def sft_memory(policy: Shape, config: SFTConfig, data: AnswerData | None = None) -> list[Part]:
    """data: None counts only what does not depend on it."""
    return [*_held(policy), *_learn(policy, None if data is None else data.train, config.micro_batch_size)]


def _held(policy: Shape) -> list[Part]:
    return [
        Part("program", PROGRAM_BYTES),
        footprint.weights("model", policy.total),
        *footprint.training(policy.total),
    ]


def _learn(policy: Shape, lengths: Sequence[int] | None, sequences: int) -> list[Part]:
    """What a micro-batch needs on its way back."""
    if not lengths:
        return []
    longest = footprint.greatest_of(lengths, sequences)
    tokens = sequences * longest
    # The mask that hides padding is kept by every layer.
    mask = FLOAT * policy.layers * tokens * longest
    tile = min(tokens, TILE[0]) * min(policy.vocabulary, TILE[1])
    return [
        Part("activations", round(footprint.activations(policy, layers=policy.layers, tokens=tokens) + mask)),
        Part("head", round(FLOAT * (TILES * tile + HEAD_GRADIENTS * policy.embedding))),
    ]


class _Work(NamedTuple):
    """Lengths of the examples; of each so many sequences go through the policy, and through the reference."""

    train: Sequence[int]
    heldout: Sequence[int]
    sequences: int
    references: int


def _phases(policy: Shape, config: DPOConfig | SFTConfig, work: _Work, speed: Speed) -> list[Phase]:
    """TRL computes the head for every token, and again on the way back: four products and one for the reference."""
    steps = config.epochs * -(-len(work.train) // config.batch_size)
    rows = work.sequences * config.micro_batch_size
    padded = footprint.greatest_of(work.train, rows)
    forward, head = _seconds(policy, speed, rows, padded)
    passes = steps * config.batch_size / config.micro_batch_size
    learn = passes * (3 * forward + 4 * head) + steps * speed.update(policy.total)
    evaluations = -(-steps // config.eval_every)
    found = [Phase("learn", learn)]
    if work.references:
        found.append(Phase("judge", passes * (forward + head)))
    if work.heldout:
        length = sum(work.heldout) / len(work.heldout)
        each = sum(_seconds(policy, speed, work.sequences, length)) * (1 + work.references)
        found.append(Phase("evaluate", evaluations * len(work.heldout) * each))
    return found


def _seconds(policy: Shape, speed: Speed, rows: float, length: float) -> tuple[float, float]:
    """A forward pass through the layers, and one product with the head."""
    layers = speed.forward(policy, sequences=rows, length=length)
    return layers, speed.product(policy.embedding, tokens=rows * length)
