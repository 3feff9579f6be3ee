"""The preferences of Fine-Grained RLHF's question answering: four answers of one policy, all six pairs, ties allowed.

Source: github.com/allenai/FineGrainedRLHF, tasks/qa_feedback/data/dev_feedback.json as JSON lines (Apache-2.0). Some
questions' six words are no weak order, so each pair is a line of its own and stays as it was said. Annotators are not
named upstream: all are one labeler here, who may not be taken for one person.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

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
    text_in,
)

FILE = "dev_feedback.jsonl"
PREFERRED = {1: 1, 2: -1, 0: 0}
PAIRS = tuple(combinations(range(4), 2))
"""In the order of the labels: 12, 13, 14, 23, 24, 34."""


def read(folder: Path) -> Reading:
    return read_rows(find_file(folder, FILE), to_lines)


def to_lines(row: Row, reading: Reading) -> Iterator[PublicLine]:
    question, outputs, labels = text_in(row, "question"), list_in(row, "outputs"), list_in(row, "preference")
    if len(outputs) != 4:
        raise Unusable("there are not four outputs")
    if len(labels) != len(PAIRS):
        raise Unusable("there are not six preferences")
    if any(type(label) is not int or label not in PREFERRED for label in labels):
        raise Unusable("a preference is not 0, 1 or 2")
    answers = [answer(text, source=f"output{n}", reading=reading) for n, text in enumerate(outputs, start=1)]
    for (first, second), label in zip(PAIRS, labels, strict=True):
        ranking = {"labeler": "finegrained-qa", "ranks": pair_ranks(PREFERRED[label])}
        line = {"prompt": question, "completions": [answers[first], answers[second]], "rankings": [ranking]}
        yield PublicLine(line, cluster=question)
