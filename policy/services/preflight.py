"""What PPO, DPO and SFT will need before they begin: which models, prompts and preferences the arithmetic is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annotation.models import Campaign, Split
from policy.models import Checkpoint
from policy.training.config import PPOConfig
from policy.training.estimate import SMALLER_PPO, Models, PromptData, estimate_ppo
from policy.training.trl_config import DPOConfig, SFTConfig
from policy.training.trl_estimate import SMALLER_TUNING, AnswerData, Pair, PairData, estimate_dpo, estimate_sft
from reward.lengths import Line, StoredModel, campaign_prompts, read_model, snapshot_lines
from reward.models import RewardModel, Snapshot
from reward.preflight import Preflight, preflight
from reward.training.configuration import from_dict
from reward.training.estimate import Estimate
from reward.training.speed import Speed
from runs import kinds
from runs.models import Machine

PPO_KIND = "policy.ppo"
DPO_KIND = "policy.dpo"
SFT_KIND = "policy.sft"


def ppo_preflight(
    *, checkpoint: Checkpoint, reward_model: RewardModel, campaign: Campaign, config: Mapping[str, Any] | None = None
) -> Preflight:
    """Of a PPO run.

    Raises:
        Refused: the config is invalid (`config_invalid`).
    """
    settings = from_dict(PPOConfig, kinds.get(PPO_KIND).full_config(config or {}))
    policy, reward = read_model(checkpoint.sha256), read_model(reward_model.sha256)
    if policy is None or reward is None:
        return preflight(PPO_KIND, None)
    train, validation = campaign_prompts(policy, campaign)
    data = PromptData(train, validation) if train else None
    models = Models(policy.shape, reward.shape)

    def work(speed: Speed | None, machine: Machine | None) -> Estimate:
        has_bfloat16 = machine is not None and machine.has_bfloat16
        on_cpu = machine is None or machine.device == "cpu"
        return estimate_ppo(models, settings, data, speed, has_bfloat16=has_bfloat16, maps_weights=on_cpu)

    return preflight(PPO_KIND, work, precision=settings.precision, remedy=SMALLER_PPO)


def tuning_preflight(
    *, kind: str, checkpoint: Checkpoint, snapshot: Snapshot, config: Mapping[str, Any] | None = None
) -> Preflight:
    """Of a run of `kind` (DPO_KIND or SFT_KIND). Raises Refused as `ppo_preflight` does."""
    full = kinds.get(kind).full_config(config or {})
    model = read_model(checkpoint.sha256)
    if model is None:
        return preflight(kind, None)
    lines = snapshot_lines(model, snapshot.sha256)
    return (_dpo if kind == DPO_KIND else _sft)(model, lines, full)


def _dpo(model: StoredModel, lines: Sequence[Line], full: Mapping[str, Any]) -> Preflight:
    settings = from_dict(DPOConfig, full)
    found: dict[str, list[Pair]] = {Split.TRAIN: [], Split.VALIDATION: []}
    for line in lines:
        found[line.split] += [Pair(*pair) for pair in line.pairs if max(pair) <= settings.max_tokens]
    data = PairData(found[Split.TRAIN], found[Split.VALIDATION]) if found[Split.TRAIN] else None

    def work(speed: Speed | None, _machine: Machine | None) -> Estimate:
        return estimate_dpo(model.shape, settings, data, speed)

    return preflight(DPO_KIND, work, remedy=SMALLER_TUNING)


def _sft(model: StoredModel, lines: Sequence[Line], full: Mapping[str, Any]) -> Preflight:
    """One answer for each prompt, of middling length: which one people found best is not looked up."""
    settings = from_dict(SFTConfig, full)
    found: dict[str, list[int]] = {Split.TRAIN: [], Split.VALIDATION: []}
    for line in lines:
        lengths = sorted(line.group.prompt + answer for answer in line.group.answers)
        fitting = [length for length in lengths if length <= settings.max_tokens]
        if fitting and line.pairs:
            found[line.split].append(fitting[len(fitting) // 2])
    data = AnswerData(found[Split.TRAIN], found[Split.VALIDATION]) if found[Split.TRAIN] else None

    def work(speed: Speed | None, _machine: Machine | None) -> Estimate:
        return estimate_sft(model.shape, settings, data, speed)

    return preflight(SFT_KIND, work, remedy=SMALLER_TUNING)
