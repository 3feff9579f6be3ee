"""The run page's words on metrics are the short form of docs/metrics.md: same names, units and healthy ranges."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from runs.metric_help import FIRST
from runs.metric_texts import HELP
from runs.metric_texts.ppo import PPO
from runs.metric_texts.reward import REWARD_MODEL
from runs.metric_texts.tuning import TUNING

DOCUMENT = Path(__file__).parents[1] / "docs" / "metrics.md"


class Documented(NamedTuple):
    unit: str
    healthy: str


def documented() -> dict[str, Documented]:
    """Where a name stands in two tables, the first one's."""
    found: dict[str, Documented] = {}
    for line in DOCUMENT.read_text().splitlines():
        if not line.startswith("| `"):
            continue
        names, _formula, unit, healthy = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|")))
        for name in re.findall(r"`(\w+)`", names):
            found.setdefault(name, Documented(*(re.sub(r"^(–|count)$|`", "", cell) for cell in (unit, healthy))))
    return found


def test_every_documented_metric_is_explained_on_the_page_and_back() -> None:
    assert set(HELP) == set(documented())


def test_the_page_says_the_documents_unit_and_healthy_range() -> None:
    assert {name: Documented(str(text.unit), str(text.healthy)) for name, text in HELP.items()} == documented()


def test_the_reading_order_names_only_known_metrics() -> None:
    assert set(FIRST) <= set(HELP)


def test_no_metric_is_explained_twice() -> None:
    assert len(HELP) == len(PPO) + len(TUNING) + len(REWARD_MODEL)


def test_no_two_metrics_share_a_title() -> None:
    titles = [str(text.title) for text in HELP.values()]

    assert sorted(titles) == sorted(set(titles))
