"""The run kind `reward.train`: a run directory in, a measured reward model out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reward.training import evaluation
from reward.training.config import RewardConfig
from reward.training.groups import Dataset, Group, load_groups
from reward.training.language_model import read_meta
from reward.training.objective import Objective
from reward.training.precision import use_bfloat16
from reward.training.probe import fit_probe
from reward.training.reward_model import RewardModel
from reward.training.rundir import Outcome, RunDirectory, TrainingRefused
from reward.training.state import load_state, save_state
from reward.training.trainer import Progress, make_optimizer, num_steps, train


def train_reward_model(run: RunDirectory) -> Outcome:
    """Train on the training groups, center, measure on the held-out ones and save."""
    config = run.config(RewardConfig)
    torch.set_float32_matmul_precision(config.matmul_precision)
    model = _start(run, config)
    dataset = load_groups(run.input("groups"), model.tokenizer, max_tokens=_longest(model, config))
    _note_left_out(run, dataset, config)
    objective = Objective(config.objective, dataset.train, heads=config.heads, seed=run.spec.seed)
    model.has_anchor = objective.uses_anchor
    steps = _train(run, model, dataset, objective, config)
    if steps is None:
        return Outcome(status="cancelled")
    metrics = measure(run, model, dataset, objective, config)
    folder = run.artifact_path("model")
    base = read_meta(run.input("base"))
    model.save(folder, meta={name: base[name] for name in ("base", "licence", "source_uri") if name in base})
    return Outcome(
        metrics={**metrics, "num_steps": steps.step, "num_skipped_steps": steps.skipped}, artifacts={"model": folder}
    )


def _train(
    run: RunDirectory, model: RewardModel, dataset: Dataset, objective: Objective, config: RewardConfig
) -> Progress | None:
    """Run the loop with checkpoints at step boundaries; None once cancelled."""
    optimizer, progress = make_optimizer(model, config), Progress()
    checkpoint = run.latest_checkpoint()
    if checkpoint is not None:
        progress = load_state(checkpoint[1], model, optimizer)
    elif config.probe_l2 is not None and not _probe(run, model, dataset.train, objective, config.probe_l2):
        return None
    total = num_steps(len(dataset.train), config)
    loop = train(
        model=model,
        optimizer=optimizer,
        groups=dataset.train,
        objective=objective,
        config=config,
        seed=run.spec.seed,
        progress=progress,
    )
    for step in loop:
        values = step._asdict()
        run.metrics(values.pop("step"), **values)
        run.progress("train", step.step, total, "steps")
        if run.stopping or step.step % config.checkpoint_every_steps == 0 or step.step == total:
            run.save_checkpoint(step.step, lambda path: save_state(path, model, optimizer, progress))
        if run.cancelled():
            return None
    return progress


def measure(
    run: RunDirectory, model: RewardModel, dataset: Dataset, objective: Objective, config: RewardConfig
) -> dict[str, float | None]:
    """Center the model on the training answers and describe it on the held-out ones."""
    train_scores = score_groups(run, model, dataset.train, "score training answers")
    if not all(scores.isfinite().all() for scores in train_scores):
        message = "The trained model gives scores that are not finite; start again with a lower learning rate."
        raise TrainingRefused(message, code="diverged")
    model.center(torch.cat(train_scores))
    heldout_members = score_groups(run, model, dataset.heldout, "score held-out answers")
    heldout_scores = [members.mean(dim=1) for members in heldout_members]
    arrays = [scores.double().cpu().numpy() for scores in heldout_scores]
    found = evaluation.accuracy(dataset.heldout, arrays, samples=config.bootstrap_samples, seed=run.spec.seed)
    floor = evaluation.length_floor(dataset.train, dataset.heldout)
    return {
        "rm_accuracy": found.value,
        "rm_accuracy_low": found.low,
        "rm_accuracy_high": found.high,
        "rm_floor_length": floor.value,
        "rm_floor_longer_wins": float(floor.longer_wins),
        "rm_ceiling": evaluation.agreement_ceiling(dataset.heldout),
        "rm_loss_heldout": _mean_loss(model, dataset.heldout, heldout_members, objective),
        "rm_score_std_train": model.score_std,
        "rm_score_mean_heldout": float(np.concatenate(arrays).mean()),
        "rm_score_std_heldout": _spread(np.concatenate(arrays)),
        "rm_tie_strength": model.tie_strength if objective.learns_ties else None,
        "rm_acceptable_score": model.acceptable_score,
        "num_train_pairs": sum(len(group.pairs) for group in dataset.train),
        "num_train_prompts": len(dataset.train),
        "num_heldout_pairs": found.num_pairs,
        "num_heldout_prompts": found.num_prompts,
        "num_left_out_answers": dataset.num_left_out,
    }


@torch.no_grad()
def score_groups(run: RunDirectory, model: RewardModel, groups: Sequence[Group], phase: str) -> list[Tensor]:
    """Scores [A, M] of every group's answers, one prompt at a time. A cancel is too late; SIGTERM is still obeyed."""
    scores = []
    for done, group in enumerate(groups, start=1):
        scores.append(model.members([group.prefixed()]))
        run.progress(phase, done, len(groups), "prompts")
        run.cancelled()  # raises when stopped by SIGTERM; the last step has its checkpoint
    return scores


def _mean_loss(model: RewardModel, groups: Sequence[Group], members: Sequence[Tensor], objective: Objective) -> float:
    with torch.no_grad():
        return float(objective.loss(torch.cat(list(members)), groups, model.learned, denominator=len(groups)))


def _spread(values: evaluation.Numbers) -> float | None:
    return float(values.std(ddof=1)) if values.size > 1 else None


def _longest(model: RewardModel, config: RewardConfig) -> int:
    positions: int = getattr(model.backbone.config, "max_position_embeddings", config.max_tokens)
    return min(config.max_tokens, positions)


def _start(run: RunDirectory, config: RewardConfig) -> RewardModel:
    try:
        model = RewardModel.from_base(
            run.input("base"),
            seed=run.spec.seed,
            heads=config.heads,
            head_std=config.head_init_std,
            layers=config.backbone_layers,
        )
        model.train_only_last(config.train_layers)
    except ValueError as error:
        raise TrainingRefused(f"The configuration of this run cannot be used: {error}.", code="bad_config") from None
    if use_bfloat16(run, "precision", config.precision):
        model.autocast_dtype = torch.bfloat16
    return model.to(run.spec.device)


def _probe(run: RunDirectory, model: RewardModel, groups: Sequence[Group], objective: Objective, l2: float) -> bool:
    """Fit the head on frozen features; False once cancelled."""
    features = []
    for done, group in enumerate(groups, start=1):
        features.append(model.features([group.prefixed()]))
        run.progress("probe", done, len(groups), "prompts")
        if run.cancelled():
            return False
    probe = fit_probe(torch.cat(features), groups, objective, l2=l2)
    with torch.no_grad():
        model.head_weight.copy_(probe.head_weight)
        model.log_tie.copy_(probe.log_tie)
        model.anchor.copy_(probe.anchor)
    run.note("probe_fitted", f"The head starts as a linear probe with a training loss of {probe.loss:.3f} nats.")
    return True


def _note_left_out(run: RunDirectory, dataset: Dataset, config: RewardConfig) -> None:
    if dataset.num_left_out:
        message = (
            f"{dataset.num_left_out} answers are longer than {config.max_tokens} tokens with their prompt "
            "and were left out; raise max_tokens to keep them."
        )
        run.note("answers_left_out", message, level="warning")
