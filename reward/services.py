"""Freeze what people said, train a reward model on it, register the version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.models import Campaign, Split
from annotation.queries import agreement, waiting_couples
from annotation.services import NewTask, create_tasks
from reward.groups import Groups, build_groups
from reward.lengths import campaign_lines, group_data, read_model, snapshot_lines
from reward.models import RewardModel, Snapshot
from reward.preflight import Preflight, preflight, reward_preflight
from reward.training.config import RewardConfig
from reward.training.configuration import from_dict
from runs import kinds
from runs.artifacts import store
from runs.model_uris import resolve
from runs.models import Run
from runs.services import InputRef, create_run

TRAIN_KIND = "reward.train"
MIN_TRAIN_PAIRS = 8
MIN_HELDOUT_PAIRS = 4
ASK_AGAIN_PRIORITY = 40
"""Ahead of ordinary tasks (100)."""


@transaction.atomic
def freeze_snapshot(*, campaign: Campaign, by: User | None) -> Snapshot:
    """Write the campaign's rankings, as they stand now, to the artifact store under their hash.

    Also: two freezes without a ranking between them give one snapshot.

    Raises:
        Refused: fewer than 8 pairs on train prompts or 4 on validation prompts (`too_few_rankings`).
    """
    Campaign.objects.select_for_update().get(pk=campaign.pk)
    groups = build_groups(campaign)
    _refuse_too_few(groups)
    stored = store().put_bytes(groups.data).sha256
    latest = campaign.snapshots.order_by("-number").first()
    if latest is not None and latest.sha256 == stored:
        return latest
    snapshot = Snapshot.objects.create(
        workspace=campaign.workspace,
        campaign=campaign,
        number=(latest.number if latest else 0) + 1,
        sha256=stored,
        num_rankings=len(groups.rankings),
        num_groups=len(groups.lines),
        num_pairs=groups.count_pairs(Split.TRAIN),
        num_heldout_pairs=groups.count_pairs(Split.VALIDATION),
        agreement_alpha=agreement(campaign).alpha,
        created_by=by,
    )
    snapshot.rankings.set(groups.rankings)
    AuditEvent.record(
        workspace=campaign.workspace, actor=by, verb="snapshot.freeze", target=snapshot, sha256=snapshot.sha256
    )
    return snapshot


def _refuse_too_few(groups: Groups) -> None:
    train, heldout = groups.count_pairs(Split.TRAIN), groups.count_pairs(Split.VALIDATION)
    if train >= MIN_TRAIN_PAIRS and heldout >= MIN_HELDOUT_PAIRS:
        return
    raise Refused(
        _(
            "There are too few rankings to train on: %(train)d pairs on train prompts (at least %(min_train)d) and "
            "%(heldout)d on validation prompts (at least %(min_heldout)d). Collect more rankings first."
        )
        % {"train": train, "min_train": MIN_TRAIN_PAIRS, "heldout": heldout, "min_heldout": MIN_HELDOUT_PAIRS},
        code="too_few_rankings",
        status=409,
        details={"train_pairs": train, "heldout_pairs": heldout},
    )


def expect_training(
    *, source: Snapshot | Campaign, base_uri: str, config: Mapping[str, Any] | None = None
) -> Preflight:
    """What a reward-model run will need that learns from a snapshot, or from a campaign's rankings as they stand now.

    Raises:
        Refused: the base does not exist, or the config is invalid.
    """
    base = resolve(workspace=source.workspace, uri=base_uri)
    settings = from_dict(RewardConfig, kinds.get(TRAIN_KIND).full_config(config or {}))
    model = read_model(base.sha256)
    if model is None:
        return preflight(TRAIN_KIND, None)
    lines = snapshot_lines(model, source.sha256) if isinstance(source, Snapshot) else campaign_lines(model, source)
    return reward_preflight(TRAIN_KIND, model.shape, group_data(lines, max_tokens=settings.max_tokens), settings)


@transaction.atomic
def start_training(
    *, snapshot: Snapshot, by: User | None, base_uri: str, config: dict[str, Any] | None = None, seed: int = 0
) -> Run:
    """Queue a reward-model run on a snapshot; the base is any model URI.

    Raises:
        Refused: the base does not exist, the config is invalid, or no machine can hold the run (`cannot_fit`).
    """
    base = resolve(workspace=snapshot.workspace, uri=base_uri)
    expected = expect_training(source=snapshot, base_uri=base_uri, config=config)
    expected.require_fit()
    run = create_run(
        workspace=snapshot.workspace,
        by=by,
        kind=TRAIN_KIND,
        title=_("Reward model on %(snapshot)s") % {"snapshot": snapshot},
        config=config or {},
        seed=seed,
        inputs={
            "base": InputRef(sha256=base.sha256, is_directory=True, label=base.label),
            "groups": InputRef(sha256=snapshot.sha256, is_directory=False, label=str(snapshot)),
        },
        context={"snapshot": str(snapshot.public_id), "base_uri": base.uri, "base_label": base.label},
        expected_seconds=expected.expected_seconds,
    )
    AuditEvent.record(workspace=snapshot.workspace, actor=by, verb="reward.train", target=run)
    return run


def register_reward_model(run: Run) -> None:
    """A finished run's model becomes the workspace's next version; runs inside the transaction that ends the run."""
    snapshot = Snapshot.objects.select_related("workspace").get(public_id=run.context["snapshot"])
    type(snapshot.workspace).objects.select_for_update().get(pk=snapshot.workspace_id)
    last = RewardModel.objects.filter(workspace=snapshot.workspace).aggregate(last=Max("number"))["last"] or 0
    RewardModel.objects.create(
        workspace=snapshot.workspace,
        number=last + 1,
        run=run,
        snapshot=snapshot,
        base_uri=run.context["base_uri"],
        base_label=run.context["base_label"],
        sha256=run.artifacts.get(name="model").sha256,
        metrics=(run.outcome or {}).get("metrics", {}),
        evaluation=_read_evaluation(run),
    )


def _read_evaluation(run: Run) -> dict[str, Any]:
    artifact = run.artifacts.filter(name="evaluation").first()
    if artifact is None:
        return {}
    written: dict[str, Any] = store().read_json(artifact.sha256, name="evaluation.json")
    return written


@transaction.atomic
def ask_again(*, version: RewardModel, by: User | None, couples: Sequence[tuple[str, str]]) -> int:
    """Put couples of answers that people and the model judge differently into the campaign's queue, ahead of others.

    A couple with slots still free in a task of its own is not asked for twice.

    Also: an audit event. Returns how many tasks were made.

    Raises:
        Refused: not_a_disagreement, and what `create_tasks` refuses.
    """
    known = {(row["preferred"], row["rejected"]): row["prompt"] for row in version.evaluation.get("disagreements", [])}
    if not couples or any(couple not in known for couple in couples):
        raise Refused(
            _("Choose among the disagreements that this page lists; reload it if it is old."),
            code="not_a_disagreement",
        )
    campaign = version.snapshot.campaign
    waiting = {frozenset(couple) for couple in waiting_couples(campaign)}
    tasks = [
        NewTask(prompt_id=known[couple], completion_ids=couple, priority=ASK_AGAIN_PRIORITY)
        for couple in dict.fromkeys(couples)
        if frozenset(couple) not in waiting
    ]
    made = create_tasks(campaign=campaign, tasks=tasks)
    AuditEvent.record(
        workspace=version.workspace, actor=by, verb="reward.ask_again", target=version, num_tasks=len(made)
    )
    return len(made)
