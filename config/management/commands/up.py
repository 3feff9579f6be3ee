"""Start the whole site on this machine; Ctrl-C ends everything that was started."""

from __future__ import annotations

import errno
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.embedded import EmbeddedError
from config.embedded.site import SiteOptions, serve


class Command(BaseCommand):
    help = __doc__
    # The database is not there yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--no-workers", action="store_true", help="the web only: no workers, no beat")
        parser.add_argument("--logs", type=Path, help="write each program's output to a file in this directory")

    def handle(self, *args: Any, **options: Any) -> None:
        logs: Path | None = options["logs"]
        try:
            if logs is not None:
                logs.mkdir(parents=True, exist_ok=True)
            serve(
                SiteOptions(
                    host=options["host"],
                    port=options["port"],
                    workers=not options["no_workers"],
                    logs=logs.resolve() if logs else None,
                )
            )
        except EmbeddedError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise CommandError(f"The disk is full ({error.filename}); free some space and try again.") from error
