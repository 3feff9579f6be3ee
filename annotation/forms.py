from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple
from uuid import UUID

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from annotation.models import Campaign, Completion, GuidelineVersion, MemberRole, SkipReason
from annotation.submission import Submission, SubmittedItem, as_json

UNRANKABLE = "unrankable"
UNRANKABLE_REASONS = (
    ("cannot_judge", _("I cannot judge it")),
    ("empty", _("Empty or broken")),
    ("gibberish", _("Gibberish")),
    ("other_language", _("In a language I do not read")),
    ("unsafe", _("I do not want to read it")),
)
SKIP_REASONS = SkipReason.choices


class CampaignForm(forms.ModelForm):  # type: ignore[type-arg]
    guidelines = forms.CharField(
        label=_("Guidelines"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 10}),
        help_text=_("What labelers read beside every prompt. Markdown. Each change becomes a new version."),
    )

    class Meta:
        model = Campaign
        fields = ["name", "overlap", "completions_per_task", "lease_seconds"]
        help_texts = {
            "overlap": _("How many different people rank each task, 1 to 50."),
            "completions_per_task": _("How many answers stand side by side, 2 to 9."),
            "lease_seconds": _("How long an opened task is held without a sign of life, 30 seconds to a day."),
        }
        widgets = {
            "overlap": forms.NumberInput(attrs={"min": 1, "max": 50}),
            "completions_per_task": forms.NumberInput(attrs={"min": 2, "max": 9}),
            "lease_seconds": forms.NumberInput(attrs={"min": 30, "max": 86_400}),
        }


class CampaignEditForm(CampaignForm):
    guidelines = None  # type: ignore[assignment]  # they have versions and a page of their own


class GuidelineForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = GuidelineVersion
        fields = ["text"]
        widgets = {"text": forms.Textarea(attrs={"rows": 18})}
        help_texts = {"text": _("Markdown. Rankings made from now on name the new version; earlier ones keep theirs.")}


class MemberForm(forms.Form):
    username = forms.CharField(label=_("Username"), max_length=150, help_text=_("Of somebody who has a login already."))
    role = forms.ChoiceField(label=_("Seat"), choices=MemberRole.choices)


class ImportForm(forms.Form):
    file = forms.FileField(
        label=_("JSONL file"),
        required=False,
        allow_empty_file=True,
        help_text=_("One JSON object a line, UTF-8. All lines are taken, or none."),
        widget=forms.FileInput(attrs={"accept": ".jsonl,.ndjson,.json,.txt"}),
    )
    text = forms.CharField(
        label=_("Or paste the lines"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false", "class": "code"}),
    )

    def clean_file(self) -> UploadedFile | None:
        upload: UploadedFile | None = self.cleaned_data["file"]
        if upload is not None and (upload.size or 0) > settings.IMPORT_MAX_BYTES:
            raise ValidationError(
                _("The file has %(size)d bytes and at most %(limit)d are taken; cut it in parts."),
                code="import_too_large",
                params={"size": upload.size, "limit": settings.IMPORT_MAX_BYTES},
            )
        return upload

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors and data.get("file") is None and not data.get("text", "").strip():
            raise ValidationError(
                _("Choose a file or paste lines; there is nothing to import yet."), code="import_empty"
            )
        return data

    def data_bytes(self) -> bytes:
        """What was sent, a file before pasted text; lone surrogates stay what they are, for the import to name them."""
        upload = self.cleaned_data["file"]
        if upload is not None:
            return bytes(upload.read())
        return str(self.cleaned_data["text"]).encode("utf-8", "surrogatepass")


class Answer(NamedTuple):
    """One answer as the ranking page shows it."""

    letter: str
    id: str
    text: str
    rank: forms.BoundField
    reason: forms.BoundField
    is_missing: bool


class RankingForm(forms.Form):
    """One lease's answers, each with a rank; whether the whole is complete is the service's to say."""

    none_acceptable = forms.BooleanField(label=_("None of them is acceptable"), required=False)
    rationale = forms.CharField(
        label=_("Why? (optional)"), required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 3})
    )
    active_seconds = forms.FloatField(required=False, min_value=0, widget=forms.HiddenInput)

    def __init__(self, *args: Any, completions: Sequence[Completion], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.completions = completions
        ranks = [(str(n), str(n)) for n in range(1, len(completions) + 1)] + [(UNRANKABLE, _("Cannot be ranked"))]
        for completion in completions:
            key = completion.public_id
            self.fields[f"rank-{key}"] = forms.ChoiceField(choices=ranks, required=False, widget=forms.RadioSelect)
            self.fields[f"reason-{key}"] = forms.ChoiceField(choices=UNRANKABLE_REASONS, required=False)

    def answers(self) -> list[Answer]:
        return [
            Answer(
                letter=letter,
                id=str(completion.public_id),
                text=completion.text,
                rank=self[f"rank-{completion.public_id}"],
                reason=self[f"reason-{completion.public_id}"],
                is_missing=self.is_bound and not self.data.get(f"rank-{completion.public_id}"),
            )
            for letter, completion in zip(ascii_uppercase, self.completions, strict=False)
        ]

    def submission(self) -> Submission:
        data = self.cleaned_data
        return Submission(
            items=[item for c in self.completions if (item := self._item(c.public_id)) is not None],
            none_acceptable=data["none_acceptable"],
            active_seconds=data["active_seconds"],
            rationale=data["rationale"],
        )

    def _item(self, key: UUID) -> SubmittedItem | None:
        rank = self.cleaned_data[f"rank-{key}"]
        if rank == UNRANKABLE:
            reason = self.cleaned_data[f"reason-{key}"] or UNRANKABLE_REASONS[0][0]
            return SubmittedItem(completion_id=key, rank=None, unrankable_reason=reason)
        return SubmittedItem(completion_id=key, rank=int(rank)) if rank else None

    def draft(self) -> dict[str, Any]:
        """What stands in the form, finished or not, in the shape in which the services keep a draft."""
        self.full_clean()
        defaults = {"none_acceptable": False, "active_seconds": None, "rationale": ""}
        placed = {f"rank-{c.public_id}": "" for c in self.completions} | {
            f"reason-{c.public_id}": "" for c in self.completions
        }
        self.cleaned_data = defaults | placed | self.cleaned_data
        return as_json(self.submission())


def initial_from(draft: dict[str, Any] | None) -> dict[str, Any]:
    """A kept draft as the initial values of a `RankingForm`; one of another shape is ignored."""
    if not draft or not isinstance(draft.get("items"), list):
        return {}
    initial = {name: draft.get(name) for name in ("none_acceptable", "active_seconds", "rationale")}
    for item in draft["items"]:
        if isinstance(item, dict) and "completion" in item:
            initial[f"rank-{item['completion']}"] = str(item.get("rank") or UNRANKABLE)
            initial[f"reason-{item['completion']}"] = item.get("unrankable_reason", "")
    return initial
