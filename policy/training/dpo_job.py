"""The run kind `policy.dpo`: a policy and stated preferences in, a policy out, without a reward model."""

from __future__ import annotations

from typing import Any

import torch
import trl
from datasets import Dataset

from policy.training.fit import require_dpo_fits
from policy.training.trl_config import DPOConfig
from policy.training.trl_data import Preference, stated_preferences
from policy.training.trl_run import Bridge, arguments, carry_out, save, start_weights
from reward.training.groups import Group, load_within
from reward.training.language_model import load_policy
from reward.training.rundir import Outcome, RunDirectory

NAMES = {
    "loss": "dpo_loss",
    "rewards/accuracies": "dpo_accuracy_train",
    "rewards/margins": "dpo_margin",
    "rewards/chosen": "dpo_reward_chosen",
    "rewards/rejected": "dpo_reward_rejected",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "eval_loss": "dpo_loss_heldout",
    "eval_rewards/accuracies": "dpo_accuracy_heldout",
    "eval_rewards/margins": "dpo_margin_heldout",
}
"""What TRL logs, and what it is called here."""


class TokenDPOTrainer(trl.DPOTrainer):
    """TRL's trainer on token ids: a chat template would write answers anew, with other tokens and another ending."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


def tune_by_preferences(run: RunDirectory) -> Outcome:
    """Learn the stated preferences on training prompts; measure on those of held-out prompts."""
    config = run.config(DPOConfig)
    require_dpo_fits(run, config)
    model, tokenizer = load_policy(run.input("policy"), dtype=torch.float32)
    reference, _tokenizer = load_policy(run.input("policy"), dtype=torch.float32)
    dataset = load_within(run, model, tokenizer, max_tokens=config.max_tokens)
    train, heldout = stated_preferences(dataset.train), stated_preferences(dataset.heldout)
    num_ties = _note_ties(run, dataset.train)
    bridge = Bridge(run, NAMES)
    trainer = TokenDPOTrainer(
        model=start_weights(model),  # type: ignore[arg-type]  # load_policy promises no more than a module
        ref_model=reference,  # type: ignore[arg-type]  # load_policy promises no more than a module
        args=trl.DPOConfig(**arguments(run, config), beta=config.beta, max_length=None),
        train_dataset=_rows(train),
        eval_dataset=_rows(heldout),
        processing_class=tokenizer.hf,
    )
    if not carry_out(trainer, bridge):
        return Outcome(status="cancelled")
    metrics: dict[str, float | None] = {
        **{name: value for name, value in bridge.history.items() if name.endswith("_heldout")},
        "num_train_pairs": len(train),
        "num_heldout_pairs": len(heldout),
        "num_left_out_ties": num_ties,
        "num_left_out_answers": dataset.num_left_out,
        "num_steps": trainer.state.global_step,
    }
    return save(run, model, tokenizer, metrics)


def _rows(preferences: list[Preference]) -> Dataset:
    return Dataset.from_list([preference._asdict() for preference in preferences])


def _note_ties(run: RunDirectory, groups: list[Group]) -> int:
    num_ties = sum(pair.outcome == 0 for group in groups for pair in group.pairs)
    if num_ties:
        run.note("ties_left_out", f"{num_ties} ties were left out: DPO learns from a better and a worse answer.")
    return num_ties
