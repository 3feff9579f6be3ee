"""The database counts votes as `annotation.pairs` reads rankings, whatever was said."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest

from annotation.agreement import agreement_of
from annotation.models import Campaign, Labeler, Protocol, Ranking
from annotation.pairs import current_rankings, pairs_of
from annotation.tests.planning import lease_of, say
from annotation.votes import said_by_labelers
from tests.cast import Cast, make_campaign, make_task

ANSWERS = ("One.", "Two.", "Three.", "Four.")
Votes = dict[tuple[int, int, int], dict[int, int]]


@pytest.fixture
def labelers(cast: Cast) -> list[Labeler]:
    names = ("Ada", "Ben", "Cem", "Dee", "Eve")
    return [Labeler.objects.create(workspace=cast.workspace, name=name, kind="imported") for name in names]


@pytest.fixture
def campaign(cast: Cast, labelers: list[Labeler]) -> Campaign:
    """Twelve tasks, each ranked by one to five with ties and answers left out, some by the choice of one."""
    chance, campaign = random.Random(4), make_campaign(cast, overlap=5)
    for number in range(12):
        task = make_task(campaign, f"Question {number}?", ANSWERS)
        for labeler in chance.sample(labelers, chance.randint(1, 5)):
            is_best = number % 3 == 0
            ranks = chance.choice([(1, 2, 2, 2), (2, 2, 1, 2)]) if is_best else chance.choices((1, 2, 3, None), k=4)
            say(lease_of(task, labeler), ranks, protocol=Protocol.BEST if is_best else Protocol.RANKING)
    return campaign


def votes_in(campaign: Campaign) -> Votes:
    """Of tasks that were ranked more than once; of the others nothing is compared."""
    votes: Votes = defaultdict(dict)
    rankings = list(current_rankings(campaign))
    times = Counter(ranking.task_id for ranking in rankings)
    for ranking in (each for each in rankings if times[each.task_id] > 1):
        for first, second, outcome in pairs_of(ranking):
            votes[ranking.task_id, first, second][ranking.labeler_id] = outcome
    return votes


def tally(votes: dict[int, int]) -> tuple[int, int, int]:
    said = list(votes.values())
    return said.count(-1), said.count(0), said.count(1)


def test_units_are_counted_as_they_are_read(campaign: Campaign) -> None:
    found = said_by_labelers(current_rankings(campaign)).units

    read = Counter(tally(votes) for votes in votes_in(campaign).values())
    assert dict(zip(map(tuple, found.values.tolist()), found.times.tolist(), strict=True)) == read
    assert len(read) > 10
    assert Ranking.objects.filter(protocol=Protocol.BEST).exists()


@pytest.mark.parametrize("num_aside", [0, 2])
def test_each_vote_stands_beside_those_of_the_others_who_count(
    campaign: Campaign, labelers: list[Labeler], num_aside: int
) -> None:
    aside = {labeler.pk for labeler in labelers[:num_aside]}

    said = said_by_labelers(current_rankings(campaign), aside)

    others = said.others
    voices = zip(said.labelers.tolist(), said.outcomes.tolist(), strict=True)
    rows = zip(voices, map(tuple, others.values.tolist()), others.times.tolist(), strict=True)
    found: Counter[tuple[int, int, tuple[int, int, int]]] = Counter()
    for (labeler, outcome), beside, times in rows:
        if any(beside):
            found[labeler, outcome, beside] += times
    read: Counter[tuple[int, int, tuple[int, int, int]]] = Counter()
    for votes in votes_in(campaign).values():
        for labeler, outcome in votes.items():
            beside = tally({one: said for one, said in votes.items() if one != labeler and one not in aside})
            if any(beside):
                read[labeler, outcome, beside] += 1
    assert found == read
    assert {labeler for labeler, _outcome, _beside in read} == {labeler.pk for labeler in labelers}
    counted = current_rankings(campaign).exclude(labeler__in=aside)
    assert agreement_of(said.units) == agreement_of(said_by_labelers(counted).units)
    assert not aside or agreement_of(said.units) != agreement_of(said_by_labelers(current_rankings(campaign)).units)


def test_nothing_said_is_nothing_counted(cast: Cast) -> None:
    campaign = make_campaign(cast)

    for rankings in (current_rankings(campaign), Ranking.objects.none()):
        said = said_by_labelers(rankings, {1})
        assert said.others.values.shape == said.units.values.shape == (0, 3)
