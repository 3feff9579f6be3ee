"""How fast the queue hands out tasks and takes rankings, and whether it stays exact: a production server over HTTP.

    python benchmarks/labelling.py                                      # 16 labelers, 100,000 tasks, 30 seconds
    python benchmarks/labelling.py --tasks 1000000 --json               # the row as JSON on stdout, the table on stderr
    python benchmarks/labelling.py --pages                              # the same on the pages instead of over the API
    python benchmarks/labelling.py --chaos-seconds 300                  # then with workers killed and connections cut

It starts what `manage.py up` starts of it, under production settings: PostgreSQL with fsync and synchronous_commit on,
Redis, gunicorn with two workers. People sign in with a password and work in a closed loop without think time. The exit
status is 1 where a ranking was lost, doubled or collected beyond its task's overlap.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.labelling_site import Site, durability, site
from benchmarks.labelling_table import as_text, surroundings

KEYS = (
    "tasks", "labelers", "cycles_per_second", "next_p50_ms", "next_p95_ms", "submit_p50_ms", "submit_p95_ms",
    "duplicates", "over_collected", "lost", "first_load_kb", "server_cpu_ms_per_cycle",
)  # fmt: skip


def measure(options: argparse.Namespace, running: Site) -> dict[str, Any]:
    # Models can be imported only now that the site has set up Django.
    from django.db import connections

    from benchmarks.labelling_run import Run, Work

    work = Work(
        labelers=options.labelers, tasks=options.tasks, seconds=options.seconds, answers=options.answers,
        warm_up_seconds=options.warm_up, chaos_seconds=options.chaos_seconds, overlap=options.overlap,
        pages=options.pages, seed=options.seed,
    )  # fmt: skip
    try:
        found = Run(work, running).measure()
        found["details"] |= {"durability": durability(), **surroundings(running.directory)}
    finally:
        connections.close_all()
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--labelers", type=int, default=16, help="people at work at once (default %(default)s)")
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks in the queue (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="measured, after the warm-up (default %(default)s)")
    parser.add_argument("--warm-up", type=float, default=3, help="seconds that are not measured (default %(default)s)")
    parser.add_argument("--chaos-seconds", type=float, default=0, help="then so long under disorder (default: none)")
    parser.add_argument("--answers", type=int, default=4, help="answers of a task, 2 to 9 (default %(default)s)")
    parser.add_argument("--overlap", type=int, default=1, help="rankings per task (default %(default)s)")
    parser.add_argument("--pages", action="store_true", help="work on the pages instead of over the API")
    parser.add_argument("--seed", type=int, default=0, help="of what people say and of the disorder")
    parser.add_argument("--json", action="store_true", help="the row as JSON on stdout, the table on stderr")
    parser.add_argument("--results", type=Path, metavar="FILE", help="everything, with machine, versions and date")
    parsed = parser.parse_args()
    for name, least in (("labelers", 1), ("tasks", 1), ("overlap", 1), ("answers", 2)):
        if getattr(parsed, name) < least:
            parser.error(f"--{name} ({getattr(parsed, name)}) must be {least} or more")
    return parsed


def main() -> None:
    options = arguments()
    with site() as running:
        found = measure(options, running)
    print(as_text(found), file=sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps({key: found[key] for key in KEYS}, indent=1))
    if options.results:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        arguments_given = {name: str(value) for name, value in vars(options).items()}
        options.results.write_text(json.dumps({"arguments": arguments_given, **found}, indent=1) + "\n")
    sys.exit(0 if found["details"]["is_sound"] else 1)


if __name__ == "__main__":
    main()
