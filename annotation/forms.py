from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotation.models import Campaign, GuidelineVersion, MemberRole
from annotation.protocols import ANSWER_FLAGS, PRESETS, PROMPT_FLAGS, Questions

QUESTIONS = tuple(field.name for field in fields(Questions))


ASKED = (("no", _("Not asked")), ("optional", _("May be given")), ("required", _("Must be given")))


class CampaignForm(forms.ModelForm):  # type: ignore[type-arg]
    """A campaign's settings; `settings` gives them as the services take them."""

    rating = forms.ChoiceField(label=_("A rating of each answer, 1 to 7"), choices=ASKED)
    rationale = forms.ChoiceField(label=_("A reason, in words"), choices=ASKED)
    rewrite = forms.ChoiceField(
        label=_("A better version of an answer"),
        choices=ASKED,
        help_text=_("What labelers write is kept as a demonstration; supervised fine-tuning learns from it."),
    )
    answer_flags = forms.MultipleChoiceField(
        label=_("Flags of an answer"), choices=ANSWER_FLAGS, required=False, widget=forms.CheckboxSelectMultiple
    )
    prompt_flags = forms.MultipleChoiceField(
        label=_("Flags of a prompt"), choices=PROMPT_FLAGS, required=False, widget=forms.CheckboxSelectMultiple
    )
    guidelines = forms.CharField(
        label=_("Guidelines"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 10}),
        help_text=_("What labelers read beside every prompt. Markdown. Each change becomes a new version."),
    )

    class Meta:
        model = Campaign
        fields = [
            "name",
            "protocol",
            "completions_per_task",
            "overlap",
            "overlap_max",
            "lease_seconds",
            "undo_minutes",
        ]
        help_texts = {
            "protocol": _("In what form labelers put answers in order. It stays once there are rankings."),
            "overlap": _("How many different people rank each task, 1 to 50."),
            "overlap_max": _("Ask one more, up to so many, while one more can change an order. Empty: never."),
            "completions_per_task": _("How many answers stand side by side, 2 to 9."),
            "lease_seconds": _("How long an opened task is held without a sign of life, 30 seconds to a day."),
            "undo_minutes": _("How long a labeler may change or take back what they handed in; 0: not at all."),
        }
        widgets = {
            "overlap": forms.NumberInput(attrs={"min": 1, "max": 50}),
            "overlap_max": forms.NumberInput(attrs={"min": 1, "max": 50}),
            "completions_per_task": forms.NumberInput(attrs={"min": 2, "max": 9}),
            "lease_seconds": forms.NumberInput(attrs={"min": 30, "max": 86_400}),
            "undo_minutes": forms.NumberInput(attrs={"min": 0, "max": 1440}),
        }

    def __init__(self, data: QueryDict | None = None, *, initial: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, initial=Questions().as_json() | dict(initial or {}))

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The fields under their headings."""
        asked = ["protocol", "completions_per_task", *QUESTIONS]
        queue = ["overlap", "overlap_max", "lease_seconds", "undo_minutes"]
        rest = [name for name in self.fields if name not in (*asked, *queue)]
        parts = ((gettext("The campaign"), rest), (gettext("What is asked"), asked), (gettext("The queue"), queue))
        return [(title, [self[name] for name in names]) for title, names in parts]

    def settings(self) -> dict[str, Any]:
        """Keyword arguments of `create_campaign` and `update_campaign`."""
        given = dict(self.cleaned_data)
        questions = {name: given.pop(name) for name in QUESTIONS}
        return {**given, "questions": questions}


class CampaignEditForm(CampaignForm):
    guidelines = None  # type: ignore[assignment]  # they have versions and a page of their own

    @classmethod
    def of(cls, campaign: Campaign, data: QueryDict | None) -> Self:
        stored = {name: getattr(campaign, name) for name in cls.Meta.fields}
        return cls(data, initial=stored | Questions.read(campaign.questions).as_json())


def preset_initial(name: str) -> dict[str, Any]:
    """A preset's settings as initial values; of one that does not exist nothing."""
    preset = PRESETS.get(name)
    if preset is None:
        return {}
    known = {"protocol": preset.protocol, "completions_per_task": preset.completions_per_task}
    return known | preset.questions.as_json()


class GuidelineForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = GuidelineVersion
        fields = ["text", "asks_again"]
        widgets = {"text": forms.Textarea(attrs={"rows": 18})}
        help_texts = {
            "text": _("Markdown. Rankings made from now on name the new version; earlier ones keep theirs."),
            "asks_again": _("Everybody does the training tasks once more before the next real one."),
        }


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
