"""What workers tell of their machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from runs.models import Machine

FACTS = ("device", "name", "cores", "threads", "memory_bytes", "swap_bytes")
SPEEDS = ("has_bfloat16", "speeds")


def tell_machine(*, host: str, queue: str, facts: Mapping[str, Any]) -> Machine:
    """Keep what was found of a machine, in place of what its worker told before; its speeds only where there are new
    ones."""
    now = timezone.now()
    told: dict[str, Any] = {name: facts[name] for name in FACTS} | {"seen_at": now}
    if "speeds" in facts:
        told |= {name: facts[name] for name in SPEEDS} | {"measured_at": now}
    machine, _is_new = Machine.objects.update_or_create(
        host=host[:120], queue=queue, defaults=told, create_defaults={"measured_at": now, **told}
    )
    return machine


def see_machine(worker: str) -> None:
    """Note that a worker, named host:process, is at work."""
    Machine.objects.filter(host=worker.rpartition(":")[0]).update(seen_at=timezone.now())
