"""A run's settings beside what they mean, read from the config's own docstrings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from django import template

from accounts.errors import Refused
from reward.training.configuration import fields_help
from runs import kinds
from runs.models import Run

register = template.Library()


class Setting(NamedTuple):
    name: str
    value: Any
    is_changed: bool
    help: str
    is_group: bool = False


@register.inclusion_tag("runs/parts/config_table.html")
def config_table(run: Run) -> dict[str, Any]:
    try:
        cls = kinds.get(run.kind).config_class
    except Refused:
        # A kind that this installation no longer has: the values still tell.
        return {"settings": [Setting(name, value, False, "") for name, value in run.config.items()]}
    return {"settings": list(_settings(cls, run.config))}


def _settings(cls: type[Any], values: dict[str, Any]) -> Iterator[Setting]:
    nested = []
    for setting in fields_help(cls):
        value = values.get(setting.name)
        if dataclasses.is_dataclass(setting.type):
            nested.append((setting, value))
            continue
        default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
        yield Setting(setting.name, _shown(value), value != default, setting.help)
    for setting, value in nested:
        yield Setting(setting.name, None, False, setting.help, is_group=True)
        yield from _settings(setting.type, value or {})  # type: ignore[arg-type]


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
