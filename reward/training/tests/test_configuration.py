"""Settings as forms, JSON and training see them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from reward.training.config import ObjectiveConfig, RewardConfig
from reward.training.configuration import fields_help, from_dict, to_dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int = 1
    """Number of things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    rate: float
    """Rate of change,
    per second."""

    kind: Literal["a", "b"] = "a"
    count: int | None = None
    """How many; empty means all."""

    pair: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()
    """Names."""
    on: bool = False
    inner: Inner = dataclasses.field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate ({self.rate}) must be above 0")


def test_help_texts_are_the_literals_under_the_fields() -> None:
    found = {field.name: field for field in fields_help(Example)}

    assert list(found) == ["rate", "kind", "count", "pair", "names", "on", "inner"]
    assert found["rate"].help == "Rate of change,\nper second."
    assert found["rate"].default is dataclasses.MISSING
    assert found["kind"].help == ""
    assert found["count"] == ("count", int | None, None, "How many; empty means all.")
    assert found["inner"].default == Inner()


def test_what_is_written_is_read_back_equal() -> None:
    example = Example(rate=0.5, kind="b", count=3, pair=(2.0, 3.5), names=("x", "y"), on=True, inner=Inner(size=4))

    assert from_dict(Example, json.loads(json.dumps(to_dict(example)))) == example
    assert from_dict(Example, {"rate": 2}).rate == 2.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "Example needs rate"),
        ({"rate": 1, "rates": 1}, "no setting rates; it has rate, kind"),
        ({"rate": True}, "rate must be float, not True"),
        ({"rate": "1"}, "rate must be float, not '1'"),
        ({"rate": -1}, r"rate \(-1.0\) must be above 0"),
        ({"rate": 1, "kind": "c"}, "kind must be one of a, b, not 'c'"),
        ({"rate": 1, "count": 1.5}, "count must be int or NoneType, not 1.5"),
        ({"rate": 1, "count": 2**63}, "count must be at most 9223372036854775807"),
        ({"rate": 10**400}, "rate must be at most"),
        ({"rate": 1, "pair": [1, -(10**400)]}, r"pair\[1\] must be at most .* at least -9223372036854775807"),
        ({"rate": 1, "pair": [1]}, "pair must hold 2 values, not 1"),
        ({"rate": 1, "names": ["x", 1]}, r"names\[1\] must be str, not 1"),
        ({"rate": 1, "on": 1}, "on must be bool, not 1"),
        ({"rate": 1, "inner": {"sizes": 1}}, "Inner has no setting sizes"),
        ([], r"Example must be an object, not \[\]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(Example, data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, r"epochs \(0\) must be at least 1"),
        ({"learning_rate": float("nan")}, r"learning_rate \(nan\) must be above 0"),
        ({"warmup_fraction": 1.0}, r"warmup_fraction \(1.0\)"),
        ({"heads": 0}, r"heads \(0\) must be at least 1"),
        ({"objective": {"margins": [0, -1, 0, 0]}}, r"margins\[1\] \(-1.0\) must be at least 0"),
        ({"objective": {"certainties": [0.4, 1, 1, 1]}}, r"certainties\[0\] \(0.4\) must be at least 0.5"),
        ({"objective": {"certainties": [1, 1, 1, 1.1]}}, r"certainties\[3\] \(1.1\) must be at most 1"),
        ({"objective": {"likelihood": "plackett-luce", "margins": [0, 0, 0, 1]}}, "ranks without strengths"),
        ({"train_layers": -1}, r"train_layers \(-1\) must be at least 0"),
    ],
)
def test_reward_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(RewardConfig, change)


def test_every_reward_setting_is_explained() -> None:
    settings = [*fields_help(RewardConfig), *fields_help(ObjectiveConfig)]
    assert [field.name for field in settings if not field.help] == []


def test_reading_settings_loads_no_torch() -> None:
    program = (
        "import sys, reward.training.config as c, reward.training.configuration as r; r.fields_help(c.RewardConfig);"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
