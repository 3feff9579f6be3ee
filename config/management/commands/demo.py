"""Run one turn of the loop on a real model with simulated labelers, then leave the site running."""

from __future__ import annotations

import json
import signal
import time
from argparse import ArgumentParser
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.errors import Refused
from config import env


class Command(BaseCommand):
    help = __doc__
    # The database is not there yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=env.integer("PORT", 8000))
        parser.add_argument("--seed", type=int, default=env.integer("DEMO_SEED", 1))

    def handle(self, *args: Any, **options: Any) -> None:
        # Also SIGINT: a shell that starts us in the background has it ignored, and then Python leaves it so.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        try:
            self._run(port=options["port"], seed=options["seed"], serve=env.boolean("DEMO_SERVE", True))
        except Refused as refused:
            raise CommandError(refused.message) from None
        except KeyboardInterrupt:
            self.stdout.write("\nStopped; everything that was started has ended.")

    def _run(self, *, port: int, seed: int, serve: bool) -> None:
        from config.demo.memory import MemoryWatch
        from config.demo.people import demo_people, logins_text
        from config.demo.plan import demo_spec
        from config.demo.progress import Progress
        from config.demo.report import summarise, table
        from config.demo.site import require_running, running_site
        from config.demo.turn import run_turn

        directory = Path(settings.VAR_DIR) / "demo"
        logins, logs = directory / "logins.json", directory / "logs"
        self.stdout.write(f"Starting PostgreSQL, Redis, the web and the workers (logs in {logs}) …")
        with running_site(port=port, logs=logs) as site:
            people = demo_people(logins)
            started = time.monotonic()
            progress = Progress(num_phases=8, check=lambda: require_running(site, logs=logs))
            with MemoryWatch(site.pid) as memory:
                turn = run_turn(demo_spec(seed), people, progress)
            seconds = time.monotonic() - started
            summary = summarise(turn, seed=seed, seconds=seconds, peak_rss_mib=memory.peak_mib)
            _write(directory / "summary.json", summary)
            self.stdout.write("\n" + table(summary))
            if not serve:
                return
            self.stdout.write(
                f"\nThe site runs at http://127.0.0.1:{port}/ with three logins:\n{logins_text(logins)}\n"
                "Ctrl-C stops it; `make run` starts it again."
            )
            site.wait()


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _write(path: Path, summary: dict[str, Any]) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(summary, indent=2) + "\n")
    draft.replace(path)
