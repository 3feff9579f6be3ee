"""The report of a version on its page and over the API, and disagreements on their way back to labelers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from accounts.errors import Refused
from annotation.models import Completion, Task
from policy.models import Checkpoint
from reward.groups import build_groups
from reward.models import RewardModel
from reward.services import ask_again, freeze_snapshot
from reward.training.groups import Answer, Group, Pair
from reward.training.report import Measured, report
from runs.models import Run
from tests.cast import Cast, api, make_campaign, make_task, rank_task, web

HOSTILE = "<script>alert(1)</script> &amp; **bold**"


@pytest.fixture
def version(cast: Cast, base: Checkpoint) -> RewardModel:
    """Two held-out prompts whose answers Alice ranked and the model judges the other way round."""
    campaign = make_campaign(cast)
    alice = cast.labeler(cast.alice)
    for text, split in [(f"Learn {n}?", "train") for n in range(3)]:
        rank_task(make_task(campaign, text, ("A.", "B.", "C.", "D."), split=split), alice, (1, 2, 3, 4))
    for text in ("Why?", HOSTILE):
        answers = ("Because.", HOSTILE, "Er.")
        rank_task(make_task(campaign, text, answers, split="validation"), alice, (1, 2, 3))
    snapshot = freeze_snapshot(campaign=campaign, by=cast.researcher)
    run = Run.objects.create(workspace=cast.workspace, kind="reward.train", title="x", config={})
    return RewardModel.objects.create(
        workspace=cast.workspace, number=1, run=run, snapshot=snapshot, base_uri=base.uri, base_label="tiny",
        sha256="9c" * 32, metrics={"rm_accuracy": 0.4, "rm_accuracy_low": 0.2, "rm_accuracy_high": 0.6},
        evaluation=evaluated(campaign),
    )  # fmt: skip


def evaluated(campaign: Any) -> dict[str, Any]:
    groups = []
    for line in build_groups(campaign).lines:
        answers = [Answer([5], len(each["text"]), each["id"]) for each in line["completions"]]
        pairs = [Pair(p["first"], p["second"], p["outcome"], 1.0, p["labeler"], None) for p in line["pairs"]]
        if line["split"] == "validation":
            groups.append(Group(line["prompt_id"], "validation", [1], answers, pairs))
    worth = {str(c.public_id): float(c.text == "Er.") for c in Completion.objects.all()}
    scores = [np.array([worth[answer.id] for answer in group.answers]) for group in groups]
    lengths = [np.array([float(answer.characters) for answer in group.answers]) for group in groups]
    found = Measured(
        scores=scores, spread=[], floors={"length": lengths}, train_scores=np.array([0.0, 1.0]), longer_wins=True,
        threshold=0.0, reliability={}, weights={},
    )  # fmt: skip
    return report(groups, found, samples=50, seed=0)


def couples(version: RewardModel) -> list[tuple[str, str]]:
    return [(row["preferred"], row["rejected"]) for row in version.evaluation["disagreements"]]


def page(cast: Cast, version: RewardModel) -> str:
    return web(cast.researcher).get(f"/reward/{version.public_id}/").content.decode()


def test_a_version_that_fails_says_so_in_red_and_hostile_answers_stay_text(cast: Cast, version: RewardModel) -> None:
    text = page(cast, version)
    assert "It does not beat a rule that only looks at an answer" in text
    assert "It orders answers no better than a coin." in text
    assert text.count('name="couple"') == len(couples(version)) == 4
    assert "<script>alert(1)" not in text
    assert cast.labeler(cast.alice).name in text


def test_labelers_hardly_better_than_a_coin_are_counted_and_marked(cast: Cast, version: RewardModel) -> None:
    assert "hardly better than a coin" not in page(cast, version)
    version.evaluation["labelers"][0] |= {"reliability": 0.41, "is_doubtful": True, "weight": 1.0}
    version.save()
    text = page(cast, version)
    assert "1 labeler is hardly better than a coin." in text
    assert text.count('<span class="tag bad">41.0\u00a0%</span>') == 1


def test_a_version_without_an_evaluation_still_has_its_page(cast: Cast, version: RewardModel) -> None:
    RewardModel.objects.update(evaluation={})
    response = web(cast.researcher).get(f"/reward/{version.public_id}/")
    assert response.status_code == 200
    assert "Does it mean what it says?" not in response.content.decode()


def test_an_answer_that_was_removed_leaves_the_list(cast: Cast, version: RewardModel) -> None:
    for row in version.evaluation["disagreements"][1:]:
        row["preferred"] = "00000000-0000-0000-0000-000000000000"
    version.save()
    assert page(cast, version).count('name="couple"') == 1


def test_chosen_disagreements_are_asked_again_ahead_of_others_and_once(cast: Cast, version: RewardModel) -> None:
    before = set(Task.objects.values_list("pk", flat=True))
    chosen = couples(version)[:2]

    made = [ask_again(version=version, by=cast.researcher, couples=[*chosen, chosen[0]]) for _ in range(2)]

    assert made == [2, 0]
    new = Task.objects.exclude(pk__in=before)
    asked = {frozenset(str(c.public_id) for c in task.completions.all()) for task in new}
    assert asked == {frozenset(couple) for couple in chosen}
    assert {(task.purpose, task.free_slots > 0, task.priority < 100) for task in new} == {("collect", True, True)}


def test_what_is_no_disagreement_is_not_asked(cast: Cast, version: RewardModel) -> None:
    first, second = couples(version)[0]
    for wrong in ([], [(second, first)], [(first, first)]):
        with pytest.raises(Refused) as refused:
            ask_again(version=version, by=cast.researcher, couples=wrong)
        assert refused.value.code == "not_a_disagreement"


def test_the_form_sends_couples_back_and_tells_how_many(cast: Cast, version: RewardModel) -> None:
    chosen = [" ".join(couple) for couple in couples(version)[:2]]
    url = f"/reward/{version.public_id}/ask-again/"
    answer = web(cast.researcher).post(url, {"couple": chosen}, follow=True)
    assert "2 couples are in the queue." in answer.content.decode()
    refused = web(cast.researcher).post(url, {"couple": ["nonsense"]}, follow=True)
    assert "Choose among the disagreements" in refused.content.decode()


def test_only_researchers_of_the_workspace_ask_again(cast: Cast, version: RewardModel) -> None:
    url, body = f"/reward/{version.public_id}/ask-again/", {"couple": [" ".join(couples(version)[0])]}
    before = Task.objects.count()
    assert web(cast.charlie).post(url, body).status_code == 404
    assert web(cast.alice).post(url, body).status_code == 404
    assert web(cast.manager).post(url, body).status_code == 403
    assert 'name="couple"' not in web(cast.manager).get(f"/reward/{version.public_id}/").content.decode()
    assert Task.objects.count() == before


def test_the_api_gives_the_report_and_takes_couples(cast: Cast, version: RewardModel) -> None:
    url = f"/api/v1/reward-models/{version.public_id}/"
    assert api(cast.manager).get(f"{url}evaluation/").json() == version.evaluation
    assert api(cast.charlie).get(f"{url}evaluation/").status_code == 404
    body = {"couples": [dict(zip(("preferred", "rejected"), couples(version)[0], strict=True))]}
    made = api(cast.researcher).post(f"{url}ask-again/", body, format="json")
    assert (made.status_code, made.json()) == (201, {"num_tasks": 1})
    assert api(cast.manager).post(f"{url}ask-again/", body, format="json").status_code == 403
