"""The kinds of run that other rooms have registered; `runs` itself knows none."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from accounts.errors import Refused
from runs.models import Run

ReadConfig = Callable[[type[Any], Mapping[str, Any]], Any]

DEFAULT_QUEUE = "gpu"


def build_config(cls: type[Any], values: Mapping[str, Any]) -> Any:
    """`cls(**values)`; what does not fit its fields is a ValueError."""
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
    if unknown:
        raise ValueError(f"{cls.__name__} has no setting {', '.join(unknown)}")
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKind:
    """What `runs` must know of a kind to launch it and to hand its result back.

    Args:
        name: as `policy.ppo`; stored on the row and in run.json.
        module: run as `python -m module RUN_DIR`.
        config: the frozen dataclass of the settings, or its dotted path.
        on_outcome: called inside the transaction that marks the run succeeded, with the run's artifacts in place.
        queue: the Celery queue whose workers have the device.
        read_config: builds the dataclass from JSON values, raising ValueError.
    """

    name: str
    title: str | Promise
    module: str
    config: str | type[Any]
    on_outcome: Callable[[Run], None]
    queue: str = DEFAULT_QUEUE
    read_config: ReadConfig = build_config

    @property
    def config_class(self) -> type[Any]:
        cls: type[Any] = import_string(self.config) if isinstance(self.config, str) else self.config
        return cls

    def full_config(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All settings as JSON values, defaults filled in.

        Raises:
            Refused: a setting is unknown, of the wrong type or out of range (`config_invalid`).
        """
        try:
            config = self.read_config(self.config_class, values)
        except ValueError as error:
            raise Refused(
                _("These settings cannot be used: %(why)s.") % {"why": error}, code="config_invalid"
            ) from None
        full: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config), allow_nan=False))
        return full


_kinds: dict[str, RunKind] = {}


def register(kind: RunKind) -> None:
    """Make a kind known; called from `AppConfig.ready()`. A name belongs to one kind."""
    if _kinds.get(kind.name, kind) != kind:
        raise ValueError(f"run kind {kind.name} is registered twice")
    _kinds[kind.name] = kind


def get(name: str) -> RunKind:
    """The kind of that name.

    Raises:
        Refused: nothing of that name is installed (`unknown_kind`).
    """
    try:
        return _kinds[name]
    except KeyError:
        raise Refused(
            _("There is no kind of run named %(name)s in this installation.") % {"name": name}, code="unknown_kind"
        ) from None


def queue_of(name: str) -> str:
    """The queue of a kind; of one that is gone, the one whose worker will say so on the row."""
    return _kinds[name].queue if name in _kinds else DEFAULT_QUEUE


def kind_title(name: str) -> str:
    """What people call a kind; its name for one that is not installed."""
    return str(_kinds[name].title) if name in _kinds else name


def all_kinds() -> list[RunKind]:
    return [_kinds[name] for name in sorted(_kinds)]
