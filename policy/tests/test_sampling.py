"""Answers of checkpoints: what is asked of a run, and how what it brings enters the queue."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.errors import Refused
from annotation.models import Campaign, Completion, Prompt, Task
from annotation.services import archive_campaign
from policy.models import Checkpoint
from policy.services import start_sampling
from runs.models import Run
from tests.cast import Cast, make_campaign, make_prompt
from tests.loop import answer, make_base, read_lines


@pytest.fixture
def campaign(cast: Cast) -> Campaign:
    return make_campaign(cast, completions_per_task=2)


@pytest.fixture
def prompt(campaign: Campaign) -> Prompt:
    make_prompt(campaign, "Held out?", "validation")
    make_prompt(campaign, "Test?", "test")
    return make_prompt(campaign, "Why?")


def sample(campaign: Campaign, *checkpoints: Checkpoint, **asked: Any) -> Run:
    return start_sampling(campaign=campaign, by=None, checkpoints=checkpoints, per_prompt=asked.pop("n", 3), **asked)


def queued(campaign: Campaign) -> list[set[str]]:
    return [{answer.text for answer in task.completions.all()} for task in campaign.tasks.order_by("pk")]


def test_a_run_is_given_the_prompts_of_its_splits(
    cast: Cast, base: Checkpoint, campaign: Campaign, prompt: Prompt
) -> None:
    make_prompt(make_campaign(cast, name="Other"), "Elsewhere?")

    def given(**asked: Any) -> set[str]:
        run = sample(campaign, base, **asked)
        return {row["messages"][0]["content"] for row in read_lines(run.inputs["prompts"]["sha256"])}

    assert given() == {"Why?", "Held out?"}
    assert given(splits=["train"]) == {"Why?"}
    assert len(given(max_prompts=1)) == 1


def test_a_runs_sources_are_its_checkpoints_whatever_the_config_says(
    cast: Cast, base: Checkpoint, campaign: Campaign, prompt: Prompt
) -> None:
    other = make_base(cast.workspace, cast.researcher, "Other")

    run = sample(campaign, other, base, config={"sources": ["x"], "per_prompt": 9, "max_new_tokens": 5})

    assert run.config["sources"] == [other.uri, base.uri]
    assert (run.config["per_prompt"], run.config["max_new_tokens"]) == (3, 5)
    assert (run.inputs["model_0"]["sha256"], run.inputs["model_1"]["sha256"]) == (other.sha256, base.sha256)


def test_sampling_that_cannot_be_is_refused(cast: Cast, base: Checkpoint, campaign: Campaign, prompt: Prompt) -> None:
    theirs = make_base(cast.elsewhere, cast.charlie)
    archived = archive_campaign(campaign=make_campaign(cast, name="Old", is_open=False), by=cast.manager)
    before = Run.objects.count()

    for where, checkpoints, asked, code in (
        (campaign, [], {}, "no_checkpoint"),
        (campaign, [base, base], {}, "duplicate_checkpoint"),
        (campaign, [base, theirs], {}, "workspace_mismatch"),
        (campaign, [base], {"splits": ["test"]}, "test_split_refused"),
        (campaign, [base], {"splits": ["train", "test"]}, "test_split_refused"),
        (make_campaign(cast, name="Bare"), [base], {}, "no_prompts"),
        (archived, [base], {}, "campaign_archived"),
        (campaign, [base], {"n": 0}, "config_invalid"),
        (campaign, [base], {"config": {"heat": 1}}, "config_invalid"),
    ):
        with pytest.raises(Refused) as refused:
            sample(where, *checkpoints, **asked)
        assert refused.value.code == code

    assert Run.objects.count() == before


def test_answers_become_tasks_of_the_campaigns_size_and_a_lone_one_waits(
    base: Checkpoint, campaign: Campaign, prompt: Prompt
) -> None:
    texts = ["a", "b", "c", "d", "e"]

    answer(sample(campaign, base, n=5), {base: {prompt: texts}})

    tasks = queued(campaign)
    assert [len(task) for task in tasks] == [2, 2]
    assert len(tasks[0] | tasks[1]) == 4
    stored = Completion.objects.filter(prompt=prompt, source=base.uri).order_by("sample_index")
    assert [completion.text for completion in stored] == texts
    assert {completion.finish_reason for completion in stored} == {"stop"}
    assert stored[1].token_ids == [1, 2]
    assert {task.priority for task in Task.objects.all()} == {100}


def test_a_task_never_shows_the_same_text_twice(base: Checkpoint, campaign: Campaign, prompt: Prompt) -> None:
    other = make_prompt(campaign, "How?")

    answer(sample(campaign, base), {base: {prompt: ["same", "same", "other"], other: ["same", "same", "same"]}})

    assert queued(campaign) == [{"same", "other"}]
    assert Completion.objects.filter(source=base.uri).count() == 6


def test_a_checkpoints_next_answers_are_numbered_on(base: Checkpoint, campaign: Campaign, prompt: Prompt) -> None:
    first, second = sample(campaign, base), sample(campaign, base, seed=1)

    answer(first, {base: {prompt: ["a", "b"]}})
    answer(second, {base: {prompt: ["c", "d"]}})

    stored = Completion.objects.filter(source=base.uri).order_by("sample_index")
    assert [(c.sample_index, c.text) for c in stored] == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert queued(campaign) == [{"a", "b"}, {"c", "d"}]


def test_two_checkpoints_meet_in_one_task(cast: Cast, base: Checkpoint, campaign: Campaign, prompt: Prompt) -> None:
    other = make_base(cast.workspace, cast.researcher, "Other")

    answer(sample(campaign, base, other, n=1), {base: {prompt: ["ours"]}, other: {prompt: ["theirs"]}})

    assert queued(campaign) == [{"ours", "theirs"}]


def test_the_run_seed_decides_who_meets_whom(base: Checkpoint, campaign: Campaign, prompt: Prompt) -> None:
    texts = [str(number) for number in range(8)]
    for seed in (1, 1, 2):
        answer(sample(campaign, base, n=8, seed=seed), {base: {prompt: texts}})

    tasks = queued(campaign)
    assert tasks[0:4] == tasks[4:8]
    assert tasks[0:4] != tasks[8:12]
    assert tasks[0:4] != [{"0", "1"}, {"2", "3"}, {"4", "5"}, {"6", "7"}]


def test_odd_bytes_and_empty_answers_of_a_model_are_kept(base: Checkpoint, campaign: Campaign, prompt: Prompt) -> None:
    answer(sample(campaign, base), {base: {prompt: ["", "a\x00\ud800b"]}})

    assert queued(campaign) == [{"", "a\ufffd\ufffdb"}]
