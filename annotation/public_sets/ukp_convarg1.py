"""UKPConvArg1: which of two arguments for the same side convinces more, by four or five crowd workers, ties allowed.

Source: github.com/UKPLab/acl2016-convincing-arguments (CC BY 4.0; Habernal and Gurevych 2016). The prompt is the debate
with the side taken, so a campaign has one prompt for each and its arguments are that prompt's answers, told apart by
their id: a few have the same words. Both sides of a debate are one cluster. Seconds are those of a worker's whole
sitting, in which several pairs were judged: they compare workers, and are more than a pair took. The set's authors
estimated a strict preference from the workers' words for some of the pairs (UKPConvArg1Strict); it is nobody's ranking
and so no part of the lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.public_sets.reading import (
    PublicLine,
    Reading,
    Row,
    Unusable,
    answer,
    find_file,
    list_in,
    pair_ranks,
    read_rows,
    rows_of,
    text_in,
)

ARGUMENTS, PAIRS = "arguments.jsonl", "pairs.jsonl"
PREFERRED = {"a1": 1, "a2": -1, "equal": 0}


def read(folder: Path) -> Reading:
    arguments = _arguments(find_file(folder, ARGUMENTS))
    return read_rows(find_file(folder, PAIRS), lambda row, reading: to_lines(row, reading, arguments))


def _arguments(path: Path) -> dict[str, Row]:
    """Arguments by id. One that cannot be read is missing here, and its pairs are then counted as left out."""
    found: dict[str, Row] = {}
    for row in rows_of(path):
        try:
            found[text_in(row, "id")] = {"stance": text_in(row, "stance"), "text": text_in(row, "text")}
        except Unusable:
            continue
    return found


def strict_preferences(folder: Path) -> dict[tuple[str, str], int]:
    """(first, second argument) -> 1 or -1, for the pairs that have one: what published models are judged by."""
    found: dict[tuple[str, str], int] = {}
    for row in rows_of(find_file(folder, PAIRS)):
        if row.get("strict") in ("a1", "a2"):
            found[text_in(row, "a1"), text_in(row, "a2")] = PREFERRED[row["strict"]]
    return found


def to_lines(row: Row, reading: Reading, arguments: dict[str, Row]) -> Iterator[PublicLine]:
    title = text_in(row, "title")
    ids = [text_in(row, "a1"), text_in(row, "a2")]
    if not all(name in arguments for name in ids):
        raise Unusable("an argument is not in the list of arguments")
    if ids[0] == ids[1]:
        raise Unusable("an argument is compared with itself")
    rankings = [_ranking(label) for label in list_in(row, "labels")]
    if len({ranking["labeler"] for ranking in rankings}) < len(rankings):
        raise Unusable("a worker judged the pair twice")
    answers = [answer(arguments[name]["text"], source=name, reading=reading) for name in ids]
    prompt = f"{title}\n\nGive a convincing argument for this side: {arguments[ids[0]]['stance']}"
    yield PublicLine(
        {"prompt": prompt, "category": title[:60], "completions": answers, "rankings": rankings}, cluster=title
    )


def _ranking(label: Any) -> Row:
    is_label = isinstance(label, list) and len(label) == 3 and all(isinstance(part, str) for part in label[:2])
    if not is_label or label[1] not in PREFERRED:
        raise Unusable("a label is not [worker, a1 | a2 | equal, seconds]")
    ranking: Row = {"labeler": f"ukp-{label[0]}", "ranks": pair_ranks(PREFERRED[label[1]])}
    return ranking if label[2] is None else {**ranking, "seconds": label[2]}
