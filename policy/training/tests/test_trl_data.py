"""What TRL's trainers get to see, by hand."""

from __future__ import annotations

from policy.training.trl_data import Demonstration, Preference, best_answers, demonstrations, stated_preferences
from reward.training.groups import Answer, Group, Pair, Verdict

ANSWERS = [Answer([10, 1], 3), Answer([20, 21, 1], 5), Answer([30], 2)]


def group(pairs: list[tuple[int, int, int]], verdicts: dict[int, list[bool]] | None = None) -> Group:
    said = [Pair(first, second, outcome, 1.0, "a", None) for first, second, outcome in pairs]
    judged = [Verdict(answer, word, 1.0, "a") for answer, words in (verdicts or {}).items() for word in words]
    return Group("1", "train", [0, 5], ANSWERS, said, judged)


def test_a_tie_is_no_preference_and_a_word_said_twice_counts_twice() -> None:
    found = stated_preferences([group([(0, 1, 1), (0, 1, 1), (1, 2, 0), (0, 2, -1)])])

    assert found == [
        Preference([0, 5], [10, 1], [20, 21, 1]),
        Preference([0, 5], [10, 1], [20, 21, 1]),
        Preference([0, 5], [30], [10, 1]),
    ]


def test_the_answer_with_most_wins_less_losses_is_imitated_and_its_prompt_is_not_learned() -> None:
    found, num_without = demonstrations([group([(0, 1, -1), (0, 2, 1), (1, 2, 1)]), group([(0, 1, 0)])])

    assert found == [Demonstration([0, 5, 20, 21, 1], [-100, -100, 20, 21, 1])]
    assert num_without == 1


def test_equally_good_answers_are_both_best() -> None:
    assert best_answers(group([(0, 2, 1), (1, 2, 1), (0, 1, 0)])) == [0, 1]


def test_an_answer_that_people_find_unacceptable_is_not_imitated() -> None:
    beats_both = [(0, 1, 1), (0, 2, 1)]

    assert best_answers(group(beats_both)) == [0]  # imported: nobody was asked
    assert best_answers(group(beats_both, {0: [True, True, False], 1: [False]})) == [0]
    assert best_answers(group(beats_both, {0: [True, False]})) == []
    assert best_answers(group(beats_both, {0: [False]})) == []


def test_what_labelers_wrote_is_imitated_beside_the_best_answers_and_without_any() -> None:
    written = [Answer([40, 1], 2)]
    with_best = group([(0, 1, 1), (0, 2, 1)])._replace(demonstrations=written)
    alone = group([(0, 1, 0)])._replace(demonstrations=written)
    found, num_without = demonstrations([with_best, alone])

    assert [each.input_ids for each in found] == [[0, 5, 10, 1], [0, 5, 40, 1], [0, 5, 40, 1]]
    assert num_without == 0
