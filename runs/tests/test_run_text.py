from __future__ import annotations

import pytest

from runs.templatetags.run_text import duration, figure, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0123456, "0.01235"),
        (-0.9709, "-0.9709"),
        (3.25849, "3.258"),
        (999.96, "1,000"),
        (3540.4, "3,540"),
        (123456.7, "123,457"),
        (12345678.9, "1.235e+07"),
        (861, "861"),
        (10_000, "10,000"),
        (28.0, "28"),
        (1e-5, "1e-05"),
        (True, "True"),
        ("adaptive", "adaptive"),
    ],
)
def test_figures_are_short_and_keep_their_whole_part(value: object, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(("share", "text"), [(0.7419, "74.2\u00a0%"), (0, "0.0\u00a0%"), (None, "–"), ("", "–")])
def test_shares_are_per_cent(share: float | str | None, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (float("nan"), "–"), (42.4, "42 s"), (185, "3 min 5 s"), (7810, "2 h 10 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float | None, text: str) -> None:
    # Told with spaces at which no line breaks: "3" at its end and "min" in the next would be read twice.
    assert duration(seconds).replace("\u00a0", " ") == text
    assert " " not in duration(seconds)
