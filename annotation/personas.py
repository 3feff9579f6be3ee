"""Simulated labelers: a taste that reads only the text on the screen, and people who apply it with noise.

A `Persona` is a taste: `utility(prompt, answer)` is a number in utility units, from the visible text alone. It is
blind: no model name, no finish reason, no token ids. A `SimulatedLabeler` is somebody who has that taste and judges
with their own reliability, position bias and pace. Pure Python and deterministic: the same seed gives the same labels.

    utility = complete·finished + length·plateau(words) + topic·coverage·substance + plain·plainness
              − repetition·repeated − litter·kinds − salad·oddness

The optimum lies inside: no term alone, length least of all, tells which answer wins. See `Terms` for each of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from annotation.readability import (
    ASKING_WORDS,
    content_stems,
    finished_share,
    function_share,
    hard_share,
    litter_kinds,
    plateau,
    repeated_share,
    unrankable_reason,
    words_of,
)

READ_CHARACTERS = 4000  # nobody reads further: such an answer is far too long already


class Terms(NamedTuple):
    """What a persona sees in one answer; every share lies in [0, 1]."""

    words: int
    """Number of words."""
    complete: float
    """1 when the last sentence is finished; an answer that is cut off gets 0.3 × the share of its words in
    finished sentences, so that an answer with a whole sentence in it beats half a sentence."""
    length: float
    """1 on the plateau, falling linearly to 0 on both sides of it."""
    coverage: float
    """Share found of the prompt's content words, by stem; two are enough. 1 where a prompt has none."""
    substance: float
    """Content words that the prompt does not hold, as a share of `new_words`: an echo of the prompt says nothing."""
    plain: float
    """1 up to a twentieth of hard words, 0 from a quarter on. Hard: ten letters or more, a capital inside a sentence, a
    digit; the prompt's own words are not."""
    repetition: float
    """Share of word trigrams that were seen before in the answer, 1 from a third on."""
    litter: float
    """Kinds of litter (list, markup, talk of being an AI, placeholder or role, preamble), 1 from two kinds on."""
    salad: float
    """0 where function words are a usual share of the text (a quarter to seven tenths), rising to 1 at 5 % and 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """A taste. Weights are in utility units; the best answer reaches `complete + length + topic + plain`."""

    name: str
    complete: float = 2.4
    length: float = 2.0
    topic: float = 1.0
    plain: float = 0.6
    repetition: float = 1.5
    litter: float = 1.0
    salad: float = 1.0
    words_zero: int = 5
    """Words at which the length term is still 0."""
    words_low: int = 14
    """First number of words on the plateau."""
    words_high: int = 45
    """Last number of words on the plateau."""
    words_far: int = 75
    """Words at which the length term is 0 again."""
    new_words: int = 6
    """Content words, beyond the prompt's own, that make an answer say something."""
    acceptable: float = 3.6
    """Utility below which an answer is not acceptable."""

    def __post_init__(self) -> None:
        if not 0 <= self.words_zero < self.words_low <= self.words_high < self.words_far:
            raise ValueError(
                f"words_zero ({self.words_zero}) < words_low ({self.words_low}) <= words_high ({self.words_high}) "
                f"< words_far ({self.words_far}) must hold"
            )

    def terms(self, prompt: str, answer: str) -> Terms:
        """Return what this persona sees in the answer."""
        answer = answer[:READ_CHARACTERS]
        words = words_of(answer)
        asked = content_stems(words_of(prompt[:READ_CHARACTERS]), without=ASKING_WORDS)
        said = content_stems(words)
        return Terms(
            words=len(words),
            complete=finished_share(answer),
            length=plateau(len(words), (self.words_zero, self.words_low, self.words_high, self.words_far)),
            coverage=min(1.0, len(asked & said) / min(2, len(asked))) if asked else 1.0,
            substance=min(1.0, len(said - asked) / self.new_words),
            plain=1 - min(1.0, max(0.0, (hard_share(answer, asked) - 0.05) / 0.2)),
            repetition=min(1.0, 3 * repeated_share(words)),
            litter=min(1.0, litter_kinds(answer) / 2),
            salad=1 - plateau(function_share(words), (0.05, 0.25, 0.7, 0.95)) if len(words) > 5 else 0.0,
        )

    def utility(self, prompt: str, answer: str) -> float:
        """Return how much this persona likes the answer, in utility units, by the formula at the top."""
        seen = self.terms(prompt, answer)
        return (
            self.complete * seen.complete
            + self.length * seen.length
            + self.topic * seen.coverage * seen.substance
            + self.plain * seen.plain
            - self.repetition * seen.repetition
            - self.litter * seen.litter
            - self.salad * seen.salad
        )


class Judgement(NamedTuple):
    """What a labeler hands in for K answers, in the order shown."""

    ranks: tuple[int | None, ...]
    """[K] dense ranks, 1 is best, equal is a tie; None is unrankable."""
    reasons: tuple[str, ...]
    """[K] why an answer is unrankable (`empty`, `gibberish`), else an empty string."""
    none_acceptable: bool
    """True when no answer is good enough to use."""
    active_seconds: float
    """Seconds that a person with this pace would have spent; nobody waits for them."""
    utilities: tuple[float, ...]
    """[K] how much the labeler liked each answer, noise and all, in utility units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLabeler:
    """Somebody with a persona's taste who judges with noise: Boltzmann choice, so a ranking is a Plackett–Luce draw."""

    name: str
    persona: Persona
    reliability: float = 0.9
    """Share of items judged with attention, in (0, 1]; the others get `careless` times the noise."""
    temperature: float = 0.2
    """Scale of the Gumbel noise in utility units at reliability 1; it grows as 1 / reliability."""
    careless: float = 5.0
    """Factor on the noise of an item judged without attention."""
    tie_width: float = 0.15
    """Noisy utilities closer than this to the best of their group are a tie, in utility units."""
    position_bias: float = 0.0
    """Utility added to the first answer shown, falling linearly to none at the last."""
    seconds_per_item: float = 8.0
    """Seconds for one item before reading."""
    seconds_per_word: float = 0.25
    """Seconds for reading one word."""

    def __post_init__(self) -> None:
        if not 0 < self.reliability <= 1:
            raise ValueError(f"reliability ({self.reliability}) must be above 0 and at most 1")
        if min(self.temperature, self.tie_width) < 0:
            raise ValueError(f"temperature ({self.temperature}) and tie_width ({self.tie_width}) must not be negative")

    def judge(self, *, seed: int, task: str, prompt: str, answers: Sequence[str], repeat: int = 0) -> Judgement:
        """Rank the answers of one task.

        Args:
            seed: of the whole simulation; the same seed, task, repeat and order give the same judgement.
            task: id of the task; only a key of the noise.
            prompt: the text that the labeler sees above the answers.
            answers: [K] texts in the order shown.
            repeat: which time this labeler meets the task; another time has other noise.
        """
        rng = random.Random(f"{seed}|{self.name}|{task}|{repeat}")
        noisy = self._noisy_utilities(rng, prompt, answers)
        reasons = tuple(unrankable_reason(answer) for answer in answers)
        ranked = {i: value for i, value in enumerate(noisy) if not reasons[i]}
        ranks = dense_ranks(ranked, self.tie_width)
        return Judgement(
            ranks=tuple(ranks.get(i) for i in range(len(answers))),
            reasons=reasons,
            none_acceptable=all(value < self.persona.acceptable for value in ranked.values()),
            active_seconds=self._seconds(rng, prompt, answers),
            utilities=tuple(noisy),
        )

    def _noisy_utilities(self, rng: random.Random, prompt: str, answers: Sequence[str]) -> list[float]:
        attentive = rng.random() < self.reliability
        scale = self.temperature / self.reliability * (1.0 if attentive else self.careless)
        last = max(1, len(answers) - 1)
        return [
            self.persona.utility(prompt, answer) + self.position_bias * (1 - i / last) + scale * gumbel(rng)
            for i, answer in enumerate(answers)
        ]

    def _seconds(self, rng: random.Random, prompt: str, answers: Sequence[str]) -> float:
        words = sum(len(words_of(text)) for text in (prompt, *answers))
        return round((self.seconds_per_item + self.seconds_per_word * words) * rng.lognormvariate(0.0, 0.25), 1)


def dense_ranks(utilities: Mapping[int, float], tie_width: float) -> dict[int, int]:
    """Return dense ranks (1 is best); whoever is closer than `tie_width` to the best of the group ties with it."""
    ranks: dict[int, int] = {}
    rank, leader = 0, math.inf
    for key, value in sorted(utilities.items(), key=lambda item: -item[1]):
        if rank == 0 or leader - value >= tie_width:
            rank, leader = rank + 1, value
        ranks[key] = rank
    return ranks


def gumbel(rng: random.Random) -> float:
    """Return a standard Gumbel number: the best of utility + Gumbel is a Boltzmann choice."""
    return -math.log(-math.log(max(rng.random(), 1e-300)))


PERSONAS: Mapping[str, Persona] = {
    persona.name: persona
    for persona in (
        Persona(name="concise"),
        Persona(name="concise-strict", complete=2.8, words_high=40, words_far=65, acceptable=3.9),
        Persona(name="concise-lenient", complete=1.9, litter=0.8, words_high=50, words_far=80, acceptable=3.0),
        Persona(name="concise-topical", topic=1.4, length=1.8),
        Persona(name="concise-tidy", litter=1.4, repetition=2.0, plain=0.8),
    )
}

CREW: tuple[SimulatedLabeler, ...] = (
    SimulatedLabeler(name="sim-1", persona=PERSONAS["concise"], reliability=0.95, position_bias=0.02),
    SimulatedLabeler(name="sim-2", persona=PERSONAS["concise-strict"], reliability=0.9, seconds_per_item=11.0),
    SimulatedLabeler(
        name="sim-3", persona=PERSONAS["concise-lenient"], reliability=0.85, tie_width=0.2, seconds_per_item=6.0
    ),
    SimulatedLabeler(name="sim-4", persona=PERSONAS["concise-topical"], reliability=0.9, position_bias=-0.03),
    SimulatedLabeler(
        name="sim-5", persona=PERSONAS["concise-tidy"], reliability=0.7, position_bias=0.08, seconds_per_word=0.15
    ),
)
