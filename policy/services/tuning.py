"""DPO and SFT runs: a checkpoint learns from a snapshot directly, without a reward model."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from policy.models import Checkpoint
from policy.services.checkpoints import register_trained
from policy.services.following import feed_followers
from policy.services.preflight import DPO_KIND, SFT_KIND, tuning_preflight
from reward.models import Snapshot
from runs.models import Run
from runs.services import InputRef, create_run

TITLES: dict[str, str | Promise] = {
    DPO_KIND: _("DPO from %(checkpoint)s on %(snapshot)s"),
    SFT_KIND: _("SFT from %(checkpoint)s on %(snapshot)s"),
}


@transaction.atomic
def start_tuning(
    *,
    kind: str,
    checkpoint: Checkpoint,
    snapshot: Snapshot,
    by: User | None,
    config: dict[str, Any] | None = None,
    seed: int = 0,
) -> Run:
    """Queue a run of `kind` (DPO_KIND or SFT_KIND) from a checkpoint on a snapshot's rankings.

    Raises:
        Refused: the two are not of one workspace, the config is invalid, or no machine can hold the run (`cannot_fit`).
    """
    if checkpoint.workspace_id != snapshot.workspace_id:
        raise Refused(str(_("Checkpoint and snapshot must be of one workspace.")), code="workspace_mismatch")
    expected = tuning_preflight(kind=kind, checkpoint=checkpoint, snapshot=snapshot, config=config)
    expected.require_fit()
    run = create_run(
        workspace=checkpoint.workspace,
        by=by,
        kind=kind,
        title=str(TITLES[kind]) % {"checkpoint": checkpoint, "snapshot": snapshot},
        config=config or {},
        seed=seed,
        inputs={
            "policy": InputRef(sha256=checkpoint.sha256, is_directory=True, label=str(checkpoint)),
            "groups": InputRef(sha256=snapshot.sha256, is_directory=False, label=str(snapshot)),
        },
        context={"checkpoint": str(checkpoint.public_id), "snapshot": str(snapshot.public_id)},
        expected_seconds=expected.expected_seconds,
    )
    AuditEvent.record(workspace=checkpoint.workspace, actor=by, verb=kind, target=run)
    return run


def receive_tuned(run: Run) -> None:
    """Register the trained checkpoint, then feed every campaign that follows its lineage."""
    parent = Checkpoint.objects.select_related("lineage__workspace").get(public_id=run.context["checkpoint"])
    feed_followers(register_trained(run, parent=parent, reward_model=None))
