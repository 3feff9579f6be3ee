"""The form in which a labeler says what they think of one task; its fields follow the campaign's protocol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.models import PlacedAnswer, Protocol
from annotation.protocols import ANSWER_FLAGS, PAIRWISE, PROMPT_FLAGS, STRENGTHS, Choice, Questions
from annotation.submission import MAX_RATING, NO_QUESTIONS, Submission, SubmittedItem, as_json

UNRANKABLE = "unrankable"
UNRANKABLE_REASONS = (
    ("cannot_judge", _("I cannot judge it")),
    ("empty", _("Empty or broken")),
    ("gibberish", _("Gibberish")),
    ("other_language", _("In a language I do not read")),
    ("unsafe", _("I do not want to read it")),
)


class Answer(NamedTuple):
    """One answer as the page shows it; a field that this campaign does not ask for is None."""

    letter: str
    id: str
    text: str
    rank: forms.BoundField | None
    reason: forms.BoundField | None
    rating: forms.BoundField | None
    flags: forms.BoundField | None
    rewrite: forms.BoundField | None
    seen: forms.BoundField
    is_missing: bool
    """Sent without a place."""


class RankingForm(forms.Form):
    """One lease's answers; whether what is said is complete is the service's to say.

    Fields: `rank-<id>` and `reason-<id>`, or `best` (an answer's id), or `preference` ("<position>-<strength>", the
    position that of the better answer as shown, from 0) by protocol; `rating-<id>`, `flags-<id>`, `rewrite-<id>`,
    `prompt_flags` where asked.
    """

    none_acceptable = forms.BooleanField(label=_("None of them is acceptable"), required=False)
    active_seconds = forms.FloatField(required=False, min_value=0, widget=forms.HiddenInput)

    def __init__(
        self,
        *args: Any,
        completions: Sequence[PlacedAnswer],
        protocol: str = Protocol.RANKING,
        questions: Questions = NO_QUESTIONS,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.completions, self.protocol, self.questions = completions, protocol, questions
        self._add_order_fields()
        for completion in completions:
            self._add_answer_fields(str(completion.public_id))
        if questions.prompt_flags:
            self.fields["prompt_flags"] = _flags_field(PROMPT_FLAGS, questions.prompt_flags)
        if questions.rationale != "no":
            label = _("Why?") if questions.rationale == "required" else _("Why? (optional)")
            self.fields["rationale"] = forms.CharField(
                label=label, required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 3})
            )

    def _add_order_fields(self) -> None:
        keys = [str(completion.public_id) for completion in self.completions]
        if self.protocol == Protocol.BEST:
            choices = [(key, letter) for key, letter in zip(keys, ascii_uppercase, strict=False)]
            self.fields["best"] = forms.ChoiceField(choices=choices, required=False, widget=forms.RadioSelect)
        elif self.protocol in PAIRWISE:
            degrees = [(0, value, label) for value, label in STRENGTHS]
            degrees += [(1, value, label) for value, label in reversed(STRENGTHS)]
            choices = [(f"{position}-{value}", str(label)) for position, value, label in degrees]
            self.fields["preference"] = forms.ChoiceField(choices=choices, required=False, widget=forms.RadioSelect)
        else:
            places = [(str(n), str(n)) for n in range(1, len(keys) + 1)] + [(UNRANKABLE, _("Cannot be ranked"))]
            for key in keys:
                self.fields[f"rank-{key}"] = forms.ChoiceField(choices=places, required=False, widget=forms.RadioSelect)
                self.fields[f"reason-{key}"] = forms.ChoiceField(choices=UNRANKABLE_REASONS, required=False)

    def _add_answer_fields(self, key: str) -> None:
        self.fields[f"seen-{key}"] = forms.FloatField(required=False, min_value=0, widget=forms.HiddenInput)
        if self.questions.rating != "no":
            ratings = [(str(n), str(n)) for n in range(1, MAX_RATING + 1)]
            self.fields[f"rating-{key}"] = forms.ChoiceField(choices=ratings, required=False, widget=forms.RadioSelect)
        if self.questions.answer_flags:
            self.fields[f"flags-{key}"] = _flags_field(ANSWER_FLAGS, self.questions.answer_flags)
        if self.questions.rewrite != "no":
            self.fields[f"rewrite-{key}"] = forms.CharField(required=False, strip=False)

    def answers(self) -> list[Answer]:
        return [
            self._answer(letter, completion)
            for letter, completion in zip(ascii_uppercase, self.completions, strict=False)
        ]

    def _answer(self, letter: str, completion: PlacedAnswer) -> Answer:
        key = str(completion.public_id)

        def field(name: str) -> forms.BoundField | None:
            return self[f"{name}-{key}"] if f"{name}-{key}" in self.fields else None

        rank = field("rank")
        return Answer(
            letter=letter,
            id=key,
            text=completion.text,
            rank=rank,
            reason=field("reason"),
            rating=field("rating"),
            flags=field("flags"),
            rewrite=field("rewrite"),
            seen=self[f"seen-{key}"],
            is_missing=self.is_bound and rank is not None and not self.data.get(f"rank-{key}"),
        )

    def submission(self) -> Submission:
        """What is said, without the answers that have no place yet."""
        ranks, strength = self._order(self.cleaned_data)
        placed = [completion for completion in self.completions if ranks[str(completion.public_id)]]
        return self._said(self.cleaned_data, placed, ranks, strength)

    def draft(self) -> dict[str, Any]:
        """What stands in the form, finished or not, as the services keep a draft: an answer without a place has no
        "rank"."""
        self.full_clean()
        ranks, strength = self._order(self.cleaned_data)
        kept = as_json(self._said(self.cleaned_data, self.completions, ranks, strength))
        for item in kept["items"]:
            if not ranks[item["completion"]]:
                del item["rank"]
        return kept

    def _said(
        self, data: dict[str, Any], completions: Sequence[PlacedAnswer], ranks: dict[str, str], strength: int | None
    ) -> Submission:
        """Data of fields that are faulty or not asked for may be missing."""
        return Submission(
            items=[self._item(completion.public_id, ranks, data) for completion in completions],
            none_acceptable=data.get("none_acceptable", False),
            active_seconds=data.get("active_seconds"),
            strength=strength,
            rationale=data.get("rationale", ""),
            prompt_flags=data.get("prompt_flags", []),
        )

    def _order(self, data: dict[str, Any]) -> tuple[dict[str, str], int | None]:
        """Each answer's place as a rank field would hold it, and the strength of a choice between two."""
        keys = [str(completion.public_id) for completion in self.completions]
        if self.protocol == Protocol.BEST:
            best = data.get("best")
            ranks = {key: "1" if key == best else "2" for key in keys} if best else {}
            return ranks or self._none_placed(data), None
        if self.protocol in PAIRWISE:
            if not data.get("preference"):
                return self._none_placed(data), None
            position, strength = map(int, data["preference"].split("-"))
            return {key: "1" if index == position else "2" for index, key in enumerate(keys)}, strength
        return {key: data.get(f"rank-{key}", "") for key in keys}, None

    def _none_placed(self, data: dict[str, Any]) -> dict[str, str]:
        """No answer was chosen: said outright, all are without a place; else nothing is said of them yet."""
        none = UNRANKABLE if data.get("none_acceptable") else ""
        return {str(completion.public_id): none for completion in self.completions}

    def _item(self, public_id: UUID, ranks: dict[str, str], data: dict[str, Any]) -> SubmittedItem:
        key = str(public_id)
        place, rating = ranks[key], data.get(f"rating-{key}")
        cannot = place == UNRANKABLE
        return SubmittedItem(
            completion_id=public_id,
            rank=int(place) if place and not cannot else None,
            unrankable_reason=(data.get(f"reason-{key}") or UNRANKABLE_REASONS[0][0]) if cannot else "",
            rating=int(rating) if rating else None,
            flags=data.get(f"flags-{key}", []),
            rewrite=data.get(f"rewrite-{key}", ""),
            seen_seconds=data.get(f"seen-{key}"),
        )


def _flags_field(known: Iterable[Choice], asked: Sequence[str]) -> forms.MultipleChoiceField:
    choices = [(name, label) for name, label in known if name in asked]
    return forms.MultipleChoiceField(choices=choices, required=False, widget=forms.CheckboxSelectMultiple)


def initial_from(draft: dict[str, Any] | None, *, protocol: str, shown: Sequence[str]) -> dict[str, Any]:
    """A kept draft as the initial values of a `RankingForm`; one of another shape is ignored."""
    if not draft or not isinstance(draft.get("items"), list):
        return {}
    initial = {name: draft.get(name) for name in ("none_acceptable", "active_seconds", "rationale", "prompt_flags")}
    best = ""
    for item in draft["items"]:
        if not isinstance(item, dict) or "completion" not in item:
            continue
        key = item["completion"]
        for field, name in (("rating", "rating"), ("flags", "flags"), ("rewrite", "rewrite"), ("seen", "seen_seconds")):
            initial[f"{field}-{key}"] = item.get(name)
        if "rank" in item:
            initial[f"rank-{key}"] = str(item["rank"] or UNRANKABLE)
            initial[f"reason-{key}"] = item.get("unrankable_reason", "")
            best = key if item["rank"] == 1 else best
    if best in shown:
        initial["best"] = best
        if protocol in PAIRWISE and draft.get("strength"):
            initial["preference"] = f"{list(shown).index(best)}-{draft['strength']}"
    return initial
