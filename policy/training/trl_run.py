"""The bridge between a run directory and TRL's trainers: arguments, metrics, progress, cancel, and the saved policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from huggingface_hub import constants
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from policy.training.trl_config import DPOConfig, SFTConfig
from reward.training.language_model import Tokenizer, inherited, read_meta, save_policy
from reward.training.rundir import Outcome, RunDirectory, TrainingRefused

# TRL reports to the Hub which trainer is in use, unless told not to.
constants.HF_HUB_DISABLE_TELEMETRY = True

TOTAL_TOKENS = "num_tokens"
"""TRL's counter since the start of the run."""


def arguments(run: RunDirectory, config: DPOConfig | SFTConfig) -> dict[str, Any]:
    """What both trainers are told: float32, nothing written, nothing sent, every step logged."""
    how = config.optimizer
    return {
        "output_dir": str(run.path / "trainer"),
        "save_strategy": "no",
        "report_to": "none",
        "push_to_hub": False,
        "disable_tqdm": True,
        "use_cpu": run.spec.device == "cpu",
        "bf16": False,
        "fp16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "seed": run.spec.seed % 2**32,  # numpy takes no greater seed
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.micro_batch_size,
        "gradient_accumulation_steps": config.batch_size // config.micro_batch_size,
        # TRL averages over batches: of one example each, that is the mean over examples.
        "per_device_eval_batch_size": 1,
        "eval_strategy": "steps",
        "eval_steps": config.eval_every,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "optim": "adamw_torch",
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": how.schedule,
        "warmup_steps": how.warmup_steps,
        "adam_beta1": how.adam_betas[0],
        "adam_beta2": how.adam_betas[1],
        "adam_epsilon": how.adam_eps,
        "weight_decay": how.weight_decay,
        "max_grad_norm": how.max_grad_norm,
    }


class Bridge(TrainerCallback):
    """Tells the run what the trainer logs, under our names, and the trainer when the run is cancelled.

    Attributes:
        is_cancelled: training ended because the run was cancelled.
        history: the last value of every metric.
    """

    def __init__(self, run: RunDirectory, names: Mapping[str, str]) -> None:
        self.run, self.names = run, names
        self.is_cancelled = False
        self.history: dict[str, float] = {}
        self._tokens = 0.0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.run.progress("train", state.global_step, state.max_steps, "steps")
        self.is_cancelled = self.run.cancelled()
        if self.is_cancelled:
            control.should_training_stop = True

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.run.cancelled()  # raises when stopped by SIGTERM; a cancel waits for the end of the measurement

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        logs = dict(logs or {})
        found = {ours: float(logs[theirs]) for theirs, ours in self.names.items() if theirs in logs}
        if TOTAL_TOKENS in logs:
            found["tokens"], self._tokens = logs[TOTAL_TOKENS] - self._tokens, logs[TOTAL_TOKENS]
        if found:
            self.history |= found
            self.run.metrics(state.global_step, **found)


def carry_out(trainer: Trainer, bridge: Bridge) -> bool:
    """Train from the beginning (the trainer measures after its last step, too); False once cancelled."""
    run = bridge.run
    if run.spec.attempt > 1:
        run.note("restarted", "This kind of run keeps no checkpoints: the new attempt begins again at the first step.")
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(bridge)
    trainer.train()
    if bridge.is_cancelled:
        return False
    assert trainer.model is not None
    if not all(bool(p.isfinite().all()) for p in trainer.model.parameters()):
        message = "The trained weights are not finite; start again with a lower learning rate."
        raise TrainingRefused(message, code="diverged")
    return True


def save(run: RunDirectory, model: nn.Module, tokenizer: Tokenizer, metrics: dict[str, float | None]) -> Outcome:
    """The policy as an artifact, described as its parent was."""
    parent = read_meta(run.input("policy"))
    meta: dict[str, Any] = inherited(parent)
    folder = run.artifact_path("model")
    save_policy(model, tokenizer, folder, meta={**meta, "kind": "policy", "trained_by": run.spec.kind})
    return Outcome(metrics=metrics, artifacts={"model": folder})


def start_weights(model: nn.Module) -> nn.Module:
    """In float32 and training mode, every weight trained."""
    return model.to(torch.float32).train().requires_grad_(True)
