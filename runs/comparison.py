"""Several runs side by side: their signs, what differs in what they were given, and where they stand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runs import queries
from runs.metric_help import MAIN, MetricHelp, in_reading_order, metric_help
from runs.models import Run

SIGNS = "ABCDEFGH"


class Compared(NamedTuple):
    sign: str
    """The run's letter in legend, charts and tables: its colour is not all that tells it apart."""
    run: Run


class Cell(NamedTuple):
    value: Any
    is_given: bool
    """False where this run has no such setting, which is not the same as an empty one."""

    @property
    def shown(self) -> Any:
        return ", ".join(map(str, self.value)) if isinstance(self.value, list) else self.value


class SettingRow(NamedTuple):
    name: str
    """The path in the config, as `lora.rank`; `seed`, `code_version` and `inputs.<name>` beside it."""
    cells: list[Cell]

    @property
    def is_same(self) -> bool:
        """In all runs that have it."""
        return len({json.dumps(cell.value) for cell in self.cells if cell.is_given}) == 1

    @property
    def is_everywhere(self) -> bool:
        return all(cell.is_given for cell in self.cells)


class Settings(NamedTuple):
    differing: list[SettingRow]
    of_some: list[SettingRow]
    """What only some of the runs have, as runs of other kinds do, and have alike."""
    same: list[SettingRow]


class ValueRow(NamedTuple):
    name: str
    help: MetricHelp
    values: list[Any]
    """One a run, None where it has none."""


def side_by_side(runs: Sequence[Run]) -> list[Compared]:
    return [Compared(sign, run) for sign, run in zip(SIGNS, runs, strict=False)]


def settings(runs: Sequence[Run]) -> Settings:
    """All that any of the runs was given."""
    given = [_given(run) for run in runs]
    names = sorted({name for one in given for name in one})
    rows = [SettingRow(name, [Cell(one.get(name), name in one) for one in given]) for name in names]
    alike = [row for row in rows if row.is_same]
    return Settings(
        differing=[row for row in rows if not row.is_same],
        of_some=[row for row in alike if not row.is_everywhere],
        same=[row for row in alike if row.is_everywhere],
    )


def outcomes(runs: Sequence[Run]) -> list[ValueRow]:
    """The figures that the runs ended with."""
    ended: list[dict[str, Any]] = [(run.outcome or {}).get("metrics") or {} for run in runs]
    names = in_reading_order(list({name for one in ended for name in one}))
    return [ValueRow(name, metric_help(name), [one.get(name) for one in ended]) for name in names]


def last_steps(runs: Sequence[Run]) -> list[ValueRow]:
    """The main metrics as each run last told them."""
    last = queries.last_values(runs, MAIN)
    names = in_reading_order(list({name for _run, name in last}))
    return [ValueRow(name, metric_help(name), [last.get((run.pk, name)) for run in runs]) for name in names]


def _given(run: Run) -> dict[str, Any]:
    inputs = {f"inputs.{name}": f"{entry['label']} ({entry['sha256'][:8]})" for name, entry in run.inputs.items()}
    return {**dict(_flat(run.config)), "seed": run.seed, **inputs, "code_version": run.code_version}


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
