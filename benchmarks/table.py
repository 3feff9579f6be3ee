"""The table's rows, as text and as JSON, and what they were measured with."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import platform
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.cpu import BUSY_CORES, cpu_model

PACKAGES = (
    "torch",
    "triton",
    "numpy",
    "trl",
    "liger-kernel",
    "cut-cross-entropy",
    "quack-kernels",
    "nvidia-cutlass-dsl",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """None where a number does not apply or was not measured. Medians over `rounds`."""

    op: str
    impl: str
    device: str
    dtype: str
    T: int
    """Tokens; columns for gae."""
    D: int | None
    V: int | None
    direction: str
    """Written as "pass": "fwd" without gradient, or "fwd+bwd"."""
    ms: float
    cpu_seconds: float
    """User and system time of all threads."""
    rounds: int
    busy_elsewhere: float | None = None
    """Cores that other processes used while this row's group was timed."""
    B: int | None = None
    """Sequences, gae only."""
    ratio_to_gemm: float | None = None
    """ms over that of the bare GEMMs of the same op, pass and size: one GEMM for fwd, three for fwd+bwd."""
    extra_mib: float | None = None
    logp_max_err: float | None = None
    entropy_max_err: float | None = None
    ratio_err: float | None = None
    grad_rel_err: float | None = None
    """The greater of the two below."""
    dx_rel_err: float | None = None
    dw_rel_err: float | None = None
    advantage_max_err: float | None = None
    """gae only."""
    deterministic: bool | None = None
    graph_breaks: int | None = None
    time_cut: float | None = None
    """Share of the time that leaving out `prompt_share` of the tokens saved."""
    prompt_share: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {"pass" if name == "direction" else name: value for name, value in dataclasses.asdict(self).items()}


def as_json(rows: Sequence[Row], left_out: Sequence[str], device: str, arguments: Sequence[str]) -> dict[str, Any]:
    return {
        "machine": machine(device),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "arguments": list(arguments),
        "left_out": list(left_out),
        "rows": [row.as_json() for row in rows],
    }


def machine(device: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "system": platform.platform(),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "gpu_mib": properties.total_memory // 2**20, "cuda": torch.version.cuda}
    return found


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("impl", lambda row: row.impl),
    ("ms", lambda row: f"{row.ms:.2f}" if row.ms < 100 else f"{row.ms:.0f}"),
    ("x GEMMs", lambda row: _number(row.ratio_to_gemm, ".3f")),
    ("cpu s", lambda row: f"{row.cpu_seconds:.3f}"),
    ("rounds", lambda row: str(row.rounds)),
    ("extra MiB", lambda row: _number(row.extra_mib, ".0f")),
    ("logp err", lambda row: _number(row.logp_max_err, ".1e")),
    ("entropy err", lambda row: _number(row.entropy_max_err, ".1e")),
    ("ratio err", lambda row: _number(row.ratio_err, ".1e")),
    ("dX err", lambda row: _number(row.dx_rel_err, ".1e")),
    ("dW err", lambda row: _number(row.dw_rel_err, ".1e")),
    ("same bits", lambda row: {None: "-", True: "yes", False: "no"}[row.deterministic]),
    ("breaks", lambda row: _number(row.graph_breaks, "d")),
)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def title(row: Row) -> str:
    shape = f"B={row.B} T={row.T}" if row.D is None else f"T={row.T} D={row.D} V={row.V}"
    return f"{row.op}, {row.direction}, {shape}, {row.dtype} on {row.device}"


def as_text(rows: Sequence[Row]) -> str:
    """Rows of one op, pass and size."""
    cells = [[name for name, _ in COLUMNS], *([show(row) for _, show in COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [title(rows[0])]
    for line in cells:
        lines.append(
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        )
    if (busy := rows[0].busy_elsewhere) and busy > BUSY_CORES:
        lines.append(f"Other processes used {busy:.2f} cores meanwhile: do not trust these times.")
    for row in rows:
        if row.time_cut is not None and row.prompt_share is not None:
            lines.append(f"{100 * row.prompt_share:.1f} % prompt tokens cut the time by {100 * row.time_cut:.1f} %.")
        if row.advantage_max_err is not None:
            lines.append(f"{row.impl}: advantages within {row.advantage_max_err:.1e} of a float64 loop.")
    return "\n".join(lines) + "\n"
