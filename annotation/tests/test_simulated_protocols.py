"""Simulated labelers answer whatever a campaign asks, and stop where a person would."""

from __future__ import annotations

import pytest

from accounts.errors import Refused
from annotation.models import Campaign, Ranking, RankingItem
from annotation.personas import CREW, Judgement
from annotation.protocols import PRESETS, Protocol, Questions
from annotation.simulated_answers import ratings_under, strength_under
from annotation.simulation import create_simulated_labelers, start_simulation, work_queue
from annotation.tests.planning import make_known, plan
from tests.cast import Cast, make_campaign, make_task

GOOD = "The sky is blue because air scatters blue sunlight much more than red light."
ANSWERS = (GOOD, "Sky.", "", "Blue blue blue blue blue blue blue blue blue blue blue blue")
JUDGE = CREW[0]


def simulate(cast: Cast, campaign: Campaign) -> list[Ranking]:
    (labeler,) = create_simulated_labelers(workspace=cast.workspace, by=cast.manager, campaign=campaign, crew=CREW[:1])
    work_queue(campaign=campaign, labeler=labeler, seed=1)
    return list(Ranking.objects.filter(labeler=labeler).prefetch_related("items__completion"))


def judged(*utilities: float, unread: int | None = None) -> Judgement:
    reasons = tuple("empty" if i == unread else "" for i in range(len(utilities)))
    return Judgement((1,) * len(utilities), reasons, none_acceptable=False, active_seconds=1.0, utilities=utilities)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_worked_through(cast: Cast, name: str) -> None:
    preset = PRESETS[name]
    campaign = make_campaign(
        cast,
        protocol=preset.protocol,
        completions_per_task=preset.completions_per_task,
        questions=preset.questions.as_json(),
        overlap=1,
    )
    for number in range(6):
        make_task(campaign, f"Why is the sky blue on day {number}?", ANSWERS[: preset.completions_per_task])

    rankings = simulate(cast, campaign)

    assert len(rankings) == 6
    assert all((ranking.strength is not None) == (preset.completions_per_task == 2) for ranking in rankings)
    ratings = RankingItem.objects.exclude(completion__text="").values_list("rating", flat=True)
    assert all((rating is not None) == (preset.questions.rating == "required") for rating in ratings)


@pytest.mark.parametrize("protocol", [Protocol.STRICT, Protocol.BEST])
def test_no_tie_where_there_is_none(cast: Cast, protocol: str) -> None:
    campaign = make_campaign(cast, protocol=protocol, overlap=1)
    make_task(campaign, "Why is the sky blue?", (GOOD, GOOD + " ", "Sky."))

    (ranking,) = simulate(cast, campaign)

    ranks = list(ranking.items.order_by("rank").values_list("rank", flat=True))
    assert ranks == ([1, 2, 2] if protocol == Protocol.BEST else [1, 2, 3])


@pytest.mark.parametrize("protocol", [Protocol.STRENGTH, Protocol.SCALE])
def test_of_two_what_cannot_be_read_loses_by_far(cast: Cast, protocol: str) -> None:
    campaign = make_campaign(cast, protocol=protocol, completions_per_task=2, overlap=1)
    make_task(campaign, "Why is the sky blue?", ("Sky.", ""))
    make_task(campaign, "Why is the sea blue?", ("", "\n"))

    one, none = simulate(cast, campaign)

    assert one.strength == 4
    assert dict(one.items.values_list("completion__text", "rank")) == {"Sky.": 1, "": 2}
    assert (none.strength, none.none_acceptable) == (None, True)


def test_a_greater_difference_is_a_stronger_preference_and_a_better_answer_rated_higher() -> None:
    strengths = [strength_under(Protocol.STRENGTH, JUDGE, judged(0.0, gap * JUDGE.tie_width)) for gap in (0, 2, 6, 12)]
    acceptable = JUDGE.persona.acceptable
    seen = judged(acceptable - 9, acceptable - 1, acceptable, acceptable + 1, acceptable + 9, acceptable + 9, unread=5)

    assert strengths == [1, 2, 3, 4]
    assert ratings_under(Questions(rating="optional"), JUDGE, seen) == (1, 3, 4, 5, 7, 1)


def test_a_reason_is_given_where_one_is_required_and_says_whose_it_is(cast: Cast) -> None:
    campaign = make_campaign(cast, questions=Questions(rationale="required").as_json(), overlap=1)
    make_task(campaign, "Why is the sky blue?", ANSWERS)

    (ranking,) = simulate(cast, campaign)

    assert ranking.rationale.startswith("Simulated: ")


def test_better_versions_are_not_made_up(cast: Cast) -> None:
    campaign = make_campaign(cast, questions=Questions(rewrite="required").as_json())

    with pytest.raises(Refused, match="do not write") as refused:
        start_simulation(campaign=campaign, by=cast.manager)

    assert refused.value.code == "rewrite_required"


@pytest.mark.parametrize(("order", "num_ranked"), [((GOOD, "Sky."), 3), (("Sky.", GOOD), 1)], ids=["passes", "fails"])
def test_they_qualify_as_people_do_and_stop_where_they_fail(
    cast: Cast, order: tuple[str, str], num_ranked: int
) -> None:
    campaign = make_campaign(cast, overlap=1)
    plan(campaign, qualifies=True, qualification_min=0.5, attempts=1)
    make_known(campaign, role="training", answers=order)
    for number in range(2):
        make_task(campaign, f"Why is the sky blue on day {number}?", ANSWERS)

    assert len(simulate(cast, campaign)) == num_ranked
