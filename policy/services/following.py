"""Which campaign a lineage feeds: the joint that closes the loop."""

from __future__ import annotations

import math

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.models import Campaign, Split
from annotation.states import CampaignState
from policy.models import Checkpoint, Follow, Lineage
from policy.services.sampling import FOLLOW_PRIORITY, start_sampling
from runs.models import Run, RunNote


@transaction.atomic
def follow(
    *,
    campaign: Campaign,
    lineage: Lineage,
    by: User | None,
    completions_per_prompt: int = 2,
    max_prompts: int = 64,
    max_new_tokens: int = 128,
    temperature: float = 1.0,
) -> Follow:
    """Let a campaign follow a lineage; following again changes the numbers.

    Raises:
        Refused: campaign and lineage are of different workspaces, or a number is out of range.
    """
    if campaign.workspace_id != lineage.workspace_id:
        raise Refused(_("Campaign and lineage must be of one workspace."), code="workspace_mismatch")
    numbers_fit = 1 <= completions_per_prompt <= 9 and max_prompts >= 1 and max_new_tokens >= 1
    if not (numbers_fit and math.isfinite(temperature) and temperature > 0):
        raise Refused(
            _("Following needs 1 to 9 answers per prompt, at least one prompt and token, and a temperature above 0."),
            code="follow_invalid",
        )
    followed, _created = Follow.objects.update_or_create(
        campaign=campaign,
        lineage=lineage,
        defaults={
            "completions_per_prompt": completions_per_prompt,
            "max_prompts": max_prompts,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "is_active": True,
        },
    )
    AuditEvent.record(workspace=campaign.workspace, actor=by, verb="policy.follow", target=campaign, lineage=lineage.pk)
    return followed


@transaction.atomic
def unfollow(*, campaign: Campaign, lineage: Lineage, by: User | None) -> None:
    Follow.objects.filter(campaign=campaign, lineage=lineage).update(is_active=False)
    AuditEvent.record(
        workspace=campaign.workspace, actor=by, verb="policy.unfollow", target=campaign, lineage=lineage.pk
    )


def feed_followers(checkpoint: Checkpoint) -> list[Run]:
    """Queue the answers of a new checkpoint and its parent for every open campaign that follows its lineage.

    Also: a campaign that cannot be fed leaves a note on the checkpoint's run; the checkpoint is not lost for it.
    """
    follows = Follow.objects.filter(
        lineage=checkpoint.lineage, is_active=True, campaign__state=CampaignState.OPEN
    ).select_related("campaign__workspace")
    started = []
    for followed in follows.order_by("pk"):
        try:
            started.append(_feed(followed, checkpoint))
        except Refused as refused:
            if checkpoint.run is not None:
                message = _("%(campaign)s follows this lineage but gets no answers: %(why)s")
                RunNote.objects.create(
                    run=checkpoint.run,
                    level="warning",
                    code=refused.code,
                    message=message % {"campaign": followed.campaign, "why": refused.message},
                    created_at=timezone.now(),
                )
    return started


def _feed(followed: Follow, checkpoint: Checkpoint) -> Run:
    sides = [checkpoint] if checkpoint.parent is None else [checkpoint, checkpoint.parent]
    return start_sampling(
        campaign=followed.campaign,
        by=None,
        checkpoints=sides,
        per_prompt=followed.completions_per_prompt,
        splits=[Split.TRAIN],
        config={"max_new_tokens": followed.max_new_tokens, "temperature": followed.temperature},
        # Another seed for each checkpoint: its parent's answers must be fresh ones too.
        seed=checkpoint.pk,
        priority=FOLLOW_PRIORITY,
        max_prompts=followed.max_prompts,
    )
