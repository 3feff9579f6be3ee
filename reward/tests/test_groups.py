"""groups.jsonl by hand: what people said, and nothing else."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from annotation.models import Campaign, Completion, Ranking
from annotation.services import Submission, SubmittedItem, claim_task, exclude_labeler, submit_ranking
from reward.groups import build_groups
from tests.cast import Cast, make_campaign, make_completions, make_prompt, make_task, rank_task
from tests.loop import revise

ANSWERS = ("One.", "Two.", "Three.")


def said(line: dict[str, Any]) -> set[tuple[str, str, int, str]]:
    """The pairs of a group: texts of first and second, outcome, labeler."""
    texts = [completion["text"] for completion in line["completions"]]
    return {(texts[p["first"]], texts[p["second"]], p["outcome"], p["labeler"]) for p in line["pairs"]}


def lines(campaign: Campaign) -> list[dict[str, Any]]:
    return [json.loads(line) for line in build_groups(campaign).data.splitlines()]


def test_ties_are_kept_and_what_nobody_could_rank_is_missing(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    alice, bob = cast.labeler(cast.alice), cast.labeler(cast.bob)
    task = make_task(campaign, "Why?", ANSWERS)
    rank_task(task, alice, (1, 2, 2))
    rank_task(task, bob, (2, 1, None))

    (line,) = lines(campaign)

    hers, his = str(alice.public_id), str(bob.public_id)
    assert said(line) == {
        ("One.", "Two.", 1, hers),
        ("One.", "Three.", 1, hers),
        ("Two.", "Three.", 0, hers),
        ("One.", "Two.", -1, his),
    }
    assert len(line["pairs"]) == 4


def test_a_line_holds_what_training_needs_and_no_more(cast: Cast) -> None:
    campaign = make_campaign(cast)
    alice = cast.labeler(cast.alice)
    task = make_task(campaign, "Why?", ("One.", "Two."), split="validation")
    Completion.objects.filter(text="Two.").update(token_ids=[7, 2], tokenizer_sha256="c0" * 32)
    rank_task(task, alice, (2, 1), strength=3)
    one, two = (Completion.objects.get(text=text) for text in ("One.", "Two."))
    plain = {"id": str(one.public_id), "text": "One.", "finish_reason": "stop"} | dict.fromkeys(
        ["token_ids", "tokenizer_sha256"]
    )
    sampled: dict[str, Any] = {"id": str(two.public_id), "text": "Two.", "finish_reason": "stop"}
    sampled |= {"token_ids": [7, 2], "tokenizer_sha256": "c0" * 32}
    is_one_first = str(one.public_id) < str(two.public_id)

    assert lines(campaign) == [
        {
            "prompt_id": str(task.prompt.public_id),
            "split": "validation",
            "category": "",
            "messages": [{"role": "user", "content": "Why?"}],
            "completions": [plain, sampled] if is_one_first else [sampled, plain],
            "pairs": [
                {
                    "first": 0 if is_one_first else 1,
                    "second": 1 if is_one_first else 0,
                    "outcome": -1,
                    "weight": 1.0,
                    "labeler": str(alice.public_id),
                    "strength": 3,
                }
            ],
            "verdicts": [
                {"answer": 1 if is_one_first else 0, "acceptable": True, "weight": 1.0, "labeler": str(alice.public_id)}
            ],
        }
    ]


def test_a_revised_ranking_counts_and_the_one_before_does_not(cast: Cast) -> None:
    campaign = make_campaign(cast)
    alice = cast.labeler(cast.alice)
    task = make_task(campaign, "Why?", ("One.", "Two."))
    first = rank_task(task, alice, (1, 2))
    one, two = (Completion.objects.get(text=text).pk for text in ("One.", "Two."))

    revise(first, {one: 2, two: 1})

    (line,) = lines(campaign)
    assert said(line) == {("One.", "Two.", -1, str(alice.public_id))}
    assert len(line["pairs"]) == 1


def test_test_prompts_comparisons_and_other_campaigns_stay_out(cast: Cast) -> None:
    campaign = make_campaign(cast)
    other = make_campaign(cast, name="Other")
    alice = cast.labeler(cast.alice)
    for where, text, split, purpose in (
        (campaign, "Learn?", "train", "collect"),
        (campaign, "Hold out?", "validation", "collect"),
        (campaign, "Test?", "test", "collect"),
        (campaign, "Rate?", "train", "rate"),
        (other, "Elsewhere?", "train", "collect"),
    ):
        rank_task(make_task(where, text, split=split, purpose=purpose), alice, (1, 2))

    groups = build_groups(campaign)

    assert {line["messages"][0]["content"] for line in groups.lines} == {"Learn?", "Hold out?"}
    assert {ranking.task.prompt.text for ranking in groups.rankings} == {"Learn?", "Hold out?"}
    assert (groups.count_pairs("train"), groups.count_pairs("validation")) == (1, 1)


def test_a_prompts_tasks_make_one_group(cast: Cast) -> None:
    campaign = make_campaign(cast)
    alice = cast.labeler(cast.alice)
    make_completions(make_prompt(campaign, "Why?"), ("Never shown.",))
    for answers in (("One.", "Two."), ("Three.", "Four.")):
        rank_task(make_task(campaign, "Why?", answers), alice, (1, 2))

    (line,) = lines(campaign)

    assert {completion["text"] for completion in line["completions"]} == {"One.", "Two.", "Three.", "Four."}
    assert {pair[:3] for pair in said(line)} == {("One.", "Two.", 1), ("Three.", "Four.", 1)}


def judged(line: dict[str, Any]) -> set[tuple[str, bool, str]]:
    """The verdicts of a group: text, acceptable, labeler."""
    texts = [completion["text"] for completion in line["completions"]]
    return {(texts[v["answer"]], v["acceptable"], v["labeler"]) for v in line["verdicts"]}


def test_the_best_is_acceptable_unless_none_is_and_what_nobody_could_rank_never_is(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    alice, bob = cast.labeler(cast.alice), cast.labeler(cast.bob)
    task = make_task(campaign, "Why?", ANSWERS)
    rank_task(task, alice, (1, 1, None))
    rank_task(task, bob, (1, 2, None), none_acceptable=True)

    (line,) = lines(campaign)

    hers, his = str(alice.public_id), str(bob.public_id)
    assert judged(line) == {
        ("One.", True, hers),
        ("Two.", True, hers),
        ("Three.", False, hers),
        ("One.", False, his),
        ("Two.", False, his),
        ("Three.", False, his),
    }
    assert said(line) == {("One.", "Two.", 0, hers), ("One.", "Two.", 1, his)}


def test_an_imported_ranking_was_not_asked_what_is_acceptable(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    task = make_task(campaign, "Why?", ("One.", "Two."))
    asked, imported = rank_task(task, cast.labeler(cast.alice), (1, 2)), rank_task(task, cast.labeler(cast.bob), (2, 1))
    Ranking.objects.filter(pk=imported.pk).update(lease=None)

    (line,) = lines(campaign)

    assert judged(line) == {("One.", True, str(asked.labeler.public_id))}


def test_a_prompt_whose_answers_nobody_compared_still_has_its_verdicts(cast: Cast) -> None:
    campaign = make_campaign(cast)
    alice = cast.labeler(cast.alice)
    rank_task(make_task(campaign, "Silent?", ("Um.", "Er.")), alice, (1, None))

    (line,) = lines(campaign)

    assert line["pairs"] == []
    assert judged(line) == {("Um.", True, str(alice.public_id)), ("Er.", False, str(alice.public_id))}


def test_the_same_rankings_give_the_same_bytes(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    for text in ("Why?", "Wie heißt 你?"):
        task = make_task(campaign, text, ANSWERS)
        for user in (cast.bob, cast.alice):
            rank_task(task, cast.labeler(user), (1, 2, 3))

    data = build_groups(campaign).data

    assert build_groups(campaign).data == data
    assert data.endswith(b"}\n")
    assert "Wie heißt 你?".encode() in data
    groups = [json.loads(line) for line in data.splitlines()]
    prompts = [group["prompt_id"] for group in groups]
    answers = [[completion["id"] for completion in group["completions"]] for group in groups]
    labelers = [[pair["labeler"] for pair in group["pairs"]] for group in groups]
    assert prompts == sorted(prompts)
    assert answers == [sorted(ids) for ids in answers]
    assert labelers == [sorted(ids) for ids in labelers]


def test_what_a_labeler_wrote_stands_beside_the_answers_and_is_compared_with_none(cast: Cast) -> None:
    campaign = make_campaign(cast, questions={"rewrite": "optional"})
    alice = cast.labeler(cast.alice)
    make_task(campaign, "Why?", ("One.", "Two."))
    lease = claim_task(campaign=campaign, labeler=alice)
    assert lease is not None
    items = [
        SubmittedItem(completion_id=UUID(key), rank=rank, rewrite=text)
        for key, rank, text in zip(lease.shown, (1, 2), ("", "Mine."), strict=True)
    ]
    submit_ranking(lease=lease, submission=Submission(items=items))

    (line,) = lines(campaign)

    assert [(each["text"], each["labeler"]) for each in line["demonstrations"]] == [("Mine.", str(alice.public_id))]
    assert {each["text"] for each in line["completions"]} == {"One.", "Two."}
    exclude_labeler(campaign=campaign, labeler=alice, by=None, reason="Writes nonsense.")
    assert lines(campaign) == []
