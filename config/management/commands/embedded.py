"""Run only the embedded PostgreSQL and Redis until Ctrl-C, for `manage.py` commands, psql or an editor's debugger."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.embedded import EmbeddedError, services
from config.embedded.site import needed


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        stop = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        try:
            with services(only=needed()) as running:
                self.stdout.write(
                    f"DATABASE_URL={running.database_url}\nREDIS_URL={running.redis_url}\nCtrl-C ends them."
                )
                # Blocked, not handled: the signal is taken here and nowhere else.
                signal.pthread_sigmask(signal.SIG_BLOCK, stop)
                signal.sigwait(stop)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)
        except EmbeddedError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("Ended before the services were ready.")
