"""Explain a score: which pieces of an answer a reward model's score comes from. Asked for once, kept for good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.models import Completion
from reward.groups import unjudged_line
from reward.models import Explanation, RewardModel
from runs.artifacts import store
from runs.models import Run
from runs.services import InputRef, create_run

EXPLAIN_KIND = "reward.explain"


class Started(NamedTuple):
    explanation: Explanation
    is_new: bool
    """False: it is there, or on its way, already."""


@transaction.atomic
def start_explanation(
    *, version: RewardModel, completion: Completion, by: User | None, config: Mapping[str, Any] | None = None
) -> Started:
    """Queue a run that explains the version's score of the answer.

    Also: an explanation that exists is returned, not made again; only a failed or cancelled one is started anew.

    Raises:
        Refused: version and answer are of two workspaces (`workspace_mismatch`), or the config is invalid.
    """
    if version.workspace_id != completion.prompt.campaign.workspace_id:
        raise Refused(_("Reward model and answer must be of one workspace."), code="workspace_mismatch")
    # Two who ask at once must not start two runs.
    RewardModel.objects.select_for_update(no_key=True).get(pk=version.pk)
    known = Explanation.objects.filter(version=version, completion=completion).select_related("run", "version").first()
    if known is not None and (known.payload is not None or known.is_live):
        return Started(known, is_new=False)
    run = _queue(version, completion, by, config or {})
    AuditEvent.record(workspace=version.workspace, actor=by, verb="reward.explain", target=run)
    if known is None:
        return Started(Explanation.objects.create(version=version, completion=completion, run=run), is_new=True)
    known.run = run
    known.save(update_fields=["run"])
    return Started(known, is_new=True)


def _queue(version: RewardModel, completion: Completion, by: User | None, config: Mapping[str, Any]) -> Run:
    line = unjudged_line(completion.prompt, [completion])
    answer = store().put_bytes(json.dumps(line, sort_keys=True).encode())
    return create_run(
        workspace=version.workspace,
        by=by,
        kind=EXPLAIN_KIND,
        title=_("%(version)s explains its score of an answer") % {"version": version},
        config=config,
        inputs={
            "reward": InputRef(sha256=version.sha256, is_directory=True, label=str(version)),
            "answer": InputRef(sha256=answer.sha256, is_directory=False, label=_("the answer")),
        },
        context={"version": str(version.public_id), "completion": str(completion.public_id)},
    )


def receive_explanation(run: Run) -> None:
    """A finished run's explanation.json is kept with its row; runs inside the transaction that ends the run."""
    sha256 = run.artifacts.get(name="explanation").sha256
    payload = store().read_json(sha256, name="explanation.json")
    Explanation.objects.filter(run=run).update(payload=payload, sha256=sha256)
