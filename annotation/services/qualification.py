"""Qualification: training tasks with feedback before the first real one, and again after the guidelines changed."""

from __future__ import annotations

from statistics import fmean

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import Conflict
from accounts.models import AuditEvent, User
from annotation.models import Campaign, GuidelineVersion, Labeler, Lease, Participation, Ranking, Task, TaskRole
from annotation.quality import QualityPlan
from annotation.querysets import TaskQuerySet, for_reader
from annotation.services.participations import lock_participation
from annotation.states import LeaseState


def is_qualified(participation: Participation) -> bool:
    """Whether they have qualified, and under guidelines since which nobody is asked to qualify again; one query."""
    if participation.qualified_version_id is None:
        return False
    # Keys grow with the numbers: versions of a campaign are made one at a time.
    later = GuidelineVersion.objects.filter(
        campaign=participation.campaign_id, asks_again=True, pk__gt=participation.qualified_version_id
    )
    return not later.exists()


def check_may_go_on(participation: Participation, *, num_held: int) -> Task | None:
    """None for a labeler who is qualified; for others their next training task.

    Raises:
        Conflict: not_qualified, where there is none: they failed, or hold the last one, or none was made for them.
    """
    if is_qualified(participation):
        return None
    if participation.failed_at is not None:
        raise _not_qualified(
            _("Your training tasks did not reach the score this campaign asks for; its manager can let you try again.")
        )
    if participation.qualified_version_id is not None:
        _begin_round(participation)
        participation.save(update_fields=["qualified_version", "qualification_attempt", "attempts_before"])
    training = _training_for(participation)
    task = _left(training, participation).first()
    if task is not None:
        return task
    if num_held:
        raise _not_qualified(_("Finish the training task that you hold first; what comes next depends on it."))
    raise _not_qualified(
        _("This campaign begins with training tasks and has none for you yet; please tell its manager.")
    )


def _not_qualified(sentence: str) -> Conflict:
    return Conflict(sentence, code="not_qualified")


def _begin_round(participation: Participation) -> None:
    participation.qualified_version = None
    participation.qualification_attempt += 1
    participation.attempts_before = participation.qualification_attempt


def _training_for(participation: Participation) -> TaskQuerySet:
    tasks = Task.objects.not_archived().filter(campaign=participation.campaign_id, role=TaskRole.TRAINING)
    return tasks.filter(for_reader(participation))


def _left(training: TaskQuerySet, participation: Participation) -> TaskQuerySet:
    """Training tasks not done in this attempt; those that were skipped come again, last."""
    mine = Q(task=OuterRef("pk"), labeler=participation.labeler_id, repeat=participation.qualification_attempt)
    held = Lease.objects.filter(mine, state=LeaseState.ACTIVE)
    skipped = Lease.objects.filter(mine, state=LeaseState.SKIPPED)
    undone = training.filter(~Exists(held), ~Exists(Ranking.objects.current().filter(mine)))
    return undone.annotate(was_skipped=Exists(skipped)).order_by("was_skipped", "priority", "pk")


def settle(participation: Participation, plan: QualityPlan, ranking: Ranking) -> bool | None:
    """After a training task: True where the labeler has now qualified, False where the attempt failed, else None.

    Also: a failed attempt is followed by the next one, or by none where `attempts` are used up.
    """
    training = _training_for(participation)
    if _left(training, participation).exists():
        return None
    done = Ranking.objects.current().filter(
        task__in=training, labeler=participation.labeler_id, repeat=participation.qualification_attempt
    )
    scores = [score for score in done.values_list("gold_score", flat=True) if score is not None]
    has_qualified = bool(scores) and fmean(scores) >= plan.qualification_min
    if has_qualified:
        participation.qualified_version_id = ranking.guideline_version_id
    elif participation.qualification_attempt - participation.attempts_before + 1 < plan.attempts:
        participation.qualification_attempt += 1
    else:
        participation.failed_at = timezone.now()
    participation.save(update_fields=["qualified_version", "qualification_attempt", "failed_at"])
    return has_qualified


@transaction.atomic
def let_try_again(*, campaign: Campaign, labeler: Labeler, by: User | None) -> Participation:
    """Give somebody who failed to qualify all attempts once more.

    Also: records `campaign.qualification_retry`.

    Raises:
        Conflict: not_failed.
    """
    participation = lock_participation(campaign_id=campaign.pk, labeler_id=labeler.pk)
    if participation.failed_at is None:
        raise Conflict(_("%(name)s has not used up the attempts to qualify.") % {"name": labeler}, code="not_failed")
    _begin_round(participation)
    participation.failed_at = None
    participation.save(update_fields=["qualified_version", "qualification_attempt", "attempts_before", "failed_at"])
    _record(campaign, labeler, by, "campaign.qualification_retry")
    return participation


@transaction.atomic
def wave_through(*, campaign: Campaign, labeler: Labeler, by: User | None) -> Participation:
    """Let somebody work without the training tasks, until guidelines ask everybody to qualify again.

    Also: records `campaign.qualification_waive`.

    Raises:
        Conflict: already_qualified.
    """
    participation = lock_participation(campaign_id=campaign.pk, labeler_id=labeler.pk)
    if is_qualified(participation):
        raise Conflict(_("%(name)s is qualified already.") % {"name": labeler}, code="already_qualified")
    participation.qualified_version = campaign.guidelines.order_by("-number").first()
    participation.failed_at = None
    participation.save(update_fields=["qualified_version", "failed_at"])
    _record(campaign, labeler, by, "campaign.qualification_waive")
    return participation


def _record(campaign: Campaign, labeler: Labeler, by: User | None, verb: str) -> None:
    AuditEvent.record(
        workspace=campaign.workspace, actor=by, verb=verb, target=campaign, labeler=str(labeler.public_id)
    )
