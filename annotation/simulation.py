"""Simulated labelers at work: they take tasks from the same blind queue as people and hand in through the same door."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.enqueue import enqueue
from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent, User, Workspace
from accounts.text import check_text
from annotation.models import Campaign, Completion, Labeler, LabelerKind, Lease, Purpose
from annotation.personas import CREW, Persona, SimulatedLabeler
from annotation.protocols import Questions
from annotation.services import Submission, SubmittedItem, claim_task, submit_ranking
from annotation.services.leases import check_open
from annotation.simulated_answers import ranks_under, ratings_under, rationale_under, strength_under

logger = logging.getLogger(__name__)


@transaction.atomic
def create_simulated_labelers(
    *, workspace: Workspace, by: User | None, campaign: Campaign, crew: Sequence[SimulatedLabeler] = CREW
) -> list[Labeler]:
    """Get or create labelers that simulate the crew, in its order; they are marked as simulated wherever they show.

    Also: a labeler who is there already takes on the traits given; records `labelers.simulate` on the campaign.

    Raises:
        Refused: the codes of `check_text`.
    """
    labelers = []
    for member in crew:
        check_text(member.name, what=_("A labeler's name"), max_characters=120)
        labeler, _created = Labeler.objects.update_or_create(
            workspace=workspace, kind=LabelerKind.SIMULATED, name=member.name, defaults={"persona": asdict(member)}
        )
        labelers.append(labeler)
    AuditEvent.record(
        workspace=workspace,
        actor=by,
        verb="labelers.simulate",
        target=campaign,
        names=[labeler.name for labeler in labelers],
    )
    return labelers


@transaction.atomic
def start_simulation(
    *,
    campaign: Campaign,
    by: User | None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    purpose: str | None = None,
    limit: int | None = None,
) -> list[Labeler]:
    """Let members of the crew work through the campaign's queue on a Celery worker, each in a task of its own.

    Also: creates their labelers; records `labelers.simulate`.

    Args:
        names: of the crew; None: all of them.

    Raises:
        Refused: persona_unknown, purpose_unknown, rewrite_required, campaign_closed.
    """
    known = {member.name: member for member in CREW}
    wanted = list(known) if names is None else list(dict.fromkeys(names))
    if not wanted or set(wanted) - set(known):
        raise Refused(
            _("Simulated labelers are named %(known)s; choose among them.") % {"known": ", ".join(known)},
            code="persona_unknown",
        )
    if purpose is not None and purpose not in Purpose.values:
        raise Refused(_("%(purpose)s is not a purpose.") % {"purpose": purpose}, code="purpose_unknown")
    if Questions.read(campaign.questions).rewrite == "required":
        raise Refused(
            _("Simulated labelers do not write better versions; ask for them as optional."), code="rewrite_required"
        )
    check_open(campaign)
    crew = [known[name] for name in wanted]
    labelers = create_simulated_labelers(workspace=campaign.workspace, by=by, campaign=campaign, crew=crew)
    for labeler in labelers:
        enqueue("annotation.tasks.run_simulated_labeler", campaign.pk, labeler.pk, seed, limit, purpose)
    return labelers


def judge_of(labeler: Labeler) -> SimulatedLabeler:
    """The judge that a labeler's stored traits describe.

    Raises:
        Refused: not_simulated, persona_invalid.
    """
    if labeler.kind != LabelerKind.SIMULATED:
        raise Refused(_("Only simulated labelers are simulated."), code="not_simulated")
    try:
        return SimulatedLabeler(**{**labeler.persona, "persona": Persona(**labeler.persona["persona"])})
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(
            _("The traits of %(name)s cannot be read: %(why)s") % {"name": labeler.name, "why": error},
            code="persona_invalid",
        ) from None


def work_queue(
    *, campaign: Campaign, labeler: Labeler, seed: int, limit: int | None = None, purpose: str | None = None
) -> int:
    """Claim, rank and submit until nothing is left for this labeler; returns the number of rankings.

    Also: they qualify as people do, and whoever fails stops there, until a manager lets them go on.

    Args:
        seed: the same seed, prompts and answers give the same rankings, whatever the order of the work.
        limit: stop after so many rankings.

    Raises:
        Refused: not_simulated, persona_invalid, campaign_closed.
    """
    judge = judge_of(labeler)
    done = 0
    while limit is None or done < limit:
        try:
            lease = claim_task(campaign=campaign, labeler=labeler, purpose=purpose)
        except Conflict as conflict:
            if conflict.code != "not_qualified":
                raise
            logger.info("%s stops in %s: %s", labeler.name, campaign.name, conflict.message)
            break
        if lease is None:
            break
        submit_ranking(lease=lease, submission=judged(judge, lease, seed))
        done += 1
    return done


def judged(judge: SimulatedLabeler, lease: Lease, seed: int) -> Submission:
    """The judge's answer to what the campaign asks: from the prompt's text and the answers' texts, nothing else."""
    texts = {
        str(public_id): text
        for public_id, text in Completion.objects.filter(public_id__in=lease.shown).values_list("public_id", "text")
    }
    answers = [texts[public_id] for public_id in lease.shown]
    judgement = judge.judge(
        seed=seed, task=_key(lease, texts), prompt=lease.task.prompt.text, answers=answers, repeat=lease.repeat
    )
    campaign = lease.task.campaign
    questions = Questions.read(campaign.questions)
    ranks = ranks_under(campaign.protocol, judgement)
    ratings = ratings_under(questions, judge, judgement)
    return Submission(
        items=[
            SubmittedItem(completion_id=UUID(public_id), rank=rank, unrankable_reason=reason, rating=rating)
            for public_id, rank, reason, rating in zip(lease.shown, ranks, judgement.reasons, ratings, strict=True)
        ],
        none_acceptable=judgement.none_acceptable,
        active_seconds=judgement.active_seconds,
        strength=strength_under(campaign.protocol, judge, judgement),
        rationale=rationale_under(questions, judge),
    )


def _key(lease: Lease, texts: Mapping[str, str]) -> str:
    """What tells tasks apart in every run of a simulation: the content, as ids differ from one database to the next."""
    ordered = [str(public_id) for public_id in lease.task.items.values_list("completion__public_id", flat=True)]
    content = "\0".join([lease.task.prompt.content_sha256, *(texts[public_id] for public_id in ordered)])
    return hashlib.sha256(content.encode()).hexdigest()
