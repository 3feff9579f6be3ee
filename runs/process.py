"""A training process as its worker sees it: bare environment, dead with its worker, stopped on request."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from django.conf import settings

from runs.logs import LogPump, Redactor

ENVIRONMENT = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCH_HOME", "TRITON_CACHE_DIR", "CC", "CXX", "GPU_OPS"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "XDG_CACHE_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"),
    *("REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_CONFIG_FILE", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    *("PIP_NO_INDEX", "PIP_DEFAULT_TIMEOUT", "MODEL_ROOTS", "PLUMBLINE_VAR", "RUN_MEMORY_MIB"),
)
"""All that a training process is told of its worker's environment: no database, no broker, no keys."""


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    allowed = {name: environment[name] for name in ENVIRONMENT if name in environment}
    return {**allowed, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}


def child_command(module: str, directory: Path) -> list[str]:
    """`python -m MODULE DIRECTORY`, with RUN_LAUNCH in place of `python` where it is set."""
    launch = shlex.split(settings.RUN_LAUNCH) or [sys.executable]
    shim = str(Path(__file__).with_name("shim.py"))
    return [sys.executable, "-I", "-S", shim, str(os.getpid()), *launch, "-m", module, str(directory)]


class ChildProcess:
    """Started on entering, certainly ended on leaving."""

    def __init__(self, *, module: str, directory: Path, log: Path) -> None:
        secrets = [settings.SECRET_KEY, settings.DATABASES["default"].get("PASSWORD", ""), settings.REDIS_URL]
        self._redact = Redactor.of_this_process(*map(str, secrets))
        self._command = child_command(module, directory)
        self._log_path = log

    def __enter__(self) -> ChildProcess:
        # A session of its own: Ctrl-C in the terminal reaches the worker only, and the whole group can be ended.
        self._process = subprocess.Popen(
            self._command,
            cwd=settings.BASE_DIR,
            env=child_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.log = LogPump(pipe=self._process.stdout.fileno(), path=self._log_path, redact=self._redact)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()
        self.log.close()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N when signal N ended it."""
        return self._process.poll()

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Sent to the group also after the process itself ended: what it started must not outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
