"""The queue in the order of a version's doubt: who may, what is refused, and what a page offers."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from annotation.models import Campaign, Task
from policy.models import Checkpoint
from reward.models import RewardModel, Score
from reward.tests.scores import scored
from tests.cast import Cast, api, make_campaign, make_task, web
from tests.loop import make_reward_model


@pytest.fixture
def waiting(cast: Cast) -> Campaign:
    campaign = make_campaign(cast, name="Waiting")
    for name in ("Sure?", "Unsure?"):
        make_task(campaign, name)
    return campaign


@pytest.fixture
def judged(version: RewardModel, waiting: Campaign) -> RewardModel:
    scored(version, waiting, [(0.0, 0.1), (1.0, 0.1), (0.0, 0.9), (1.0, 0.9)])
    return version


def order(campaign: Campaign) -> list[str]:
    return [task.prompt.text for task in Task.objects.filter(campaign=campaign).order_by("priority", "pk")]


def url(version: RewardModel) -> str:
    return f"/api/v1/reward-models/{version.public_id}/order-queue/"


def test_people_are_asked_first_where_the_heads_disagree(cast: Cast, judged: RewardModel, waiting: Campaign) -> None:
    body = {"campaign": str(waiting.public_id)}
    assert order(waiting) == ["Sure?", "Unsure?"]

    codes = {
        name: api(user).post(url(judged), body, format="json").status_code for name, user in cast.everybody.items()
    }

    assert codes == {"owner": 200, "manager": 403, "researcher": 200, "alice": 404, "charlie": 404, "nobody": 401}
    assert order(waiting) == ["Unsure?", "Sure?"]
    assert api(cast.researcher).post(url(judged), body, format="json").json() == {"num_tasks": 2}
    event = AuditEvent.objects.filter(verb="reward.order_queue").latest("pk")
    assert (event.actor, event.data["num_tasks"]) == (cast.researcher, 2)


def test_the_least_sure_answers_of_a_campaign_offer_the_order(
    cast: Cast, judged: RewardModel, waiting: Campaign
) -> None:
    scores = reverse("reward:version-scores", args=[judged.public_id])
    action = reverse("reward:version-order-queue", args=[judged.public_id])
    unsure = f"{scores}?campaign={waiting.public_id}&order=unsure"

    def offers(user: str, address: str) -> bool:
        return action in web(getattr(cast, user)).get(address).content.decode()

    assert offers("researcher", unsure)
    assert not offers("manager", unsure)
    assert not offers("researcher", f"{scores}?campaign={waiting.public_id}")
    assert not offers("researcher", f"{scores}?order=unsure")

    response = web(cast.researcher).post(action, {"campaign": str(waiting.public_id)}, follow=True)

    assert "2 waiting tasks are in this order now." in response.content.decode()
    assert response.redirect_chain[0][0] == unsure
    assert order(waiting) == ["Unsure?", "Sure?"]


def test_an_order_that_cannot_be_is_refused(cast: Cast, judged: RewardModel, waiting: Campaign) -> None:
    def refused(campaign: Campaign) -> tuple[int, str]:
        response = api(cast.researcher).post(url(judged), {"campaign": str(campaign.public_id)}, format="json")
        return response.status_code, response.json()["error"]["code"]

    unscored = make_campaign(cast, name="Unscored")
    make_task(unscored)
    assert refused(unscored) == (409, "nothing_to_order")
    Score.objects.all().delete()
    assert refused(waiting) == (409, "nothing_to_order")
    judged.run.config["heads"] = 1
    judged.run.save(update_fields=["config"])
    assert refused(waiting) == (400, "no_spread")


def test_a_single_heads_version_says_so(cast: Cast, campaign: Campaign, base: Checkpoint, waiting: Campaign) -> None:
    single = make_reward_model(cast, campaign, base)

    action = reverse("reward:version-order-queue", args=[single.public_id])
    response = web(cast.researcher).post(action, {"campaign": str(waiting.public_id)}, follow=True)

    assert "has one head" in response.content.decode()
