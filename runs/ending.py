"""What a process's end means, in sentences."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from typing import NamedTuple

from django.utils.translation import gettext as _

from runs.logs import tail

EXIT_LOCKED = 73
"""The process found another one alive in its directory (reward/training/rundir.py)."""
LAST_LINES = 12
LOG_BYTES = 8192


class Crash(NamedTuple):
    code: str
    message: str


def explain(exit_code: int, log: Path) -> Crash:
    """Why a process ended without an outcome, with the last lines of its log."""
    printed = tail(log, LOG_BYTES)
    last = "\n".join(line for line in printed.splitlines() if line.strip()).splitlines()[-LAST_LINES:]
    if "No space left on device" in "\n".join(last):
        return Crash("disk_full", disk_full(log.parent))
    if exit_code == -signal.SIGKILL or exit_code == 128 + signal.SIGKILL:
        message = _(
            "The process was killed (signal 9), most often because the machine ran out of memory; "
            "use a smaller batch or model, or a machine with more memory."
        )
        return Crash("killed", "\n".join([message, *last]))
    if exit_code < 0:
        message = _("The process was ended by signal %(n)d.") % {"n": -exit_code}
    else:
        message = _("The process stopped without a result (exit code %(n)d).") % {"n": exit_code}
    return Crash("crashed", "\n".join([message, *last]))


def disk_full(where: Path) -> str:
    return _("The disk that holds %(path)s is full; free some space there and start the run again.") % {"path": where}


def is_disk_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
