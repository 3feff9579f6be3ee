"""The registry: every policy is a row with a parent, a hash and the run that made it."""

from __future__ import annotations

import json
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from accounts.errors import Conflict
from accounts.models import AuditEvent, User, Workspace
from accounts.text import check_text
from policy.models import Checkpoint, Lineage
from policy.uris import check_import_uri
from reward.models import RewardModel
from runs.artifacts import store
from runs.models import Run, RunArtifact
from runs.services import create_run
from runs.states import RunState

IMPORT_KIND = "policy.import"
UNFINISHED = (RunState.QUEUED, RunState.RUNNING)


@transaction.atomic
def import_model(*, workspace: Workspace, by: User | None, uri: str, lineage_name: str) -> Run:
    """Queue the import of a base model; it becomes checkpoint 0 of a new lineage.

    Raises:
        Refused: the codes of `check_text` for the name; what `check_import_uri` refuses.
        Conflict: the name is taken, or an import under it is under way (`lineage_exists`).
    """
    name = check_text(lineage_name, what=_("The lineage's name"), max_characters=120).strip()
    Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
    if Lineage.objects.filter(workspace=workspace, name=name).exists() or unfinished_import(workspace, name):
        raise _name_taken(name)
    canonical = check_import_uri(uri)
    run = create_run(
        workspace=workspace,
        by=by,
        kind=IMPORT_KIND,
        title=_("Import of %(uri)s") % {"uri": canonical},
        config={"uri": canonical},
        inputs={},
        context={"lineage": name, "uri": canonical},
    )
    AuditEvent.record(workspace=workspace, actor=by, verb="model.import", target=run, uri=canonical)
    return run


def unfinished_import(workspace: Workspace, lineage_name: str) -> Run | None:
    """The import, waiting or running, that will open the lineage of that name."""
    unfinished = Run.objects.filter(workspace=workspace, kind=IMPORT_KIND, state__in=UNFINISHED)
    return unfinished.filter(context__lineage=lineage_name).order_by("pk").first()


def _name_taken(name: str) -> Conflict:
    return Conflict(_("There is a lineage named %(name)s already.") % {"name": name}, code="lineage_exists")


def register_import(run: Run) -> None:
    """A finished import opens its lineage; runs inside the transaction that ends the run.

    Raises:
        Conflict: another lineage took the name meanwhile (`lineage_exists`).
    """
    artifact = run.artifacts.get(name="model")
    about = _about(artifact.sha256)
    lineage, is_new = Lineage.objects.get_or_create(workspace=run.workspace, name=run.context["lineage"])
    if not is_new:
        raise _name_taken(lineage.name)
    _create(
        lineage=lineage,
        run=run,
        artifact=artifact,
        base_label=str(about.get("base") or run.context["uri"])[:200],
        source_uri=run.context["uri"],
        licence=str(about.get("licence") or "")[:60],
    )


def register_trained(run: Run, *, parent: Checkpoint, reward_model: RewardModel | None) -> Checkpoint:
    """A finished policy run's model becomes a child of the checkpoint it started from.

    DPO and SFT have no reward model.
    """
    return _create(
        lineage=parent.lineage,
        run=run,
        artifact=run.artifacts.get(name="model"),
        parent=parent,
        reward_model=reward_model,
        base_label=parent.base_label,
        source_uri=parent.uri,
        licence=parent.licence,
        metrics=(run.outcome or {}).get("metrics", {}),
    )


def _create(*, lineage: Lineage, run: Run, artifact: RunArtifact, **fields: Any) -> Checkpoint:
    Lineage.objects.select_for_update().get(pk=lineage.pk)
    last = lineage.checkpoints.aggregate(last=Max("number"))["last"]
    return Checkpoint.objects.create(
        workspace=lineage.workspace,
        lineage=lineage,
        number=0 if last is None else last + 1,
        run=run,
        sha256=artifact.sha256,
        num_bytes=artifact.num_bytes,
        **fields,
    )


def _about(sha256: str) -> dict[str, Any]:
    """plumbline.json of a stored model directory: what it is called and under which licence."""
    entry = store().manifest(sha256)["files"].get("plumbline.json")
    if entry is None:
        return {}
    with store().open(entry["sha256"]) as handle:
        about: dict[str, Any] = json.load(handle)
    return about


def verify_checkpoint(checkpoint: Checkpoint) -> None:
    """Read every byte of the checkpoint and compare it with its manifest.

    Raises:
        Refused: a file is missing or changed (`artifact_corrupt`).
    """
    store().verify_directory(checkpoint.sha256)
