"""groups.jsonl: what is read, what is refused with its line number, what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reward.training.groups import load_groups
from reward.training.language_model import Tokenizer, encode_prompt, load_tokenizer
from reward.training.rundir import TrainingRefused
from reward.training.tests.conftest import make_group, write_groups


@pytest.fixture
def tokenizer(tiny: Path) -> Tokenizer:
    return load_tokenizer(tiny)


def changed(group: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(group)), **changes}


def completion(text: str, **changes: Any) -> dict[str, Any]:
    return {"id": "1", "text": text, "token_ids": None, "tokenizer_sha256": None, "finish_reason": "stop", **changes}


def test_tokens_of_the_same_tokenizer_are_used_and_others_made_anew(tokenizer: Tokenizer, tmp_path: Path) -> None:
    completions = [
        completion("abc", token_ids=[70, 71, 2], tokenizer_sha256=tokenizer.sha256),
        completion("abc", token_ids=[70, 71, 2], tokenizer_sha256="another"),
        completion("abc", finish_reason="length"),
        completion(""),
    ]
    group = changed(make_group(1, "train", answers=4), completions=completions)
    path = write_groups(tmp_path / "groups.jsonl", [group, make_group(2, "validation")])

    dataset = load_groups(path, tokenizer, max_tokens=512)

    spelled = tokenizer.encode("abc")
    found = dataset.train[0]
    assert found.prompt == encode_prompt(tokenizer, group["messages"])
    assert [answer.tokens for answer in found.answers] == [
        [70, 71, 2], [*spelled, tokenizer.eos_id], spelled, [tokenizer.eos_id],
    ]  # fmt: skip
    assert [answer.characters for answer in found.answers] == [3, 3, 3, 0]
    assert found.prefixed().answers[0] == [70, 71, 2]
    assert len(dataset.heldout) == 1
    assert dataset.num_left_out == 0


def test_an_answer_that_is_too_long_goes_with_its_pairs_and_is_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    group = make_group(1, "train", answers=3, labelers=1)
    group["completions"] = [completion("x" * 300), completion("a"), completion("bb")]
    path = write_groups(tmp_path / "groups.jsonl", [group, make_group(2, "validation")])

    dataset = load_groups(path, tokenizer, max_tokens=200)

    assert dataset.num_left_out == 1
    assert [answer.characters for answer in dataset.train[0].answers] == [1, 2]
    assert [(pair.first, pair.second) for pair in dataset.train[0].pairs] == [(0, 1)]
    assert dataset.train[0].pairs[0].outcome == group["pairs"][2]["outcome"]


def test_demonstrations_are_read_and_those_too_long_left_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    group = make_group(1, "train")
    group["demonstrations"] = [completion("mine"), completion("x" * 300)]
    path = write_groups(tmp_path / "groups.jsonl", [group, make_group(2, "validation")])

    dataset = load_groups(path, tokenizer, max_tokens=200)

    assert [each.tokens for each in dataset.train[0].demonstrations] == [[*tokenizer.encode("mine"), tokenizer.eos_id]]
    assert dataset.heldout[0].demonstrations == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split": "test"}, "split is 'test'"),
        ({"messages": []}, "messages must be a list"),
        ({"messages": [{"role": "user", "content": 3}]}, "content is 3, not text"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "lone surrogate"),
        ({"completions": []}, "at least one answer"),
        ({"completions": [completion(True)] * 3}, "text is True, not text"),  # type: ignore[arg-type]
        ({"completions": [completion("", finish_reason="length")] * 3}, "an answer is empty"),
        ({"pairs": None}, "pairs must be a list"),
        ({"demonstrations": {}}, "demonstrations must be a list"),
        ({"demonstrations": [{"text": 1}]}, "text is 1, not text"),
        ({"pairs": [{"first": 0, "second": 3, "outcome": 1, "labeler": "a"}]}, "second is 3, and there are 3 answers"),
        ({"pairs": [{"first": 1, "second": 1, "outcome": 1, "labeler": "a"}]}, "answer 1 with itself"),
        ({"pairs": [{"first": 0, "second": 1, "outcome": 2, "labeler": "a"}]}, "outcome is 2, not 1, 0 or -1"),
        ({"pairs": [{"first": 0, "second": 1, "outcome": 1, "labeler": "a", "weight": -1}]}, "weight is -1"),
        ({"pairs": [{"first": 0, "second": 1, "outcome": 1, "labeler": "a", "strength": 5}]}, "strength is 5"),
        ({"pairs": [{"first": 0, "second": 1, "outcome": 1}]}, "labeler is None"),
        ({"prompt_id": "00000000-0000-0000-0000-000000000002"}, "stands on line 1 already"),
    ],
)
def test_a_bad_line_is_named_with_its_number(
    tokenizer: Tokenizer, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    path = write_groups(
        tmp_path / "groups.jsonl", [make_group(2, "validation"), changed(make_group(1, "train"), **change)]
    )

    with pytest.raises(TrainingRefused, match=f"line 2: .*{reason}") as refused:
        load_groups(path, tokenizer, max_tokens=512)

    assert refused.value.code == "bad_groups"


def test_many_bad_lines_are_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    path.write_bytes(b'{\n[]\n\n\xff\xfe\n{"split": 1}\n' + b"[" * 100_000 + b"\n")

    with pytest.raises(TrainingRefused, match=r"line 1: .*line 2: not a JSON object; line 4: .* and 2 more\."):
        load_groups(path, tokenizer, max_tokens=512)


def test_ties_alone_are_too_little_to_train_on(tokenizer: Tokenizer, tmp_path: Path) -> None:
    group = make_group(1, "train")
    for pair in group["pairs"]:
        pair["outcome"] = 0
    path = write_groups(tmp_path / "groups.jsonl", [group, make_group(2, "validation")])

    with pytest.raises(TrainingRefused, match="too few rankings") as refused:
        load_groups(path, tokenizer, max_tokens=512)

    assert refused.value.code == "too_few_rankings"


def test_words_that_are_trained_on_may_not_be_held_out(tokenizer: Tokenizer, tmp_path: Path) -> None:
    copy = changed(make_group(2, "validation"), messages=make_group(1, "train")["messages"])
    path = write_groups(tmp_path / "groups.jsonl", [make_group(1, "train"), copy])

    with pytest.raises(TrainingRefused, match="training and in the validation split") as refused:
        load_groups(path, tokenizer, max_tokens=512)

    assert refused.value.code == "prompt_in_both_splits"
