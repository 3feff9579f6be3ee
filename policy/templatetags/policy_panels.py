"""What the model rooms have to say on pages of the rooms below them."""

from __future__ import annotations

from typing import Any

from django import template

from annotation.models import Campaign
from policy.access import checkpoints_seen_by, follows_seen_by, studies_seen_by
from policy.services import win_rate
from reward.access import reward_models_seen_by, snapshots_seen_by

register = template.Library()


@register.inclusion_tag("policy/parts/loop_panel.html", takes_context=True)
def loop_panel(context: dict[str, Any], campaign: Campaign) -> dict[str, Any]:
    """The turn of the loop as this campaign stands in it: answers, snapshot, reward model, who feeds it, win rates."""
    user = context["user"]
    return {
        "campaign": campaign,
        "is_researcher": context["is_researcher"],
        "csrf_token": context.get("csrf_token"),
        "snapshots": snapshots_seen_by(user).filter(campaign=campaign)[:3],
        "versions": reward_models_seen_by(user).filter(snapshot__campaign=campaign)[:3],
        "follows": follows_seen_by(user).filter(campaign=campaign, is_active=True),
        "studies": [(study, win_rate(study)) for study in studies_seen_by(user).filter(campaign=campaign)[:3]],
    }


@register.inclusion_tag("policy/parts/base_select.html", takes_context=True)
def base_select(context: dict[str, Any], field: Any, campaign: Campaign) -> dict[str, Any]:
    """A form's model URI as a choice among the workspace's checkpoints."""
    checkpoints = checkpoints_seen_by(context["user"]).filter(workspace=campaign.workspace)
    return {"field": field, "checkpoints": checkpoints, "chosen": field.value()}
