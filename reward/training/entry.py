"""A training process from start to exit: lock the run directory, carry out its kind of run, leave one outcome."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from reward.training import checkpoints
from reward.training.following import FollowingRun
from reward.training.outcome import Outcome, TrainingRefused, disk_is_full, write_outcome
from reward.training.process import die_with_parent, keep_freed_memory, loading
from reward.training.rundir import STARTED, LockHeld, RunDirectory, RunSpec, Stopped, read_spec, take_lock

EXIT_REFUSED = 1
EXIT_CRASHED = 70
EXIT_LOCKED = 73
EXIT_STOPPED = 75

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What tells a process that it is one of several."""

Handler = Callable[[RunDirectory], Outcome]
Loader = Callable[[], Handler]
"""Imports what carries out a kind of run."""


def main(argv: Sequence[str], loaders: Mapping[str, Loader], *, together: Collection[str] = ()) -> int:
    """Run the kind that RUN_DIR/run.json names and return the exit code.

    Several processes may be started for one run (`accelerate launch`, `torchrun`). Kinds in `together` use them all:
    the first has the directory, the others follow it. Any other kind is the first one's alone.

    0 outcome written; 1 failed outcome written; 70 crashed; 73 locked; 75 stopped by SIGTERM, to be resumed.
    """
    if len(argv) != 2:
        print(f"usage: {argv[0]} RUN_DIR", file=sys.stderr)
        return 2
    die_with_parent()
    keep_freed_memory()
    os.umask(0o077)
    path = Path(argv[1]).resolve()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _lead(path, loaders)
    is_first = os.environ["RANK"] == "0"
    if _kind(path) not in together:
        for name in RANK_VARIABLES:
            os.environ.pop(name, None)
        return _lead(path, loaders) if is_first else 0
    code = _lead(path, loaders) if is_first else _follow(path, loaders)
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing is destroyed: Gloo's destructor (torch 2.13) waits for its own thread, which may wait for the GIL.
    os._exit(code)


def _lead(path: Path, loaders: Mapping[str, Loader]) -> int:
    """Lock the directory and carry out the run."""
    try:
        if _succeeded_before(path):
            return 0
        run = RunDirectory.open(path)
    except LockHeld as error:
        print(error, file=sys.stderr)
        return EXIT_LOCKED
    except Exception as error:
        return _fail(path, error)
    _stop_on_sigterm(run)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("gpu_ops").setLevel(logging.INFO)  # which path the losses take, and why
    return _handle(run, loaders)


def _follow(path: Path, loaders: Mapping[str, Loader]) -> int:
    """Do another process's share of the run. What goes wrong for everybody the first one tells."""
    try:
        if _status_before(path) == "succeeded":
            return 0
        spec = read_spec(path)
        with loading():
            prepare_torch(spec)
            handler = loaders[spec.kind]()
        from reward.training.ranks import join_ranks

        join_ranks(spec.device)  # meets the first process, which has the directory in order by then
        run = FollowingRun(path)
        _stop_on_sigterm(run)
        handler(run)
    except Stopped:
        return EXIT_STOPPED
    except Exception as error:
        traceback.print_exception(error)
        return EXIT_CRASHED
    return 0


def _kind(path: Path) -> str | None:
    try:
        return read_spec(path).kind
    except TrainingRefused:
        return None


def _handle(run: RunDirectory, loaders: Mapping[str, Loader]) -> int:
    try:
        load = loaders.get(run.spec.kind)
        if load is None:
            raise TrainingRefused(f"{run.spec.kind} is not a kind of run that this program knows.", code="unknown_kind")
        with loading():
            prepare_torch(run.spec)
            handler = load()
        outcome = handler(run)
        run.finish(outcome.status, outcome.metrics, outcome.artifacts)
    except Stopped:
        print("stopped by SIGTERM; the run can be resumed", flush=True)
        return EXIT_STOPPED
    except Exception as error:
        return _fail(run.path, error)
    return 0


def _fail(path: Path, error: Exception) -> int:
    """A refusal or a full disk becomes the failed outcome; anything else is a crash, told in the log."""
    traceback.print_exception(error)
    if disk_is_full(error):
        message = f"The disk that holds {path} is full; free some space there and start the run again."
        error = TrainingRefused(message, code="disk_full")
        checkpoints.remove_unfinished(path / "checkpoints")
    if not isinstance(error, TrainingRefused):
        return EXIT_CRASHED
    try:
        write_outcome(path, "failed", {}, {}, error, seconds=time.monotonic() - STARTED)
    except OSError:
        traceback.print_exc()
        return EXIT_CRASHED
    return EXIT_REFUSED


def _status_before(path: Path) -> str | None:
    try:
        status: str = json.loads((path / "outcome.json").read_text())["status"]
    except (OSError, ValueError, KeyError):
        return None
    return status


def _succeeded_before(path: Path) -> bool:
    """A run that succeeded is not done twice; a failed or cancelled outcome gives way to the new attempt."""
    status = _status_before(path)
    if status in (None, "succeeded"):
        return status is not None
    lock = take_lock(path)
    (path / "outcome.json").unlink(missing_ok=True)
    os.close(lock)
    return False


def _stop_on_sigterm(run: RunDirectory) -> None:
    def stop(signum: int, frame: object) -> None:
        run.stopping = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process at once

    signal.signal(signal.SIGTERM, stop)


def prepare_torch(spec: RunSpec) -> None:
    """Threads, determinism and seed as the spec has them; processes of one run share its threads."""
    # Training shares its cores with the site: a thread that spins at a barrier keeps the other one from reaching it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch  # takes seconds; the lock and the death signal come first

    torch.set_num_threads(max(1, spec.threads // int(os.environ.get("WORLD_SIZE", "1"))))
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(spec.seed)
