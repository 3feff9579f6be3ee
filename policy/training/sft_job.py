"""The run kind `policy.sft`: a policy and the answers that people ranked best in, a policy that imitates them out."""

from __future__ import annotations

import torch
import trl
from datasets import Dataset

from policy.training.fit import require_sft_fits
from policy.training.trl_config import SFTConfig
from policy.training.trl_data import Demonstration, demonstrations
from policy.training.trl_run import Bridge, arguments, carry_out, save, start_weights
from reward.training.groups import load_within
from reward.training.language_model import load_policy
from reward.training.rundir import Outcome, RunDirectory, TrainingRefused

NAMES = {
    "loss": "sft_loss_nats_per_token",
    "mean_token_accuracy": "sft_token_accuracy_share",
    "entropy": "entropy_nats_per_token",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "eval_loss": "sft_loss_heldout_nats_per_token",
    "eval_mean_token_accuracy": "sft_token_accuracy_heldout_share",
}
"""What TRL logs, and what it is called here."""


def tune_by_demonstrations(run: RunDirectory) -> Outcome:
    """Imitate the best answers to training prompts; measure on those to held-out prompts."""
    config = run.config(SFTConfig)
    require_sft_fits(run, config)
    model, tokenizer = load_policy(run.input("policy"), dtype=torch.float32)
    dataset = load_within(run, model, tokenizer, max_tokens=config.max_tokens)
    train, num_without = demonstrations(dataset.train)
    heldout, _num_without = demonstrations(dataset.heldout)
    _check(run, train, heldout, num_without)
    bridge = Bridge(run, NAMES)
    settings = arguments(run, config) | ({} if heldout else {"eval_strategy": "no"})
    trainer = trl.SFTTrainer(
        model=start_weights(model),  # type: ignore[arg-type]  # load_policy promises no more than a module
        args=trl.SFTConfig(**settings, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=_rows(train),
        eval_dataset=_rows(heldout) if heldout else None,
        processing_class=tokenizer.hf,
    )
    if not carry_out(trainer, bridge):
        return Outcome(status="cancelled")
    metrics: dict[str, float | None] = {
        **{name: value for name, value in bridge.history.items() if "_heldout" in name},
        "num_demonstrations": len(train),
        "num_heldout_demonstrations": len(heldout),
        "num_left_out_prompts": num_without,
        "num_left_out_answers": dataset.num_left_out,
        "num_steps": trainer.state.global_step,
    }
    return save(run, model, tokenizer, metrics)


def _check(run: RunDirectory, train: list[Demonstration], heldout: list[Demonstration], num_without: int) -> None:
    if not train:
        message = (
            "No training prompt has an answer that people ranked above another and found acceptable; "
            "collect more rankings first."
        )
        raise TrainingRefused(message, code="no_demonstrations")
    if num_without:
        message = f"{num_without} training prompts have no best answer that is acceptable and were left out."
        run.note("prompts_left_out", message)
    if not heldout:
        message = "No held-out prompt has a best answer that is acceptable, so nothing is measured on held-out prompts."
        run.note("no_heldout_demonstrations", message, level="warning")


def _rows(found: list[Demonstration]) -> Dataset:
    return Dataset.from_list([demonstration._asdict() for demonstration in found])
