from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

import pytest

from accounts.errors import Refused
from annotation.desk import work_progress
from annotation.models import Campaign, Completion, Prompt, Split, Task
from annotation.prompts import canonical_messages, content_sha256
from annotation.queries import campaign_progress, work_for
from annotation.services import (
    NewCompletion,
    NewPrompt,
    NewTask,
    add_completions,
    add_prompts,
    create_tasks,
    set_reading,
    split_by_hash,
)
from tests.cast import Cast, make_campaign, make_completions, make_prompt, make_task, rank_task


def test_a_prompts_hash_is_of_its_canonical_json() -> None:
    messages = canonical_messages("Grüße?")

    assert messages == [{"role": "user", "content": "Grüße?"}]
    assert content_sha256(messages) == hashlib.sha256('[{"content":"Grüße?","role":"user"}]'.encode()).hexdigest()
    assert content_sha256(canonical_messages("Grüße? ")) != content_sha256(messages)


def test_prompts_are_added_once(campaign: Campaign) -> None:
    old = make_prompt(campaign, "Old?")

    added = add_prompts(campaign=campaign, prompts=[NewPrompt(messages=text) for text in ("New?", "Old?", "New?")])

    assert [prompt.text for prompt in added.created] == ["New?"]
    assert added.duplicates == [old, added.created[0]]
    assert set(Prompt.objects.all()) == {old, added.created[0]}


def test_one_faulty_prompt_keeps_all_of_them_out(campaign: Campaign) -> None:
    with pytest.raises(Refused) as refused:
        add_prompts(campaign=campaign, prompts=[NewPrompt(messages="Sound?"), NewPrompt(messages="\ud83d")])

    assert refused.value.code == "lone_surrogate"
    assert not Prompt.objects.exists()


def test_the_same_prompt_may_live_in_two_campaigns(cast: Cast, campaign: Campaign) -> None:
    other = make_campaign(cast, name="Other")

    assert make_prompt(campaign, "Q?") != make_prompt(other, "Q?")


def test_splits_follow_the_contents_hash_and_freeze_with_the_first_answer(campaign: Campaign) -> None:
    prompts = [make_prompt(campaign, f"Question {number}?") for number in range(6)]

    split_by_hash(campaign=campaign, train=3, validation=1, test=2)

    by_hash = sorted(prompts, key=lambda prompt: prompt.content_sha256)
    found = [Prompt.objects.get(pk=prompt.pk).split for prompt in by_hash]
    assert found == [Split.TRAIN] * 3 + [Split.VALIDATION] + [Split.TEST] * 2
    for sizes in ((3, 1, 1), (7, -1, 0)):
        with pytest.raises(Refused) as refused:
            split_by_hash(campaign=campaign, train=sizes[0], validation=sizes[1], test=sizes[2])
        assert refused.value.code == "split_sizes"
    make_completions(prompts[0])
    with pytest.raises(Refused) as refused:
        split_by_hash(campaign=campaign, train=6, validation=0, test=0)
    assert refused.value.code == "split_frozen"


def test_an_answer_sent_again_is_the_same_answer(campaign: Campaign) -> None:
    prompt = make_prompt(campaign)
    new = [NewCompletion(prompt_id=str(prompt.public_id), text=f"a{n}", sample_index=n) for n in (1, 0)]

    first = add_completions(campaign=campaign, source="checkpoint:1", completions=new)
    again = add_completions(campaign=campaign, source="checkpoint:1", completions=new)
    other = add_completions(campaign=campaign, source="checkpoint:2", completions=new)

    assert [completion.text for completion in first] == ["a1", "a0"]
    assert again == first
    assert set(Completion.objects.all()) == {*first, *other}


def test_a_checkpoints_answer_may_be_empty_or_no_text_and_others_may_not(campaign: Campaign) -> None:
    prompt = make_prompt(campaign)

    def add(source: str, text: Any) -> str:
        new = NewCompletion(prompt_id=prompt.public_id, text=text, token_ids=[0, 7], sample_index=len(text))
        return add_completions(campaign=campaign, source=source, completions=[new])[0].text

    assert add("checkpoint:1", "") == ""
    assert add("checkpoint:1", "a\x00\ud800") == "a\ufffd\ufffd"
    for text in ("", "a\x00", "a\ud800"):
        with pytest.raises(Refused):
            add("import:x", text)
    assert Completion.objects.count() == 2


def test_a_foreign_prompt_gets_no_answer(cast: Cast, campaign: Campaign) -> None:
    foreign = make_prompt(make_campaign(cast, name="Other"))

    for prompt_id in (foreign.public_id, uuid4()):
        with pytest.raises(Refused) as refused:
            add_completions(
                campaign=campaign, source="import:x", completions=[NewCompletion(prompt_id=prompt_id, text="a")]
            )
        assert refused.value.code == "prompt_unknown"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"completion_ids": ["one"]}, "too_few_answers"),
        ({"completion_ids": ["one", "one"]}, "duplicate_answer"),
        ({"completion_ids": ["one", "foreign"]}, "completion_unknown"),
        ({"overlap": 0}, "overlap_out_of_range"),
        ({"overlap": 51}, "overlap_out_of_range"),
        ({"purpose": "play"}, "purpose_unknown"),
    ],
)
def test_a_task_nobody_can_rank_is_refused(campaign: Campaign, change: dict[str, Any], code: str) -> None:
    prompt = make_prompt(campaign)
    one, two = make_completions(prompt)
    foreign = make_completions(make_prompt(campaign, "Another?"))[0]
    ids = {"one": one.public_id, "foreign": foreign.public_id}
    new: dict[str, Any] = {"prompt_id": prompt.public_id, "completion_ids": [one.public_id, two.public_id], **change}
    new["completion_ids"] = [ids.get(key, key) for key in new["completion_ids"]]
    sound = NewTask(prompt_id=prompt.public_id, completion_ids=[one.public_id, two.public_id])

    with pytest.raises(Refused) as refused:
        create_tasks(campaign=campaign, tasks=[sound, NewTask(**new)])

    assert refused.value.code == code
    assert not Task.objects.exists()


def test_progress_counts_what_there_is(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    rank_task(make_task(campaign, "One?"), cast.labeler(cast.alice), (1, 2))
    make_task(campaign, "Two?", purpose="rate", overlap=3)
    make_task(make_campaign(cast, name="Other"), "Elsewhere?")

    found = campaign_progress(campaign)

    assert found._asdict() == {
        "num_prompts": 2,
        "num_completions": 4,
        "num_tasks": 2,
        "num_open_tasks": 2,
        "num_open_slots": 4,
        "num_active_leases": 0,
        "num_rankings": 1,
        "num_wanted": 5,
    }
    assert found.share == pytest.approx(0.2)
    rate = campaign_progress(campaign, purpose="rate")
    assert (rate.num_tasks, rate.num_rankings, rate.num_wanted, rate.share) == (1, 0, 3, 0.0)


def test_work_is_counted_no_further_than_anybody_wants_to_know(
    cast: Cast, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation.queries.MAX_COUNTED", 2)
    for number in range(2):
        make_task(campaign, f"Question {number}?")
    (item,) = work_for(cast.alice)
    assert (item.num_open, item.has_more) == (2, False)

    make_task(campaign, "One more?")
    (item,) = work_for(cast.alice)
    assert (item.num_open, item.has_more) == (2, True)


def test_work_for_others_is_not_counted(cast: Cast, campaign: Campaign) -> None:
    make_task(campaign, "For anybody?")
    for text, asks in (
        ("Für wen?", {"language": "de"}),
        ("Et toi?", {"language": "fr"}),
        ("Is it so?", {"skill": "law"}),
    ):
        Task.objects.filter(pk=make_task(campaign, text).pk).update(**asks)
    labeler = cast.labeler(cast.alice)

    def counted() -> tuple[int, int]:
        (item,) = work_for(cast.alice)
        return item.num_open, work_progress(campaign, labeler).num_left

    assert counted() == (3, 3)
    set_reading(campaign=campaign, labeler=labeler, by=cast.manager, languages=["de"])
    assert counted() == (2, 2)
    set_reading(campaign=campaign, labeler=labeler, by=cast.manager, skills=["law"])
    assert counted() == (3, 3)
