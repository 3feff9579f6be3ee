"""Scoring a campaign's answers: what is asked, what is taken in, and a whole run."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings

from accounts.errors import Refused
from accounts.models import AuditEvent
from annotation.models import Campaign
from policy.models import Checkpoint
from reward.groups import build_unjudged
from reward.models import RewardModel, Score
from reward.scoring import start_scoring
from reward.tests.scores import answers_of, row, scored
from reward.tests.test_api import copy_to_charlie
from reward.tests.test_completion_page import page
from runs import launcher
from runs.artifacts import Stored, store
from runs.models import Run
from runs.services import Artifact, cancel_run, claim_run, finish_run
from runs.states import RunState
from tests.cast import Cast, make_campaign, make_completions, make_prompt
from tests.loop import finish, make_reward_model, read_lines, stored_lines
from tests.tiny import build_tiny_model


def end_with(run: Run, stored: Stored) -> Run:
    claimed = claim_run(run_id=run.pk, worker="w")
    assert claimed is not None
    artifact = Artifact(name="scores", sha256=stored.sha256, is_directory=False, num_bytes=stored.num_bytes)
    return finish_run(run_id=run.pk, attempt=claimed.attempt, state=RunState.SUCCEEDED, artifacts=[artifact])


def test_every_answer_is_asked_about_and_nobodys_word_goes_along(
    cast: Cast, version: RewardModel, campaign: Campaign
) -> None:
    make_completions(make_prompt(make_campaign(cast, name="Another"), "Where?"), ["There."])

    run = start_scoring(version=version, campaign=campaign, by=cast.researcher).run

    lines = read_lines(run.inputs["groups"]["sha256"])
    asked = [completion["id"] for line in lines for completion in line["completions"]]
    assert sorted(asked) == sorted(str(answer.public_id) for answer in answers_of(campaign))
    assert len(asked) == 9
    assert {(line["split"], len(line["pairs"]), line.get("verdicts")) for line in lines} == {("train", 0, None)}
    assert run.inputs["reward"]["sha256"] == version.sha256
    event = AuditEvent.objects.get(verb="reward.score")
    assert (event.actor, event.workspace, event.target) == (
        cast.researcher,
        cast.workspace,
        f"runs.run:{run.public_id}",
    )


def test_the_same_answers_give_the_same_bytes(campaign: Campaign) -> None:
    lines = build_unjudged(campaign).lines

    assert build_unjudged(campaign).data == build_unjudged(campaign).data
    assert [line["prompt_id"] for line in lines] == sorted(line["prompt_id"] for line in lines)
    for line in lines:
        assert [each["id"] for each in line["completions"]] == sorted(each["id"] for each in line["completions"])


def test_a_run_on_its_way_is_joined_and_one_that_is_over_is_not(
    cast: Cast, version: RewardModel, campaign: Campaign, base: Checkpoint
) -> None:
    newer = make_reward_model(cast, campaign, base)
    first = start_scoring(version=version, campaign=campaign, by=cast.researcher)
    waiting = start_scoring(version=version, campaign=campaign, by=cast.owner)
    other = start_scoring(version=newer, campaign=campaign, by=cast.owner)
    claim_run(run_id=first.run.pk, worker="w")
    at_work = start_scoring(version=version, campaign=campaign, by=cast.owner)
    cancel_run(run=other.run, by=None)
    after = start_scoring(version=newer, campaign=campaign, by=cast.owner)

    assert [each.is_new for each in (first, waiting, other, at_work, after)] == [True, False, True, False, True]
    assert first.run == waiting.run == at_work.run
    assert len({first.run.pk, other.run.pk, after.run.pk}) == 3
    assert AuditEvent.objects.filter(verb="reward.score").count() == 3


def test_another_campaign_of_the_workspace_is_scored_apart(
    cast: Cast, version: RewardModel, campaign: Campaign
) -> None:
    another = make_campaign(cast, name="Another")
    make_completions(make_prompt(another, "Where?"), ["There."])

    runs = [start_scoring(version=version, campaign=each, by=cast.owner).run for each in (campaign, another)]
    finish(runs[1], "scores", stored_lines([row(answers_of(another)[0])]))

    assert runs[0] != runs[1]
    assert [score.completion.text for score in Score.objects.all()] == ["There."]


def test_a_campaign_without_answers_has_nothing_to_score(cast: Cast, version: RewardModel) -> None:
    empty = make_campaign(cast, name="Empty")
    make_prompt(empty)

    with pytest.raises(Refused, match="no answers to score; sample or import some first") as refused:
        start_scoring(version=version, campaign=empty, by=cast.researcher)

    assert (refused.value.code, refused.value.status) == ("no_answers", 409)
    assert not Run.objects.filter(kind="reward.score").exists()


def test_a_campaign_of_another_workspace_is_refused(cast: Cast, version: RewardModel, campaign: Campaign) -> None:
    theirs = copy_to_charlie(cast, version)

    for model, body in ((theirs, campaign), (version, theirs.snapshot.campaign)):
        with pytest.raises(Refused, match="must be of one workspace") as refused:
            start_scoring(version=model, campaign=body, by=cast.charlie)
        assert refused.value.code == "workspace_mismatch"


def test_a_run_that_ends_leaves_a_row_for_each_answer(version: RewardModel, campaign: Campaign) -> None:
    scored(version, campaign, [(0.5, 0.25), (-1.5, 0.0), (2, 1)])

    answers = answers_of(campaign)
    found = Score.objects.order_by("completion").values_list("version", "completion", "score", "spread")
    assert list(found) == [
        (version.pk, answers[0].pk, 0.5, 0.25),
        (version.pk, answers[1].pk, -1.5, 0.0),
        (version.pk, answers[2].pk, 2.0, 1.0),
    ]


def test_scoring_again_replaces_and_adds(
    cast: Cast, version: RewardModel, campaign: Campaign, base: Checkpoint
) -> None:
    scored(version, campaign, [(0.5, 0.25), (1.0, 0.5)])
    first = Score.objects.get(score=0.5)
    scored(make_reward_model(cast, campaign, base), campaign, [(9.0, None)])

    scored(version, campaign, [(0.75, None), (1.0, 0.5), (2.0, 0.125)])

    again = Score.objects.get(pk=first.pk)
    assert (again.score, again.spread, again.created_at > first.created_at) == (0.75, None, True)
    assert sorted(version.scores.values_list("score", flat=True)) == [0.75, 1.0, 2.0]
    assert Score.objects.exclude(version=version).get().score == 9.0


BAD = {
    "empty": "",
    "no-json": "{",
    "no-object": "[1]",
    "a-number": "3",
    "deep": "[" * 100_000,
    "not-utf8": "\udcff",
    "no-score": '{"completion": "ID", "spread": null}',
    "no-spread": '{"completion": "ID", "score": 1.0}',
    "text": '{"completion": "ID", "score": "1.0", "spread": null}',
    "true": '{"completion": "ID", "score": true, "spread": null}',
    "nan": '{"completion": "ID", "score": NaN, "spread": null}',
    "infinite": '{"completion": "ID", "score": 1e999, "spread": null}',
    "huge": '{"completion": "ID", "score": 1' + "0" * 400 + ', "spread": null}',
    "negative": '{"completion": "ID", "score": 1.0, "spread": -0.1}',
    "infinite-spread": '{"completion": "ID", "score": 1.0, "spread": Infinity}',
    "list-as-id": '{"completion": ["ID"], "score": 1.0, "spread": null}',
    "no-id": '{"completion": null, "score": 1.0, "spread": null}',
    "foreign": '{"completion": "FOREIGN", "score": 1.0, "spread": null}',
    "twice": '{"completion": "ID", "score": 1.0, "spread": null}\n' * 2,
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_file_that_is_not_what_a_run_writes_is_turned_down_whole(
    cast: Cast, version: RewardModel, campaign: Campaign, content: str
) -> None:
    foreign = make_completions(make_prompt(make_campaign(cast, name="Another"), "Where?"), ["There."])[0]
    good, named = answers_of(campaign)[:2]
    run = start_scoring(version=version, campaign=campaign, by=cast.researcher).run
    bad = content.replace("ID", str(named.public_id)).replace("FOREIGN", str(foreign.public_id))
    data = f"{json.dumps(row(good))}\n{bad}" if content else ""

    with pytest.raises(Refused, match="of the scores cannot be used") as refused:
        end_with(run, store().put_bytes(data.encode(errors="surrogateescape")))

    assert refused.value.code == "scores_invalid"
    assert refused.value.details["line"] == {"": 1, BAD["twice"]: 3}.get(content, 2)
    assert not Score.objects.exists()
    run.refresh_from_db()
    assert run.state == RunState.RUNNING


def test_a_whole_run_scores_every_answer(
    transactional_db: None, cast: Cast, version: RewardModel, campaign: Campaign, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(settings, "RUNS_DIR", tmp_path / "runs")
    monkeypatch.setattr(current_app, "send_task", lambda *args, **options: None)
    RewardModel.objects.filter(pk=version.pk).update(sha256=known_reward_model((1.0, 2.0, 6.0)).sha256)
    version.refresh_from_db()
    run = start_scoring(version=version, campaign=campaign, by=cast.researcher).run

    launcher.execute(run_id=run.pk, worker="test")

    run.refresh_from_db()
    assert run.state == RunState.SUCCEEDED, run.error_message
    assert run.outcome is not None
    assert run.outcome["metrics"]["num_scored"] == 9
    assert {score.completion_id for score in Score.objects.all()} == {answer.pk for answer in answers_of(campaign)}
    assert set(Score.objects.values_list("score", flat=True)) == {3.0}
    assert list(Score.objects.values_list("spread", flat=True)) == pytest.approx([math.sqrt(7)] * 9)
    assert "+3.00" in page(cast, answers_of(campaign)[0])
    assert "± 2.65" in page(cast, answers_of(campaign)[0])


def known_reward_model(biases: tuple[float, ...]) -> Stored:
    """One whose heads give every answer these scores."""
    import torch

    from reward.training.reward_model import RewardModel as Trained

    with tempfile.TemporaryDirectory() as folder:
        model = Trained.from_base(build_tiny_model(Path(folder) / "base"), seed=0, heads=len(biases))
        with torch.no_grad():
            model.head_weight.zero_()
            model.head_bias.copy_(torch.tensor(biases))
        model.save(Path(folder) / "reward", meta={})
        return store().put_directory(Path(folder) / "reward")
