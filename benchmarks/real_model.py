"""One recipe for every set: a reward model and its floors on one split, by the product's own training code."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.real_data import GOLD
from gpu_ops import linear_scores
from reward.training import evaluation
from reward.training.config import ObjectiveConfig, Pooling, RewardConfig
from reward.training.evaluation import Numbers
from reward.training.groups import Dataset, Group, Pair
from reward.training.objective import Objective
from reward.training.precision import multiplies_bfloat16
from reward.training.probe import fit_probe
from reward.training.reward_model import RewardModel
from reward.training.trainer import Progress, make_optimizer, train

RECIPE = RewardConfig(
    objective=ObjectiveConfig(likelihood="davidson"),
    backbone_layers=20,
    train_layers=6,
    probe_l2=0.1,
    pooling="last-and-mean",
    epochs=1,
    groups_per_step=2,
    groups_per_forward=1,
    learning_rate=5e-5,
    head_learning_rate=1e-4,
    precision="auto",
)
"""Chosen on folds of training prompts; the same for every set. The layers are those of a model of 30."""


def recipe_for(base: Path) -> RewardConfig:
    """The recipe for a model of any depth: the first two thirds of its layers, the last fifth of all is trained."""
    depth = json.loads((base / "config.json").read_text())["num_hidden_layers"]
    return dataclasses.replace(RECIPE, backbone_layers=math.ceil(depth * 2 / 3), train_layers=math.ceil(depth / 5))


class Split(NamedTuple):
    """train: what is learned from. heldout: the preferences to predict. words: all that people said of `heldout`."""

    train: list[Group]
    heldout: list[Group]
    words: list[Group]
    num_left_out: int


def split_of(data: Dataset) -> Split:
    """People's words to learn from; the authors' preferences to be judged by, where a set has them."""
    train = [group._replace(pairs=_said(group)) for group in data.train]
    heldout = data.heldout
    if any(pair.labeler == GOLD for group in heldout for pair in group.pairs):
        heldout = [group._replace(pairs=[p for p in group.pairs if p.labeler == GOLD]) for group in heldout]
    return Split([group for group in train if group.pairs], heldout, data.heldout, data.num_left_out)


def _said(group: Group) -> list[Pair]:
    return [pair for pair in group.pairs if pair.labeler != GOLD]


def ceiling(split: Split) -> float | None:
    """How often a labeler's preference is the authors', where a set has theirs; else the majority's of the others."""
    found = num = 0
    for group in split.words:
        gold = {(p.first, p.second): p.outcome for p in group.pairs if p.labeler == GOLD}
        for pair in _said(group):
            if pair.outcome and (pair.first, pair.second) in gold:
                found += pair.outcome == gold[pair.first, pair.second]
                num += 1
    return found / num if num else evaluation.agreement_ceiling(split.words)


def majorities(groups: Sequence[Group]) -> list[Group]:
    """One preference for each two answers, as most labelers have it; evenly split ones are gone.

    The floors are fitted to these: several times fewer rows than words, and no noisier.
    """
    reduced = []
    for group in groups:
        votes: dict[tuple[int, int], int] = {}
        for pair in group.pairs:
            low, high = sorted((pair.first, pair.second))
            votes[low, high] = votes.get((low, high), 0) + (pair.outcome if pair.first == low else -pair.outcome)
        pairs = [Pair(a, b, int(np.sign(vote)), 1.0, "majority", None) for (a, b), vote in votes.items() if vote]
        reduced.append(group._replace(pairs=pairs))
    return [group for group in reduced if group.pairs]


def start(base: Path, *, seed: int, layers: int | None, pooling: Pooling = RECIPE.pooling) -> RewardModel:
    model = RewardModel.from_base(base, seed=seed, head_std=RECIPE.head_init_std, layers=layers, pooling=pooling)
    if multiplies_bfloat16("cpu"):
        model.autocast_dtype = torch.bfloat16
    return model


class Features:
    """What a model makes of answers at its start, computed once per prompt: splits share most of their prompts."""

    def __init__(self, base: Path, *, layers: int | None, pooling: Pooling) -> None:
        self.model = start(base, seed=0, layers=layers, pooling=pooling)
        self._known: dict[tuple[str, int], torch.Tensor] = {}

    @property
    def longest(self) -> int:
        """Tokens that the model can tell the places of."""
        return int(self.model.backbone.config.max_position_embeddings)  # type: ignore[union-attr, arg-type]

    def of(self, groups: Sequence[Group]) -> torch.Tensor:
        """[A, F] for the answers of `groups` laid end to end."""
        for group in groups:
            key = group.prompt_id, len(group.answers)
            if key not in self._known:
                self._known[key] = self.model.features([group.prefixed()])
        return torch.cat([self._known[group.prompt_id, len(group.answers)] for group in groups])


class Started(NamedTuple):
    model: RewardModel
    objective: Objective


def started(base: Path, features: Features, groups: Sequence[Group], *, seed: int, config: RewardConfig) -> Started:
    """As `reward.training.job` starts: the head is a probe of frozen features."""
    model = start(base, seed=seed, layers=config.backbone_layers)
    model.train_only_last(config.train_layers)
    objective = Objective(config.objective, groups, seed=seed)
    assert config.probe_l2 is not None
    probe = fit_probe(features.of(groups), groups, objective, l2=config.probe_l2)
    with torch.no_grad():
        model.head_weight.copy_(probe.head_weight)
        model.log_tie.copy_(probe.log_tie)
    return Started(model, objective)


def tune(found: Started, groups: Sequence[Group], *, seed: int, config: RewardConfig) -> None:
    """The last layers and the head, as `reward.training.job` trains them."""
    optimizer = make_optimizer(found.model, config)
    steps = train(
        model=found.model, optimizer=optimizer, groups=groups, objective=found.objective, config=config, seed=seed,
        progress=Progress(),
    )  # fmt: skip
    for _step in steps:
        pass


@torch.no_grad()
def scores_of(model: RewardModel, groups: Sequence[Group]) -> list[Numbers]:
    return [model.score([group.prefixed()]).double().numpy() for group in groups]


def judge(base: Path, split: Split, *, seed: int, own: Features, frozen: Features) -> dict[str, Any]:
    """One row: the model before and after its layers are trained, three floors, the ceiling, how sure the leads are."""
    from reward.training import floors
    from reward.training.calibration import calibration

    begun, config = time.monotonic(), recipe_for(base)
    found = started(base, own, split.train, seed=seed, config=config)
    before = [
        linear_scores(own.of([group]), found.model.head_weight)[:, 0].detach().double().numpy()
        for group in split.heldout
    ]
    tune(found, split.train, seed=seed, config=config)
    scores = scores_of(found.model, split.heldout)
    seconds = time.monotonic() - begun
    samples = RECIPE.bootstrap_samples
    accuracy = evaluation.accuracy(split.heldout, scores, samples=samples, seed=seed)
    fitted = majorities(split.train)
    length = evaluation.length_floor(split.train, split.heldout)
    sign = 1 if length.longer_wins else -1
    values = {
        "length": [sign * np.array([a.characters for a in g.answers], dtype=np.float64) for g in split.heldout],
        "bow": floors.bag_of_words(fitted, split.heldout),
        "probe": floors.linear_probe(
            fitted, split.heldout, frozen.of(fitted).numpy(), frozen.of(split.heldout).numpy()
        ),
    }
    row: dict[str, Any] = {
        "accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high,
        "accuracy_before_tuning": evaluation.accuracy(split.heldout, before, samples=1, seed=seed).value,
        "num_heldout_pairs": accuracy.num_pairs, "num_heldout_prompts": accuracy.num_prompts,
        "num_train_prompts": len(split.train),
        "num_left_out_answers": split.num_left_out, "human": ceiling(split),
        "ece": calibration(split.heldout, scores).ece, "seconds": round(seconds, 1),
    }  # fmt: skip
    for name, judged in values.items():
        row[f"floor_{name}"] = evaluation.accuracy(split.heldout, judged, samples=1, seed=seed).value
        row[f"beats_{name}"] = lead(split.heldout, scores, judged, seed=seed)
    return row


def lead(groups: Sequence[Group], scores: Sequence[Numbers], floor: Sequence[Numbers], *, seed: int) -> dict[str, Any]:
    """Accuracy of the scores less the floor's on the same pairs, with a 95 % interval over prompts."""
    rows = []
    for group, ours, theirs in zip(groups, scores, floor, strict=True):
        hits, num = evaluation.hits(group.pairs, ours)
        rows.append((hits - evaluation.hits(group.pairs, theirs)[0], num))
    table = np.array([row for row in rows if row[1]], dtype=np.float64)
    low, high = evaluation.bootstrap_interval(table, samples=RECIPE.bootstrap_samples, seed=seed)
    gained, pairs = table.sum(axis=0)
    return {"by": gained / pairs, "low": low, "high": high, "is_sure": low > 0}
