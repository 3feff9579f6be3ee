"""What a PPO run consists of, put together from its run directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from policy.training.checkpointing import load_state
from policy.training.config import PPOConfig
from policy.training.critic import Critic, critic_from_reward_model, critic_like_policy
from policy.training.evaluate import Choice
from policy.training.fit import require_ppo_fits
from policy.training.guard import Guard
from policy.training.imitation import Imitation
from policy.training.mapped import MappedWeights
from policy.training.ppo import PPOState
from policy.training.prompts import load_prompts, split_for_training
from policy.training.sharding import shard
from policy.training.trl_data import best_answers
from policy.training.trunk import Policy
from reward.training.groups import load_within
from reward.training.language_model import Tokenizer, load_policy
from reward.training.packing import Prefixed
from reward.training.precision import use_bfloat16
from reward.training.ranks import Ranks, join_ranks
from reward.training.reward_model import RewardModel
from reward.training.rundir import RunDirectory, TrainingRefused


@dataclass(slots=True)
class Job:
    """The parts of one run."""

    run: RunDirectory
    config: PPOConfig
    policy: Policy
    tokenizer: Tokenizer
    reward: RewardModel
    mapped_reward: MappedWeights | None
    """The reward model's weights, where they are in memory only while it scores."""
    train_prompts: list[list[int]]
    validation_prompts: list[list[int]]
    validation_texts: list[str]
    imitation: Imitation | None
    state: PPOState
    choice: Choice
    guard: Guard
    ranks: Ranks
    history: dict[str, float]

    def score(self, groups: Sequence[Prefixed]) -> Tensor:
        """[A, M] raw scores by each head of the reward model, a few prompts at a time."""
        step = self.config.update.micro_batch_size
        scores = torch.cat([self.reward.members(groups[i : i + step]) for i in range(0, len(groups), step)])
        if self.mapped_reward is not None:
            self.mapped_reward.let_go()
        return scores


def load_job(run: RunDirectory) -> Job:
    """All parts as the last checkpoint left them, if there is one. Raises TrainingRefused."""
    ranks = join_ranks(run.spec.device)
    config = run.config(PPOConfig)
    require_ppo_fits(run, config)
    torch.set_float32_matmul_precision(config.matmul_precision)
    model, tokenizer = load_policy(run.input("policy"), dtype=torch.float32)
    reward = RewardModel.load(run.input("reward")).to(run.spec.device).requires_grad_(False).eval()
    if reward.tokenizer.sha256 != tokenizer.sha256:
        message = (
            "Policy and reward model have different tokenizers; "
            "train the reward model from a checkpoint of this policy."
        )
        raise TrainingRefused(message, code="tokenizer_mismatch")
    if config.credit.disagreement_penalty and reward.num_heads == 1:
        message = "The reward model has one head, which disagrees with nobody; set disagreement_penalty to 0."
        raise TrainingRefused(message, code="one_head")
    prompts = load_prompts(run, model, tokenizer, config)
    train_prompts, validation = split_for_training(prompts)
    if not validation:
        message = (
            "There is no validation prompt, so the train prompts choose the checkpoint; add prompts of that split."
        )
        run.note("no_validation_prompts", message, level="warning")
        validation = train_prompts
    # Sharded, the whole model stays in main memory: each layer goes to the device by itself, cut to a rank's share.
    policy = _policy(run, model if ranks.sharded else model.to(run.spec.device), reward, config)
    if ranks.sharded:
        shard(policy, ranks=ranks, device=run.spec.device)
    job = Job(
        run=run,
        config=config,
        policy=policy,
        tokenizer=tokenizer,
        reward=reward,
        mapped_reward=None if ranks.sharded else _map_what_is_read(run, policy, reward),
        train_prompts=[prompt.tokens for prompt in train_prompts],
        validation_prompts=[prompt.tokens for prompt in validation],
        validation_texts=[prompt.text for prompt in validation],
        imitation=_imitation(run, config, policy, tokenizer),
        state=PPOState.start(policy, config),
        choice=Choice(config.kl.leash_kl_nats_per_sequence, config.credit.disagreement_penalty),
        guard=Guard(config.guard),
        ranks=ranks,
        history={},
    )
    checkpoint = run.latest_checkpoint()
    if checkpoint is not None:
        job.history = load_state(checkpoint[1], policy, job.state, job.choice, job.guard)
    return job


def _policy(run: RunDirectory, model: torch.nn.Module, reward: RewardModel, config: PPOConfig) -> Policy:
    try:
        return Policy(
            model,
            train_layers=config.train_layers,
            autocast=use_bfloat16(run, "precision", config.precision),
            sampler_dtype=torch.bfloat16 if use_bfloat16(run, "rollout_weights", config.rollout_weights) else None,
            critic=_critic(model, reward, config),
            lora=config.lora,
            seed=run.spec.seed,
        )
    except ValueError as error:
        raise TrainingRefused(f"The configuration of this run cannot be used: {error}.", code="bad_config") from None


def _map_what_is_read(run: RunDirectory, policy: Policy, reward: RewardModel) -> MappedWeights | None:
    """On a CPU the reference and the reward model take memory only while they are read, where the disk has room."""
    if run.spec.device != "cpu":
        return None
    try:
        policy.map_reference(run.path)
        return MappedWeights(reward, run.path)
    except OSError as error:
        message = (
            "What is only read, reference and reward model, stays in memory all the time: the disk has no room for it "
            f"({error.strerror})."
        )
        run.note("weights_in_memory", message, level="warning")
        return None


def _critic(model: torch.nn.Module, reward: RewardModel, config: PPOConfig) -> Critic | None:
    if config.value_network == "separate":
        return critic_like_policy(model, train_layers=config.train_layers)
    if config.value_network == "reward-model":
        return critic_from_reward_model(reward, scale=config.credit.reward_scale, train_layers=config.train_layers)
    return None


def _imitation(run: RunDirectory, config: PPOConfig, policy: Policy, tokenizer: Tokenizer) -> Imitation | None:
    """The answers to training prompts that people ranked best, where the config wants them."""
    if not config.update.imitation_coefficient:
        return None
    limit = config.max_prompt_tokens + config.max_new_tokens
    groups = load_within(run, policy.model, tokenizer, max_tokens=limit).train
    best = [(group.prompt, group.answers[index].tokens) for group in groups for index in best_answers(group)]
    if not best:
        message = (
            "Nobody ranked an answer above another, so there is nothing to imitate; set imitation_coefficient to 0."
        )
        raise TrainingRefused(message, code="no_demonstrations")
    prompts, answers = zip(*best, strict=True)
    return Imitation(
        prompts,
        answers,
        coefficient=config.update.imitation_coefficient,
        per_update=max(1, config.answers_per_step // config.update.mini_batches),
        micro_batch_size=config.update.micro_batch_size,
    )
