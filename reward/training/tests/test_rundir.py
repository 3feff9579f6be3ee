"""The child's side of a run directory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reward.training import checkpoints
from reward.training.following import FollowingRun
from reward.training.rundir import LockHeld, RunDirectory, TrainingRefused
from reward.training.tests.conftest import read_events, read_outcome

MakeRun = Callable[..., Path]

PROGRAM = """
import sys, time
from reward.training import entry
from reward.training.entry import main
from reward.training.rundir import Outcome, TrainingRefused
entry.prepare_torch = lambda spec: None  # no handler here uses torch, and importing it takes seconds

def refuse(run): raise TrainingRefused("There are no prompts; add some.", code="no_prompts")
def crash(run): raise RuntimeError("a bug")
def fill(run):
    (run.artifact_path("x")).write_text("")
    with open("/dev/full", "w") as disk: disk.write("x" * 10_000)
def fill_safetensors(run):
    raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
def write(run):
    run.metrics(1, loss=2.0, broken=float("nan"))
    path = run.artifact_path("completions.jsonl")
    path.write_text("{}")
    return Outcome(metrics={"a": 1, "unknown": None, "nan": float("nan")}, artifacts={"completions": path})
def wait(run):
    run.note("ready", "Ready.")
    while not run.cancelled(): time.sleep(0.01)
    return Outcome(status="cancelled")

sys.exit(main(sys.argv, {name: lambda f=f: f for name, f in [*globals().items()] if callable(f)}))
"""


def launch(run: Path) -> subprocess.Popen[bytes]:
    log = (run / "log.txt").open("ab")
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(run)], stdout=log, stderr=log)


def wait_until_ready(run: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (run / "events.jsonl").exists() and "ready" in (run / "events.jsonl").read_text():
            return
        time.sleep(0.01)
    raise AssertionError((run / "log.txt").read_text())


def write_text(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        (path / "state.json").write_text(text)

    return write


def test_an_outcome_says_what_was_made(make_run: MakeRun) -> None:
    run = make_run(kind="write")

    assert launch(run).wait(timeout=60) == 0

    outcome = read_outcome(run)
    assert outcome["status"] == "succeeded"
    assert outcome["error"] is None
    assert outcome["metrics"] == {"a": 1.0, "unknown": None, "nan": None}
    assert outcome["artifacts"] == {"completions": {"path": "artifacts/completions.jsonl"}}
    assert outcome["peak_rss_mib"] > 5
    assert [event["metrics"] for event in read_events(run)] == [{"loss": 2.0}]
    assert (run / "artifacts").stat().st_mode & 0o777 == 0o700
    assert not (run / ".reserve").exists()


def test_a_run_that_succeeded_is_not_done_again(make_run: MakeRun) -> None:
    run = make_run(kind="refuse")
    (run / "outcome.json").write_text('{"status": "succeeded"}')

    assert launch(run).wait(timeout=60) == 0
    assert read_outcome(run) == {"status": "succeeded"}

    (run / "outcome.json").write_text('{"status": "failed"}')
    assert launch(run).wait(timeout=60) == 1
    assert read_outcome(run)["error"] == {"code": "no_prompts", "message": "There are no prompts; add some."}


@pytest.mark.parametrize(
    ("kind", "code"), [("fill", "disk_full"), ("fill_safetensors", "disk_full"), ("other", "unknown_kind")]
)
def test_an_expected_failure_has_a_sentence_and_a_code(make_run: MakeRun, kind: str, code: str) -> None:
    run = make_run(kind=kind)

    assert launch(run).wait(timeout=60) == 1

    outcome = read_outcome(run)
    assert outcome["status"] == "failed"
    assert outcome["error"]["code"] == code
    if code == "disk_full":
        assert "free some space" in outcome["error"]["message"]


def test_a_crash_leaves_no_outcome_and_a_traceback(make_run: MakeRun) -> None:
    run = make_run(kind="crash")

    assert launch(run).wait(timeout=60) == 70

    assert not (run / "outcome.json").exists()
    assert "RuntimeError: a bug" in (run / "log.txt").read_text()


def test_an_unreadable_spec_is_refused(make_run: MakeRun) -> None:
    run = make_run(kind="write")
    (run / "run.json").write_text('{"format": 2}')

    assert launch(run).wait(timeout=60) == 1
    assert read_outcome(run)["error"]["code"] == "bad_spec"


def test_a_second_process_is_refused_while_the_first_lives(make_run: MakeRun) -> None:
    run = make_run(kind="wait")
    first = launch(run)
    try:
        wait_until_ready(run)
        assert launch(run).wait(timeout=60) == 73
        with pytest.raises(LockHeld, match="in use"):
            RunDirectory.open(run)
        assert first.poll() is None
    finally:
        first.kill()
        first.wait(timeout=10)
    RunDirectory.open(run).close()


def test_cancel_and_sigterm_end_at_a_step_boundary(make_run: MakeRun) -> None:
    cancelled, stopped = make_run("cancelled", kind="wait"), make_run("stopped", kind="wait")
    children = [launch(cancelled), launch(stopped)]
    wait_until_ready(cancelled)
    wait_until_ready(stopped)

    (cancelled / "control").write_text("{")  # half-written is not a cancel
    time.sleep(0.1)
    assert children[0].poll() is None
    (cancelled / "control").write_text('{"command": "cancel"}')
    children[1].send_signal(signal.SIGTERM)

    assert [child.wait(timeout=60) for child in children] == [0, 75]
    assert read_outcome(cancelled)["status"] == "cancelled"
    assert not (stopped / "outcome.json").exists()


def test_the_child_dies_with_its_launcher(make_run: MakeRun) -> None:
    run = make_run(kind="wait")
    launcher = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]]); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", launcher, PROGRAM, str(run)])
    try:
        wait_until_ready(run)
    finally:
        parent.kill()
        parent.wait(timeout=10)

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            RunDirectory.open(run).close()
        except LockHeld:
            time.sleep(0.01)
            continue
        return
    raise AssertionError("the child still holds the lock")


def test_the_last_two_checkpoints_are_kept_and_resumed_from(make_run: MakeRun) -> None:
    path = make_run()
    run = RunDirectory.open(path)
    assert run.latest_checkpoint() is None
    for step in (1, 2, 3):
        run.metrics(step, loss=step)
        run.save_checkpoint(step, write_text(str(step)))
    run.metrics(4, loss=4)
    run.note("late", "Told after the checkpoint.")
    run.close()
    with (path / "events.jsonl").open("a") as events:
        events.write('{"type": "metrics", "st')

    resumed = RunDirectory.open(path)

    checkpoint = resumed.latest_checkpoint()
    assert checkpoint is not None
    step, folder = checkpoint
    assert step == 3
    assert (folder / "state.json").read_text() == "3"
    assert sorted(child.name for child in (path / "checkpoints").iterdir()) == ["step-000002", "step-000003"]
    assert [(event["type"], event["step"]) for event in read_events(path)] == [
        (kind, step) for step in (1, 2, 3) for kind in ("metrics", "checkpoint")
    ]
    resumed.close()


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(make_run: MakeRun, damage: str) -> None:
    path = make_run()
    run = RunDirectory.open(path)
    for step in (1, 2):
        run.metrics(step, loss=step)
        run.save_checkpoint(step, write_text(str(step)))
    run.close()
    state, manifest = (path / "checkpoints" / "step-000002" / name for name in ("state.json", "manifest.json"))
    if damage == "changed":
        state.write_text("3")
    elif damage == "missing":
        state.unlink()
    else:
        manifest.write_text("{}")

    resumed = RunDirectory.open(path)

    assert (resumed.latest_checkpoint() or (0,))[0] == 1
    events = read_events(path)
    assert [event["type"] for event in events] == ["metrics", "checkpoint", "note"]
    assert events[-1]["level"] == "warning"
    assert "step 2 does not verify" in events[-1]["message"]
    assert "goes on from step 1" in events[-1]["message"]
    resumed.save_checkpoint(2, write_text("2"))
    assert checkpoints.problem(path / "checkpoints" / "step-000002") is None
    resumed.close()


def test_a_writer_that_fails_leaves_no_checkpoint(make_run: MakeRun) -> None:
    run = RunDirectory.open(make_run())

    def fail(path: Path) -> None:
        (path / "state.json").write_text("half")
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        run.save_checkpoint(1, fail)

    assert checkpoints.newest_valid(run.path / "checkpoints") == (None, [])
    run.save_checkpoint(1, write_text("1"))
    assert [child.name for child in (run.path / "checkpoints").iterdir()] == ["step-000001"]
    run.close()


def test_a_run_without_checkpoint_starts_its_events_anew(make_run: MakeRun) -> None:
    path = make_run()
    run = RunDirectory.open(path)
    run.metrics(1, loss=1)
    run.close()

    RunDirectory.open(path).close()

    assert read_events(path) == []


def test_samples_behind_the_checkpoint_are_cut_and_only_the_first_process_tells_any(make_run: MakeRun) -> None:
    path = make_run()
    run = RunDirectory.open(path)
    for step in (0, 1):
        run.sample(step, 0, prompt="Why?", text="\ud800 so", values={"score": 0.5, "kl": float("inf")})
        # As if the process had died before it told of the checkpoint: only steps say what stands behind it.
        checkpoints.save(path / "checkpoints", step, write_text(str(step)))
    run.sample(2, 0, prompt="Why?", text="lost", values={})
    FollowingRun(path).sample(1, 1, prompt="Why?", text="twice", values={})
    run.close()

    RunDirectory.open(path).close()

    samples = [event for event in read_events(path) if event.pop("time") and event["type"] == "sample"]
    assert [sample.pop("step") for sample in samples] == [0, 1]
    assert samples[0] == samples[1] == {
        "type": "sample", "index": 0, "prompt": "Why?", "text": "\ud800 so", "values": {"score": 0.5},
    }  # fmt: skip


def test_progress_is_throttled_but_the_end_is_told(make_run: MakeRun) -> None:
    run = RunDirectory.open(make_run())
    for done in range(1, 1001):
        run.progress("sample", done, 1000, "answers")
    events = read_events(run.path)
    assert [event["done"] for event in (events[0], events[-1])] == [1, 1000]
    assert len(events) < 100
    run.close()


def test_an_input_that_is_not_there_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    run = RunDirectory.open(make_run(inputs={"there": tmp_path, "gone": tmp_path / "gone"}))
    assert run.input("there") == tmp_path
    for name in ("gone", "never"):
        with pytest.raises(TrainingRefused, match=name) as refused:
            run.input(name)
        assert refused.value.code == "input_missing"
    run.close()


def test_metrics_are_flushed_line_by_line(make_run: MakeRun) -> None:
    run = RunDirectory.open(make_run())
    run.metrics(1, loss=1.5)
    line = (run.path / "events.jsonl").read_text()
    assert line.endswith("\n")
    assert json.loads(line)["metrics"] == {"loss": 1.5}
    run.close()
