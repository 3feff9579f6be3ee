"""Stands for a moment between the supervisor and a program, then becomes it.

Run as a plain file by the interpreter: `child.py PARENT_PID DEATH_SIGNAL UID GID DIRECTORY COMMAND...`. A preexec_fn
would do the same, but is unsafe once the parent has threads. The order matters: changing the user clears the death
signal, a parent that died before prctl would never send it, and the new user may not be able to read Python's library,
so nothing may be imported any more (execvp does).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, death_signal, uid, gid = (int(value) for value in sys.argv[1:5])
    directory, command = sys.argv[5], sys.argv[6:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the supervisor ended before its child began")
    os.umask(0o077)
    # A shell starts background jobs deaf to SIGINT and SIGQUIT, Python ignores SIGPIPE: all that would be inherited.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.chdir(directory)
        os.execv(command[0], command)  # noqa: S606 - becoming the command is the purpose
    except OSError as error:
        sys.exit(f"{error.strerror}: {error.filename}")


if __name__ == "__main__":
    main()
