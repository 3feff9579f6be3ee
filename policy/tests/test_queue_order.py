"""What a sampling run's answers do to the queue: near-duplicates stay out, overtaken checkpoints come last."""

from __future__ import annotations

import pytest

from annotation.models import Campaign, Prompt, Task
from policy.models import Checkpoint
from policy.services import start_sampling
from reward.models import RewardModel
from runs.models import Run
from tests.cast import Cast, make_campaign, make_prompt
from tests.loop import answer, make_base, make_child, make_reward_model, ranked_campaign

LONG = " ".join(f"course{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(120))


@pytest.fixture
def campaign(cast: Cast) -> Campaign:
    return make_campaign(cast, completions_per_task=2, name="Sampled")


@pytest.fixture
def prompt(campaign: Campaign) -> Prompt:
    return make_prompt(campaign, "Why?")


def sample(campaign: Campaign, *checkpoints: Checkpoint) -> Run:
    return start_sampling(campaign=campaign, by=None, checkpoints=checkpoints, per_prompt=3)


def notes(run: Run) -> dict[str, str]:
    return dict(run.notes.values_list("code", "message"))


def test_nearly_equal_answers_are_not_put_side_by_side(base: Checkpoint, campaign: Campaign, prompt: Prompt) -> None:
    other = make_prompt(campaign, "How?")
    texts = {prompt: [LONG, LONG.replace("coursekc", "mason"), "No."], other: ["Yes.", "yes.", " YES. "]}

    run = answer(sample(campaign, base), {base: texts})

    (task,) = Task.objects.filter(campaign=campaign)
    assert task.prompt == prompt
    assert {answer.text for answer in task.completions.all()} == {LONG, "No."}
    assert notes(run) == {
        "near_duplicates": "3 answers are nearly the same as others and stand in no task.",
        "prompts_without_task": "1 prompt got no task: it has no two answers that differ.",
    }


def test_distinct_answers_leave_no_note(base: Checkpoint, campaign: Campaign, prompt: Prompt) -> None:
    run = answer(sample(campaign, base), {base: {prompt: ["Yes.", "No."]}})

    assert notes(run) == {}


def test_a_new_checkpoints_answers_put_its_lineages_older_tasks_last(
    cast: Cast, base: Checkpoint, campaign: Campaign, prompt: Prompt
) -> None:
    trained_on = ranked_campaign(cast)
    reward_model: RewardModel = make_reward_model(cast, trained_on, base)
    other = make_base(cast.workspace, cast.researcher, "Other")
    answer(sample(campaign, base), {base: {prompt: ["old a", "old b"]}})
    answer(sample(campaign, other), {other: {prompt: ["other a", "other b"]}})
    child = make_child(cast, base, reward_model, trained_on)

    run = answer(sample(campaign, child, base), {child: {prompt: ["new a", "new b"]}, base: {prompt: ["c", "d"]}})

    found = {frozenset(a.text for a in task.completions.all()): task.priority for task in campaign.tasks.all()}
    assert found.pop(frozenset({"old a", "old b"})) == 150
    assert set(found.values()) == {100}
    assert len(found) == 3
    assert notes(run) == {"stale_tasks_demoted": "1 waiting task of earlier checkpoints now comes last."}
