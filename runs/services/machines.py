"""What workers tell of their machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from runs.models import Machine

FACTS = ("device", "name", "cores", "threads", "memory_bytes", "swap_bytes", "has_bfloat16", "speeds")


def tell_machine(*, host: str, queue: str, facts: Mapping[str, Any]) -> Machine:
    """Keep what was measured of a machine, in place of what its worker told before."""
    told = {name: facts[name] for name in FACTS}
    told["name"] = str(told["name"])[:120]
    machine, _is_new = Machine.objects.update_or_create(
        host=host[:120], queue=queue, defaults={**told, "seen_at": timezone.now()}
    )
    return machine


def see_machine(worker: str) -> None:
    """Note that a worker, named host:process, is at work."""
    Machine.objects.filter(host=worker.rpartition(":")[0]).update(seen_at=timezone.now())
