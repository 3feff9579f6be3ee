"""What the readers of public sets share: rows of a file one by one, and a count of everything that was not plain."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]


class PublicLine(NamedTuple):
    row: Row
    """A line of the import format."""
    cluster: str
    """Lines of the same cluster share text or subject: a split that parts them leaks."""


class Unusable(ValueError):
    """A row that cannot be a line; the message is the reason it is counted under."""


@dataclass(slots=True)
class Reading:
    """What came out of a set. Every row that was read is in `lines` or counted in `left_out`."""

    lines: list[PublicLine] = field(default_factory=list)
    num_rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason -> rows that became no line."""
    repaired: Counter[str] = field(default_factory=Counter)
    """Reason -> texts that were not taken as they stand."""


def find_file(folder: Path, name: str) -> Path:
    """The file `name` in the folder, plain or with .gz behind its name.

    Raises:
        FileNotFoundError: neither is there; the message says so in a sentence.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"There is neither {name} nor {name}.gz in {folder}; give the folder that holds it.")


def read_rows(path: Path, to_lines: Callable[[Row, Reading], Iterable[PublicLine]]) -> Reading:
    """Turn each row of a JSONL file into lines; rows that are broken or `Unusable` are left out and counted."""
    reading = Reading()
    for raw in _raw_lines(path):
        reading.num_rows += 1
        try:
            # A list first: a row that breaks half-way must leave nothing behind.
            reading.lines += list(to_lines(parsed(raw), reading))
        except Unusable as reason:
            reading.left_out[str(reason)] += 1
    return reading


def rows_of(path: Path) -> Iterator[Row]:
    """The rows of a JSONL file that are JSON objects; for files beside the one whose rows are counted."""
    for raw in _raw_lines(path):
        try:
            yield parsed(raw)
        except Unusable:
            continue


def _raw_lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield from (line for line in file if line.strip())


def parsed(raw: bytes) -> Row:
    """Raises Unusable where the line is no JSON object."""
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError):
        raise Unusable("the line is not JSON") from None
    if not isinstance(row, dict):
        raise Unusable("the line is not a JSON object")
    return row


def text_in(row: Row, key: str) -> str:
    """Raises Unusable where the row has no such text or only blanks."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise Unusable(f"{key} is not text")
    return value


def list_in(row: Row, key: str) -> list[Any]:
    """Raises Unusable where the row has no such list."""
    value = row.get(key)
    if not isinstance(value, list):
        raise Unusable(f"{key} is not a list")
    return value


def answer(value: object, *, source: str, reading: Reading) -> Row:
    """An answer of the import format. A JSON true or false is the word it stands for; no text at all stays empty."""
    if isinstance(value, bool):
        reading.repaired["true or false read as that word"] += 1
        value = json.dumps(value)
    if not isinstance(value, str):
        raise Unusable("an answer is not text")
    if not value.strip():
        reading.repaired["empty answer kept as one"] += 1
        return {"text": "", "source": source, "empty": True}
    return {"text": value, "source": source}


def pair_ranks(preferred: int) -> list[int]:
    """Ranks of two answers: 1 the first is preferred, -1 the second, 0 neither."""
    return {1: [1, 2], -1: [2, 1], 0: [1, 1]}[preferred]


def in_hash_order(texts: Sequence[str]) -> list[int]:
    """Places of texts in the order of their hashes: for sets that list the best first, which nobody was shown."""
    return sorted(range(len(texts)), key=lambda i: (hashlib.sha256(texts[i].encode("utf-8", "replace")).digest(), i))
