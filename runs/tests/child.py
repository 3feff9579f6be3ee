"""The training process of the test kind: counts steps, checkpoints, and does what its config says."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from reward.training import entry
from reward.training.entry import main
from reward.training.rundir import Outcome, RunDirectory, TrainingRefused
from runs.tests.counting import CountConfig


def count(run: RunDirectory) -> Outcome:
    config = run.config(CountConfig)
    found = run.latest_checkpoint()
    total = json.loads((found[1] / "total.json").read_text()) if found else 0
    first = found[0] + 1 if found else 1
    print("environment:", " ".join(sorted(os.environ)))
    print(config.say, flush=True)
    for step in range(first, config.steps + 1):
        if run.cancelled() and not config.is_deaf:
            return Outcome(status="cancelled")
        total += step
        run.progress("count", step, config.steps, "steps")
        run.metrics(step, total=total, attempt=run.spec.attempt, **{f"by_{run.spec.attempt}": 1.0})
        run.sample(step, 0, prompt="Count.", text=f"{total} in attempt {run.spec.attempt}", values={"score": total})
        misbehave(run, config, step)
        if step % config.checkpoint_every == 0:
            run.save_checkpoint(step, lambda folder, total=total: write_total(folder, total))  # type: ignore[misc]
        time.sleep(config.step_seconds)
    artifact = run.artifact_path("result")
    artifact.mkdir(exist_ok=True)
    write_total(artifact, total)
    return Outcome(metrics={"total": float(total)}, artifacts={"result": artifact})


def write_total(folder: Path, total: int) -> None:
    (folder / "total.json").write_text(json.dumps(total))


def misbehave(run: RunDirectory, config: CountConfig, step: int) -> None:
    is_due = step == config.fault_step and (config.is_fault_lasting or run.spec.attempt == 1)
    if not is_due:
        return
    if config.fault == "refuse":
        raise TrainingRefused("The data hold no pairs; collect more rankings first.", code="no_pairs")
    if config.fault == "crash":
        raise RuntimeError("something broke")
    if config.fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    # This process counts; loading torch would take most of the tests' time.
    entry.prepare_torch = lambda spec: None
    sys.exit(main(sys.argv, {"test.count": lambda: count}))
