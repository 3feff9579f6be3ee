"""Forms whose fields, defaults and help texts are those of a training config."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from django import forms
from django.utils.translation import gettext_lazy as _

from reward.training.config import RewardConfig
from reward.training.configuration import FieldHelp, fields_help

SEPARATOR = "."

ABBREVIATIONS = {"kl": "KL", "lora": "LoRA"}


class Group(NamedTuple):
    """The settings of one nested config, or of the config itself (no title)."""

    title: str
    help: str
    fields: list[forms.BoundField]


class ConfigForm(forms.Form):
    """One field for each setting of a frozen dataclass; nested configs become groups.

    A tuple is written with commas between its values; an optional setting may stay empty.
    """

    config_class: type[Any]
    leave_out: frozenset[str] = frozenset()
    """Settings that the service fills in itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings: dict[str, FieldHelp] = {}
        self.groups_help: dict[str, str] = {}
        for name, setting in self._settings(self.config_class):
            self.settings[name] = setting
            self.fields[name] = form_field(setting)

    def _settings(self, cls: type[Any], prefix: str = "") -> Iterator[tuple[str, FieldHelp]]:
        for setting in fields_help(cls):
            if prefix + setting.name in self.leave_out:
                continue
            if dataclasses.is_dataclass(setting.type):
                self.groups_help[setting.name] = setting.help
                yield from self._settings(setting.type, f"{setting.name}{SEPARATOR}")  # type: ignore[arg-type]
            else:
                yield prefix + setting.name, setting

    def config(self) -> dict[str, Any]:
        """The settings as JSON values, nested as in the dataclass."""
        found: dict[str, Any] = {}
        for name, setting in self.settings.items():
            group, separator, key = name.rpartition(SEPARATOR)
            place = found.setdefault(group, {}) if separator else found
            place[key] = to_json(setting, self.cleaned_data[name])
        return found

    def asked(self) -> dict[str, Any] | None:
        """What the form asks for: its own fields, and the settings as `config`. None where that is not complete.

        A form that nobody has sent yet asks for what it begins with.
        """
        if self.is_bound:
            own = {field.name: self.cleaned_data[field.name] for field in self.own_fields()} if self.is_valid() else {}
            return {**own, "config": self.config()} if own else None
        own = {field.name: _first(field) for field in self.own_fields()}
        return None if None in own.values() else {**own, "config": {}}

    def own_fields(self) -> list[forms.BoundField]:
        """Fields that are not of the config: what to train on, from what, with which seed."""
        return [field for field in self if field.name not in self.settings]

    def groups(self) -> list[Group]:
        groups = {"": Group("", "", [])}
        for name in self.settings:
            title = name.rpartition(SEPARATOR)[0]
            group = groups.setdefault(title, Group(words(title), self.groups_help.get(title, ""), []))
            group.fields.append(self[name])
        return list(groups.values())


def _first(field: forms.BoundField) -> Any:
    """What a browser sends of a field that nobody touched."""
    choices = getattr(field.field, "queryset", None)
    return field.initial if choices is None else choices.first()


def words(name: str) -> str:
    return ABBREVIATIONS.get(name) or name.replace("_", " ").capitalize()


def form_field(setting: FieldHelp) -> forms.Field:
    kind, is_optional = without_none(setting.type)
    default = None if setting.default is dataclasses.MISSING else setting.default
    given: dict[str, Any] = {"label": words(setting.name), "help_text": setting.help, "initial": default}
    if kind is bool:
        return forms.BooleanField(required=False, **given)
    given["required"] = not is_optional and setting.default is not dataclasses.MISSING and default != ""
    if get_origin(kind) is Literal:
        return forms.ChoiceField(choices=[(option, option) for option in get_args(kind)], **given)
    if kind is int:
        return forms.IntegerField(**given)
    if kind is float:
        return forms.FloatField(widget=forms.NumberInput(attrs={"step": "any"}), **given)
    if get_origin(kind) is tuple:
        given["initial"] = ", ".join(map(str, default or ()))
    return forms.CharField(**given)


def without_none(kind: Any) -> tuple[Any, bool]:
    """`int | None` -> (int, True)."""
    if get_origin(kind) in (Union, types.UnionType):
        others = [option for option in get_args(kind) if option is not type(None)]
        return others[0], len(others) < len(get_args(kind))
    return kind, False


def to_json(setting: FieldHelp, value: Any) -> Any:
    kind, is_optional = without_none(setting.type)
    if value in (None, "") and is_optional:
        return None
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return [
            number(part) if inner in (int, float) else part for part in map(str.strip, str(value).split(",")) if part
        ]
    return value


def number(text: str) -> float | str:
    """A number, or the text itself for the config to refuse by name."""
    try:
        return float(text)
    except ValueError:
        return text


class TrainForm(ConfigForm):
    config_class = RewardConfig

    base_uri = forms.CharField(
        label=_("Start from"),
        max_length=300,
        help_text=_("The language model that learns to score, as `checkpoint:…`."),
    )
    seed = forms.IntegerField(label=_("Seed"), initial=0, min_value=0)


class SetAsideForm(forms.Form):
    reason = forms.CharField(
        label=_("Why"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("For those who find this labeler missing later. Kept with your name."),
    )
