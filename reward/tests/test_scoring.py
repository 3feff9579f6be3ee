"""Scores of a campaign's answers: who may ask, what is taken in, what pages and API tell, and a whole run."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.errors import Refused
from accounts.models import AuditEvent, Role, User
from accounts.services import add_member_to_workspace
from annotation.models import Campaign, Completion
from annotation.services import archive_campaign, close_campaign
from policy.models import Checkpoint
from reward.groups import build_unjudged
from reward.models import RewardModel, Score
from reward.scoring import start_scoring
from reward.services import freeze_snapshot
from reward.tests.test_api import copy_to_charlie
from reward.tests.test_completion_page import explained, page, url_of
from runs import launcher
from runs.artifacts import Stored, store
from runs.models import Run
from runs.services import Artifact, cancel_run, claim_run, finish_run
from runs.states import RunState
from tests.cast import Cast, api, make_campaign, make_completions, make_prompt, web
from tests.loop import finish, make_reward_model, ranked_campaign, read_lines, stored_lines, train
from tests.tiny import build_tiny_model

ROLES = ("owner", "manager", "researcher", "alice", "charlie")


@pytest.fixture
def campaign(cast: Cast) -> Campaign:
    """Eight answers, and one to a test prompt."""
    made = ranked_campaign(cast)
    make_completions(made.prompts.get(split="test"), ["Nobody."])
    return made


@pytest.fixture
def version(cast: Cast, campaign: Campaign, base: Checkpoint) -> RewardModel:
    """Of four heads."""
    return train(cast, freeze_snapshot(campaign=campaign, by=cast.researcher), base, config={"heads": 4})


def answers_of(campaign: Campaign) -> list[Completion]:
    return list(Completion.objects.filter(prompt__campaign=campaign).order_by("pk"))


def row(completion: Completion, score: Any = 0.5, spread: Any = 0.25) -> dict[str, Any]:
    return {"completion": str(completion.public_id), "score": score, "spread": spread, "num_tokens": 3}


def scored(version: RewardModel, campaign: Campaign, figures: Sequence[tuple[float, float | None]]) -> Run:
    """A run over the campaign that ends with these figures of its first answers."""
    run = start_scoring(version=version, campaign=campaign, by=None).run
    rows = [row(answer, *figure) for answer, figure in zip(answers_of(campaign), figures, strict=False)]
    return finish(run, "scores", stored_lines(rows))


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


def everybody(cast: Cast) -> dict[str, User | None]:
    return {**{name: getattr(cast, name) for name in ROLES}, "nobody": None}


def test_researchers_ask_over_the_api_and_staff_read(cast: Cast, version: RewardModel, campaign: Campaign) -> None:
    url = f"/api/v1/reward-models/{version.public_id}"
    body = {"campaign": str(campaign.public_id)}
    refused = {
        name: api(user).post(f"{url}/score/", body, format="json").status_code
        for name, user in everybody(cast).items()
        if name not in ("owner", "researcher")
    }
    assert not Run.objects.filter(kind="reward.score").exists()

    asked = [api(user).post(f"{url}/score/", body, format="json") for user in (cast.researcher, cast.owner)]
    reads = {name: api(user).get(f"{url}/scores/").status_code for name, user in everybody(cast).items()}

    assert refused == {"manager": 403, "alice": 404, "charlie": 404, "nobody": 401}
    assert [(answer.status_code, answer.json()["kind"]) for answer in asked] == [
        (201, "reward.score"),
        (200, "reward.score"),
    ]
    assert asked[0].json()["id"] == asked[1].json()["id"]
    assert reads == {"owner": 200, "manager": 200, "researcher": 200, "alice": 404, "charlie": 404, "nobody": 401}


def test_a_campaign_that_may_not_be_known_of_is_not_found(cast: Cast, version: RewardModel) -> None:
    theirs = copy_to_charlie(cast, version).snapshot.campaign
    url = f"/api/v1/reward-models/{version.public_id}"

    posted = api(cast.researcher).post(f"{url}/score/", {"campaign": str(theirs.public_id)}, format="json")
    read = api(cast.researcher).get(f"{url}/scores/", {"campaign": str(theirs.public_id)})

    assert (posted.status_code, read.status_code) == (404, 404)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid"),
        ({"campaign": "x"}, 400, "invalid"),
        ({"campaign": "00000000-0000-4000-8000-000000000000"}, 404, "not_found"),
        ({"campaign": "ours", "config": {"tokens_per_forward": 0}}, 400, "config_invalid"),
        ({"campaign": "ours", "config": {"batch": 3}}, 400, "config_invalid"),
    ],
    ids=str,
)
def test_a_refusal_is_a_sentence_and_a_code(
    cast: Cast, version: RewardModel, campaign: Campaign, body: dict[str, Any], status: int, code: str
) -> None:
    if body.get("campaign") == "ours":
        body = {**body, "campaign": str(campaign.public_id)}

    answer = api(cast.researcher).post(f"/api/v1/reward-models/{version.public_id}/score/", body, format="json")

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert not Run.objects.filter(kind="reward.score").exists()


def test_the_api_tells_scores_from_the_highest_down(cast: Cast, version: RewardModel, campaign: Campaign) -> None:
    scored(version, campaign, [(0.5, 0.3), (-1.0, 0.9), (2.0, 0.1), (0.5, 0.3), (-2.0, None)])
    another = make_campaign(cast, name="Another")
    make_completions(make_prompt(another, "Where?"), ["There."])
    scored(version, another, [(7.0, 0.2)])
    answers = answers_of(campaign)
    url = f"/api/v1/reward-models/{version.public_id}/scores/"

    def told(**query: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = api(cast.manager).get(url, query).json()["results"]
        return rows

    ours = {"campaign": str(campaign.public_id)}
    assert told(**ours)[0] == {
        "completion": str(answers[2].public_id),
        "prompt": str(answers[2].prompt.public_id),
        "score": 2.0,
        "spread": 0.1,
    }
    assert [row["score"] for row in told(**ours)] == [2.0, 0.5, 0.5, -1.0, -2.0]
    assert [row["spread"] for row in told(**ours, order="spread")] == [0.9, 0.3, 0.3, 0.1]
    assert [row["score"] for row in told(order="score")] == [7.0, 2.0, 0.5, 0.5, -1.0, -2.0]
    assert [row["score"] for row in told(order="spread")] == [-1.0, 0.5, 0.5, 7.0, 2.0]


@pytest.mark.parametrize("order", ["score", "spread"])
def test_page_after_page_tells_every_answer_once(
    cast: Cast, version: RewardModel, campaign: Campaign, order: str
) -> None:
    scored(version, campaign, [(0.1 + 0.2, 0.5), (0.5, 0.1 + 0.2), (0.5, 0.5), (-0.25, 0.5), (0.3, 0.3)])
    url = f"/api/v1/reward-models/{version.public_id}/scores/?order={order}&page_size=2"
    told: list[dict[str, Any]] = []
    while url:
        answer = api(cast.manager).get(url).json()
        told += answer["results"]
        url = answer["next"]

    assert sorted(row["completion"] for row in told) == sorted(str(a.public_id) for a in answers_of(campaign)[:5])
    assert [row[order] for row in told] == sorted((row[order] for row in told), reverse=True)


def test_one_head_cannot_be_ordered_by_spread(
    cast: Cast, version: RewardModel, campaign: Campaign, base: Checkpoint
) -> None:
    single = make_reward_model(cast, campaign, base)
    scored(single, campaign, [(0.5, None)])
    url = f"/api/v1/reward-models/{single.public_id}/scores/"

    told = api(cast.manager).get(url).json()["results"]
    refused = api(cast.manager).get(url, {"order": "spread"})
    unknown = api(cast.manager).get(url, {"order": "pk"})

    assert [row["spread"] for row in told] == [None]
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_spread")
    assert "RM 2 has one head" in refused.json()["error"]["message"]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "invalid")


def test_a_longer_list_needs_no_more_queries(cast: Cast, version: RewardModel, campaign: Campaign) -> None:
    url = f"/api/v1/reward-models/{version.public_id}/scores/?campaign={campaign.public_id}&order=spread"
    client, counts = api(cast.manager), []
    for figures in ([(0.5, 0.1)], [(0.5, 0.1), (0.6, 0.2), (0.7, 0.3)]):
        scored(version, campaign, figures)
        with CaptureQueriesContext(connection) as asked:
            assert len(client.get(url).json()["results"]) == len(figures)
        counts.append(len(asked))

    assert counts[0] == counts[1]


def test_taking_in_more_scores_needs_no_more_queries(version: RewardModel, campaign: Campaign) -> None:
    counts = []
    for num in (1, 3):
        run = start_scoring(version=version, campaign=campaign, by=None).run
        rows = stored_lines([row(answer) for answer in answers_of(campaign)[:num]])
        with CaptureQueriesContext(connection) as asked:
            finish(run, "scores", rows)
        counts.append(len(asked))

    assert counts[0] == counts[1]


def test_the_versions_page_offers_it_to_researchers_only(cast: Cast, version: RewardModel, campaign: Campaign) -> None:
    make_campaign(cast, name="Aardvarks")
    put_away = make_campaign(cast, name="Put away")
    close_campaign(campaign=put_away, by=cast.manager)
    archive_campaign(campaign=put_away, by=cast.manager)
    run = start_scoring(version=version, campaign=campaign, by=cast.researcher).run
    url = reverse("reward:version-detail", args=[version.public_id])

    shown = web(cast.researcher).get(url).content.decode()
    for_manager = web(cast.manager).get(url).content.decode()

    offered = shown.split("<select", 1)[1].split("</select>")[0]
    assert offered.index("Short answers") < offered.index("Aardvarks")  # what the version learned from comes first
    assert "Put away" not in offered
    assert reverse("runs:run-detail", args=[run.public_id]) in shown
    assert "Score the answers" in shown
    assert "Score the answers" not in for_manager


def test_the_versions_page_needs_no_more_queries_for_more_campaigns_and_runs(
    cast: Cast, version: RewardModel, campaign: Campaign
) -> None:
    client, counts = web(cast.researcher), []
    url = reverse("reward:version-detail", args=[version.public_id])
    for names in (["B"], ["C", "D"]):
        for name in names:
            made = make_campaign(cast, name=name)
            make_completions(make_prompt(made), ["Here."])
            start_scoring(version=version, campaign=made, by=None)
        client.get(url)
        with CaptureQueriesContext(connection) as asked:
            client.get(url)
        counts.append(len(asked))

    assert counts[0] == counts[1]


def test_the_button_leads_to_the_run_and_a_refusal_back_to_the_page(
    cast: Cast, version: RewardModel, campaign: Campaign
) -> None:
    empty = make_campaign(cast, name="Empty")
    url, client = reverse("reward:version-score", args=[version.public_id]), web(cast.researcher)

    asked = client.post(url, {"campaign": campaign.public_id})
    refused = client.post(url, {"campaign": empty.public_id}, follow=True)
    statuses = {
        user.username: web(user).post(url, {"campaign": campaign.public_id}).status_code
        for user in (cast.manager, cast.alice, cast.charlie)
    }

    run = Run.objects.get(kind="reward.score")
    assert asked.headers["Location"] == reverse("runs:run-detail", args=[run.public_id])
    assert "The campaign has no answers to score" in refused.content.decode()
    assert statuses == {"max": 403, "alice": 404, "charlie": 404}
    assert [client.post(url, {"campaign": said}).status_code for said in ("", "x")] == [404, 404]


def test_one_who_researches_here_and_manages_there_cannot_mix_the_two(
    cast: Cast, version: RewardModel, campaign: Campaign
) -> None:
    theirs = copy_to_charlie(cast, version).snapshot.campaign
    add_member_to_workspace(workspace=cast.elsewhere, user=cast.researcher, role=Role.MANAGER, by=cast.charlie)

    answer = api(cast.researcher).post(
        f"/api/v1/reward-models/{version.public_id}/score/", {"campaign": str(theirs.public_id)}, format="json"
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "workspace_mismatch")


def test_an_answers_page_shows_score_and_spread_by_version(
    cast: Cast, version: RewardModel, campaign: Campaign, base: Checkpoint
) -> None:
    single = make_reward_model(cast, campaign, base)
    make_reward_model(cast, campaign, base)  # has scored nothing
    scored(version, campaign, [(-0.814, 0.057)])
    scored(single, campaign, [(1.25, None)])
    answer, other = answers_of(campaign)[:2]

    shown, silent = page(cast, answer), page(cast, other)

    rows = [" ".join(part.split("</span>")[0].split()) for part in shown.split('<span class="score')[1:]]
    assert rows == [
        'faint"> not scored yet',
        '"> +1.25',
        '"> −0.81 <small title="standard deviation of the heads’ scores">± 0.057</small>',
    ]
    assert silent.count("not scored yet") == 3
    assert ("how far the heads" in shown, "how far the heads" in silent) == (True, False)


def test_an_explained_score_stands_with_the_spread_of_the_other(
    cast: Cast, version: RewardModel, campaign: Campaign
) -> None:
    scored(version, campaign, [(0.79999, 0.31)])
    answer = answers_of(campaign)[0]
    explained(cast, version, answer)

    shown = page(cast, answer)

    assert " ".join(shown.split('<span class="score">')[1].split("</span>")[0].split()) == (
        '+0.80 <small title="standard deviation of the heads’ scores">± 0.31</small>'
    )
    assert "explained below" in shown


def test_labelers_do_not_find_an_answers_page(cast: Cast, version: RewardModel, campaign: Campaign) -> None:
    scored(version, campaign, [(0.5, 0.25)])

    assert web(cast.alice).get(url_of(answers_of(campaign)[0])).status_code == 404


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
