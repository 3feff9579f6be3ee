"""PandaLM's test set: two models' answers to an instruction, three annotators who may call it a tie.

Source: github.com/WeOpenML/PandaLM, data/testset-v1.json as JSON lines (Apache-2.0). Six answers are the JSON value
`true`, which a spreadsheet made of the word, and 54 are empty: people judged both, so both are kept and counted.
One task has no instruction, only its input, which then is the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from annotation.public_sets.reading import (
    PublicLine,
    Reading,
    Row,
    Unusable,
    answer,
    find_file,
    pair_ranks,
    read_rows,
    text_in,
)

FILE = "testset.jsonl"
PREFERRED = {1: 1, 2: -1, 0: 0}
NUM_ANNOTATORS = 3


def read(folder: Path) -> Reading:
    return read_rows(find_file(folder, FILE), to_lines)


def to_lines(row: Row, reading: Reading) -> Iterator[PublicLine]:
    parts = [part for part in (row.get("instruction"), row.get("input")) if isinstance(part, str) and part.strip()]
    if not parts:
        raise Unusable("there is neither instruction nor input")
    models = text_in(row, "cmp_key").split("_")
    if len(models) != 2:
        raise Unusable("cmp_key does not name two models")
    rankings = [
        {"labeler": f"pandalm-annotator{n}", "ranks": _ranks(row.get(f"annotator{n}"))}
        for n in range(1, NUM_ANNOTATORS + 1)
    ]
    answers = [answer(row.get(f"response{n}"), source=models[n - 1], reading=reading) for n in (1, 2)]
    category = str(row.get("motivation_app") or "")[:60]
    yield PublicLine(
        {"prompt": "\n\n".join(parts), "category": category, "completions": answers, "rankings": rankings},
        cluster=parts[0],
    )


def _ranks(label: object) -> list[int]:
    if isinstance(label, bool) or not isinstance(label, int) or label not in PREFERRED:
        raise Unusable("an annotator's label is not 0, 1 or 2")
    return pair_ranks(PREFERRED[label])
