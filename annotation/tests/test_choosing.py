"""What the plan gives a labeler beside the queue: gold, repeats and limits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.errors import Conflict
from annotation.models import Campaign, Labeler, Lease, Participation, Ranking, Task
from annotation.quality import QualityPlan
from annotation.querysets import for_reader
from annotation.services import archive_known_order, set_reading
from annotation.services.choosing import choose_planned, is_gold_place, is_repeat_place
from annotation.states import LeaseState
from annotation.tests.planning import NOW, choose, hold, lease_of, make_known, plan, say, standing, tomorrow
from tests.cast import Cast, make_campaign, make_labeler, make_task


@pytest.fixture
def alice(cast: Cast) -> Labeler:
    return cast.labeler(cast.alice)


def at_place(campaign: Campaign, labeler: Labeler, place: int) -> None:
    standing(campaign, labeler)
    Participation.objects.filter(campaign=campaign, labeler=labeler).update(num_submitted=place)


def gold_places(campaign: Campaign, labeler: Labeler, num: int) -> list[int]:
    own, planned = standing(campaign, labeler), QualityPlan.read(campaign.quality)
    return [place for place in range(num) if is_gold_place(own, planned, place)]


def repeat_places(campaign: Campaign, labeler: Labeler, num: int) -> list[int]:
    own, planned = standing(campaign, labeler), QualityPlan.read(campaign.quality)
    return [place for place in range(num) if is_repeat_place(own, planned, place)]


def test_a_plan_of_nothing_asks_the_database_nothing(
    campaign: Campaign, alice: Labeler, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    own = standing(campaign, alice)

    with django_assert_num_queries(0):
        assert choose_planned(own, QualityPlan(), num_held=1, now=NOW) is None


def test_each_block_has_one_gold_place_and_people_have_other_ones(cast: Cast, campaign: Campaign) -> None:
    plan(campaign, gold_every=10)
    people = [cast.labeler(cast.alice), *(make_labeler(cast.workspace, f"w{n}") for n in range(8))]

    found = [gold_places(campaign, person, 200) for person in people]

    for places in found:
        assert [place // 10 for place in places] == list(range(20))
        assert len({place % 10 for place in places}) > 4
    assert len({tuple(places) for places in found}) == len(people)


def test_gold_comes_at_its_place_and_nowhere_else(campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, gold_every=4)
    gold = make_known(campaign)
    place = gold_places(campaign, alice, 4)[0]

    found = {}
    for number in range(4):
        at_place(campaign, alice, number)
        chosen = choose(campaign, alice)
        found[number] = chosen.task if chosen else None

    assert found == {number: gold if number == place else None for number in range(4)}


def test_what_is_held_counts_as_a_place(campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, gold_every=4)
    make_known(campaign)
    places = gold_places(campaign, alice, 400)
    place = next(place for place in places[1:] if place - 1 not in places)
    at_place(campaign, alice, place - 1)

    assert choose(campaign, alice) is None
    assert choose(campaign, alice, num_held=1) is not None


def test_a_gold_task_is_given_to_nobody_twice_nor_after_it_was_put_away(campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, gold_every=1)
    known, other = make_known(campaign), make_known(campaign, text="And which is it here?")
    say(lease_of(known, alice, takes_slot=False), (1, 2))

    chosen = choose(campaign, alice)
    assert chosen is not None
    assert (chosen.task, chosen.repeat, chosen.shown) == (other, 0, None)

    archive_known_order(task=other, by=None)
    assert choose(campaign, alice) is None


def test_who_skips_gold_is_given_an_ordinary_task_next(campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, gold_every=1)
    make_known(campaign)
    make_known(campaign, text="And which is it here?")
    chosen = choose(campaign, alice)
    assert chosen is not None
    Lease.objects.filter(pk=hold(chosen, alice).pk).update(state=LeaseState.SKIPPED)

    assert choose(campaign, alice) is None


def test_a_gold_claim_costs_three_queries_however_many_there_are(
    campaign: Campaign, alice: Labeler, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    plan(campaign, gold_every=1)
    own = Participation.objects.select_related("labeler").get(pk=standing(campaign, alice).pk)
    for number in range(3):
        make_known(campaign, text=f"Which is right, {number}?")
        with django_assert_num_queries(3):
            assert choose_planned(own, QualityPlan(gold_every=1), num_held=0, now=NOW) is not None


def ranked(campaign: Campaign, labeler: Labeler, *names: str) -> list[Task]:
    tasks = [make_task(campaign, f"{name}?", ("One.", "Two.", "Three.")) for name in names]
    for task in tasks:
        say(lease_of(task, labeler), (1, 2, 3))
    return tasks


def test_a_repeat_is_an_own_task_of_long_ago_in_turned_order(campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, repeat_every=1, repeat_after=3)
    tasks = ranked(campaign, alice, "A", "B", "C")
    assert choose(campaign, alice) is None

    tasks += ranked(campaign, alice, "D", "E")
    chosen = choose(campaign, alice)

    assert chosen is not None
    assert chosen.task in tasks[:2]
    assert chosen.repeat == 1
    first = Ranking.objects.get(task=chosen.task)
    assert first.lease is not None
    assert chosen.shown == first.lease.shown[::-1]


def test_the_distance_of_a_repeat_counts_what_is_held(campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, repeat_every=1, repeat_after=3)
    ranked(campaign, alice, "A", "B", "C")

    assert choose(campaign, alice) is None
    assert choose(campaign, alice, num_held=1) is not None


def test_only_own_ordinary_rankings_that_stand_are_repeated_and_each_once(
    cast: Cast, campaign: Campaign, alice: Labeler
) -> None:
    plan(campaign, repeat_every=1, repeat_after=1)
    old, withdrawn, put_away, rated = (
        make_task(campaign, f"{name}?") for name in ("Old", "Withdrawn", "Put away", "Rated")
    )
    for task in (old, withdrawn, put_away, rated):
        say(lease_of(task, alice), (1, 2))
    say(lease_of(make_task(campaign, "Bob's?"), cast.labeler(cast.bob)), (1, 2))
    elsewhere = make_campaign(cast, name="Elsewhere")
    say(lease_of(make_task(elsewhere, "Elsewhere?"), alice), (1, 2))
    say(lease_of(make_known(campaign), alice, takes_slot=False), (1, 2))
    say(lease_of(make_task(campaign, "Too young?"), alice), (1, 2))
    Ranking.objects.filter(task=withdrawn).update(withdrawn_at=timezone.now())
    Task.objects.filter(pk=put_away.pk).update(archived_at=timezone.now())
    Task.objects.filter(pk=rated.pk).update(purpose="rate")

    chosen = choose(campaign, alice)
    assert chosen is not None
    assert chosen.task == old
    say(hold(chosen, alice), (1, 2))

    again = choose(campaign, alice)
    assert again is not None
    assert again.task.prompt.text == "Too young?"


def test_repeats_keep_one_place_a_block_beside_gold(campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, gold_every=3, repeat_every=3)

    gold, repeats = gold_places(campaign, alice, 300), repeat_places(campaign, alice, 300)

    assert not set(gold) & set(repeats)
    assert [place // 3 for place in repeats] == list(range(100))


def test_where_every_place_is_gold_there_is_no_repeat(campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, gold_every=1, repeat_every=2)

    assert repeat_places(campaign, alice, 20) == []


def test_a_day_and_a_life_have_their_limits(campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, max_per_day=2, max_in_all=3)
    own = standing(campaign, alice)

    def refused(num_held: int = 0, **columns: object) -> str | None:
        Participation.objects.filter(pk=own.pk).update(**columns)
        try:
            choose(campaign, alice, num_held=num_held)
        except Conflict as conflict:
            return conflict.code
        return None

    assert refused(num_submitted=1, num_day=1, day=NOW.date()) is None
    assert refused(num_held=1) == "limit_reached"
    assert refused(num_submitted=2, num_day=2) == "limit_reached"
    # What was done yesterday is of yesterday.
    assert refused(day=NOW.date() - timedelta(days=1)) is None
    assert refused(num_submitted=3) == "limit_reached"


def test_a_day_ends_at_midnight_in_utc(campaign: Campaign, alice: Labeler) -> None:
    planned = plan(campaign, max_per_day=1)
    ranking, _feedback = say(lease_of(make_task(campaign), alice), (1, 2))
    own = standing(campaign, alice)
    assert (own.num_submitted, own.num_day, own.day) == (1, 1, ranking.created_at.date())

    with pytest.raises(Conflict):
        choose_planned(own, planned, num_held=0, now=ranking.created_at)
    assert choose_planned(own, planned, num_held=0, now=tomorrow()) is None


def test_a_revision_is_not_counted(campaign: Campaign, alice: Labeler) -> None:
    task = make_task(campaign)
    first, _feedback = say(lease_of(task, alice), (1, 2))
    Ranking.objects.filter(pk=first.pk).update(withdrawn_at=timezone.now())

    say(lease_of(task, alice, revises=first, takes_slot=False), (2, 1))

    assert standing(campaign, alice).num_submitted == 1


def test_tasks_find_people_by_language_and_skill(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    names = ["any", "en", "en-GB", "eng", "ar", "law"]
    for name in names:
        task = make_task(campaign, name)
        language = "" if name in ("any", "law") else name.lower()
        Task.objects.filter(pk=task.pk).update(language=language, skill="law" if name == "law" else "")

    def found(**reading: list[str]) -> set[str]:
        own = set_reading(campaign=campaign, labeler=alice, by=cast.manager, **reading)
        return {task.prompt.text for task in Task.objects.filter(for_reader(own), campaign=campaign)}

    assert found() == {"any", "en", "en-GB", "eng", "ar"}
    assert found(languages=["EN"]) == {"any", "en", "en-GB"}
    assert found(languages=["en-GB", "ar"]) == {"any", "en-GB", "ar"}
    assert found(skills=["law"]) == {"any", "en-GB", "ar", "law"}
    assert found(languages=[], skills=["law"]) == set(names)
