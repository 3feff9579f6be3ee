"""What migrations make of rows that are there already."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from annotation.models import GuidelineVersion, Lease
from annotation.services import add_guideline_version, claim_task
from tests.cast import make_campaign, make_cast, make_task


def migrate(name: str) -> None:
    MigrationExecutor(connection).migrate([("annotation", name)])


def test_leases_get_the_guidelines_that_stood_when_they_were_handed_out(transactional_db: None) -> None:
    cast = make_cast()
    campaign = make_campaign(cast)
    for labeler in (cast.alice, cast.bob):
        make_task(campaign, f"for {labeler}")
        claim_task(campaign=campaign, labeler=cast.labeler(labeler))
        add_guideline_version(campaign=campaign, by=cast.manager, text=f"after {labeler}")
    first, second, _newest = GuidelineVersion.objects.filter(campaign=campaign).order_by("number")
    early, late = Lease.objects.order_by("pk")
    assert (early.guideline_version, late.guideline_version) == (first, second)
    # As in a campaign that was made by hand: its guidelines came after the first task was handed out.
    Lease.objects.filter(pk=early.pk).update(created_at=timezone.now() - timedelta(days=1))

    try:
        migrate("0003_labelling")
    finally:
        migrate("0004_lease_guidelines")

    stood = Lease.objects.order_by("pk").values_list("guideline_version", flat=True)
    assert list(stood) == [first.pk, second.pk]
