"""A labeler set aside or taken back, with everything that holds their rankings."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count, Q

from accounts.errors import Refused
from accounts.models import User
from annotation.models import Campaign, Exclusion, Labeler
from annotation.services import exclude_labeler, readmit_labeler
from reward.models import RewardModel, Snapshot
from reward.services import freeze_snapshot
from runs.models import Run


class Rebuilt(NamedTuple):
    snapshot: Snapshot | None
    """The rankings as they count now; None where the campaign has no snapshot to rebuild, or too little is left."""
    refused: Refused | None
    """Why there is none, where there was one before."""


class Version(NamedTuple):
    version: RewardModel
    reliability: float | None
    """As its training estimated it, in [0, 1]."""
    weight: float | None
    runs: list[Run]
    """PPO runs that learned from its scores, newest first."""


class Holding(NamedTuple):
    """A snapshot with rankings of a labeler, and what was made from it."""

    snapshot: Snapshot
    num_rankings: int
    """Theirs in it."""
    versions: list[Version]
    runs: list[Run]
    """DPO and SFT runs that learned from the snapshot itself, newest first."""


class Voice(NamedTuple):
    """A labeler in a snapshot."""

    labeler: Labeler
    num_rankings: int
    exclusion: Exclusion | None
    """In force now, since before or after the snapshot was frozen."""


@transaction.atomic
def set_labeler_aside(*, campaign: Campaign, labeler: Labeler, by: User | None, reason: str) -> Rebuilt:
    """Let a labeler's rankings count for nothing and, where the campaign has a snapshot, freeze one without them.

    Too few rankings without them is no reason to keep them: then there is no new snapshot, and it is said why.

    Raises:
        Refused: the codes of `exclude_labeler`.
    """
    exclude_labeler(campaign=campaign, labeler=labeler, by=by, reason=reason)
    return _rebuild(campaign, by)


@transaction.atomic
def take_labeler_back(*, campaign: Campaign, labeler: Labeler, by: User | None) -> Rebuilt:
    """Let a labeler's rankings count again and, where the campaign has a snapshot, freeze one with them.

    Raises:
        Refused: the codes of `readmit_labeler`.
    """
    readmit_labeler(campaign=campaign, labeler=labeler, by=by)
    return _rebuild(campaign, by)


def _rebuild(campaign: Campaign, by: User | None) -> Rebuilt:
    if not campaign.snapshots.exists():
        return Rebuilt(None, None)
    try:
        return Rebuilt(freeze_snapshot(campaign=campaign, by=by), None)
    except Refused as error:
        return Rebuilt(None, error)


def holdings(campaign: Campaign, labeler: Labeler) -> list[Holding]:
    """Snapshots of the campaign that hold the labeler's rankings, newest first; three queries."""
    snapshots = list(
        campaign.snapshots.filter(rankings__labeler=labeler)
        .annotate(num_theirs=Count("rankings"))
        .prefetch_related("reward_models")
        .order_by("-number")
    )
    versions = {version.sha256 for snapshot in snapshots for version in snapshot.reward_models.all()}
    learned = Run.objects.filter(workspace=campaign.workspace, kind__startswith="policy.").order_by("-pk")
    by_input: dict[str, list[Run]] = {}
    for run in learned.filter(
        Q(inputs__reward__sha256__in=versions)
        | Q(inputs__groups__sha256__in=[snapshot.sha256 for snapshot in snapshots])
    ):
        source = run.inputs.get("reward") or run.inputs["groups"]
        by_input.setdefault(source["sha256"], []).append(run)
    return [
        Holding(
            snapshot=snapshot,
            num_rankings=snapshot.num_theirs,
            versions=[
                _version(version, labeler, by_input.get(version.sha256, []))
                for version in sorted(snapshot.reward_models.all(), key=lambda version: -version.number)
            ],
            runs=by_input.get(snapshot.sha256, []),
        )
        for snapshot in snapshots
    ]


def _version(version: RewardModel, labeler: Labeler, runs: list[Run]) -> Version:
    rows: list[dict[str, Any]] = version.evaluation.get("labelers", [])
    told = next((row for row in rows if row["labeler"] == str(labeler.public_id)), {})
    return Version(version, told.get("reliability"), told.get("weight"), runs)


def voices(snapshot: Snapshot) -> list[Voice]:
    """Whose rankings a snapshot holds, most first; two queries."""
    found = Labeler.objects.filter(rankings__snapshots=snapshot).annotate(num_in=Count("rankings"))
    aside = {row.labeler_id: row for row in Exclusion.objects.in_force().filter(campaign=snapshot.campaign_id)}
    ordered = found.order_by("-num_in", "name", "pk")
    return [Voice(labeler, labeler.num_in, aside.get(labeler.pk)) for labeler in ordered]


def set_aside_in(snapshot: Snapshot) -> list[Labeler]:
    """Labelers with rankings in a snapshot who are set aside now, by name."""
    excluded = Exclusion.objects.in_force().filter(campaign=snapshot.campaign_id).values("labeler")
    return list(Labeler.objects.filter(pk__in=excluded, rankings__snapshots=snapshot).distinct().order_by("name", "pk"))
