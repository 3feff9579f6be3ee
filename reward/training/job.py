"""The run kind `reward.train`: a run directory in, a measured reward model out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reward.training.config import RewardConfig
from reward.training.estimate import SMALLER_REWARD_MODEL, reward_memory
from reward.training.files import replace_json
from reward.training.fit import require_fit, shape_at
from reward.training.groups import Dataset, Group, load_within
from reward.training.language_model import read_meta
from reward.training.measure import Frozen, frozen_features, measure
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
    _require_fit(run, config)
    torch.set_float32_matmul_precision(config.matmul_precision)
    model = _start(run, config)
    dataset = load_within(run, model.backbone, model.tokenizer, max_tokens=config.max_tokens)
    objective = Objective(config.objective, dataset.train, heads=config.heads, seed=run.spec.seed)
    model.has_anchor = objective.uses_anchor
    frozen = frozen_features(run, model, dataset) if config.probe_floor or config.probe_l2 is not None else None
    steps = None if run.cancelled() else _train(run, model, dataset, objective, config, frozen)
    if steps is None:
        return Outcome(status="cancelled")
    measures = measure(run, model, dataset, objective, config, frozen if config.probe_floor else None)
    replace_json(run.artifact_path("evaluation.json"), measures.report)
    folder = run.artifact_path("model")
    base = read_meta(run.input("base"))
    model.save(folder, meta={name: base[name] for name in ("base", "licence", "source_uri") if name in base})
    return Outcome(
        metrics={**measures.metrics, "num_steps": steps.step, "num_skipped_steps": steps.skipped},
        artifacts={"model": folder, "evaluation": run.artifact_path("evaluation.json")},
    )


def _require_fit(run: RunDirectory, config: RewardConfig) -> None:
    base = shape_at(run.input("base"))
    if base is not None:
        require_fit(run, reward_memory(base, config), remedy=SMALLER_REWARD_MODEL)


def _train(
    run: RunDirectory,
    model: RewardModel,
    dataset: Dataset,
    objective: Objective,
    config: RewardConfig,
    frozen: Frozen | None,
) -> Progress | None:
    """Run the loop with checkpoints at step boundaries; None once cancelled."""
    optimizer, progress = make_optimizer(model, config), Progress()
    checkpoint = run.latest_checkpoint()
    if checkpoint is not None:
        progress = load_state(checkpoint[1], model, optimizer)
    elif config.probe_l2 is not None and frozen is not None:
        _start_as_probe(run, model, dataset.train, objective, frozen.train, config.probe_l2)
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
            run.save_checkpoint(
                step.step, lambda path: save_state(path, model, optimizer, progress), kept=config.checkpoints_kept
            )
        if run.cancelled():
            return None
    return progress


def _start(run: RunDirectory, config: RewardConfig) -> RewardModel:
    try:
        model = RewardModel.from_base(
            run.input("base"),
            seed=run.spec.seed,
            heads=config.heads,
            head_std=config.head_init_std,
            layers=config.backbone_layers,
            pooling=config.pooling,
        )
        model.train_only_last(config.train_layers)
    except ValueError as error:
        raise TrainingRefused(f"The configuration of this run cannot be used: {error}.", code="bad_config") from None
    if use_bfloat16(run, "precision", config.precision):
        model.autocast_dtype = torch.bfloat16
    return model.to(run.spec.device)


def _start_as_probe(
    run: RunDirectory, model: RewardModel, groups: Sequence[Group], objective: Objective, features: Tensor, l2: float
) -> None:
    probe = fit_probe(features, groups, objective, l2=l2)
    with torch.no_grad():
        model.head_weight.copy_(probe.head_weight)
        model.log_tie.copy_(probe.log_tie)
        model.anchor.copy_(probe.anchor)
    run.note("probe_fitted", f"The head starts as a linear probe with a training loss of {probe.loss:.3f} nats.")
