"""A whole training run stays as good as on clean labels when bad labelers give 30 % of them, and they are found.

What makes an answer good are the words in it, not how many there are or where it was shown, and the held-out prompts
say which answer is truly better. A campaign differs from the clean one in nothing but its bad labelers' words.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from reward.training.groups import Pair
from reward.training.job import train_reward_model
from reward.training.rundir import RunDirectory
from reward.training.tests.conftest import write_groups, write_run
from reward.training.tests.crowds import HONEST, Numbers, judge
from tests.tiny import WORDS, build_tiny_model

SEED = 9
NUM_TRAIN, NUM_HELDOUT, NUM_ANSWERS, NUM_VOTES = 300, 150, 4, 4
NUM_LABELERS, NUM_BAD = 20, 6
MOST_LOST = 0.02
VOCABULARY = WORDS.split()[:12]
KINDS = ("random", "position-biased in one order", "length-biased", "adversarial")
CREWS = {
    "clean": [HONEST] * NUM_LABELERS,
    **{kind: [kind] * NUM_BAD + [HONEST] * (NUM_LABELERS - NUM_BAD) for kind in KINDS},
    "mixed": [*KINDS, *KINDS[2:]] + [HONEST] * (NUM_LABELERS - NUM_BAD),
}
"""The kind of each labeler."""
DISHONEST = [crew for crew in CREWS if crew != "clean"]
CONFIG: dict[str, Any] = {
    "epochs": 2,
    "groups_per_step": 4,
    "learning_rate": 3e-3,
    "head_learning_rate": 1e-2,
    "probe_floor": False,
    "checkpoint_every_steps": 1000,
    "bootstrap_samples": 100,
}


class Answers(NamedTuple):
    """Of every prompt, those to train on first. quality, length: [prompts, NUM_ANSWERS], standard deviation 1."""

    texts: list[list[str]]
    quality: Numbers
    length: Numbers


class Trained(NamedTuple):
    """metrics: of the outcome. doubtful: labelers who are hardly better than a coin, by the evaluation."""

    metrics: dict[str, float | None]
    doubtful: set[str]

    @property
    def accuracy(self) -> float:
        return self.metrics["rm_accuracy"] or 0.0


Train = Callable[[str, str], Trained]


@functools.cache
def answers() -> Answers:
    rng = np.random.default_rng([SEED, 0])
    worth = rng.permutation(np.linspace(-1, 1, len(VOCABULARY)))
    shape = NUM_TRAIN + NUM_HELDOUT, NUM_ANSWERS
    length = rng.integers(2, 9, shape)
    words = [[rng.integers(len(VOCABULARY), size=size) for size in row] for row in length]
    quality = np.array([[worth[chosen].sum() for chosen in row] for row in words])
    texts = [[" ".join(VOCABULARY[i] for i in chosen) for chosen in row] for row in words]
    return Answers(texts, quality / quality.std(), (length - length.mean()) / length.std())


def campaign(crew: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Every labeler ranks equally many training prompts; one who never errs ranks the held-out ones."""
    rng = np.random.default_rng([SEED, 1])
    rounds = NUM_TRAIN * NUM_VOTES // NUM_LABELERS
    voters = np.array([rng.permutation(NUM_LABELERS) for _ in range(rounds)]).reshape(NUM_TRAIN, NUM_VOTES)
    for number in range(NUM_TRAIN):
        yield line(number, "train", [p for voter in voters[number] for p in vote(crew, int(voter), number)])
    for number in range(NUM_TRAIN, NUM_TRAIN + NUM_HELDOUT):
        yield line(number, "validation", truth(number))


def vote(crew: Sequence[str], voter: int, number: int) -> list[Pair]:
    """A generator of its own, so that what an honest labeler says does not depend on the others."""
    of = answers()
    rng = np.random.default_rng([SEED, 2, voter, number])
    return judge(f"labeler {voter}", crew[voter], rng, of.quality[number], of.length[number])


def truth(number: int) -> list[Pair]:
    quality = answers().quality[number]
    couples = itertools.combinations(range(NUM_ANSWERS), 2)
    return [Pair(i, j, int(np.sign(quality[i] - quality[j])), 1.0, "truth", None) for i, j in couples]


def line(number: int, split: str, pairs: list[Pair]) -> dict[str, Any]:
    """A line of groups.jsonl; prompts differ and say nothing."""
    prompt = " ".join(VOCABULARY[int(digit)] for digit in f"{number:03}")
    return {
        "prompt_id": str(number),
        "split": split,
        "messages": [{"role": "user", "content": prompt}],
        "completions": [{"text": text, "finish_reason": "stop"} for text in answers().texts[number]],
        "pairs": [pair._asdict() for pair in pairs],
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """A crew's labels, trained on with this `objective.reliability`; each only once."""
    folder = tmp_path_factory.mktemp("corrupted")
    base = build_tiny_model(folder / "base", words=True)

    @functools.cache
    def train(crew: str, reliability: str) -> Trained:
        name = f"{crew} {reliability}"
        groups = write_groups(folder / f"{name}.jsonl", list(campaign(CREWS[crew])))
        path = write_run(
            folder / name, inputs={"base": base, "groups": groups}, objective={"reliability": reliability}, **CONFIG
        )
        return finish(path)

    return train


def finish(path: Path) -> Trained:
    run = RunDirectory.open(path)
    outcome = train_reward_model(run)
    run.close()
    report = json.loads(outcome.artifacts["evaluation"].read_text())
    return Trained(dict(outcome.metrics), {row["labeler"] for row in report["labelers"] if row["is_doubtful"]})


def bad_labelers(crew: str) -> set[str]:
    return {f"labeler {number}" for number, kind in enumerate(CREWS[crew]) if kind != HONEST}


def said(crew: str) -> list[tuple[str, str, tuple[int, int, int]]]:
    """(prompt, labeler, (first, second, outcome)) of every word on a training prompt."""
    return [
        (row["prompt_id"], pair["labeler"], (pair["first"], pair["second"], pair["outcome"]))
        for row in campaign(CREWS[crew])
        if row["split"] == "train"
        for pair in row["pairs"]
    ]


@pytest.mark.parametrize("crew", DISHONEST)
def test_bad_labelers_give_30_percent_of_the_labels_and_the_others_are_those_of_the_clean_campaign(crew: str) -> None:
    bad, words, clean = bad_labelers(crew), said(crew), said("clean")

    assert sum(labeler in bad for _, labeler, _ in words) == 0.3 * len(words)
    assert {word for word in words if word[1] not in bad} == {word for word in clean if word[1] not in bad}


@pytest.mark.parametrize("crew", DISHONEST)
def test_accuracy_stays_within_two_points_of_clean_labels_and_bad_labelers_are_found(trained: Train, crew: str) -> None:
    clean, corrupted = trained("clean", "equal"), trained(crew, "agreement")

    assert corrupted.accuracy >= clean.accuracy - MOST_LOST
    assert corrupted.doubtful == bad_labelers(crew)


@pytest.mark.parametrize("crew", ["length-biased", "adversarial"])
def test_the_same_labels_cost_more_than_two_points_when_all_labelers_count_equally(trained: Train, crew: str) -> None:
    corrupted, clean = trained(crew, "equal"), trained("clean", "equal")
    assert corrupted.accuracy < clean.accuracy - MOST_LOST
    assert corrupted.doubtful == bad_labelers(crew)
    assert clean.doubtful == set()


def test_held_out_pairs_are_many_and_length_says_nothing_of_them(trained: Train) -> None:
    metrics = trained("clean", "equal").metrics
    assert (metrics["num_heldout_pairs"] or 0) > 500
    assert metrics["rm_floor_length"] == pytest.approx(0.5, abs=0.05)
