"""Whether PPO learns: ours against TRL 1.12's on a task whose best score is known, three seeds, the same start.

A Llama of 147,776 random weights answers prompts of 8 tokens with 16; the score is the share of even token ids. 64
answers a step, 4 epochs, 60 steps, KL coefficient .02, every weight trained.

    python benchmarks/ppo_scripted.py                         # the table
    python benchmarks/ppo_scripted.py --json                  # every seed's score at every step
    python benchmarks/ppo_scripted.py --learning-rate 3e-3    # a rate at which TRL's collapses

TRL 1.12.0 is the last with PPO; name the interpreter of an environment that has it in TRL_PPO_PYTHON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ppo_work import Told, Work, build, run_side, run_trl, typical

WINDOWS = {"steps 22-26": slice(22, 27), "steps 55-59": slice(55, 60)}


def measure(work: Work) -> dict[str, Any]:
    """Both sides from the same weights."""
    with tempfile.TemporaryDirectory() as made:
        folder = build(work, Path(made))
        ours = run_side("ppo_ours.py", work, folder)
        theirs = run_trl(work, folder)
    return {"seed": work.seed, **row(ours), "trl": None if theirs is None else row(theirs)}


def row(told: Told) -> dict[str, Any]:
    return {
        "score": told.score,
        "kl_nats_per_sequence": told.kl_nats_per_sequence,
        "final_kl_nats_per_sequence": told.kl_nats_per_sequence[-1],
        "cpu_seconds_per_step": typical(told.cpu_seconds),
        "peak_rss_mib": told.peak_rss_mib,
        "versions": told.versions,
    }


def as_text(work: Work, found: Sequence[dict[str, Any]]) -> str:
    """Means over seeds; steps count from 0, a score being that of the rollout before the step's updates."""
    sides = {"ours": found}
    if all(each["trl"] is not None for each in found):
        sides["TRL"] = [each["trl"] for each in found]
    windows = {name: part for name, part in WINDOWS.items() if part.stop <= work.steps}
    lines = [
        f"{len(found)} seeds, {work.steps} steps at {work.learning_rate:g}, {work.threads} threads",
        f"{'':<6}{'first':>8}{''.join(f'{name:>14}' for name in windows)}{'last, lowest':>14}{'final KL':>10}"
        f"{'CPU s a step':>14}{'peak MiB':>10}",
    ]
    for side, rows in sides.items():
        means = [statistics.mean(statistics.mean(r["score"][part]) for r in rows) for part in windows.values()]
        lines.append(
            f"{side:<6}{statistics.mean(r['score'][0] for r in rows):>8.3f}"
            + "".join(f"{value:>14.3f}" for value in means)
            + f"{min(r['score'][-1] for r in rows):>14.3f}"
            + f"{statistics.mean(r['final_kl_nats_per_sequence'] for r in rows):>10.2f}"
            + f"{statistics.median(r['cpu_seconds_per_step'] for r in rows):>14.3f}"
            + f"{max(r['peak_rss_mib'] for r in rows):>10.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... (default %(default)s)")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="JSON on stdout instead of the table")
    options = parser.parse_args()
    works = [
        Work(
            model="tiny", steps=options.steps, batch=64, prompt_tokens=8, new_tokens=16,
            learning_rate=options.learning_rate, seed=seed, threads=options.threads,
        )
        for seed in range(options.seeds)
    ]  # fmt: skip
    found = [measure(work) for work in works]
    print(json.dumps(found, indent=1) if options.json else as_text(works[0], found))


if __name__ == "__main__":
    main()
