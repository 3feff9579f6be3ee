"""The readers of public sets by hand, on rows written here."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation.import_lines import Faults, read_lines
from annotation.models import Campaign, Completion, Labeler, LabelerKind, Prompt, Ranking, Task
from annotation.public_sets import READERS, PublicLine, Reading, with_splits

PANDALM = {
    "idx": 0, "motivation_app": "Grammarly", "cmp_key": "opt-7b_llama-7b", "instruction": "Shorten.", "input": "A b c.",
    "response1": "A b.", "response2": "A.", "annotator1": 1, "annotator2": 2, "annotator3": 0,
}  # fmt: skip
ARGUMENTS = [
    {"id": "a", "stance": "Yes", "text": "Because."},
    {"id": "b", "stance": "Yes", "text": "It is so."},
]
PAIR = {"title": "Tea?", "a1": "a", "a2": "b", "labels": [["w1", "a2", 393], ["w2", "equal", 266], ["w3", "a1", None]]}
QUESTION = {"question": "Where?", "outputs": ["W", "X", "Y", "Z"], "preference": [1, 2, 0, 1, 1, 2]}
REPLIES = [{"text": "worst", "rank": 2}, {"text": "best", "rank": 0, "synthetic": True}, {"text": "middle", "rank": 1}]
GROUP = {"tree": "t", "history": [["prompter", "Hi"], ["assistant", "Yes?"], ["prompter", "Why?"]], "replies": REPLIES}
TALK = "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: How?\n\nAssistant:"


def read(folder: Path, name: str, rows: Sequence[Any], file: str) -> Reading:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (folder / file).write_bytes(b"\n".join(lines))
    reading = READERS[name](folder)
    faults = Faults()
    read_lines([json.dumps(line.row).encode() for line in reading.lines], faults)
    assert faults.kept == []
    return reading


def ranked(row: dict[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """labeler -> (answer, rank) in the order of the line."""
    texts = [answer["text"] for answer in row["completions"]]
    return {said["labeler"]: list(zip(texts, said["ranks"], strict=True)) for said in row["rankings"]}


def test_pandalm_gives_three_annotators_words_with_ties(tmp_path: Path) -> None:
    (line,) = read(tmp_path, "pandalm", [PANDALM], "testset.jsonl").lines

    assert line.row["prompt"] == "Shorten.\n\nA b c."
    assert (line.cluster, line.row["category"]) == ("Shorten.", "Grammarly")
    assert [answer["source"] for answer in line.row["completions"]] == ["opt-7b", "llama-7b"]
    assert ranked(line.row) == {
        "pandalm-annotator1": [("A b.", 1), ("A.", 2)],
        "pandalm-annotator2": [("A b.", 2), ("A.", 1)],
        "pandalm-annotator3": [("A b.", 1), ("A.", 1)],
    }


def test_pandalm_keeps_true_and_empty_answers_and_counts_them(tmp_path: Path) -> None:
    rows = [{**PANDALM, "response1": True}, {**PANDALM, "response2": " \n"}, {**PANDALM, "instruction": ""}]

    reading = read(tmp_path, "pandalm", rows, "testset.jsonl")

    answers = [[answer["text"] for answer in line.row["completions"]] for line in reading.lines]
    assert answers == [["true", "A."], ["A b.", ""], ["A b.", "A."]]
    assert reading.repaired == {"true or false read as that word": 1, "empty answer kept as one": 1}
    assert reading.lines[2].row["prompt"] == "A b c."


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"{", "the line is not JSON"),
        (b"[" * 100_000, "the line is not JSON"),
        (b"\xff", "the line is not JSON"),
        ([1], "the line is not a JSON object"),
        ({**PANDALM, "annotator2": 3}, "an annotator's label is not 0, 1 or 2"),
        ({**PANDALM, "annotator2": True}, "an annotator's label is not 0, 1 or 2"),
        ({**PANDALM, "response1": None}, "an answer is not text"),
        ({**PANDALM, "cmp_key": "opt-7b"}, "cmp_key does not name two models"),
        ({**PANDALM, "instruction": None, "input": " "}, "there is neither instruction nor input"),
    ],
)
def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path, row: Any, reason: str) -> None:
    reading = read(tmp_path, "pandalm", [row, PANDALM], "testset.jsonl")

    assert (reading.num_rows, len(reading.lines), reading.left_out) == (2, 1, {reason: 1})
    assert reading.repaired == {}


def test_ukp_gives_workers_words_on_arguments_told_apart_by_id(tmp_path: Path) -> None:
    (tmp_path / "arguments.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, ARGUMENTS)).encode()))

    (line,) = read(tmp_path, "ukp_convarg1", [PAIR], "pairs.jsonl").lines

    assert line.cluster == "Tea?"
    assert line.row["prompt"] == "Tea?\n\nGive a convincing argument for this side: Yes"
    assert [answer["source"] for answer in line.row["completions"]] == ["a", "b"]
    assert ranked(line.row) == {
        "ukp-w1": [("Because.", 2), ("It is so.", 1)],
        "ukp-w2": [("Because.", 1), ("It is so.", 1)],
        "ukp-w3": [("Because.", 1), ("It is so.", 2)],
    }
    assert [said.get("seconds") for said in line.row["rankings"]] == [393, 266, None]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"a2": "c"}, "an argument is not in the list of arguments"),
        ({"a2": "a"}, "an argument is compared with itself"),
        ({"labels": [["w1", "a1", 1], ["w1", "a2", 1]]}, "a worker judged the pair twice"),
        ({"labels": [["w1", "a3", 1]]}, "a label is not [worker, a1 | a2 | equal, seconds]"),
        ({"labels": [["w1", ["a1"], 1]]}, "a label is not [worker, a1 | a2 | equal, seconds]"),
        ({"labels": "w1"}, "labels is not a list"),
    ],
)
def test_ukp_leaves_out_pairs_that_say_nothing(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    (tmp_path / "arguments.jsonl").write_text("\n".join([*map(json.dumps, ARGUMENTS), "{"]))

    reading = read(tmp_path, "ukp_convarg1", [{**PAIR, **change}], "pairs.jsonl")

    assert (reading.lines, reading.left_out) == ([], {reason: 1})


def test_finegrained_keeps_six_words_that_are_no_weak_order(tmp_path: Path) -> None:
    lines = read(tmp_path, "finegrained_qa_pref", [QUESTION], "dev_feedback.jsonl").lines

    assert [next(iter(ranked(line.row).values())) for line in lines] == [
        [("W", 1), ("X", 2)], [("W", 2), ("Y", 1)], [("W", 1), ("Z", 1)],
        [("X", 1), ("Y", 2)], [("X", 1), ("Z", 2)], [("Y", 2), ("Z", 1)],
    ]  # fmt: skip
    assert {line.cluster for line in lines} == {"Where?"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"preference": [1, 2, 0, 1, 1, [2]]}, "a preference is not 0, 1 or 2"),
        ({"preference": [1, 2, 0, 1, 1, True]}, "a preference is not 0, 1 or 2"),
        ({"preference": [1, 2, 0]}, "there are not six preferences"),
        ({"outputs": ["W", "X", "Y"]}, "there are not four outputs"),
        ({"outputs": ["W", "X", "Y", 4]}, "an answer is not text"),
    ],
)
def test_finegrained_leaves_out_questions_that_miss_a_word(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    reading = read(tmp_path, "finegrained_qa_pref", [{**QUESTION, **change}], "dev_feedback.jsonl")

    assert (reading.lines, reading.left_out) == ([], {reason: 1})


def test_oasst_gives_the_conversation_and_one_ranking_in_no_telling_order(tmp_path: Path) -> None:
    (line,) = read(tmp_path, "oasst", [GROUP], "ranked_groups.jsonl").lines

    assert [message["role"] for message in line.row["prompt"]] == ["user", "assistant", "user"]
    (said,) = ranked(line.row).values()
    assert dict(said) == {"best": 1, "middle": 2, "worst": 3}
    assert [text for text, _rank in said] == ["worst", "best", "middle"]
    assert {a["text"]: a["source"] for a in line.row["completions"]}["best"] == "model"
    assert line.cluster == "t"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"history": [["prompter", "Hi"], ["assistant", "Yes?"]]}, "the conversation does not end with the user"),
        ({"history": [[["prompter"], "Hi"]]}, "a turn is not [prompter | assistant, text]"),
        ({"history": [["system", "Hi"]]}, "a turn is not [prompter | assistant, text]"),
        ({"history": [["prompter", " "]]}, "a turn has no text"),
        ({"replies": REPLIES[:1]}, "a task cannot have so many answers"),
        ({"replies": [{"text": "x"}, {"text": "y", "rank": 1}]}, "a reply has no rank"),
    ],
)
def test_oasst_leaves_out_groups_that_nobody_could_rank(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    reading = read(tmp_path, "oasst", [{**GROUP, **change}], "ranked_groups.jsonl")

    assert (reading.lines, reading.left_out) == ([], {reason: 1})


def test_hh_cuts_two_transcripts_where_they_part(tmp_path: Path) -> None:
    said = [("Fine.", "Bad."), ("C.", "D."), ("D.", "C.")]
    rows = [{"chosen": f"{TALK} {chosen}", "rejected": f"{TALK} {rejected}"} for chosen, rejected in said]

    lines = read(tmp_path, "hh_rlhf", rows, "test.jsonl").lines

    assert [message["content"] for message in lines[0].row["prompt"]] == ["Hello", "Hi.", "How?"]
    assert [next(iter(ranked(line.row).values())) for line in lines] == [
        [("Fine.", 1), ("Bad.", 2)],
        [("C.", 1), ("D.", 2)],
        [("C.", 2), ("D.", 1)],
    ]
    assert lines[0].cluster == "hello"


def test_hh_keeps_an_answer_that_runs_over_turns_and_an_empty_one(tmp_path: Path) -> None:
    row = {"chosen": f"{TALK} One.\n\nHuman: And?\n\nAssistant: Two.", "rejected": TALK}

    reading = read(tmp_path, "hh_rlhf", [row], "test.jsonl")

    (said,) = ranked(reading.lines[0].row).values()
    assert dict(said) == {"One.\n\nHuman: And?\n\nAssistant: Two.": 1, "": 2}
    assert reading.repaired == {"answer of several turns kept whole": 1, "empty answer kept as one": 1}


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        ("Hello", f"{TALK} a", "a transcript does not begin with a turn"),
        ("\n\nHuman: A\n\nAssistant: b", "\n\nHuman: B\n\nAssistant: b", "the transcripts share no human turn"),
        ("\n\nHuman: A\n\nHuman: b", "\n\nHuman: A\n\nAssistant: b", "the answer is a human's turn"),
        ("\n\nHuman: \n\nAssistant: b", "\n\nHuman: \n\nAssistant: c", "a turn has no text"),
    ],
)
def test_hh_leaves_out_what_has_no_common_prompt(tmp_path: Path, chosen: str, rejected: str, reason: str) -> None:
    reading = read(tmp_path, "hh_rlhf", [{"chosen": chosen, "rejected": rejected}], "test.jsonl")

    assert (reading.lines, reading.left_out) == ([], {reason: 1})


def test_a_split_never_parts_a_cluster() -> None:
    lines = [PublicLine({"prompt": f"{n}"}, cluster=f"c{n % 10}") for n in range(40)]

    rows = with_splits(lines, validation=0.3, seed=1)

    held_out = {int(row["prompt"]) % 10 for row in rows if row["split"] == "validation"}
    kept = {int(row["prompt"]) % 10 for row in rows if row["split"] == "train"}
    assert (len(held_out), len(kept), held_out & kept) == (3, 7, set())
    assert rows == with_splits(lines, validation=0.3, seed=1) != with_splits(lines, validation=0.3, seed=2)
    assert {row["split"] for row in with_splits(lines, validation=0, seed=1)} == {"train"}
    with pytest.raises(ValueError, match=r"validation \(1\)"):
        with_splits(lines, validation=1, seed=1)


def test_the_command_imports_a_set_and_says_what_it_repaired(
    tmp_path: Path, campaign: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**PANDALM, "response1": ""}, {**PANDALM, "instruction": "Lengthen."}, {**PANDALM, "annotator1": 9}]
    (tmp_path / "testset.jsonl").write_text("\n".join(map(json.dumps, rows)))

    call_command("import_public_set", "pandalm", str(tmp_path), campaign=campaign.public_id, validation=0.5)

    assert {(prompt.text, prompt.split) for prompt in Prompt.objects.all()} == {
        ("Shorten.\n\nA b c.", "train"),
        ("Lengthen.\n\nA b c.", "validation"),
    }
    assert (Completion.objects.filter(text="").count(), Task.objects.count(), Ranking.objects.count()) == (1, 2, 6)
    assert {labeler.kind for labeler in Labeler.objects.all()} == {LabelerKind.IMPORTED}
    out = capsys.readouterr().out
    assert "3 rows were read and gave 2 lines." in out
    assert "left out: 1 × an annotator's label is not 0, 1 or 2" in out
    assert "repaired: 1 × empty answer kept as one" in out
    assert "Imported 2 prompts, 4 answers, 2 tasks and 6 rankings" in out


def test_the_command_writes_import_lines(tmp_path: Path) -> None:
    (tmp_path / "testset.jsonl").write_text(json.dumps(PANDALM))

    call_command("import_public_set", "pandalm", str(tmp_path), out=tmp_path / "lines.jsonl", validation=0)

    faults = Faults()
    (line,) = read_lines((tmp_path / "lines.jsonl").read_bytes(), faults)
    assert (line.split, len(line.rankings), faults.num) == ("train", 3, 0)


def test_the_command_names_the_file_or_campaign_that_is_not_there(tmp_path: Path, campaign: Campaign) -> None:
    with pytest.raises(CommandError, match=r"neither testset.jsonl nor testset.jsonl.gz"):
        call_command("import_public_set", "pandalm", str(tmp_path), out=tmp_path / "lines.jsonl")
    (tmp_path / "testset.jsonl").write_text(json.dumps(PANDALM))
    with pytest.raises(CommandError, match="There is no campaign"):
        call_command("import_public_set", "pandalm", str(tmp_path), campaign=campaign.workspace.public_id)
