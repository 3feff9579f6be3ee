from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django import Settings

from accounts.errors import Conflict, Refused
from annotation.models import Campaign, Completion, Labeler, LabelerKind, Prompt, Ranking, Task
from annotation.services import ImportRefused, ImportReport, archive_campaign, close_campaign, import_jsonl
from tests.cast import Cast, make_campaign, make_prompt

ANSWERS = ["Rayleigh scattering.", "It is painted.", "Ask the sea."]


def jsonl(*rows: Any) -> bytes:
    return b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)


def refusal(campaign: Campaign, cast: Cast, lines: bytes) -> list[tuple[int, str]]:
    """The faults of an import that must be refused, after a look that nothing was stored."""
    before = Prompt.objects.count(), Completion.objects.count(), Task.objects.count(), Labeler.objects.count()
    with pytest.raises(ImportRefused) as refused:
        import_jsonl(campaign=campaign, by=cast.manager, lines=lines)
    assert before == (
        Prompt.objects.count(),
        Completion.objects.count(),
        Task.objects.count(),
        Labeler.objects.count(),
    )
    assert refused.value.code == "import_refused"
    assert refused.value.details["num_errors"] == len(refused.value.details["errors"])
    assert all(fault["message"] for fault in refused.value.details["errors"])
    json.dumps(refused.value.details).encode()
    return [(fault["line"], fault["code"]) for fault in refused.value.details["errors"]]


def test_prompts_answers_and_rankings_come_in_together(cast: Cast, campaign: Campaign) -> None:
    lines = jsonl(
        {"prompt": "Why is the sky blue?", "category": "nature", "split": "test"},
        b"",
        {
            "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why is grass green?"}],
            "completions": [ANSWERS[0], {"text": ANSWERS[1], "source": "gpt-0"}, ANSWERS[2]],
            "rankings": [
                {"labeler": "w1", "ranks": [1, 7, None], "seconds": 12.5},
                {"labeler": "w2", "order": [2, [0, 1]], "none_acceptable": True},
            ],
        },
    )

    report = import_jsonl(campaign=campaign, by=cast.manager, lines=lines)

    assert report == ImportReport(num_prompts=2, num_completions=3, num_rankings=2, num_duplicates=0, num_tasks=1)
    sky, grass = Prompt.objects.order_by("pk")
    assert (sky.split, sky.category, sky.text) == ("test", "nature", "Why is the sky blue?")
    assert (grass.split, grass.messages[0]["role"]) == ("train", "system")
    task = Task.objects.get()
    assert [item.completion.source for item in task.items.all()] == ["import:file", "import:gpt-0", "import:file"]
    said = {r.labeler.name: [i.rank for i in r.items.all()] for r in Ranking.objects.all()}
    assert said == {"w1": [1, 2, None], "w2": [2, 2, 1]}
    assert Ranking.objects.get(labeler__name="w1").active_seconds == 12.5
    assert Ranking.objects.get(labeler__name="w2").none_acceptable
    assert {(labeler.name, labeler.kind, labeler.user) for labeler in Labeler.objects.all()} == {
        ("w1", LabelerKind.IMPORTED, None),
        ("w2", LabelerKind.IMPORTED, None),
    }


@pytest.mark.parametrize(("overlap", "free_slots", "expected"), [(1, 0, 2), (2, 0, 2), (5, 3, 5)])
def test_rankings_that_come_along_fill_the_tasks_slots(
    cast: Cast, overlap: int, free_slots: int, expected: int
) -> None:
    campaign = make_campaign(cast, overlap=overlap)
    rankings = [{"labeler": name, "ranks": [1, 2, 3]} for name in ("w1", "w2")]

    import_jsonl(
        campaign=campaign, by=None, lines=jsonl({"prompt": "Q?", "completions": ANSWERS, "rankings": rankings})
    )

    task = Task.objects.get()
    assert (task.free_slots, task.overlap) == (free_slots, expected)


def test_the_same_file_twice_is_the_same_as_once(cast: Cast, campaign: Campaign) -> None:
    row = {"prompt": "Q?", "completions": [*ANSWERS, ANSWERS[0]], "rankings": [{"labeler": "w", "ranks": [1, 2, 3, 4]}]}
    lines = jsonl(row, {"prompt": "Another?"})
    import_jsonl(campaign=campaign, by=cast.manager, lines=lines)

    report = import_jsonl(campaign=campaign, by=cast.manager, lines=lines)

    assert report == ImportReport(0, 0, 0, num_duplicates=2, num_tasks=0)
    # The fourth answer repeats the first one's text: another sample, not lost and not stored again.
    assert (Completion.objects.count(), Task.objects.count(), Ranking.objects.count()) == (4, 1, 1)


def test_a_prompt_with_pairs_on_several_lines_keeps_every_pair_and_each_answer_once(
    cast: Cast, campaign: Campaign
) -> None:
    pairs = [(0, 1), (0, 2), (1, 2)]
    rows = [{"prompt": "Q?", "completions": [ANSWERS[a], ANSWERS[b]]} for a, b in pairs]

    report = import_jsonl(campaign=campaign, by=None, lines=jsonl(*rows))

    assert report == ImportReport(num_prompts=1, num_completions=3, num_rankings=0, num_duplicates=2, num_tasks=3)
    assert {frozenset(c.text for c in task.completions.all()) for task in Task.objects.all()} == {
        frozenset({ANSWERS[a], ANSWERS[b]}) for a, b in pairs
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"prompt": "a"', "broken_json"),
        (b"prompt: a", "broken_json"),
        (b'{"prompt": "a", "prompt": "b"}', "broken_json"),
        (b'{"prompt": "a", "category": NaN}', "broken_json"),
        (b"[" * 100_000, "broken_json"),
        (b'{"prompt": ' + b"9" * 10_000 + b"}", "broken_json"),
        (b'["a"]', "not_an_object"),
        (b'{"prompt": "caf\xe9"}', "not_utf8"),
        (b'{"prompt": "\xed\xa0\x80"}', "not_utf8"),
        (b'{"prompt": "a\x00b"}', "nul_byte"),
        (b'{"prompt": "a\\u0000b"}', "nul_byte"),
        (b'{"prompt": "a\\ud83d b"}', "lone_surrogate"),
        (b'{"pr\\ud83dompt": "a"}', "unknown_key"),
        (b'{"prompt": "a", "split": "dev"}', "split_unknown"),
        (b'{"prompt": "a", "label": 1}', "unknown_key"),
        (b'{"completions": ["a", "b"]}', "prompt_missing"),
        (b'{"prompt": ""}', "text_empty"),
        (b'{"prompt": " \\n"}', "text_empty"),
        (b'{"prompt": 7}', "prompt_invalid"),
        (b'{"prompt": []}', "prompt_invalid"),
        (b'{"prompt": [{"role": "assistant", "content": "hi"}]}', "prompt_invalid"),
        (b'{"prompt": [{"role": "root", "content": "hi"}]}', "prompt_invalid"),
        (b'{"prompt": [{"role": "user"}]}', "prompt_invalid"),
    ],
)
def test_a_faulty_line_is_named_and_nothing_is_stored(cast: Cast, campaign: Campaign, line: bytes, code: str) -> None:
    lines = jsonl({"prompt": "Sound."}, line, {"prompt": "Sound too.", "completions": ["a", "b"]})

    assert refusal(campaign, cast, lines) == [(2, code)]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"completions": ["a", ""]}, "text_empty"),
        ({"completions": ["a", "  "]}, "text_empty"),
        ({"completions": ["a", True]}, "text_not_string"),
        ({"completions": ["a", None]}, "text_not_string"),
        ({"completions": ["a", 3]}, "text_not_string"),
        ({"completions": ["a", ["b"]]}, "text_not_string"),
        ({"completions": ["a", {"source": "x"}]}, "text_not_string"),
        ({"completions": ["a", {"text": "b", "rank": 1}]}, "unknown_key"),
        ({"completions": ["a", {"text": ""}]}, "text_empty"),
        ({"completions": ["a", {"text": "", "empty": False}]}, "text_empty"),
        ({"completions": ["a", {"text": "b", "empty": True}]}, "empty_invalid"),
        ({"completions": ["a", {"text": None, "empty": True}]}, "empty_invalid"),
        ({"completions": ["a", {"text": "", "empty": 1}]}, "empty_invalid"),
        ({"completions": ["a"]}, "too_few_answers"),
        ({"completions": list("abcdefghij")}, "too_many_answers"),
        ({"completions": "ab"}, "not_a_list"),
        ({"completions": [{"text": "a", "id": "x"}, {"text": "b", "id": "x"}]}, "duplicate_answer"),
        ({"rankings": [{"labeler": "w", "ranks": [1]}]}, "rankings_without_answers"),
    ],
)
def test_faulty_answers_are_refused(cast: Cast, campaign: Campaign, row: dict[str, Any], code: str) -> None:
    assert refusal(campaign, cast, jsonl({"prompt": "Q?", **row})) == [(1, code)]


def test_an_answer_that_says_nothing_is_imported_where_the_line_says_so(cast: Cast, campaign: Campaign) -> None:
    answers = ["a", {"text": "", "empty": True, "source": "m"}, {"empty": True, "source": "n"}]
    lines = jsonl({"prompt": "Q?", "completions": answers, "rankings": [{"labeler": "w", "ranks": [1, 2, 2]}]})

    report = import_jsonl(campaign=campaign, by=cast.manager, lines=lines)

    assert (report.num_completions, report.num_rankings) == (3, 1)
    assert [completion.text for completion in Completion.objects.order_by("pk")] == ["a", "", ""]


@pytest.mark.parametrize(
    ("ranking", "code"),
    [
        ({"labeler": "w", "ranks": [1, 2]}, "ranking_incomplete"),
        ({"labeler": "w", "ranks": [1, 2, 3, 4]}, "ranking_incomplete"),
        ({"labeler": "w", "ranks": [None, None, None]}, "ranking_incomplete"),
        ({"labeler": "w", "ranks": [0, 1, 2]}, "rank_invalid"),
        ({"labeler": "w", "ranks": [1.5, 1, 2]}, "rank_invalid"),
        ({"labeler": "w", "ranks": ["1", 1, 2]}, "rank_invalid"),
        ({"labeler": "w", "ranks": [True, 1, 2]}, "rank_invalid"),
        ({"labeler": "w", "order": [0, 1]}, "ranking_incomplete"),
        ({"labeler": "w", "order": [0, 1, 1]}, "ranking_duplicate"),
        ({"labeler": "w", "order": [0, 1, 3]}, "ranking_foreign_completion"),
        ({"labeler": "w", "order": [0, 1, {}]}, "ranks_invalid"),
        ({"labeler": "w"}, "ranks_invalid"),
        ({"labeler": "w", "order": [0, 1, 2], "ranks": [1, 2, 3]}, "ranks_invalid"),
        ({"labeler": "w", "ranks": [1, 2, 3], "strength": 2}, "strength_invalid"),
        ({"labeler": "w", "ranks": [1, 2, 3], "seconds": "9"}, "seconds_invalid"),
        ({"labeler": "", "ranks": [1, 2, 3]}, "text_empty"),
        ({"ranks": [1, 2, 3]}, "text_not_string"),
        ("w: 1, 2, 3", "not_an_object"),
    ],
)
def test_faulty_rankings_are_refused(cast: Cast, campaign: Campaign, ranking: Any, code: str) -> None:
    lines = jsonl({"prompt": "Q?", "completions": ANSWERS, "rankings": [ranking]})

    assert refusal(campaign, cast, lines) == [(1, code)]


def test_every_fault_is_counted_and_the_first_hundred_are_named(cast: Cast, campaign: Campaign) -> None:
    with pytest.raises(ImportRefused) as refused:
        import_jsonl(campaign=campaign, by=None, lines=jsonl({"prompt": "Sound."}, *[b"{"] * 130))

    details = refused.value.details
    assert (details["num_errors"], len(details["errors"])) == (130, 100)
    assert [fault["line"] for fault in details["errors"]] == list(range(2, 102))
    assert "130 faults" in refused.value.message
    assert "Line 2" in refused.value.message


def test_a_prompt_of_a_megabyte_is_refused_and_one_at_the_limit_is_not(
    cast: Cast, campaign: Campaign, settings: Settings
) -> None:
    assert refusal(campaign, cast, jsonl({"prompt": "x" * 1_000_000})) == [(1, "prompt_too_long")]

    settings.PROMPT_MAX_CHARACTERS = 10
    import_jsonl(campaign=campaign, by=None, lines=jsonl({"prompt": "é" * 10}))
    halves = [{"role": "assistant", "content": "é" * 6}, {"role": "user", "content": "é" * 5}]
    assert refusal(campaign, cast, jsonl({"prompt": halves})) == [(1, "prompt_too_long")]


def test_an_answer_over_the_limit_is_refused(cast: Cast, campaign: Campaign, settings: Settings) -> None:
    settings.COMPLETION_MAX_CHARACTERS = 10

    assert refusal(campaign, cast, jsonl({"prompt": "Q?", "completions": ["a", "b" * 11]})) == [(1, "text_too_long")]


def test_duplicate_prompts_are_counted_and_a_conflicting_one_is_a_fault(cast: Cast, campaign: Campaign) -> None:
    make_prompt(campaign, "Old?", split="test")
    sound = [{"prompt": "Old?"}, {"prompt": "New?", "split": "train"}, {"prompt": "New?"}]

    faults = refusal(
        campaign, cast, jsonl(*sound, {"prompt": "Old?", "split": "train"}, {"prompt": "New?", "split": "test"})
    )
    report = import_jsonl(campaign=campaign, by=None, lines=jsonl(*sound))

    assert faults == [(4, "duplicate_conflict"), (5, "duplicate_conflict")]
    assert (report.num_prompts, report.num_duplicates) == (1, 2)
    assert Prompt.objects.get(messages__0__content="Old?").split == "test"


def test_a_labeler_who_says_something_else_about_the_same_answers_is_a_fault(cast: Cast, campaign: Campaign) -> None:
    def row(*ranks: int) -> dict[str, Any]:
        return {"prompt": "Q?", "completions": ["a", "b"], "rankings": [{"labeler": "w", "ranks": list(ranks)}]}

    import_jsonl(campaign=campaign, by=None, lines=jsonl(row(1, 2)))

    assert refusal(campaign, cast, jsonl({"prompt": "Fresh?"}, row(2, 1))) == [(2, "ranking_conflict")]
    assert import_jsonl(campaign=campaign, by=None, lines=jsonl(row(1, 2))).num_rankings == 0


def test_a_file_may_begin_with_a_mark_and_end_its_lines_as_windows_does(cast: Cast, campaign: Campaign) -> None:
    lines = b"\xef\xbb\xbf" + jsonl({"prompt": "One?"}, {"prompt": "Two\u2028lines?"}).replace(b"\n", b"\r\n") + b"\r\n"

    assert import_jsonl(campaign=campaign, by=None, lines=lines).num_prompts == 2


@pytest.mark.parametrize("lines", [b"", b"\n\n  \n"])
def test_an_empty_file_is_refused(campaign: Campaign, lines: bytes) -> None:
    with pytest.raises(Refused, match="no line") as refused:
        import_jsonl(campaign=campaign, by=None, lines=lines)

    assert refused.value.code == "import_empty"


def test_an_archived_campaign_takes_no_import(cast: Cast, campaign: Campaign) -> None:
    close_campaign(campaign=campaign, by=cast.manager)
    archive_campaign(campaign=campaign, by=cast.manager)

    with pytest.raises(Conflict) as refused:
        import_jsonl(campaign=campaign, by=cast.manager, lines=jsonl({"prompt": "Q?"}))

    assert refused.value.code == "campaign_archived"


def test_markup_and_script_stay_the_text_they_are(campaign: Campaign) -> None:
    script = "<script>alert('x')</script> & <b>bold</b>"

    import_jsonl(campaign=campaign, by=None, lines=jsonl({"prompt": script, "completions": [script, "b"]}))

    assert Prompt.objects.get().text == script
    assert Completion.objects.filter(text=script).count() == 1
