"""Envelopes for Celery: ids in, one call."""

from __future__ import annotations

from celery import shared_task

from annotation import services, simulation
from annotation.models import Campaign, Labeler


@shared_task(name="annotation.tasks.expire_leases")
def expire_leases() -> None:
    services.expire_leases()


@shared_task(name="annotation.tasks.run_simulated_labeler")
def run_simulated_labeler(
    campaign_id: int, labeler_id: int, seed: int, limit: int | None = None, purpose: str | None = None
) -> None:
    simulation.work_queue(
        campaign=Campaign.objects.get(pk=campaign_id),
        labeler=Labeler.objects.get(pk=labeler_id),
        seed=seed,
        limit=limit,
        purpose=purpose,
    )
