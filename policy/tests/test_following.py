"""A campaign that follows a lineage gets each new checkpoint's answers by itself."""

from __future__ import annotations

import math

import pytest

from accounts.errors import Refused
from annotation.models import Campaign, Task
from annotation.services import claim_task, close_campaign
from policy.models import Checkpoint, Follow
from policy.services import follow, unfollow
from reward.models import RewardModel
from runs.models import Run
from tests.cast import Cast, make_campaign, make_prompt, make_task
from tests.loop import answer, make_base, make_child, make_reward_model, ranked_campaign, read_lines


@pytest.fixture
def trained_on(cast: Cast) -> Campaign:
    return ranked_campaign(cast)


@pytest.fixture
def reward_model(cast: Cast, base: Checkpoint, trained_on: Campaign) -> RewardModel:
    return make_reward_model(cast, trained_on, base)


def with_prompts(cast: Cast, name: str, num: int = 3) -> Campaign:
    campaign = make_campaign(cast, name=name)
    for index in range(num):
        make_prompt(campaign, f"{name} {index}?")
    make_prompt(campaign, f"{name} test?", "test")
    make_prompt(campaign, f"{name} held out?", "validation")
    return campaign


def fed() -> dict[str, Run]:
    """Name of each campaign that a sampling run was started for."""
    names = {str(campaign.public_id): campaign.name for campaign in Campaign.objects.all()}
    return {names[run.context["campaign"]]: run for run in Run.objects.filter(kind="policy.sample")}


def test_open_campaigns_that_follow_are_fed_and_no_others(
    cast: Cast, base: Checkpoint, reward_model: RewardModel, trained_on: Campaign
) -> None:
    campaigns = {name: with_prompts(cast, name) for name in ("Open", "Closed", "Left", "Other", "Never")}
    for name in ("Open", "Closed", "Left"):
        follow(campaign=campaigns[name], lineage=base.lineage, by=cast.researcher, max_prompts=2, max_new_tokens=9)
    other = make_base(cast.workspace, cast.researcher, "Other")
    follow(campaign=campaigns["Other"], lineage=other.lineage, by=cast.researcher)
    close_campaign(campaign=campaigns["Closed"], by=cast.manager)
    unfollow(campaign=campaigns["Left"], lineage=base.lineage, by=cast.researcher)

    child = make_child(cast, base, reward_model, trained_on)

    runs = fed()
    assert set(runs) == {"Open"}
    assert runs["Open"].config["sources"] == [child.uri, base.uri]
    assert (runs["Open"].config["per_prompt"], runs["Open"].config["max_new_tokens"]) == (2, 9)
    given = read_lines(runs["Open"].inputs["prompts"]["sha256"])
    assert [row["split"] for row in given] == ["train", "train"]


def test_answers_of_a_new_checkpoint_go_ahead_of_what_waits(
    cast: Cast, base: Checkpoint, reward_model: RewardModel, trained_on: Campaign
) -> None:
    campaign = with_prompts(cast, "Open", 1)
    stale = make_task(campaign, "Stale?")
    follow(campaign=campaign, lineage=base.lineage, by=cast.researcher)
    child = make_child(cast, base, reward_model, trained_on)
    prompt = campaign.prompts.get(messages__0__content="Open 0?")

    answer(fed()["Open"], {child: {prompt: ["a", "b"]}, base: {prompt: ["c", "d"]}})

    new = Task.objects.exclude(pk=stale.pk).get(campaign=campaign)
    assert (new.priority, stale.priority) == (50, 100)
    assert {a.source for a in new.completions.all()} == {child.uri, base.uri}
    lease = claim_task(campaign=campaign, labeler=cast.labeler(cast.alice))
    assert lease is not None
    assert lease.task == new


def test_a_follower_that_cannot_be_fed_does_not_cost_the_checkpoint(
    cast: Cast, base: Checkpoint, reward_model: RewardModel, trained_on: Campaign
) -> None:
    for campaign in (with_prompts(cast, "Bare", 0), with_prompts(cast, "Open")):
        follow(campaign=campaign, lineage=base.lineage, by=cast.researcher)

    child = make_child(cast, base, reward_model, trained_on)

    assert child.number == 1
    assert set(fed()) == {"Open"}
    assert child.run is not None
    assert [(note.level, note.code) for note in child.run.notes.all()] == [("warning", "no_prompts")]


def test_following_again_changes_the_numbers_and_wakes_it_up(cast: Cast, base: Checkpoint) -> None:
    campaign = make_campaign(cast)
    follow(campaign=campaign, lineage=base.lineage, by=cast.researcher, max_prompts=5)
    unfollow(campaign=campaign, lineage=base.lineage, by=cast.researcher)
    assert not Follow.objects.get().is_active

    follow(campaign=campaign, lineage=base.lineage, by=cast.researcher, max_prompts=6)

    again = Follow.objects.get()
    assert (again.max_prompts, again.is_active) == (6, True)


@pytest.mark.parametrize(
    "numbers",
    [
        {"completions_per_prompt": 0},
        {"completions_per_prompt": 10},
        {"max_prompts": 0},
        {"max_new_tokens": 0},
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": math.inf},
        {"temperature": math.nan},
    ],
    ids=str,
)
def test_numbers_that_no_run_could_use_are_refused(cast: Cast, base: Checkpoint, numbers: dict[str, float]) -> None:
    with pytest.raises(Refused) as refused:
        follow(campaign=make_campaign(cast), lineage=base.lineage, by=cast.researcher, **numbers)  # type: ignore[arg-type]
    assert refused.value.code == "follow_invalid"
    assert not Follow.objects.exists()


def test_a_campaign_follows_lineages_of_its_own_workspace(cast: Cast) -> None:
    theirs = make_base(cast.elsewhere, cast.charlie)
    with pytest.raises(Refused) as refused:
        follow(campaign=make_campaign(cast), lineage=theirs.lineage, by=cast.researcher)
    assert refused.value.code == "workspace_mismatch"
