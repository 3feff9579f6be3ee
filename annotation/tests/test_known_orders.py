"""Gold and training tasks: how they are made, scored, told and put away, and what they never touch."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.errors import Refused
from accounts.models import AuditEvent
from annotation.models import Campaign, Gold, Labeler, Ranking, Task
from annotation.overview import with_progress
from annotation.pairs import current_rankings
from annotation.quality_figures import LabelerQuality, known_orders, labeler_quality
from annotation.queries import campaign_progress
from annotation.services import archive_known_order, claim_task, import_jsonl, make_known_order
from annotation.tests.planning import lease_of, make_known, order_of, plan, say, standing
from annotation.tests.test_import import jsonl, refusal
from tests.cast import Cast, make_campaign, make_labeler, make_task


@pytest.fixture
def alice(cast: Cast) -> Labeler:
    return cast.labeler(cast.alice)


def test_a_task_becomes_gold_and_leaves_the_queue(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    task = make_task(campaign, answers=("One.", "Two.", "Three."))

    gold = make_known_order(task=task, by=cast.manager, role="gold", ranks=order_of(task, 3, None, 7))

    assert (gold.role, gold.overlap, gold.free_slots, gold.archived_at) == ("gold", 1, 0, None)
    assert [c.text for c in gold.completions.order_by("task_items__position")] == ["One.", "Two.", "Three."]
    assert Gold.objects.get(task=gold).ranks == order_of(task, 1, None, 2)
    task.refresh_from_db()
    assert task.archived_at is not None
    assert claim_task(campaign=campaign, labeler=alice) is None
    assert AuditEvent.objects.filter(verb="campaign.known_order_add", actor=cast.manager).exists()


def test_a_task_that_somebody_has_begun_stays(cast: Cast, alice: Labeler) -> None:
    campaign = make_campaign(cast, overlap=2)
    task = make_task(campaign)
    assert claim_task(campaign=campaign, labeler=alice) is not None

    make_known_order(task=task, by=None, role="training", ranks=order_of(task, 1, 2))

    task.refresh_from_db()
    assert task.archived_at is None


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"role": "work"}, "role_unknown"),
        ({"ranks": {}}, "known_order_empty"),
        ({"ranks": (1, None)}, "known_order_empty"),
        ({"ranks": (0, 1)}, "known_order_invalid"),
        ({"ranks": (1, 10)}, "known_order_invalid"),
        ({"ranks": (1, True)}, "known_order_invalid"),
        ({"ranks": (1, "2")}, "known_order_invalid"),
        ({"ranks": {"0" * 36: 1}}, "known_order_invalid"),
        ({"explanation": "\x00"}, "nul_byte"),
        ({"explanation": "x" * 4001}, "text_too_long"),
    ],
)
def test_an_order_that_nobody_could_be_checked_by_is_refused(
    campaign: Campaign, settings: dict[str, Any], code: str
) -> None:
    task = make_task(campaign)
    asked = {"role": "gold", "ranks": (1, 2), **settings}
    ranks = asked.pop("ranks")
    ranks = ranks if isinstance(ranks, dict) else order_of(task, *ranks)

    with pytest.raises(Refused) as refused:
        make_known_order(task=task, by=None, ranks=ranks, **asked)

    assert refused.value.code == code
    assert not Gold.objects.exists()
    assert Task.objects.get().archived_at is None


def test_a_tie_alone_is_no_order_where_nobody_can_say_it(campaign: Campaign) -> None:
    task = make_task(campaign)
    Campaign.objects.filter(pk=campaign.pk).update(protocol="strict")

    with pytest.raises(Refused) as refused:
        make_known_order(task=Task.objects.get(), by=None, role="gold", ranks=order_of(task, 1, 1))

    assert refused.value.code == "known_order_empty"


def test_gold_is_scored_in_silence_and_training_aloud(campaign: Campaign, alice: Labeler) -> None:
    three = ("Best.", "Good.", "Bad.")
    gold, training = (make_known(campaign, role, f"{role}?", three) for role in ("gold", "training"))

    silent, nothing = say(lease_of(gold, alice, takes_slot=False), (1, 3, 2))
    aloud, told = say(lease_of(training, alice, takes_slot=False), (1, 3, 2))

    assert nothing is None
    assert told is not None
    silent.refresh_from_db()
    aloud.refresh_from_db()
    assert silent.gold_score == aloud.gold_score == told.score == pytest.approx(2 / 3)
    assert told.expected == order_of(training, 1, 2, 3)
    assert told.explanation == "Because."
    assert standing(campaign, alice).num_submitted == 2


def test_a_revised_training_task_keeps_its_first_score_and_gold_gets_a_new_one(
    campaign: Campaign, alice: Labeler
) -> None:
    scores = {}
    for role in ("training", "gold"):
        task = make_known(campaign, role, f"{role}?")
        first, _told = say(lease_of(task, alice, takes_slot=False), (2, 1))
        again = lease_of(task, alice, takes_slot=False, revises=first)
        Ranking.objects.filter(pk=first.pk).update(superseded_by=first)
        second, _told = say(again, (1, 2))
        scores[role] = second.gold_score

    assert scores == {"training": 0, "gold": 1}


def test_known_orders_reach_no_figure_of_the_campaign(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    for role in ("gold", "training"):
        task = make_known(campaign, role, f"{role}?")
        for labeler in (alice, cast.labeler(cast.bob)):
            say(lease_of(task, labeler, takes_slot=False), (1, 2))
    task = make_task(campaign, "Work?")
    ordinary, _nothing = say(lease_of(task, alice), (1, 2))
    say(lease_of(task, alice, repeat=1, takes_slot=False), (1, 2))

    assert list(current_rankings(campaign)) == [ordinary]
    progress = campaign_progress(campaign)
    assert (progress.num_tasks, progress.num_wanted, progress.num_rankings) == (1, 1, 1)
    listed = vars(with_progress(Campaign.objects.all()).get())
    assert (listed["num_tasks"], listed["num_wanted"], listed["num_rankings"]) == (1, 1, 1)


def test_a_gold_task_that_most_people_fail_is_doubted_and_comes_first(cast: Cast, campaign: Campaign) -> None:
    plan(campaign, gold_every=5, gold_min=0.6, qualification_min=0.9)
    good, bad, few = (make_known(campaign, text=f"{name}?") for name in ("Good", "Bad", "Few"))
    people = [make_labeler(cast.workspace, f"w{number}") for number in range(3)]
    for number, person in enumerate(people):
        say(lease_of(good, person, takes_slot=False), (1, 2))
        say(lease_of(bad, person, takes_slot=False), (1, 2) if number == 0 else (2, 1))
    say(lease_of(few, people[0], takes_slot=False), (2, 1))
    archived = make_known(campaign, text="Archived?")
    archive_known_order(task=archived, by=cast.manager)
    make_task(campaign, "Work?")

    rows = known_orders(campaign)

    assert [row.task for row in rows] == [bad, few, good]
    assert [(row.num_rankings, row.num_passed, row.is_doubtful) for row in rows] == [
        (3, 1, True),
        (1, 0, False),
        (3, 3, False),
    ]
    assert rows[0].mean_score == pytest.approx(1 / 3)
    with pytest.raises(Refused) as refused:
        archive_known_order(task=archived, by=cast.manager)
    assert refused.value.code == "known_order_archived"


def test_a_labelers_figures_by_hand(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    bob = cast.labeler(cast.bob)
    for text, ranks in (("One?", (1, 2)), ("Two?", (2, 1))):
        say(lease_of(make_known(campaign, text=text), alice, takes_slot=False), ranks)
    task = make_task(campaign, "Again?", ("One.", "Two.", "Three."))
    say(lease_of(task, alice), (1, 2, 2))
    # Of three pairs two are said again: 1 > 3 is, 1 > 2 became a tie, 2 = 3 became a preference; one is missing below.
    turned = lease_of(task, alice, repeat=1, takes_slot=False)
    say(turned, (1, 1, 2))
    say(lease_of(make_task(campaign, "Bob's?"), bob), (2, 1))

    found = labeler_quality(campaign)

    assert found[alice.pk] == LabelerQuality(0.5, 2, found[alice.pk].consistency, 3, 1.0, 2)
    assert found[alice.pk].consistency == pytest.approx(1 / 3)
    assert found[bob.pk] == LabelerQuality(None, 0, None, 0, 0.0, 1)
    assert labeler_quality(campaign, [bob]) == {bob.pk: found[bob.pk]}


def test_what_could_not_be_ranked_again_is_no_repeat(campaign: Campaign, alice: Labeler) -> None:
    task = make_task(campaign, "Again?", ("One.", "Two.", "Three."))
    say(lease_of(task, alice), (1, 2, 3))
    say(lease_of(task, alice, repeat=1, takes_slot=False), (1, 2, None))

    found = labeler_quality(campaign)[alice.pk]

    assert (found.consistency, found.num_repeated_pairs) == (1.0, 1)


SAID = {"labeler": "w", "ranks": [1, 2, 3]}
LINE = {"prompt": "Name a prime.", "completions": ["Seven.", "Nine.", "Ten."], "role": "gold"}


def test_an_import_brings_known_orders_and_brings_them_once(cast: Cast, campaign: Campaign) -> None:
    lines = jsonl(
        {**LINE, "gold": {"ranks": [1, 2, None], "explanation": "9 = 3 · 3"}},
        {**LINE, "role": "training", "gold": {"ranks": [1, 2, 2]}},
        {"prompt": "Name a prime.", "completions": ["Seven.", "Nine.", "Ten."]},
    )

    first = import_jsonl(campaign=campaign, by=cast.manager, lines=lines)
    second = import_jsonl(campaign=campaign, by=cast.manager, lines=lines)

    assert (first.num_tasks, first.num_completions, second.num_tasks, second.num_completions) == (3, 3, 0, 0)
    gold, training, work = (Task.objects.get(role=role) for role in ("gold", "training", "work"))
    assert gold.gold.ranks == order_of(gold, 1, 2, None)
    assert gold.gold.explanation == "9 = 3 · 3"
    assert training.gold.ranks == order_of(training, 1, 2, 2)
    assert (work.free_slots, gold.free_slots) == (1, 0)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (LINE, "known_order_invalid"),
        ({**LINE, "role": "work", "gold": {"ranks": [1, 2, 3]}}, "known_order_invalid"),
        ({"prompt": "?", "role": "gold", "gold": {"ranks": []}}, "known_order_invalid"),
        (
            {**LINE, "gold": {"ranks": [1, 2, 3]}, "rankings": [{"labeler": "w", "ranks": [1, 2, 3]}]},
            "known_order_invalid",
        ),
        ({**LINE, "gold": {"ranks": [1, 2]}}, "ranking_incomplete"),
        ({**LINE, "gold": {"ranks": [1, 2, 0]}}, "rank_invalid"),
        ({**LINE, "gold": {"ranks": [1, None, None]}}, "known_order_empty"),
        ({**LINE, "gold": {"ranks": [1, 2, 3], "why": ""}}, "unknown_key"),
        ({**LINE, "gold": {"ranks": [1, 2, 3], "explanation": 7}}, "text_not_string"),
    ],
)
def test_an_imported_order_is_refused_with_its_line(
    cast: Cast, campaign: Campaign, line: dict[str, Any], code: str
) -> None:
    assert refusal(campaign, cast, jsonl({"prompt": "Fine."}, line)) == [(2, code)]
