"""Scores of a campaign's answers: who may ask, and what pages and API tell of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role
from accounts.services import add_member_to_workspace
from annotation.models import Campaign
from annotation.services import archive_campaign, close_campaign
from policy.models import Checkpoint
from reward.models import RewardModel
from reward.scoring import start_scoring
from reward.tests.scores import answers_of, row, scored
from reward.tests.test_api import copy_to_charlie
from reward.tests.test_completion_page import explained, page, url_of
from runs.models import Run
from tests.cast import Cast, api, make_campaign, make_completions, make_prompt, web
from tests.loop import finish, make_reward_model, stored_lines


def test_researchers_ask_over_the_api_and_staff_read(cast: Cast, version: RewardModel, campaign: Campaign) -> None:
    url = f"/api/v1/reward-models/{version.public_id}"
    body = {"campaign": str(campaign.public_id)}
    refused = {
        name: api(user).post(f"{url}/score/", body, format="json").status_code
        for name, user in cast.everybody.items()
        if name not in ("owner", "researcher")
    }
    assert not Run.objects.filter(kind="reward.score").exists()

    asked = [api(user).post(f"{url}/score/", body, format="json") for user in (cast.researcher, cast.owner)]
    reads = {name: api(user).get(f"{url}/scores/").status_code for name, user in cast.everybody.items()}

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
