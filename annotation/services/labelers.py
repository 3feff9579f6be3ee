"""Labelers: who stands for a person, and whose rankings count."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, When
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent, User, Workspace
from accounts.statements import Given, Statement
from accounts.text import check_text
from accounts.writes import Part, whether
from annotation.models import Campaign, Exclusion, Labeler, LabelerKind, Participation, Ranking, Task, TaskRole
from annotation.querysets import TaskQuerySet
from annotation.services.campaign_settings import NAME_MAX_CHARACTERS
from annotation.services.participations import lock_participation

REASON_MAX_CHARACTERS = 500
IN_FORCE = Statement(
    lambda: Exclusion.objects.in_force().filter(campaign=Given("campaign"), labeler=Given("labeler"))[:1]
)

PERSONS_LABELER = Statement(lambda: Labeler.objects.filter(workspace=Given("workspace"), user=Given("user")))


def labeler_for(*, workspace: Workspace, user: User) -> Labeler:
    """The labeler who stands for a person in a workspace; made when they first work there."""
    known = PERSONS_LABELER.first(workspace=workspace.pk, user=user.pk)
    if known is not None:
        return known
    labeler, _created = Labeler.objects.get_or_create(
        workspace=workspace, user=user, defaults={"kind": LabelerKind.HUMAN, "name": str(user)[:NAME_MAX_CHARACTERS]}
    )
    return labeler


@transaction.atomic
def exclude_labeler(*, campaign: Campaign, labeler: Labeler, by: User | None, reason: str) -> Exclusion:
    """Set a labeler aside: what they ranked in the campaign, and go on to rank, counts no more.

    Agreement, win rates and new snapshots leave it out; the campaign's progress does not: it was said.
    Nothing is deleted; snapshots and models made before stay as they are. A seat is taken away by `remove_member`.
    An archived campaign allows it too: its rankings do not change, only what is made of them.

    Also: the slots of their rankings go back to the queue, for others; records `campaign.labeler_exclude`.

    Raises:
        Refused: labeler_unknown (404), labeler_excluded (409) or the codes of `check_text`.
    """
    check_text(reason, what=_("The reason"), max_characters=REASON_MAX_CHARACTERS)
    _lock(campaign, labeler)
    exclusion, is_new = Exclusion.objects.in_force().get_or_create(
        campaign=campaign, labeler=labeler, defaults={"reason": reason.strip(), "created_by": by}
    )
    if not is_new:
        raise Conflict(_("%(name)s is set aside already.") % {"name": labeler}, code="labeler_excluded")
    _reopen_slots(campaign, labeler)
    AuditEvent.record(
        workspace=campaign.workspace,
        actor=by,
        verb="campaign.labeler_exclude",
        target=campaign,
        labeler=str(labeler.public_id),
        reason=exclusion.reason,
    )
    return exclusion


@transaction.atomic
def readmit_labeler(*, campaign: Campaign, labeler: Labeler, by: User | None) -> Exclusion:
    """Let a labeler's rankings count again.

    Also: they take up free slots of their tasks; where others have filled them, the task's overlap grows; records
    `campaign.labeler_readmit`.

    Raises:
        Refused: labeler_unknown (404) or labeler_not_excluded (409).
    """
    _lock(campaign, labeler)
    exclusion = Exclusion.objects.in_force().filter(campaign=campaign, labeler=labeler).first()
    if exclusion is None:
        raise Conflict(_("%(name)s is not set aside.") % {"name": labeler}, code="labeler_not_excluded")
    exclusion.lifted_by, exclusion.lifted_at = by, timezone.now()
    exclusion.save(update_fields=["lifted_by", "lifted_at"])
    _fill_slots(campaign, labeler)
    AuditEvent.record(
        workspace=campaign.workspace,
        actor=by,
        verb="campaign.labeler_readmit",
        target=campaign,
        labeler=str(labeler.public_id),
    )
    return exclusion


def _lock(campaign: Campaign, labeler: Labeler) -> None:
    """One change at a time, and none while a snapshot is frozen."""
    if labeler.workspace_id != campaign.workspace_id:
        raise Refused(_("There is no such labeler in this workspace."), code="labeler_unknown", status=404)
    Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    # Nor while they hand something in.
    lock_participation(campaign_id=campaign.pk, labeler_id=labeler.pk)


def is_set_aside(standing: Participation) -> bool:
    """Whether the labeler's rankings count for nothing now; exact while their standing is locked."""
    return IN_FORCE.first(campaign=standing.campaign_id, labeler=standing.labeler_id) is not None


def whether_set_aside(standing: Participation) -> Part:
    """`is_set_aside`, asked beside what is written."""
    return whether(IN_FORCE, campaign=standing.campaign_id, labeler=standing.labeler_id)


def _ranked_tasks(campaign: Campaign, labeler: Labeler) -> TaskQuerySet:
    """Tasks whose slots the labeler's rankings take, locked in the order of their keys."""
    said = Ranking.objects.current().filter(task=OuterRef("pk"), labeler=labeler, repeat=0)
    tasks = Task.objects.not_archived().filter(campaign=campaign, role=TaskRole.WORK).filter(Exists(said))
    # Evaluated for its locks only.
    len(tasks.select_for_update(no_key=True, of=("self",)).order_by("pk").values_list("pk"))
    return tasks


def _reopen_slots(campaign: Campaign, labeler: Labeler) -> None:
    _ranked_tasks(campaign, labeler).update(free_slots=F("free_slots") + 1, returned_at=timezone.now())


def _fill_slots(campaign: Campaign, labeler: Labeler) -> None:
    num_taken = Case(When(free_slots__gt=0, then=1), default=0)
    _ranked_tasks(campaign, labeler).update(
        free_slots=F("free_slots") - num_taken, overlap=F("overlap") + 1 - num_taken
    )
