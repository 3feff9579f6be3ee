"""Templates are read as code is: short lines, short files, one thing in each."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
MAX_COLUMNS = 120
MAX_LINES = 120
PREFORMATTED = re.compile(r" *<pre\b[^<>]*>[^<>]*</pre>")
"""The one line that may be longer: a <pre> alone on it, because a break inside would be seen on the page."""


def templates() -> dict[str, list[str]]:
    """Every template's lines, under its name."""
    root = PROJECT / "templates"
    return {str(path.relative_to(root)): path.read_text("utf-8").splitlines() for path in root.rglob("*.html")}


def test_no_line_is_too_long_to_read() -> None:
    found = templates()
    assert len(found) > 60

    too_long = [
        f"{name}:{number} has {len(line)} columns"
        for name, lines in found.items()
        for number, line in enumerate(lines, start=1)
        if len(line) > MAX_COLUMNS and not PREFORMATTED.fullmatch(line)
    ]

    assert too_long == []


def test_no_template_is_too_long_to_take_in() -> None:
    too_long = [f"{name} has {len(lines)} lines" for name, lines in templates().items() if len(lines) > MAX_LINES]

    assert too_long == []


def test_times_are_shown_by_one_filter() -> None:
    raw = re.compile(r"\|(date|time|timesince|naturaltime|naturalday)\b")
    found = [
        f"{name}:{number}"
        for name, lines in templates().items()
        for number, line in enumerate(lines, 1)
        if raw.search(line)
    ]

    assert found == [], "use accounts.templatetags.moments: the reader's clock is known in the browser only"
