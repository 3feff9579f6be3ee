"""Measures a worker's machine when the worker starts: a process of its own loads torch and tells in a file."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from runs import shutdown
from runs.kinds import DEFAULT_QUEUE
from runs.models import Machine
from runs.process import child_environment
from runs.services import tell_machine
from runs.slots import device_slot

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 300.0


def start() -> None:
    """Measure in a thread, so that the worker is ready meanwhile; a run that comes first waits for the device."""
    if settings.RUN_PROBE:
        threading.Thread(target=measure_and_tell, name="machine-probe", daemon=True).start()


def measure_and_tell() -> None:
    """Wait for the device, measure, and keep what was found."""
    # Beside a run both would be slow: the device is taken, as by a run.
    with device_slot(is_wanted=lambda: not shutdown.is_requested()) as is_free:
        if not is_free:
            return
        try:
            facts = measure(known=_known())
        except (OSError, ValueError, subprocess.SubprocessError, DatabaseError) as error:
            logger.warning("This machine could not be measured, so estimates know nothing of it: %s", _why(error))
            return
    try:
        tell_machine(host=socket.gethostname(), queue=DEFAULT_QUEUE, facts=facts)
    except (DatabaseError, KeyError) as error:
        logger.warning("What was measured of this machine could not be kept: %s", error)
    finally:
        connection.close()


def _why(error: Exception) -> str:
    """With the last line that the process said, where it failed: its exit status alone tells nobody anything."""
    said: bytes = getattr(error, "stderr", None) or b""
    return " ".join([str(error), *said.decode(errors="replace").splitlines()[-1:]])


def _known() -> list[Any] | None:
    """What the speeds that were measured before are of."""
    row = Machine.objects.filter(host=socket.gethostname()[:120], queue=DEFAULT_QUEUE).exclude(speeds={})
    found = row.values_list("device", "name", "cores", "threads").first()
    connection.close()
    return None if found is None else list(found)


def measure(*, known: list[Any] | None = None) -> dict[str, Any]:
    """What RUN_PROBE tells of this machine; without speeds where it is the one that is known.

    Raises:
        OSError, ValueError, SubprocessError: it told nothing.
    """
    threads = settings.RUN_THREADS or len(os.sched_getaffinity(0))
    out = Path(settings.RUNS_DIR) / "machine.json"
    out.unlink(missing_ok=True)
    asked = json.dumps({"out": str(out), "device": settings.RUN_DEVICE, "threads": threads, "known": known})
    shim = str(Path(__file__).with_name("shim.py"))
    subprocess.run(
        [sys.executable, "-I", "-S", shim, str(os.getpid()), sys.executable, "-m", settings.RUN_PROBE, asked],
        cwd=settings.BASE_DIR,
        env=child_environment(os.environ) | {"OMP_WAIT_POLICY": "PASSIVE"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    facts: dict[str, Any] = json.loads(out.read_text())
    return facts
