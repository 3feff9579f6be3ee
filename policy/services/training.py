"""PPO runs, and what happens when one is done: the checkpoint is registered and its answers go back to people."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.models import Campaign, Split
from policy.models import Checkpoint
from policy.services.checkpoints import register_trained
from policy.services.following import feed_followers
from policy.services.preflight import PPO_KIND, ppo_preflight
from policy.services.sampling import write_prompts
from reward.models import RewardModel
from runs import kinds
from runs.models import Run
from runs.services import InputRef, create_run


@transaction.atomic
def start_ppo(
    *,
    checkpoint: Checkpoint,
    reward_model: RewardModel,
    campaign: Campaign,
    by: User | None,
    config: dict[str, Any] | None = None,
    seed: int = 0,
) -> Run:
    """Queue PPO from a checkpoint against a reward model on a campaign's train and validation prompts.

    Raises:
        Refused: the three are not of one workspace, there are no train prompts, the config is invalid, or it wants a
            penalty for disagreement from a reward model with one head (`one_head`), or no machine can hold the run
            (`cannot_fit`).
    """
    if len({checkpoint.workspace_id, reward_model.workspace_id, campaign.workspace_id}) != 1:
        raise Refused(_("Checkpoint, reward model and campaign must be of one workspace."), code="workspace_mismatch")
    prompts = list(campaign.prompts.filter(split__in=[Split.TRAIN, Split.VALIDATION]).order_by("content_sha256"))
    if not any(prompt.split == Split.TRAIN for prompt in prompts):
        raise Refused(_("The campaign has no train prompts; import prompts first."), code="no_prompts", status=409)
    expected = ppo_preflight(checkpoint=checkpoint, reward_model=reward_model, campaign=campaign, config=config)
    expected.require_fit()
    snapshot = reward_model.snapshot
    imitates = kinds.get(PPO_KIND).full_config(config or {})["update"]["imitation_coefficient"] > 0
    groups = {"groups": InputRef(sha256=snapshot.sha256, is_directory=False, label=str(snapshot))} if imitates else {}
    run = create_run(
        workspace=checkpoint.workspace,
        by=by,
        kind=PPO_KIND,
        title=_("PPO from %(checkpoint)s with %(reward)s") % {"checkpoint": checkpoint, "reward": reward_model},
        config=config or {},
        seed=seed,
        inputs={
            "policy": InputRef(sha256=checkpoint.sha256, is_directory=True, label=str(checkpoint)),
            "reward": InputRef(sha256=reward_model.sha256, is_directory=True, label=str(reward_model)),
            "prompts": InputRef(sha256=write_prompts(prompts), is_directory=False, label=str(campaign)),
            **groups,
        },
        context={
            "checkpoint": str(checkpoint.public_id),
            "reward_model": str(reward_model.public_id),
            "campaign": str(campaign.public_id),
        },
        expected_seconds=expected.expected_seconds,
    )
    if run.config["credit"]["disagreement_penalty"] and reward_model.num_heads == 1:
        raise Refused(
            _("%(reward)s has one head, which disagrees with nobody; set the disagreement penalty to 0.")
            % {"reward": reward_model},
            code="one_head",
            status=409,
        )
    AuditEvent.record(workspace=checkpoint.workspace, actor=by, verb="policy.ppo", target=run)
    return run


def receive_policy(run: Run) -> None:
    """Register the trained checkpoint, then feed every campaign that follows its lineage."""
    parent = Checkpoint.objects.select_related("lineage__workspace").get(public_id=run.context["checkpoint"])
    reward_model = RewardModel.objects.get(public_id=run.context["reward_model"])
    feed_followers(register_trained(run, parent=parent, reward_model=reward_model))
