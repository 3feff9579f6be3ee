"""Public preference sets as a reward model's groups, by the product's own reading: import lines, then groups.jsonl.

No database: a line's answers get their places here as the importer gives them (an answer is known by its prompt, source
and text), so the groups are those that a campaign's snapshot has, up to the order of answers.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
DATA = ROOT.parent / "shared" / "data"
FOLDERS = {
    "oasst": "oasst_trees100",
    "finegrained_qa_pref": "finegrained_qa_pref",
    "pandalm": "pandalm_testset",
    "hh_rlhf": "hh_rlhf_harmless_test",
    "ukp_convarg1": "ukp_convarg1",
}
"""Smallest first."""


GOLD = "gold"
"""The labeler of preferences that a set's authors drew from its labelers' words; judged by, never trained on."""


@dataclasses.dataclass(slots=True)
class Item:
    """What `ranking_pairs` reads; completion_id is the answer's place in its group."""

    completion_id: int
    rank: int | None


def use_django() -> None:
    """The readers of import lines know their limits from the settings; no database is opened."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
    django.setup()


def read_set(name: str, folder: Path, *, validation: float, seed: int, limit: int | None) -> list[dict[str, Any]]:
    """The import rows of a set with their split; `limit` keeps so many clusters."""
    from annotation.public_sets import READERS, with_splits

    lines = READERS[name](folder).lines
    if name == "ukp_convarg1":
        lines = [_with_gold(line, _strict(folder)) for line in lines]
    if limit is not None:
        kept = set(sorted({line.cluster for line in lines})[:limit])
        lines = [line for line in lines if line.cluster in kept]
    return with_splits(lines, validation=validation, seed=seed)


@functools.cache
def _strict(folder: Path) -> dict[tuple[str, str], int]:
    from annotation.public_sets.ukp_convarg1 import strict_preferences

    return strict_preferences(folder)


def _with_gold(line: Any, strict: dict[tuple[str, str], int]) -> Any:
    """The line with the authors' preference as one more ranking, where they have one."""
    from annotation.public_sets.reading import pair_ranks

    first, second = (answer["source"] for answer in line.row["completions"])
    preferred = strict.get((first, second))
    if preferred is None:
        return line
    gold = {"labeler": GOLD, "ranks": pair_ranks(preferred)}
    return line._replace(row={**line.row, "rankings": [*line.row["rankings"], gold]})


def group_lines(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """groups.jsonl of import rows, one line for each prompt.

    Raises:
        ValueError: a row that the importer would refuse.
    """
    from annotation.import_lines import Faults, Line, read_lines
    from annotation.prompts import content_sha256

    faults = Faults()
    lines = read_lines([json.dumps(row).encode() for row in rows], faults)
    if faults.num:
        raise ValueError(f"{faults.num} rows cannot be imported, the first because: {faults.kept[0]['message']}")
    by_prompt: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_prompt[content_sha256(line.messages)].append(line)
    return (_group(key, together) for key, together in by_prompt.items())


def _group(prompt_id: str, lines: Sequence[Any]) -> dict[str, Any]:
    from annotation.pairs import ranking_pairs

    places: dict[tuple[str, str, int], int] = {}
    pairs = []
    for line in lines:
        own = _places(line.answers, places)
        for said in line.rankings:
            items = [Item(place, rank) for place, rank in zip(own, said.ranks, strict=True)]
            for first, second, outcome in ranking_pairs(items):
                pair = {"first": first, "second": second, "outcome": outcome, "weight": 1.0}
                pairs.append({**pair, "labeler": said.labeler, "strength": said.strength})
    return {
        "prompt_id": prompt_id,
        "split": lines[0].split,
        "messages": lines[0].messages,
        "completions": [{"id": str(place), "text": text} for (_source, text, _copy), place in places.items()],
        "pairs": pairs,
        "verdicts": [],
    }


def _places(answers: Sequence[Any], places: dict[tuple[str, str, int], int]) -> list[int]:
    """The answers' places in their group; new ones are added. The second of two equal ones is another sample."""
    copies: dict[tuple[str, str], int] = defaultdict(int)
    own = []
    for answer in answers:
        key = (answer.source, answer.text, copies[answer.source, answer.text])
        copies[answer.source, answer.text] += 1
        own.append(places.setdefault(key, len(places)))
    return own


def dataset(rows: Iterable[dict[str, Any]], tokenizer: Any, *, max_tokens: int) -> Any:
    """The rows as `load_groups` reads them from a run's input."""
    from reward.training.groups import load_groups

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "groups.jsonl"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in group_lines(rows)))
        return load_groups(path, tokenizer, max_tokens=max_tokens)
