from __future__ import annotations

from collections import Counter

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks

from accounts.errors import Refused
from annotation import tasks
from annotation.models import Campaign, Labeler, LabelerKind, Lease, Ranking, Task
from annotation.personas import CREW
from annotation.services import claim_task
from annotation.simulation import create_simulated_labelers, judged, start_simulation, work_queue
from tests.cast import Cast, make_campaign, make_task

ANSWERS = (
    "The sky is blue because air scatters blue sunlight much more than red light.",
    "Sky.",
    "",
    "Blue blue blue blue blue blue blue blue blue blue blue blue",
)
SIMILAR = (
    "Air scatters blue sunlight more than red, so the sky looks blue to us by day.",
    "The sky is blue by day because small molecules of air scatter blue light best.",
    "Sunlight holds every colour, and blue is what the air of the sky scatters most.",
)


@pytest.fixture
def campaign(cast: Cast) -> Campaign:
    """Overlap 2 and six tasks, one of them for rating."""
    campaign = make_campaign(cast, overlap=2)
    for number in range(5):
        make_task(campaign, f"Why is the sky blue on day {number}?", ANSWERS)
    make_task(campaign, "Why is the sky blue?", ANSWERS[:2], purpose="rate")
    return campaign


def crew_of(cast: Cast, campaign: Campaign, num: int) -> list[Labeler]:
    return create_simulated_labelers(workspace=cast.workspace, by=cast.manager, campaign=campaign, crew=CREW[:num])


def said(labeler: Labeler, campaign: Campaign) -> dict[str, tuple[list[str], list[int | None]]]:
    """prompt -> the texts in the order shown and their ranks."""
    rankings = Ranking.objects.filter(labeler=labeler, task__campaign=campaign).prefetch_related("items__completion")
    return {
        r.task.prompt.text: ([i.completion.text for i in r.items.all()], [i.rank for i in r.items.all()])
        for r in rankings
    }


def test_two_simulated_labelers_finish_a_campaign(cast: Cast, campaign: Campaign) -> None:
    first, second, third = crew_of(cast, campaign, 3)

    assert [work_queue(campaign=campaign, labeler=labeler, seed=1) for labeler in (first, second, third)] == [6, 6, 0]

    assert set(Task.objects.values_list("free_slots", flat=True)) == {0}
    assert set(Counter(Ranking.objects.values_list("task", flat=True)).values()) == {2}
    assert not Lease.objects.active().exists()
    assert {labeler.kind for labeler in (first, second, third)} == {LabelerKind.SIMULATED}
    assert not Ranking.objects.exclude(labeler__kind=LabelerKind.SIMULATED).exists()
    assert all(ranking.active_seconds for ranking in Ranking.objects.all())


def test_an_answer_without_text_is_unrankable_with_a_reason(cast: Cast, campaign: Campaign) -> None:
    (labeler,) = crew_of(cast, campaign, 1)
    work_queue(campaign=campaign, labeler=labeler, seed=1, purpose="collect")

    for ranking in Ranking.objects.all():
        empty = ranking.items.get(completion__text="")
        assert (empty.rank, empty.unrankable_reason) == (None, "empty")


def test_the_same_seed_says_the_same_of_the_same_texts_whatever_their_ids(cast: Cast) -> None:
    heard = []
    for seed in (7, 7, 8):
        campaign = make_campaign(cast, name=f"Seed {seed}", overlap=1)
        for number in range(8):
            make_task(campaign, f"Why is the sky blue on day {number}?", SIMILAR)
        (labeler,) = crew_of(cast, campaign, 1)
        work_queue(campaign=campaign, labeler=labeler, seed=seed)
        heard.append(said(labeler, campaign))

    assert heard[0] == heard[1]
    assert heard[0] != heard[2]


def test_limit_and_purpose_bound_the_work(cast: Cast, campaign: Campaign) -> None:
    (labeler,) = crew_of(cast, campaign, 1)

    assert work_queue(campaign=campaign, labeler=labeler, seed=1, limit=2, purpose="collect") == 2
    assert work_queue(campaign=campaign, labeler=labeler, seed=1, purpose="rate") == 1
    assert work_queue(campaign=campaign, labeler=labeler, seed=1) == 3


def test_the_judge_sees_the_texts_on_the_screen_and_no_more(cast: Cast, campaign: Campaign) -> None:
    class Nosy:
        def judge(self, **seen: object) -> object:
            self.seen = seen
            return CREW[0].judge(**seen)  # type: ignore[arg-type]

    (labeler,) = crew_of(cast, campaign, 1)
    lease = claim_task(campaign=campaign, labeler=labeler)
    assert lease is not None
    nosy = Nosy()

    judged(nosy, lease, seed=3)  # type: ignore[arg-type]

    assert set(nosy.seen) == {"seed", "task", "prompt", "answers", "repeat"}
    assert nosy.seen["prompt"] == lease.task.prompt.text
    assert sorted(nosy.seen["answers"]) == sorted(ANSWERS)  # type: ignore[arg-type,call-overload]
    # The task's name is a hash, so that nothing can be read off it.
    assert len(str(nosy.seen["task"])) == 64


def test_people_are_not_simulated(cast: Cast, campaign: Campaign) -> None:
    with pytest.raises(Refused) as refused:
        work_queue(campaign=campaign, labeler=cast.labeler(cast.alice), seed=1)

    assert refused.value.code == "not_simulated"
    assert not Lease.objects.exists()


def test_traits_that_cannot_be_read_are_refused(cast: Cast, campaign: Campaign) -> None:
    (labeler,) = crew_of(cast, campaign, 1)
    labeler.persona = {"name": "sim-1", "persona": {"name": "x"}, "reliability": 0}

    with pytest.raises(Refused) as refused:
        work_queue(campaign=campaign, labeler=labeler, seed=1)

    assert refused.value.code == "persona_invalid"


def test_creating_the_crew_twice_keeps_its_labelers(cast: Cast, campaign: Campaign) -> None:
    assert crew_of(cast, campaign, 2) == crew_of(cast, campaign, 2)
    assert Labeler.objects.filter(kind=LabelerKind.SIMULATED).count() == 2


def test_a_simulation_is_sent_to_the_workers_once_it_is_stored(
    cast: Cast, campaign: Campaign, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        labelers = start_simulation(campaign=campaign, by=cast.manager, names=["sim-2", "sim-1"], seed=5, limit=2)

    assert [labeler.name for labeler in labelers] == ["sim-2", "sim-1"]
    assert len(callbacks) == 2
    tasks.run_simulated_labeler(campaign.pk, labelers[0].pk, 5, 2, None)
    assert Ranking.objects.filter(labeler=labelers[0]).count() == 2
    with pytest.raises(Refused, match="sim-1"):
        start_simulation(campaign=campaign, by=cast.manager, names=["sim-9"])
