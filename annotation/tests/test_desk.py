"""What a labeler's screen shows, and what it must not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.desk import guideline_changes, said, work_progress
from annotation.models import Campaign, Lease, Ranking
from annotation.protocols import PRESETS
from annotation.services import (
    Submission,
    SubmittedItem,
    add_guideline_version,
    claim_task,
    lease_guidelines,
    recent_rankings,
    submit_ranking,
)
from tests.cast import Cast, make_task

SECRET = "checkpoint:do-not-tell"


def claim(cast: Cast, campaign: Campaign) -> Lease:
    lease = claim_task(campaign=campaign, labeler=cast.labeler(cast.alice))
    assert lease is not None
    return lease


def rank(lease: Lease, *ranks: int | None, seconds: float | None = None) -> Ranking:
    items = [SubmittedItem(completion_id=key, rank=rank) for key, rank in zip(lease.shown, ranks, strict=True)]
    return submit_ranking(lease=lease, submission=Submission(items=items, active_seconds=seconds)).ranking


def test_progress_counts_today_what_is_left_and_the_median_pace(cast: Cast, campaign: Campaign) -> None:
    for number in range(5):
        make_task(campaign, f"{number}?")
    labeler = cast.labeler(cast.alice)
    for seconds in (10, 90, 20):
        rank(claim(cast, campaign), 1, 2, seconds=seconds)
    yesterday = Ranking.objects.earliest("pk")
    Ranking.objects.filter(pk=yesterday.pk).update(created_at=timezone.now() - timedelta(days=1))

    progress = work_progress(campaign, labeler)

    assert progress == (2, 2, False, 20)


def test_what_changed_in_the_guidelines_is_told_to_who_worked_by_others(cast: Cast, campaign: Campaign) -> None:
    for number in range(3):
        make_task(campaign, f"{number}?")
    first = claim(cast, campaign)
    assert guideline_changes(first, lease_guidelines(first)) is None
    rank(first, 1, 2)
    add_guideline_version(campaign=campaign, by=cast.manager, text="Be brief.")

    second = claim(cast, campaign)
    changes = guideline_changes(second, lease_guidelines(second))
    assert changes is not None
    assert changes.since == 1
    assert [piece for piece in changes.pieces or () if piece.tag != "same"] == [("del", "kind"), ("ins", "brief")]

    rank(second, 1, 2)
    third = claim(cast, campaign)
    assert guideline_changes(third, lease_guidelines(third)) is None


def test_a_ranking_is_read_in_the_letters_it_was_shown_under(cast: Cast, campaign: Campaign) -> None:
    make_task(campaign, answers=("a", "b", "c", "d"))
    rank(claim(cast, campaign), 2, None, 1, 2)

    (recent,) = [said(ranking) for ranking in recent_rankings(cast.labeler(cast.alice), campaign)]

    assert (recent.places, recent.unranked, recent.strength) == ([["C"], ["A", "D"]], ["B"], None)


@pytest.fixture
def pages(cast: Cast, campaign: Campaign, client: Client) -> Callable[[], dict[str, str]]:
    """Everything that a labeler's browser gets around one task."""

    def load() -> dict[str, str]:
        client.force_login(cast.alice)
        rank(claim(cast, campaign), 1, 2)
        lease = claim(cast, campaign)
        of_lease, of_campaign = [lease.public_id], [campaign.public_id]
        answers = {
            "page": client.get(reverse("annotation:lease", args=of_lease)),
            "compare": client.get(reverse("annotation:lease-compare", args=of_lease)),
            "recent": client.get(reverse("annotation:work-recent", args=of_campaign)),
            "progress": client.get(reverse("annotation:work-progress", args=of_campaign)),
            "ahead": client.post(reverse("annotation:work-ahead", args=of_campaign)),
        }
        assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 200)
        return {name: answer.content.decode() for name, answer in answers.items()}

    return load


@pytest.mark.parametrize("preset", PRESETS)
def test_no_source_reaches_a_labeler(
    preset: str, cast: Cast, campaign: Campaign, pages: Callable[[], dict[str, str]]
) -> None:
    for number in range(3):
        task = make_task(campaign, f"{number}?")
        for name, completion in zip(("alpha", "beta"), task.completions.all(), strict=True):
            type(completion).objects.filter(pk=completion.pk).update(source=f"{SECRET}-{name}")
    loaded = pages()
    found = PRESETS[preset]
    Campaign.objects.filter(pk=campaign.pk).update(protocol=found.protocol, questions=found.questions.as_json())

    for name, text in {**loaded, **_reload(cast, campaign)}.items():
        assert "Air scatters" in text or name in ("recent", "progress"), name
        assert "do-not-tell" not in text, name


def _reload(cast: Cast, campaign: Campaign) -> dict[str, str]:
    client = Client()
    client.force_login(cast.alice)
    lease = Lease.objects.active().earliest("pk")
    page = client.get(reverse("annotation:lease", args=[lease.public_id]))
    assert page.status_code == 200
    return {"as the preset asks": page.content.decode()}


def test_hostile_answers_stay_text_in_the_comparison(cast: Cast, campaign: Campaign, client: Client) -> None:
    make_task(campaign, answers=("<script>a</script>", "<script>b</script>"))
    lease = claim(cast, campaign)
    client.force_login(cast.alice)

    page = client.get(reverse("annotation:lease-compare", args=[lease.public_id])).content.decode()

    assert "<script>a" not in page
    assert "&lt;script&gt;" in page


def test_a_ranking_is_sent_once_and_answered_in_json(cast: Cast, campaign: Campaign, client: Client) -> None:
    make_task(campaign)
    lease = claim(cast, campaign)
    client.force_login(cast.alice)
    url = reverse("annotation:lease-send", args=[lease.public_id])
    body = {f"rank-{key}": str(rank) for rank, key in enumerate(lease.shown, start=1)}

    first, again = client.post(url, body), client.post(url, body)
    other = client.post(url, dict.fromkeys(body, "1"))

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["ranking"] == again.json()["ranking"] == str(Ranking.objects.get().public_id)
    assert (first.json()["is_repeat"], again.json()["is_repeat"]) == (False, True)
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "idempotency_conflict"


def test_a_malformed_ranking_is_refused_with_a_sentence(cast: Cast, campaign: Campaign, client: Client) -> None:
    make_task(campaign)
    lease = claim(cast, campaign)
    client.force_login(cast.alice)

    answer = client.post(
        reverse("annotation:lease-send", args=[lease.public_id]), {f"rank-{lease.shown[0]}": "seventh"}
    )

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "ranking_invalid"
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["annotation:ranking-revise", "annotation:ranking-withdraw"])
def test_nobody_touches_anothers_ranking(name: str, cast: Cast, campaign: Campaign, client: Client) -> None:
    make_task(campaign)
    ranking = rank(claim(cast, campaign), 1, 2)

    for user in (cast.bob, cast.charlie, cast.manager):
        client.force_login(user)
        assert client.post(reverse(name, args=[ranking.public_id])).status_code == 404
    client.force_login(cast.alice)
    assert client.post(reverse(name, args=[uuid4()])).status_code == 404
    assert Ranking.objects.current().get() == ranking
