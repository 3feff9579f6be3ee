"""Stands between a worker and a training process for a moment, then becomes it: `shim.py WORKER_PID COMMAND...`.

The process asks for the worker's death signal itself, but a launcher in front of it (RUN_LAUNCH) does not. A death
signal survives exec, and asking for it here, after the fork, is safe where a preexec_fn in a threaded worker is not.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    worker, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != worker:
        sys.exit("the worker ended before its process began")
    os.umask(0o077)
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        sys.exit(f"{error.strerror}: {command[0]}")


if __name__ == "__main__":
    main()
