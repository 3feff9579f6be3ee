"""A trained reward model, measured on held-out prompts: metrics for the run, a report for its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reward.training import evaluation
from reward.training.config import RewardConfig
from reward.training.evaluation import Numbers
from reward.training.groups import Dataset, Group
from reward.training.objective import Objective
from reward.training.process import loading
from reward.training.report import Measured, report
from reward.training.reward_model import RewardModel
from reward.training.rundir import RunDirectory, TrainingRefused


class Frozen(NamedTuple):
    """Features of the model before training, [answers laid out, D] float32, of both splits."""

    train: Tensor
    heldout: Tensor


class Measures(NamedTuple):
    """metrics: single numbers. report: evaluation.json."""

    metrics: dict[str, float | None]
    report: dict[str, Any]


def measure(
    run: RunDirectory,
    model: RewardModel,
    dataset: Dataset,
    objective: Objective,
    config: RewardConfig,
    frozen: Frozen | None,
) -> Measures:
    """Center the model on the training answers and describe it on the held-out ones."""
    train_members = torch.cat(score_groups(run, model, dataset.train, "score training answers"))
    if not train_members.isfinite().all():
        message = "The trained model gives scores that are not finite; start again with a lower learning rate."
        raise TrainingRefused(message, code="diverged")
    model.center(train_members)
    members = score_groups(run, model, dataset.heldout, "score held-out answers")
    scores = [each.mean(dim=1).double().cpu().numpy() for each in members]
    length = evaluation.length_floor(dataset.train, dataset.heldout)
    run.progress("compare", 0, 1, "floors")
    found = Measured(
        scores=scores,
        spread=[each.std(dim=1).double().cpu().numpy() for each in members] if objective.heads > 1 else [],
        floors=_floors(dataset, length.longer_wins, frozen),
        train_scores=_centered(train_members),
        longer_wins=length.longer_wins,
        threshold=model.tie_strength if config.objective.likelihood == "rao-kupper" else 0.0,
        reliability=objective.reliability,
        weights=objective.weights,
    )
    written = report(dataset.heldout, found, samples=config.bootstrap_samples, seed=run.spec.seed)
    metrics = _metrics(model, dataset, objective, members, written)
    return Measures({**metrics, "rm_floor_longer_wins": float(length.longer_wins)}, written)


@torch.no_grad()
def score_groups(run: RunDirectory, model: RewardModel, groups: Sequence[Group], phase: str) -> list[Tensor]:
    """Scores [A, M] of every group's answers, one prompt at a time. A cancel is too late; SIGTERM is still obeyed."""
    scores = []
    for done, group in enumerate(groups, start=1):
        scores.append(model.members([group.prefixed()]))
        run.progress(phase, done, len(groups), "prompts")
        run.cancelled()  # raises when stopped by SIGTERM; the last step has its checkpoint
    return scores


def frozen_features(run: RunDirectory, model: RewardModel, dataset: Dataset) -> Frozen | None:
    """What the untrained model makes of every answer; None once cancelled."""
    features = []
    groups = [*dataset.train, *dataset.heldout]
    for done, group in enumerate(groups, start=1):
        features.append(model.features([group.prefixed()]))
        run.progress("probe", done, len(groups), "prompts")
        if run.cancelled():
            return None
    split = len(dataset.train)
    return Frozen(torch.cat(features[:split]), torch.cat(features[split:]))


def _floors(dataset: Dataset, longer_wins: bool, frozen: Frozen | None) -> dict[str, Sequence[Numbers]]:
    with loading():  # scikit-learn takes seconds: a run that is stopped before, or resumed, does without
        from reward.training import floors
    sign = 1.0 if longer_wins else -1.0
    lengths = [np.array([sign * answer.characters for answer in group.answers]) for group in dataset.heldout]
    found: dict[str, Sequence[Numbers]] = {
        "length": lengths,
        "bag_of_words": floors.bag_of_words(dataset.train, dataset.heldout),
    }
    if frozen is not None:
        features = (each.double().cpu().numpy() for each in frozen)
        found["probe"] = floors.linear_probe(dataset.train, dataset.heldout, *features)
    return found


def _metrics(
    model: RewardModel, dataset: Dataset, objective: Objective, members: Sequence[Tensor], written: dict[str, Any]
) -> dict[str, float | None]:
    accuracy, known = written["accuracy"], written["floors"]
    scores = torch.cat(list(members)).mean(dim=1).double().cpu().numpy()
    return {
        "rm_accuracy": accuracy["value"],
        "rm_accuracy_low": accuracy["low"],
        "rm_accuracy_high": accuracy["high"],
        "rm_floor_length": known["length"]["accuracy"],
        "rm_floor_bag_of_words": known["bag_of_words"]["accuracy"],
        "rm_floor_probe": known["probe"]["accuracy"] if "probe" in known else None,
        "rm_ceiling": written["ceiling"],
        "rm_ece": written["calibration"]["ece"],
        "rm_loss_heldout": _mean_loss(model, dataset.heldout, members, objective),
        "rm_score_std_train": model.score_std,
        "rm_score_mean_heldout": float(scores.mean()),
        "rm_score_std_heldout": float(scores.std(ddof=1)) if scores.size > 1 else None,
        "rm_spread_heldout": written["spread"],
        "rm_tie_strength": model.tie_strength if objective.learns_ties else None,
        "rm_acceptable_score": model.acceptable_score,
        "num_train_pairs": sum(len(group.pairs) for group in dataset.train),
        "num_train_prompts": len(dataset.train),
        "num_heldout_pairs": accuracy["num_pairs"],
        "num_heldout_prompts": accuracy["num_prompts"],
        "num_left_out_answers": dataset.num_left_out,
    }


def _mean_loss(model: RewardModel, groups: Sequence[Group], members: Sequence[Tensor], objective: Objective) -> float:
    with torch.no_grad():
        return float(objective.loss(torch.cat(list(members)), groups, model.learned, denominator=len(groups)))


def _centered(members: Tensor) -> Numbers:
    """Scores of the training answers after `center`."""
    scores: Numbers = (members - members.mean(dim=0)).mean(dim=1).double().cpu().numpy()
    return scores
