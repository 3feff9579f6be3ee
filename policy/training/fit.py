"""Whether the machine that a policy run finds itself on can hold it, asked before anything is loaded."""

from __future__ import annotations

from policy.training.config import PPOConfig
from policy.training.estimate import SMALLER_PPO, Models, ppo_memory
from policy.training.trl_config import DPOConfig, SFTConfig
from policy.training.trl_estimate import SMALLER_TUNING, dpo_memory, sft_memory
from reward.training.fit import require_fit, shape_at
from reward.training.rundir import RunDirectory


def require_ppo_fits(run: RunDirectory, config: PPOConfig) -> None:
    """Raises TrainingRefused (`cannot_fit`)."""
    policy, reward = shape_at(run.input("policy")), shape_at(run.input("reward"))
    if policy is not None and reward is not None:
        parts = ppo_memory(Models(policy, reward), config, maps_weights=run.spec.device == "cpu")
        require_fit(run, parts, remedy=SMALLER_PPO)


def require_dpo_fits(run: RunDirectory, config: DPOConfig) -> None:
    """Raises TrainingRefused (`cannot_fit`)."""
    policy = shape_at(run.input("policy"))
    if policy is not None:
        require_fit(run, dpo_memory(policy, config), remedy=SMALLER_TUNING)


def require_sft_fits(run: RunDirectory, config: SFTConfig) -> None:
    """Raises TrainingRefused (`cannot_fit`)."""
    policy = shape_at(run.input("policy"))
    if policy is not None:
        require_fit(run, sft_memory(policy, config), remedy=SMALLER_TUNING)
