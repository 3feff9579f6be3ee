"""Training tasks first, with feedback, and again after the guidelines changed."""

from __future__ import annotations

import pytest

from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent
from annotation.models import Campaign, Labeler, Lease, Task
from annotation.quality_figures import people
from annotation.services import (
    Submission,
    SubmittedItem,
    add_guideline_version,
    claim_task,
    let_try_again,
    set_reading,
    submit_ranking,
    wave_through,
)
from annotation.services.known_orders import Feedback
from annotation.states import LeaseState
from annotation.tests.planning import choose, hold, make_known, plan, say, standing
from tests.cast import Cast, make_task

RIGHT, WRONG = (1, 2), (2, 1)


@pytest.fixture
def alice(cast: Cast) -> Labeler:
    return cast.labeler(cast.alice)


@pytest.fixture
def training(campaign: Campaign) -> list[Task]:
    plan(campaign, qualifies=True, qualification_min=0.5, attempts=2)
    return [make_known(campaign, "training", f"Training {number}?") for number in range(2)]


def do(campaign: Campaign, labeler: Labeler, ranks: tuple[int, int]) -> Feedback:
    """The labeler's next task, which must be a training task, is ranked."""
    chosen = choose(campaign, labeler)
    assert chosen is not None
    _ranking, told = say(hold(chosen, labeler), ranks)
    assert told is not None
    return told


def refusal(campaign: Campaign, labeler: Labeler, num_held: int = 0) -> str:
    """The sentence that the labeler reads in place of a task."""
    with pytest.raises(Conflict) as conflict:
        choose(campaign, labeler, num_held=num_held)
    assert conflict.value.code == "not_qualified"
    return conflict.value.message


def test_training_comes_first_and_half_of_it_right_is_enough(
    campaign: Campaign, training: list[Task], alice: Labeler
) -> None:
    make_task(campaign, "Work?")

    first = do(campaign, alice, WRONG)
    second = do(campaign, alice, RIGHT)

    assert (first.score, first.has_qualified) == (0, None)
    assert (second.score, second.has_qualified) == (1, True)
    assert standing(campaign, alice).qualified_version == campaign.guidelines.get()
    assert choose(campaign, alice) is None


def test_who_fails_starts_over_and_then_waits_for_the_manager(
    cast: Cast, campaign: Campaign, training: list[Task], alice: Labeler
) -> None:
    told = [do(campaign, alice, WRONG).has_qualified for _task in range(4)]

    assert told == [None, False, None, False]
    leases = Lease.objects.filter(labeler=alice).order_by("pk")
    assert [(lease.task, lease.repeat) for lease in leases] == [
        (task, repeat) for repeat in (0, 1) for task in training
    ]
    assert "manager can let you try again" in refusal(campaign, alice)

    let_try_again(campaign=campaign, labeler=alice, by=cast.manager)

    # All attempts anew, not the one that was left.
    told = [do(campaign, alice, WRONG).has_qualified for _task in range(4)]
    assert told == [None, False, None, False]
    refusal(campaign, alice)
    assert AuditEvent.objects.filter(verb="campaign.qualification_retry", actor=cast.manager).count() == 1


def test_a_manager_waves_somebody_through(cast: Cast, campaign: Campaign, training: list[Task], alice: Labeler) -> None:
    for _task in range(4):
        do(campaign, alice, WRONG)

    wave_through(campaign=campaign, labeler=alice, by=cast.manager)

    assert choose(campaign, alice) is None
    assert AuditEvent.objects.filter(verb="campaign.qualification_waive", actor=cast.manager).count() == 1
    with pytest.raises(Refused) as again:
        wave_through(campaign=campaign, labeler=alice, by=cast.manager)
    assert again.value.code == "already_qualified"


def test_only_who_failed_is_let_to_try_again(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    with pytest.raises(Refused) as error:
        let_try_again(campaign=campaign, labeler=alice, by=cast.manager)
    assert error.value.code == "not_failed"


def test_guidelines_that_ask_again_are_qualified_for_again(
    cast: Cast, campaign: Campaign, training: list[Task], alice: Labeler
) -> None:
    for _task in range(2):
        do(campaign, alice, RIGHT)
    add_guideline_version(campaign=campaign, by=cast.manager, text="A comma.")
    assert choose(campaign, alice) is None

    asking = add_guideline_version(campaign=campaign, by=cast.manager, text="All new.", asks_again=True)
    told = [do(campaign, alice, RIGHT).has_qualified for _task in range(2)]

    assert told == [None, True]
    assert standing(campaign, alice).qualified_version == asking
    assert choose(campaign, alice) is None


def test_a_new_round_has_all_its_attempts(cast: Cast, campaign: Campaign, training: list[Task], alice: Labeler) -> None:
    told = [do(campaign, alice, ranks).has_qualified for ranks in (WRONG, WRONG, RIGHT, RIGHT)]
    assert told == [None, False, None, True]
    add_guideline_version(campaign=campaign, by=cast.manager, text="New.", asks_again=True)

    told = [do(campaign, alice, ranks).has_qualified for ranks in (WRONG, WRONG, RIGHT, RIGHT)]

    assert told == [None, False, None, True]


def test_a_skipped_training_task_comes_again_after_the_others(
    campaign: Campaign, training: list[Task], alice: Labeler
) -> None:
    chosen = choose(campaign, alice)
    assert chosen is not None
    Lease.objects.filter(pk=hold(chosen, alice).pk).update(state=LeaseState.SKIPPED)

    assert do(campaign, alice, RIGHT).has_qualified is None
    last = choose(campaign, alice)

    assert last is not None
    assert last.task == chosen.task
    assert do(campaign, alice, RIGHT).has_qualified is True


def test_no_real_task_is_given_ahead_of_the_last_training_task(
    campaign: Campaign, training: list[Task], alice: Labeler
) -> None:
    do(campaign, alice, RIGHT)
    chosen = choose(campaign, alice)
    assert chosen is not None
    hold(chosen, alice)

    assert refusal(campaign, alice, num_held=1).startswith("Finish the training task")


def test_where_there_is_no_training_task_for_somebody_it_is_said(
    cast: Cast, campaign: Campaign, training: list[Task], alice: Labeler
) -> None:
    Task.objects.filter(role="training").update(language="de")
    set_reading(campaign=campaign, labeler=alice, by=None, languages=["en"])

    assert "has none for you yet" in refusal(campaign, alice)


def test_a_ranking_of_an_attempt_that_is_over_moves_nothing(
    cast: Cast, campaign: Campaign, training: list[Task], alice: Labeler
) -> None:
    chosen = choose(campaign, alice)
    assert chosen is not None
    late = hold(chosen, alice)
    own = standing(campaign, alice)
    own.qualification_attempt = own.attempts_before = 1
    own.save()

    _ranking, told = say(late, RIGHT)

    assert told is not None
    assert told.has_qualified is None
    assert standing(campaign, alice).qualified_version is None


def test_the_people_page_says_where_everybody_stands(
    cast: Cast, campaign: Campaign, training: list[Task], alice: Labeler
) -> None:
    bob = cast.labeler(cast.bob)

    def stand() -> dict[str, str | None]:
        return {row.seat.user.username: row.qualification for row in people(campaign)}

    assert stand() == {"alice": "not_yet", "bob": "not_yet"}
    for _task in range(4):
        do(campaign, alice, WRONG)
    wave_through(campaign=campaign, labeler=bob, by=None)
    assert stand() == {"alice": "failed", "bob": "qualified"}
    add_guideline_version(campaign=campaign, by=None, text="New.", asks_again=True)
    assert stand() == {"alice": "failed", "bob": "again"}
    campaign.refresh_from_db()
    plan(campaign, qualifies=False)
    assert stand() == {"alice": None, "bob": None}


@pytest.mark.parametrize("ranks", [RIGHT, WRONG], ids=["right", "wrong"])
def test_a_training_task_that_is_sent_again_is_explained_again(
    campaign: Campaign, training: list[Task], alice: Labeler, ranks: tuple[int, int]
) -> None:
    """As where the connection broke before the answer came."""
    plan(campaign, qualifies=True, qualification_min=0.5, attempts=1)
    for _task in training:
        lease = claim_task(campaign=campaign, labeler=alice)
        assert lease is not None
        ranked = zip(lease.task.placed_answers, ranks, strict=True)
        said = Submission(items=[SubmittedItem(completion_id=answer.public_id, rank=rank) for answer, rank in ranked])

        told, again = (submit_ranking(lease=lease, submission=said) for _time in range(2))

        assert (told.is_repeat, again.is_repeat) == (False, True)
        assert told.feedback is not None
        assert again.feedback == told.feedback
        decided = told.feedback.has_qualified
    assert decided == (ranks == RIGHT)
