"""How a campaign asks: by what protocol answers are ordered, and what else is asked; pure, no database.

Sources: InstructGPT (Ouyang et al. 2022, appendix B) for flags, ratings and rankings of 4 to 9 answers; Llama 2
(Touvron et al. 2023, section 3.1) for a forced choice in four degrees; HH-RLHF (Bai et al. 2022, section 2.2) for the
scale of eight points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple, Self

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.errors import Refused


class Protocol(models.TextChoices):
    RANKING = "ranking", gettext_lazy("Ranking with ties")
    STRICT = "strict", gettext_lazy("Strict ranking")
    STRENGTH = "strength", gettext_lazy("Choice of two, in four degrees")
    SCALE = "scale", gettext_lazy("Scale of eight points between two")
    BEST = "best", gettext_lazy("Best of all")


PAIRWISE = frozenset({Protocol.STRENGTH, Protocol.SCALE})
"""Protocols for tasks of exactly two answers. Both force a choice and store its strength, 1 to 4."""

Choice = tuple[str, Promise]

ANSWER_FLAGS: tuple[Choice, ...] = (
    ("fails_instruction", gettext_lazy("Fails to follow the instruction")),
    ("inappropriate", gettext_lazy("Inappropriate for a customer assistant")),
    ("hallucination", gettext_lazy("Makes things up")),
    ("satisfies_constraint", gettext_lazy("Keeps to a constraint that was given")),
    ("sexual", gettext_lazy("Sexual content")),
    ("violent", gettext_lazy("Violent content")),
    ("encourages_harm", gettext_lazy("Encourages violence, abuse, crime or self-harm")),
    ("denigrates", gettext_lazy("Denigrates a group of people")),
    ("harmful_advice", gettext_lazy("Gives harmful advice")),
    ("opinion", gettext_lazy("Expresses an opinion")),
    ("moral_judgment", gettext_lazy("Expresses a moral judgment")),
)
PROMPT_FLAGS: tuple[Choice, ...] = (
    ("unclear", gettext_lazy("Unclear")),
    ("personal_data", gettext_lazy("Contains personal data")),
    ("asks_sexual", gettext_lazy("Asks for sexual content")),
    ("asks_violent", gettext_lazy("Asks for violent content")),
    ("asks_harm", gettext_lazy("Asks for help to do harm")),
    ("asks_opinion", gettext_lazy("Asks for an opinion")),
    ("asks_current", gettext_lazy("Asks for something that changes with time")),
    ("asks_expert", gettext_lazy("Needs an expert")),
)
SAFETY_FLAGS = ("sexual", "violent", "encourages_harm", "denigrates", "harmful_advice")

STRENGTHS: tuple[tuple[int, Promise], ...] = (
    (4, gettext_lazy("Significantly better")),
    (3, gettext_lazy("Better")),
    (2, gettext_lazy("Slightly better")),
    (1, gettext_lazy("Negligibly better, or unsure")),
)

Asked = Literal["no", "optional", "required"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What is asked beside the order of the answers. `Campaign.questions` holds it as JSON."""

    rating: Asked = "no"
    """A rating of each answer from 1 to 7."""
    answer_flags: tuple[str, ...] = ()
    """Of `ANSWER_FLAGS`, to be ticked where they hold."""
    prompt_flags: tuple[str, ...] = ()
    """Of `PROMPT_FLAGS`."""
    rationale: Asked = "optional"
    """Why, in words."""
    rewrite: Asked = "no"
    """A better version of an answer; it is kept as a demonstration."""

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> Self:
        """The questions as stored; what is left out has its default.

        Raises:
            Refused: questions_invalid.
        """
        stored = stored or {}
        for name in sorted(set(stored) - {field.name for field in fields(cls)}):
            raise Refused(_("There is no question “%(name)s”.") % {"name": name}, code="questions_invalid")
        for name in ("rating", "rationale", "rewrite"):
            if stored.get(name, "no") not in ("no", "optional", "required"):
                raise Refused(
                    _("“%(name)s” is asked no, optional or required.") % {"name": name}, code="questions_invalid"
                )
        given = dict(stored)
        for name, known in (("answer_flags", ANSWER_FLAGS), ("prompt_flags", PROMPT_FLAGS)):
            given[name] = _flags(stored.get(name, ()), known)
        return cls(**given)

    def as_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _flags(chosen: Any, known: tuple[Choice, ...]) -> tuple[str, ...]:
    names = [name for name, _label in known]
    if not isinstance(chosen, list | tuple) or any(flag not in names for flag in chosen):
        raise Refused(_("Flags are a list of %(names)s.") % {"names": ", ".join(names)}, code="questions_invalid")
    return tuple(name for name in names if name in chosen)


class Preset(NamedTuple):
    """A way of asking that a paper describes, as a campaign's settings."""

    label: Promise
    description: Promise
    protocol: Protocol
    completions_per_task: int
    questions: Questions


PRESETS: dict[str, Preset] = {
    "simple": Preset(
        gettext_lazy("Simple"),
        gettext_lazy("Rank four answers, ties allowed, and say why if you like."),
        Protocol.RANKING,
        4,
        Questions(),
    ),
    "instructgpt": Preset(
        gettext_lazy("InstructGPT"),
        gettext_lazy("Flag the prompt, rate and flag each of four to nine answers, then rank them with ties."),
        Protocol.RANKING,
        4,
        Questions(
            rating="required",
            answer_flags=tuple(name for name, _label in ANSWER_FLAGS),
            prompt_flags=tuple(name for name, _label in PROMPT_FLAGS),
        ),
    ),
    "llama2": Preset(
        gettext_lazy("Llama 2"),
        gettext_lazy("Choose one of two answers and say how much better it is, in four degrees; flag what is unsafe."),
        Protocol.STRENGTH,
        2,
        Questions(answer_flags=SAFETY_FLAGS, rationale="no"),
    ),
    "hh": Preset(
        gettext_lazy("HH"),
        gettext_lazy("Place a preference between two answers on a scale of eight points."),
        Protocol.SCALE,
        2,
        Questions(rationale="no"),
    ),
}
