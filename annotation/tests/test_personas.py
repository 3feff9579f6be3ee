"""Simulated labelers: which answers they like, and how steadily."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.personas import CREW, PERSONAS, Persona, SimulatedLabeler, dense_ranks
from annotation.readability import ASKING_WORDS, content_stems, is_finished, stem, unrankable_reason, words_of

PROMPT = "Why do cats purr when people stroke them?"
GOOD = "Cats often purr because they feel calm and safe, and a gentle hand on their back makes them happy."
TRAPS = {
    "one token": "Cats",
    "one word sentence": "Cats.",
    "five tokens": "Cats purr, they do.",
    "echo of the prompt": "Why do cats purr when people stroke them? Cats purr when people stroke them.",
    "off topic but fluent": "A small garden needs water in the morning, shade in the afternoon, and a little care.",
    "repeated sentence": "Cats purr because they are happy. " * 4,
    "rich sentence twice": "Cats purr because they feel calm and safe, and a gentle hand makes them happy. " * 2,
    "cut off": "Cats often purr because they feel calm and safe, and a gentle hand on their back makes them",
    "keywords without grammar": "Cats purr stroke happy calm warm safe gentle hand fur sleep milk sofa home friend.",
    "list": "Cats purr for reasons:\n1. They feel calm and safe.\n2. A gentle hand makes them happy.\n3. Warmth.",
    "talk of being an AI": "As an AI language model I can say that cats purr when they feel calm and safe with you.",
    "names and numbers": "Cats purr at 26 Hz in Zurovian Hall, said Doctor Melvane Ostrick of Quindle in March 1987.",
    "too long": " ".join(f"Cats purr and {x} is one more word about them." for x in "abcdefghijkl"),
}


@pytest.mark.parametrize("persona", PERSONAS.values(), ids=PERSONAS)
@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS)
def test_good_answer_beats_every_trap_clearly(persona: Persona, trap: str) -> None:
    assert persona.utility(PROMPT, GOOD) > persona.utility(PROMPT, trap) + 0.4


def test_good_answer_reaches_the_optimum_named_by_the_weights() -> None:
    persona = PERSONAS["concise"]
    assert persona.utility(PROMPT, GOOD) == pytest.approx(
        persona.complete + persona.length + persona.topic + persona.plain
    )


def test_terms_of_a_cut_off_answer_by_hand() -> None:
    """10 words, 5 of them in a finished sentence; asked: cat, pur, strok; said: cat, pur, warm, sunday, sun, feel."""
    seen = PERSONAS["concise"].terms(PROMPT, "All cats like to purr. On warm Sunday they feel")
    assert seen.words == 10
    assert seen.complete == pytest.approx(0.3 * 5 / 10)
    assert seen.length == pytest.approx((10 - 5) / (14 - 5))
    assert seen.coverage == 1.0  # two of three are enough
    assert seen.substance == pytest.approx(3 / 6)  # warm, sunday, feel
    assert seen.plain == pytest.approx(1 - (1 / 10 - 0.05) / 0.2)  # Sunday: a capital inside a sentence
    assert (seen.repetition, seen.litter, seen.salad) == (0.0, 0.0, 0.0)


def test_length_alone_is_not_monotone() -> None:
    persona, clause = PERSONAS["concise"], "cats purr as a sign of warm and happy days at home with you"
    value = {n: persona.terms(PROMPT, " ".join((clause.split() * 7)[:n]) + ".").length for n in (5, 8, 14, 45, 60, 75)}
    assert value == {5: 0.0, 8: pytest.approx(3 / 9), 14: 1.0, 45: 1.0, 60: 0.5, 75: 0.0}


def test_cut_off_answer_with_a_whole_sentence_beats_half_a_sentence() -> None:
    persona = PERSONAS["concise"]
    whole = "Cats purr when they feel calm and safe. A gentle hand on their back makes them"
    half = "Cats purr when they feel calm and safe and a gentle hand on their back makes them"
    finished = "Cats purr when they feel calm and safe and a gentle hand makes them happy too."
    assert persona.utility(PROMPT, finished) > persona.utility(PROMPT, whole) > persona.utility(PROMPT, half)


def test_five_words_lose_even_against_a_cut_off_answer() -> None:
    persona = PERSONAS["concise"]
    assert persona.utility(PROMPT, TRAPS["cut off"]) > persona.utility(PROMPT, "Cats purr when very happy.") + 0.4


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("Cats purr softly.", True),
        ('They say "cats purr."', True),
        ("Do cats purr?", True),
        ("Cats purr (very softly).\n", True),
        ("Cats purr", False),
        ("Cats purr,", False),
        ("Cats purr for reasons:\n1.", False),
        ("Yes.", False),
        ("", False),
    ],
)
def test_finished_sentence(text: str, finished: bool) -> None:
    assert is_finished(text) is finished


@pytest.mark.parametrize(
    "family",
    [("freeze", "freezing", "freezes"), ("story", "stories"), ("stop", "stopped", "stopping"), ("cat", "cat's")],
)
def test_word_forms_share_a_stem(family: tuple[str, ...]) -> None:
    assert len({stem(word) for word in family}) == 1


def test_words_that_ask_are_not_the_topic() -> None:
    asked = content_stems(words_of("Give one short tip for keeping houseplants alive."), without=ASKING_WORDS)
    assert asked == {stem("houseplants"), stem("alive"), stem("keeping")}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("#$%& 123 !!! ???", "gibberish"),
        ("caf\ufffd is a place to sit", "gibberish"),
        ("cat purr cat moon table green sky door", "gibberish"),
        ("No.", ""),
        (GOOD, ""),
    ],
)
def test_only_what_is_not_language_is_unrankable(answer: str, reason: str) -> None:
    assert unrankable_reason(answer) == reason


def test_unrankable_answer_gets_no_rank_and_the_others_are_dense() -> None:
    judgement = steady().judge(seed=1, task="t", prompt=PROMPT, answers=["", TRAPS["cut off"], GOOD, GOOD])
    assert judgement.ranks == (None, 2, 1, 1)
    assert judgement.reasons == ("empty", "", "", "")


def test_ties_reach_from_the_best_of_a_group_and_do_not_chain() -> None:
    assert dense_ranks({0: 1.0, 1: 0.9, 2: 0.8, 3: 0.2}, 0.15) == {0: 1, 1: 1, 2: 2, 3: 3}


def test_none_acceptable_only_where_all_answers_are_below_the_floor() -> None:
    poor = ["Cats", "Dog.", "It is a"]
    assert steady().judge(seed=1, task="t", prompt=PROMPT, answers=poor).none_acceptable
    assert not steady().judge(seed=1, task="t", prompt=PROMPT, answers=[*poor, GOOD]).none_acceptable


def test_same_seed_task_and_repeat_give_the_same_judgement_and_others_do_not() -> None:
    labeler = replace(CREW[0], tie_width=0.0)
    answers = [GOOD] * 4
    first = labeler.judge(seed=1, task="a", prompt=PROMPT, answers=answers)
    assert labeler.judge(seed=1, task="a", prompt=PROMPT, answers=answers) == first
    others = [
        labeler.judge(seed=2, task="a", prompt=PROMPT, answers=answers),
        labeler.judge(seed=1, task="b", prompt=PROMPT, answers=answers),
        labeler.judge(seed=1, task="a", prompt=PROMPT, answers=answers, repeat=1),
        replace(labeler, name="other").judge(seed=1, task="a", prompt=PROMPT, answers=answers),
    ]
    assert first not in others
    assert {other.ranks for other in others} != {first.ranks}


def test_boltzmann_choice_follows_the_logistic_of_the_difference() -> None:
    """Between two answers, P(first wins) = 1 / (1 + exp(−Δ / scale)); 2,000 tasks give a standard error of 0.009."""
    labeler = replace(steady(), temperature=1.0, tie_width=0.0)
    other = GOOD.replace(".", ", as we all know,")
    gap = labeler.persona.utility(PROMPT, GOOD) - labeler.persona.utility(PROMPT, other)
    wins = sum(
        labeler.judge(seed=0, task=str(t), prompt=PROMPT, answers=[GOOD, other]).ranks == (1, 2) for t in range(2000)
    )
    expected = 1 / (1 + 2.718281828 ** (-gap / 1.0))
    assert 0.6 < expected < 0.97
    assert wins / 2000 == pytest.approx(expected, abs=0.02)


def test_lower_reliability_means_lower_agreement_with_the_noise_free_order() -> None:
    agreement = [agreement_with_truth(replace(steady(0.2), reliability=r)) for r in (1.0, 0.8, 0.5, 0.2)]
    assert agreement == sorted(agreement, reverse=True)
    assert agreement[0] > agreement[-1] + 0.1


def test_hotter_labeler_agrees_less() -> None:
    assert agreement_with_truth(steady(0.0)) == 1.0
    assert agreement_with_truth(steady(0.2)) > agreement_with_truth(steady(2.0)) + 0.1


def test_position_bias_lifts_the_first_answer_shown() -> None:
    share = {bias: first_place_share(replace(steady(0.2), position_bias=bias)) for bias in (-0.2, 0.0, 0.2)}
    assert share[0.0] == pytest.approx(0.25, abs=0.06)
    assert share[-0.2] < 0.18
    assert share[0.2] > 0.32


def test_crew_has_five_different_people_of_known_personas() -> None:
    assert len({labeler.name for labeler in CREW}) == len(CREW) == 5
    assert {labeler.persona.name for labeler in CREW} == set(PERSONAS)
    assert len({labeler.reliability for labeler in CREW}) >= 3


def test_impossible_numbers_are_refused_with_both_named() -> None:
    with pytest.raises(ValueError, match=r"words_zero \(5\) < words_low \(50\) <= words_high \(45\)"):
        Persona(name="odd", words_low=50)
    with pytest.raises(ValueError, match=r"reliability \(0\)"):
        replace(CREW[0], reliability=0)


@given(st.text(max_size=300), st.lists(st.text(max_size=300), min_size=1, max_size=5))
def test_any_text_gets_a_finite_judgement_in_dense_ranks(prompt: str, answers: list[str]) -> None:
    persona = PERSONAS["concise"]
    top = persona.complete + persona.length + persona.topic + persona.plain
    bottom = -persona.repetition - persona.litter - persona.salad
    assert all(bottom <= persona.utility(prompt, answer) <= top for answer in answers)
    ranks = {r for r in CREW[0].judge(seed=0, task="t", prompt=prompt, answers=answers).ranks if r is not None}
    assert ranks == set(range(1, len(ranks) + 1))


def test_hostile_megabyte_is_judged_at_once() -> None:
    for text in ("[" * 1_000_000, "a. " * 333_333, "A" * 1_000_000, "\n- x" * 250_000):
        assert PERSONAS["concise"].utility(PROMPT, text) < PERSONAS["concise"].utility(PROMPT, GOOD)


def steady(temperature: float = 0.001) -> SimulatedLabeler:
    return SimulatedLabeler(name="steady", persona=PERSONAS["concise"], reliability=1.0, temperature=temperature)


def agreement_with_truth(labeler: SimulatedLabeler) -> float:
    """Share of pairs of unlike answers, over 100 shuffled tasks, in the order of the noise-free utility."""
    right = total = 0
    for task in range(100):
        answers = random.Random(task).sample([GOOD, *TRAPS.values()], 4)
        value = [labeler.persona.utility(PROMPT, answer) for answer in answers]
        ranks = replace(labeler, tie_width=0.0).judge(seed=0, task=str(task), prompt=PROMPT, answers=answers).ranks
        for a, b in combinations(range(4), 2):
            first, second = ranks[a], ranks[b]
            if first is not None and second is not None and abs(value[a] - value[b]) > 0.05:
                total += 1
                right += (first < second) == (value[a] > value[b])
    return right / total


def first_place_share(labeler: SimulatedLabeler) -> float:
    """Share of 300 tasks with four equal answers in which the first one shown wins."""
    labeler = replace(labeler, tie_width=0.0)
    judgements = (labeler.judge(seed=0, task=str(t), prompt=PROMPT, answers=[GOOD] * 4) for t in range(300))
    return sum(judgement.ranks[0] == 1 for judgement in judgements) / 300
