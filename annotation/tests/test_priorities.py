"""The order of the queue: what is stale comes last, what is unsure first, and what was begun stays."""

from __future__ import annotations

import pytest

from annotation.models import Campaign, Labeler, Participation, Task
from annotation.services import NewTask, claim_task, create_tasks, demote_stale, order_by_disagreement
from annotation.tests.planning import make_known, standing
from tests.cast import Cast, make_campaign, make_completions, make_prompt, rank_task


@pytest.fixture
def campaign(cast: Cast) -> Campaign:
    return make_campaign(cast, overlap=2)


@pytest.fixture
def alice(cast: Cast) -> Labeler:
    return cast.labeler(cast.alice)


def make(campaign: Campaign, text: str, *sources: str, **task: object) -> Task:
    """A task with an answer of each source."""
    prompt = make_prompt(campaign, text)
    answers = [make_completions(prompt, [f"{text} {n}"], source)[0] for n, source in enumerate(sources)]
    new = NewTask(prompt_id=prompt.public_id, completion_ids=[a.public_id for a in answers], **task)  # type: ignore[arg-type]
    return create_tasks(campaign=campaign, tasks=[new])[0]


def queue(campaign: Campaign) -> dict[str, int]:
    return {task.prompt.text: task.priority for task in campaign.tasks.select_related("prompt")}


def looked(campaign: Campaign, labeler: Labeler) -> None:
    own = standing(campaign, labeler)
    Participation.objects.filter(pk=own.pk).update(passed_priority=100, passed_task=7)


def test_tasks_of_older_checkpoints_alone_come_last(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    make(campaign, "Begun", "old", "older")
    assert claim_task(campaign=campaign, labeler=alice) is not None
    make(campaign, "Stale", "old", "older", priority=57)
    make(campaign, "Half", "old", "import:x")
    make(campaign, "New", "new", "old")
    make(campaign, "Other", "import:x", "import:x", priority=60)
    make(campaign, "Asked for", "old", "older", priority=40)
    make(campaign, "Last", "old", "older", priority=160)
    make(campaign, "Rated", "old", "older", purpose="rate")
    make(make_campaign(cast, name="Elsewhere"), "Elsewhere", "old", "older")
    looked(campaign, alice)

    moved = demote_stale(campaign=campaign, older={"old", "older"}, newer={"new"})

    assert moved == 2
    assert queue(campaign) == {
        "Begun": 100,
        "Stale": 157,
        "Half": 150,
        "New": 100,
        "Other": 60,
        "Asked for": 40,
        "Last": 160,
        "Rated": 100,
    }
    assert Task.objects.get(campaign__name="Elsewhere").priority == 100
    own = standing(campaign, alice)
    assert (own.passed_priority, own.passed_task) == (None, None)
    assert demote_stale(campaign=campaign, older={"old", "older"}, newer={"new"}) == 0


def test_ranked_tasks_are_not_demoted(campaign: Campaign, alice: Labeler) -> None:
    rank_task(make(campaign, "Ranked", "old", "older"), alice, (1, 2))

    assert demote_stale(campaign=campaign, older={"old", "older"}, newer=set()) == 0


def test_what_the_heads_disagree_on_comes_first_in_its_band(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    tasks = {
        name: make(campaign, name, "a", "b", priority=priority)
        for name, priority in (
            ("Sure", 100),
            ("Unsure", 149),
            ("Middle", 120),
            ("Fresh", 50),
            ("Stale", 150),
            ("Own", 20),
        )
    }
    unknown = make(campaign, "Unknown", "a", "b", priority=110)
    spread = {"Sure": (0.1, 0.2), "Unsure": (0.9, 0.9), "Middle": (0.1, 0.9), "Fresh": (0.0, 0.0), "Stale": (2.0, 2.0)}
    spreads = {
        item.completion_id: value
        for name, values in {**spread, "Own": (3.0, 3.0)}.items()
        for item, value in zip(tasks[name].items.all(), values, strict=True)
    }
    spreads[unknown.items.all()[0].completion_id] = 5.0
    make_known(campaign)
    looked(campaign, alice)

    assert order_by_disagreement(campaign=campaign, spreads=spreads) == 5

    # Five tasks share 50 steps: Stale, Unsure, Middle, Sure, Fresh, each in its own band.
    found = queue(campaign)
    del found["Which is right?"]
    assert found == {"Stale": 150, "Unsure": 110, "Middle": 120, "Sure": 130, "Fresh": 90, "Unknown": 110, "Own": 20}
    assert standing(campaign, alice).passed_priority is None


def test_what_was_begun_keeps_its_place(campaign: Campaign, alice: Labeler) -> None:
    begun = make(campaign, "Begun", "a", "b", priority=99)
    assert claim_task(campaign=campaign, labeler=alice) is not None
    spreads = {item.completion_id: 1.0 for item in begun.items.all()}

    assert order_by_disagreement(campaign=campaign, spreads=spreads) == 0
    assert queue(campaign) == {"Begun": 99}
