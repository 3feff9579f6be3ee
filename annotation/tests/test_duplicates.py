"""What counts as nearly the same answer."""

from __future__ import annotations

import pytest

from annotation.services.duplicates import are_near, distinct, signature

WORDS = " ".join(f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(120))


def near(first: str, second: str) -> bool:
    assert are_near(signature(first), signature(second)) == are_near(signature(second), signature(first))
    return are_near(signature(first), signature(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Yes.", "yes."),
        ("A  plumb\nline", "a plumb line"),
        ("", " \n"),
        ("ﬁne", "fine"),
        (WORDS, WORDS.replace("wordkc", "other")),
        ("天" * 3 + "地玄黃宇宙洪荒" * 20, "天" * 3 + "地玄黃宇宙洪荒" * 20 + "人"),
    ],
)
def test_case_space_and_one_word_in_a_hundred_make_no_difference(first: str, second: str) -> None:
    assert near(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Yes.", "No."),
        ("Yes.", "Yes!"),
        ("The answer is seven, I think.", "The answer is eight, I think."),
        # Above the threshold but for the number, which is the answer.
        (f"{WORDS} 42", f"{WORDS} 43"),
        # One word of forty: 31 of 41 different runs of five are shared.
        (" ".join(WORDS.split()[:40]), " ".join(WORDS.split()[:40]).replace("wordub", "other").replace("wordta", "x")),
        ("", "a"),
    ],
)
def test_what_an_answer_hangs_on_makes_one(first: str, second: str) -> None:
    assert not near(first, second)


def test_the_threshold_is_nine_tenths_of_the_runs_of_five() -> None:
    """One changed word of n costs 5 runs: (n − 9) / (n + 1) are shared, 0.9 at n = 99."""
    for num, expected in ((98, False), (99, True)):
        words = WORDS.split()[:num]
        changed = [*words[:50], "other", *words[51:]]
        assert near(" ".join(words), " ".join(changed)) == expected


def test_the_first_of_each_kind_is_kept() -> None:
    assert distinct(["Yes.", "No.", "yes.", " NO. ", "Maybe."], text=str) == ["Yes.", "No.", "Maybe."]
