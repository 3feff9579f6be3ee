"""The whole site on one machine: services, migrations, web, workers, beat."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from config import embedded
from config.embedded.errors import EmbeddedError
from config.embedded.ports import require_free
from config.embedded.supervisor import Program, Supervisor

READY_SECONDS = 90.0
READY_SENTENCE = "Plumbline is ready at "
STOP_ORDER = [["migrate", "web"], ["worker-gpu", "worker-default"], ["beat"]]
"""Nobody new comes in, work in hand ends, and only then what it needs: Redis and PostgreSQL come last."""


class StopRequested(BaseException):
    """Ctrl-C, SIGTERM or a closed terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOptions:
    host: str = "127.0.0.1"
    port: int = 8000
    workers: bool = True
    logs: Path | None = None

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


def needed() -> frozenset[str]:
    """The services nobody named a URL for."""
    variables = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}
    return frozenset(name for name, variable in variables.items() if not os.environ.get(variable))


def programs(options: SiteOptions) -> list[Program]:
    host = f"[{options.host}]" if ":" in options.host else options.host
    web = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"{host}:{options.port}"]
    web += ["--workers", "2", "--threads", "4", "--graceful-timeout", "5", "--no-control-socket"]
    return [Program(name="web", command=web), *(_celery_programs() if options.workers else [])]


def _celery_programs() -> list[Program]:
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "config"]
    worker = [*celery, "worker", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    # The run directories decide what a worker may touch; root's own machine needs no reminder at every start.
    environment = {"PYTHONWARNINGS": "ignore::UserWarning:celery.platforms"}
    return [
        Program(
            name="worker-default",
            command=[*worker, "-Q", "default", "-n", "default@%h", "--concurrency", "2"],
            stop=((signal.SIGTERM, 5.0), (signal.SIGQUIT, 3.0)),
            # Not SIGQUIT: Celery's cold shutdown can wait for ever on a pool that is gone. The pool's own processes ask
            # the kernel to be killed with their master.
            death_signal=signal.SIGKILL,
            environment=environment,
        ),
        Program(
            name="worker-gpu",
            command=[*worker, "-Q", "gpu", "-n", "gpu@%h", "--pool", "solo", "--prefetch-multiplier", "1"],
            # No SIGQUIT: Celery answers it with an exception inside the task, which would look like a failed run.
            # A killed worker's training ends with it, and the run goes on at the next start.
            stop=((signal.SIGTERM, 5.0),),
            death_signal=signal.SIGKILL,
            environment=environment,
        ),
        Program(name="beat", command=[*celery, "beat", "--loglevel", "WARNING"], death_signal=signal.SIGTERM),
    ]


def serve(options: SiteOptions) -> None:
    """Run the site until Ctrl-C or SIGTERM; everything that was started has ended when this returns or raises.

    Raises:
        EmbeddedError: it cannot run; the message says why.
    """
    require_free(options.host, options.port)
    supervisor = Supervisor(logs=options.logs)
    with contextlib.suppress(StopRequested), _signals(supervisor), contextlib.ExitStack() as stack:
        stack.callback(supervisor.say, "everything has ended")
        running = stack.enter_context(embedded.services(only=needed()))
        stack.callback(supervisor.stop, STOP_ORDER)
        migrate = [sys.executable, "manage.py", "migrate", "--no-input"]
        supervisor.run(Program(name="migrate", command=migrate, death_signal=signal.SIGKILL))
        _make_directories()
        for program in programs(options):
            supervisor.start(program)
        if not supervisor.tend(READY_SECONDS, until=lambda: answers(options)):
            raise EmbeddedError(f"The site did not answer within {READY_SECONDS:.0f} seconds.", code="not_ready")
        supervisor.say(f"{READY_SENTENCE}{options.address} (Ctrl-C ends it)")
        while True:
            supervisor.tend(1.0)
            running.require_alive()


def _make_directories() -> None:
    from django.conf import settings

    for directory in (Path(settings.CELERY_BEAT_SCHEDULE_FILENAME).parent, Path(settings.STATIC_ROOT)):
        directory.mkdir(parents=True, exist_ok=True)


def answers(options: SiteOptions) -> bool:
    """Whether the web server answers anything at all."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104 - read, not bound
    connection = http.client.HTTPConnection(host, options.port, timeout=5)
    try:
        connection.request("GET", "/healthz/", headers={"Host": f"localhost:{options.port}"})
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    """The first signal asks to stop; a second one, that it be quick about it."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or supervisor.stopping:
            supervisor.hurry = True
            return
        asked = True
        raise StopRequested

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
