"""The page that lists a version's scores: who sees it, in which order, of which campaign."""

from __future__ import annotations

import pytest
from django.urls import reverse

from annotation.models import Campaign
from policy.models import Checkpoint
from reward.models import RewardModel
from reward.tests.scores import answers_of, scored
from reward.tests.test_api import copy_to_charlie
from tests.cast import Cast, make_campaign, make_completions, make_prompt, web
from tests.loop import make_reward_model


def test_scores_are_listed_for_staff_in_the_order_they_choose(
    cast: Cast, version: RewardModel, campaign: Campaign
) -> None:
    scored(version, campaign, [(0.5, 0.3), (-1.0, 0.9), (2.0, 0.1), (-2.0, None)])
    url = reverse("reward:version-scores", args=[version.public_id])
    links = [reverse("reward:completion-detail", args=[answer.public_id]) for answer in answers_of(campaign)]

    def listed(query: str = "") -> list[int]:
        text = web(cast.manager).get(url + query).content.decode()
        return sorted((n for n, link in enumerate(links) if link in text), key=lambda n: text.index(links[n]))

    assert listed() == listed("?order=highest") == listed("?order=nonsense") == [2, 0, 1, 3]
    assert listed("?order=lowest") == [3, 1, 0, 2]
    assert listed("?order=unsure") == [1, 0, 2]
    assert url in web(cast.manager).get(reverse("reward:version-detail", args=[version.public_id])).content.decode()
    for outsider in (cast.alice, cast.charlie):
        assert web(outsider).get(url).status_code == 404


def test_the_list_is_of_one_campaign_where_one_is_named(cast: Cast, version: RewardModel, campaign: Campaign) -> None:
    another = make_campaign(cast, name="Another")
    make_completions(make_prompt(another, "Where?"), ["There, <b>there</b>."])
    scored(version, campaign, [(0.5, 0.3)])
    scored(version, another, [(7.0, 0.2)])
    url = reverse("reward:version-scores", args=[version.public_id])

    everything, theirs = (
        web(cast.researcher).get(url, query).content.decode() for query in ({}, {"campaign": str(another.public_id)})
    )

    assert everything.count('<th scope="row"') == 2
    assert theirs.count('<th scope="row"') == 1
    detail = web(cast.researcher).get(reverse("reward:version-detail", args=[version.public_id])).content.decode()
    assert f'href="{url}?campaign={another.public_id}"' in detail
    assert "There, &lt;b&gt;there&lt;/b&gt;." in theirs
    foreign = copy_to_charlie(cast, version).snapshot.campaign
    assert web(cast.researcher).get(url, {"campaign": str(foreign.public_id)}).status_code == 404


def test_long_lists_of_scores_have_pages_that_keep_their_order(
    cast: Cast, version: RewardModel, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reward.scores_page.PER_PAGE", 2)
    scored(version, campaign, [(0.5, 0.3), (-1.0, 0.9), (2.0, 0.1)])
    url = reverse("reward:version-scores", args=[version.public_id])

    first = web(cast.researcher).get(f"{url}?order=lowest").content.decode()
    second = web(cast.researcher).get(f"{url}?order=lowest&page=2").content.decode()

    assert 'href="?order=lowest&amp;page=2" rel="next"' in first
    assert first.count('<th scope="row"') == 2
    assert second.count('<th scope="row"') == 1
    assert "+2.00" in second


def test_one_head_has_no_order_by_spread(cast: Cast, campaign: Campaign, base: Checkpoint) -> None:
    single = make_reward_model(cast, campaign, base)
    url = reverse("reward:version-scores", args=[single.public_id])
    assert "It has not scored any answers yet." in web(cast.researcher).get(url).content.decode()
    scored(single, campaign, [(0.5, None)])
    text = web(cast.researcher).get(f"{url}?order=unsure").content.decode()
    assert "Least sure" not in text
    assert "Heads differ by" not in text
    assert "+0.50" in text
