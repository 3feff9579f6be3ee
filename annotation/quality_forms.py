"""Forms of the pages on quality: the plan, known orders, and what a labeler reads."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

from django import forms
from django.utils.translation import gettext_lazy as _

from annotation.models import Completion, Gold, TaskRole
from annotation.quality import LIMITS, QualityPlan
from annotation.services.known_orders import EXPLANATION_MAX_CHARACTERS


def _number(name: str, label: Any, help_text: Any, *, required: bool = True) -> forms.IntegerField:
    low, high = LIMITS[name]
    return forms.IntegerField(
        label=label, help_text=help_text, min_value=int(low), max_value=int(high), required=required
    )


def _share(label: Any, help_text: Any) -> forms.FloatField:
    widget = forms.NumberInput(attrs={"step": "0.05"})
    return forms.FloatField(label=label, help_text=help_text, min_value=0, max_value=1, widget=widget)


class QualityPlanForm(forms.Form):
    """`QualityPlan`, field by field."""

    gold_every = _number(
        "gold_every",
        _("One gold task in so many"),
        _("Its order is known, and nobody can tell it from the others. 0: none."),
    )
    gold_min = _share(_("Enough on gold tasks"), _("Share of pairs as in the known order, 0 to 1; less is marked."))
    repeat_every = _number(
        "repeat_every",
        _("One repeat in so many"),
        _("A task they ranked before, its answers in turned order: do they say the same again? 0: none."),
    )
    repeat_after = _number("repeat_after", _("Rankings before a repeat"), _("So many at least lie between the two."))
    qualifies = forms.BooleanField(
        label=_("Training tasks come first"),
        required=False,
        help_text=_("Each is followed by its known order; who scores enough goes on to real tasks."),
    )
    qualification_min = _share(_("Enough to qualify"), _("Mean score over the training tasks, 0 to 1."))
    attempts = _number("attempts", _("Attempts to qualify"), _("Then only you can let somebody try again."))
    max_per_day = _number(
        "max_per_day", _("Rankings a day and person"), _("Days are counted in UTC. Empty: no limit."), required=False
    )
    max_in_all = _number("max_in_all", _("Rankings a person in all"), _("Empty: no limit."), required=False)

    SECTIONS = (
        (_("Gold tasks"), ("gold_every", "gold_min")),
        (_("Repeats"), ("repeat_every", "repeat_after")),
        (_("Qualification"), ("qualifies", "qualification_min", "attempts")),
        (_("Limits"), ("max_per_day", "max_in_all")),
    )

    def sections(self) -> list[tuple[Any, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in self.SECTIONS]

    def plan(self) -> dict[str, Any]:
        return QualityPlan(**self.cleaned_data).as_json()


class WordsField(forms.CharField):
    """Words with commas between them."""

    def clean(self, value: Any) -> list[str]:  # type: ignore[override]
        return [word for part in str(super().clean(value)).split(",") if (word := part.strip())]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class ReadingForm(forms.Form):
    languages = WordsField(
        label=_("Reads"),
        required=False,
        max_length=1000,
        help_text=_("Language tags with commas between them: en, pt-BR, ar. Empty: anything."),
    )
    skills = WordsField(
        label=_("Is good at"),
        required=False,
        max_length=2000,
        help_text=_("Words with commas between them: medicine, law. Tasks that ask for another skill are not offered."),
    )


class KnownAnswer(NamedTuple):
    letter: str
    text: str
    rank: forms.BoundField


class KnownOrderForm(forms.Form):
    """The order of a task's answers, and what it is for; that of one that is there stays."""

    role = forms.ChoiceField(
        label=_("What it is for"),
        choices=[
            (TaskRole.GOLD, _("Gold: checked in silence")),
            (TaskRole.TRAINING, _("Training: the order is shown afterwards")),
        ],
        widget=forms.RadioSelect,
        initial=TaskRole.GOLD,
    )
    explanation = forms.CharField(
        label=_("Why this order"),
        required=False,
        max_length=EXPLANATION_MAX_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("Markdown. Shown after a training task."),
    )

    def __init__(self, *args: Any, completions: Sequence[Completion], known: Gold | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ranks = known.ranks if known else {}
        if known:
            del self.fields["role"]
            self.fields["explanation"].initial = known.explanation
        self.completions = completions
        places = [("", _("Not checked"))] + [(str(n), str(n)) for n in range(1, len(completions) + 1)]
        for letter, completion in zip(ascii_uppercase, completions, strict=False):
            self.fields[f"rank-{completion.public_id}"] = forms.TypedChoiceField(
                label=_("Place of answer %(letter)s") % {"letter": letter},
                choices=places,
                coerce=int,
                empty_value=None,
                required=False,
                initial=ranks.get(str(completion.public_id)),
            )

    def answers(self) -> list[KnownAnswer]:
        return [
            KnownAnswer(letter, completion.text, self[f"rank-{completion.public_id}"])
            for letter, completion in zip(ascii_uppercase, self.completions, strict=False)
        ]

    def ranks(self) -> dict[str, int]:
        given = {str(c.public_id): self.cleaned_data[f"rank-{c.public_id}"] for c in self.completions}
        return {public_id: rank for public_id, rank in given.items() if rank is not None}
