"""The queue in the order of a version's doubt: where its heads lie farthest apart, a person's word tells it most."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.models import Campaign
from annotation.services import order_by_disagreement
from reward.models import RewardModel
from reward.scoring import scores_of


@transaction.atomic
def order_queue(*, version: RewardModel, campaign: Campaign, by: User | None) -> int:
    """Let people first be asked what the version's heads disagree on, by the scores that it has of the campaign.

    Also: records `reward.order_queue`. Returns how many waiting tasks were ordered.

    Raises:
        Refused: version and campaign are of two workspaces (`workspace_mismatch`), the version has one head
            (`no_spread`), or no waiting task has all its answers scored (`nothing_to_order`).
    """
    if version.workspace_id != campaign.workspace_id:
        raise Refused(_("Reward model and campaign must be of one workspace."), code="workspace_mismatch")
    scores = scores_of(version, campaign=campaign, has_spread=True)
    spreads = {key: spread for key, spread in scores.values_list("completion", "spread") if spread is not None}
    num = order_by_disagreement(campaign=campaign, spreads=spreads)
    if not num:
        raise Refused(
            _("No waiting task has all its answers scored; score the campaign's answers first."),
            code="nothing_to_order",
            status=409,
        )
    AuditEvent.record(
        workspace=version.workspace,
        actor=by,
        verb="reward.order_queue",
        target=version,
        campaign=str(campaign.public_id),
        num_tasks=num,
    )
    return num
