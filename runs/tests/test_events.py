from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runs.events import MAX_SAMPLE_TEXT, MAX_SAMPLE_VALUES, MAX_SAMPLES, EventBatch, Rate, Sample
from runs.logs import LogPump, Redactor, tail
from runs.tailer import Tailer


def line(**event: Any) -> bytes:
    return json.dumps({"time": 100.0, **event}).encode() + b"\n"


def metrics(step: int, **values: Any) -> bytes:
    return line(type="metrics", step=step, metrics=values)


def sample(step: int, index: Any, **changes: Any) -> bytes:
    told = {"prompt": "Asked.", "text": "Answered.", "values": {"score": 0.5}, **changes}
    return line(type="sample", step=step, index=index, **told)


def test_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tailer = Tailer(path)
    assert tailer.read() is None
    whole, half = metrics(1, loss=0.5), metrics(2, loss=0.25)
    path.write_bytes(whole + half[:10])

    first = tailer.read()
    assert first is not None
    assert first.batch.metrics == {(1, "loss"): 0.5}
    tailer.advance(first)
    assert tailer.read() is None
    path.write_bytes(whole + half)

    second = tailer.read()
    assert second is not None
    assert second.batch.metrics == {(2, "loss"): 0.25}
    assert (first.restarted, second.restarted) == (True, False)


def test_events_that_were_not_stored_come_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tailer = Tailer(path)
    path.write_bytes(metrics(1, loss=0.5))
    assert tailer.read() == tailer.read()


def test_events_of_an_earlier_attempt_are_not_read_before_they_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(metrics(1, loss=0.5) + metrics(2, loss=0.4))
    tailer = Tailer(path)
    assert tailer.read() is None

    replacement = tmp_path / "cut"
    replacement.write_bytes(metrics(1, loss=0.5))
    replacement.replace(path)

    chunk = tailer.read()
    assert chunk is not None
    assert chunk.batch.metrics == {(1, "loss"): 0.5}


@pytest.mark.parametrize(
    "bad",
    [
        b"not json\n",
        b"[1]\n",
        b"\xff\xfe\n",
        line(type="unknown"),
        metrics(-1, loss=1.0),
        metrics(2**31, loss=1.0),
        metrics(1, loss="0.5"),
        metrics(1, **{"x" * 81: 1.0}),
        metrics(1, **{"a\0b": 1.0}),
        line(type="note", message="no time", time="x"),
        line(type="progress", phase="p", done=None, total=1, unit="u"),
        sample(-1, 0),
        sample(1, MAX_SAMPLES),
        sample(1, -1),
        sample(1, True),
        sample(1, "0"),
        sample(1, 0, values=[1.0]),
        sample(1, 0, values={"score": "high"}),
        sample(1, 0, values={f"v{n}": 1.0 for n in range(MAX_SAMPLE_VALUES + 1)}),
        line(type="sample", step=1, index=0, values={}),
    ],
)
def test_line_that_is_no_event_is_counted_and_passed_over(bad: bytes) -> None:
    batch = EventBatch()
    for each in (metrics(1, ok=1.0), bad, metrics(2, ok=2.0)):
        batch.add(each)
    assert (batch.metrics, batch.num_bad) == ({(1, "ok"): 1.0, (2, "ok"): 2.0}, 1)
    assert batch.samples == {}


def test_number_that_is_not_finite_is_unknown() -> None:
    batch = EventBatch()
    batch.add(b'{"type": "metrics", "step": 3, "metrics": {"a": NaN, "b": Infinity, "c": null, "d": 1e999, "e": 2}}')
    assert batch.metrics == {(3, "a"): None, (3, "b"): None, (3, "c"): None, (3, "d"): None, (3, "e"): 2.0}


def test_note_that_postgresql_could_not_hold_is_cleaned() -> None:
    batch = EventBatch()
    batch.add(b'{"type": "note", "time": 1.0, "code": "c", "message": "a\\u0000b\\ud800c"}')
    assert batch.notes[0].message == "ab?c"


def test_sample_is_cleaned_and_cut_and_the_last_one_said_counts() -> None:
    batch = EventBatch()
    batch.add(sample(1, 0, text="first"))
    batch.add(sample(1, 0, prompt="a\0b\ud800c", text="x" * (MAX_SAMPLE_TEXT + 1), values={"score": None}))
    batch.add(b'{"type": "sample", "step": 2, "index": 1, "prompt": "p", "text": 7, "values": {"score": NaN}}')

    assert batch
    assert batch.samples == {
        (1, 0): Sample(prompt="ab?c", text="x" * MAX_SAMPLE_TEXT, values={"score": None}),
        (2, 1): Sample(prompt="p", text="7", values={"score": None}),
    }


def test_time_left_follows_the_pace_of_the_phase() -> None:
    rate = Rate()

    def eta(phase: str, done: int, time: float) -> float | None:
        return rate.eta_seconds({"phase": phase, "done": done, "total": 10, "unit": "x", "time": time})

    assert eta("sample", 0, 100.0) is None
    assert eta("sample", 2, 104.0) == 16.0
    assert eta("sample", 10, 120.0) == 0.0
    assert eta("train", 1, 121.0) is None, "another phase has a pace of its own"
    assert eta("train", 2, 131.0) == 80.0
    assert eta("train", 0, 140.0) is None, "the phase began again"


def test_secret_that_spans_two_reads_is_blotted_out(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    pump = LogPump(pipe=reader, path=tmp_path / "log.txt", redact=Redactor(["correct horse"]))
    for part in (b"before correct ", b"horse after\n", b"rest hf_" + b"a" * 20):
        os.write(writer, part)
        pump.drain()
    os.close(writer)
    pump.close()

    assert (tmp_path / "log.txt").read_bytes() == b"before [redacted] after\nrest [redacted]"
    assert (tmp_path / "log.txt").stat().st_mode & 0o777 == 0o600


def test_tail_shows_whole_lines_and_the_last_state_of_a_progress_bar(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"first line\nsecond\n 10%\r 50%\r100%\r\nlast \xff\x00\n")
    assert tail(path, 1000) == "first line\nsecond\n100%\nlast \ufffd\n"
    assert tail(path, 36) == "second\n100%\nlast \ufffd\n"
    assert tail(tmp_path / "none", 10) == ""
