"""The run kind `policy.ppo`: policy, reward model and prompts in, the chosen policy out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from policy.training.checkpointing import load_state, save_state
from policy.training.config import PPOConfig
from policy.training.critic import Critic, critic_from_reward_model, critic_like_policy
from policy.training.evaluate import Choice, evaluate
from policy.training.imitation import Imitation
from policy.training.ppo import PPOState, StepMetrics, train
from policy.training.prompts import load_prompts, split_for_training
from policy.training.trl_data import best_answers
from policy.training.trunk import Policy
from reward.training.groups import load_within
from reward.training.language_model import Tokenizer, load_policy, read_meta, save_policy
from reward.training.packing import Prefixed
from reward.training.precision import use_bfloat16
from reward.training.reward_model import RewardModel
from reward.training.rundir import Outcome, RunDirectory, TrainingRefused


@dataclass(slots=True)
class Job:
    """The parts of one run."""

    run: RunDirectory
    config: PPOConfig
    policy: Policy
    tokenizer: Tokenizer
    reward: RewardModel
    train_prompts: list[list[int]]
    validation_prompts: list[list[int]]
    imitation: Imitation | None
    state: PPOState
    choice: Choice
    history: dict[str, float]

    def score(self, groups: Sequence[Prefixed]) -> Tensor:
        """[A, M] raw scores by each head of the reward model, a few prompts at a time."""
        step = self.config.update.micro_batch_size
        return torch.cat([self.reward.members(groups[i : i + step]) for i in range(0, len(groups), step)])


def train_policy(run: RunDirectory) -> Outcome:
    """Run PPO from the last checkpoint, if any, and save the chosen weights."""
    job = _load(run)
    if job.choice.first is None:
        _evaluate(job, 0)
    finished = _train(job)
    if not finished:
        return Outcome(status="cancelled")
    best, first = job.choice.best, job.choice.first
    assert best is not None
    assert first is not None
    job.choice.apply(job.policy)
    folder = run.artifact_path("model")
    parent = read_meta(run.input("policy"))
    meta: dict[str, Any] = {name: parent[name] for name in ("base", "licence", "source_uri") if name in parent}
    save_policy(job.policy.plain_model(), job.tokenizer, folder, meta={**meta, "kind": "policy", "ppo_step": best.step})
    run.note("chosen", f"The weights after step {best.step} were chosen: validation reward {best.reward:.3f}.")
    metrics = {
        **job.history,
        "best_step": best.step,
        "num_steps": job.state.step,
        "eval_reward_first": first.reward,
        "eval_reward_best": best.reward,
        "kl_best_nats_per_sequence": best.kl,
        "skipped_total": job.state.skipped_total,
    }
    return Outcome(metrics=metrics, artifacts={"model": folder})


def _load(run: RunDirectory) -> Job:
    config = run.config(PPOConfig)
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
    prompts = load_prompts(
        run.input("prompts"),
        tokenizer,
        max_tokens=config.max_prompt_tokens,
        max_new_tokens=config.max_new_tokens,
        positions=model.config.max_position_embeddings,  # type: ignore[union-attr, arg-type]
    )
    train_prompts, validation = split_for_training(prompts)
    if not validation:
        message = (
            "There is no validation prompt, so the train prompts choose the checkpoint; add prompts of that split."
        )
        run.note("no_validation_prompts", message, level="warning")
        validation = train_prompts
    policy = _policy(run, model.to(run.spec.device), reward, config)
    job = Job(
        run=run,
        config=config,
        policy=policy,
        tokenizer=tokenizer,
        reward=reward,
        train_prompts=[prompt.tokens for prompt in train_prompts],
        validation_prompts=[prompt.tokens for prompt in validation],
        imitation=_imitation(run, config, policy, tokenizer),
        state=PPOState.start(policy, config),
        choice=Choice(config.kl.leash_kl_nats_per_sequence, config.credit.disagreement_penalty),
        history={},
    )
    checkpoint = run.latest_checkpoint()
    if checkpoint is not None:
        job.history = load_state(checkpoint[1], policy, job.state, job.choice)
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


def _train(job: Job) -> bool:
    """Run the loop with evaluations and checkpoints at step boundaries; False once cancelled."""
    run, config = job.run, job.config
    run.progress("train", job.state.step, config.steps, "steps")
    loop = train(
        policy=job.policy,
        score=job.score,
        prompts=job.train_prompts,
        eos_id=job.tokenizer.eos_id,
        config=config,
        state=job.state,
        seed=run.spec.seed,
        imitation=job.imitation,
    )
    for told in loop:
        run.metrics(told.step, **told.values)
        _remember(job, told)
        slipped = _slipped(job, told)
        last = slipped or told.step == config.steps
        if not slipped and (last or told.step % config.eval_every == 0):
            _evaluate(job, told.step)
        run.progress("train", told.step, config.steps, "steps")
        if run.stopping or told.step % config.checkpoint_every_steps == 0:
            _checkpoint(job)
        if run.cancelled():
            return False
        if slipped:
            break
    return True


def _remember(job: Job, told: StepMetrics) -> None:
    job.history.setdefault("reward_first", told.values["reward_mean"])
    job.history["reward_last"] = told.values["reward_mean"]
    job.history["kl_last_nats_per_sequence"] = told.values["kl_nats_per_sequence"]


def _slipped(job: Job, told: StepMetrics) -> bool:
    """Whether the rollout was beyond the KL leash, which ends the run: later weights could not be chosen anyway."""
    leash = job.config.kl.leash_kl_nats_per_sequence
    kl = told.values["kl_nats_per_sequence"]
    if leash is None or kl <= leash:
        return False
    message = (
        f"KL reached {kl:.1f} nats per sequence, beyond the leash of {leash:g}; training ends after step {told.step}."
    )
    job.run.note("kl_leash", message, level="warning")
    return True


def _evaluate(job: Job, step: int) -> None:
    """Measure the weights that could be chosen, the averaged ones where there are such, and consider them."""
    with job.state.average.in_place(job.policy) if job.state.average else nullcontext():
        found = evaluate(
            job.policy,
            job.score,
            job.validation_prompts,
            eos_id=job.tokenizer.eos_id,
            config=job.config,
            seed=job.run.spec.seed,
            step=step,
        )
        is_best = job.choice.offer(found, job.policy)
    job.run.metrics(step, **found.values)
    if is_best and step:
        message = (
            f"Best so far after step {step}: validation reward {found.reward:.3f} at {found.kl:.1f} nats per sequence."
        )
        job.run.note("best_so_far", message)


def _checkpoint(job: Job) -> None:
    job.run.save_checkpoint(
        job.state.step, lambda path: save_state(path, job.policy, job.state, job.choice, job.history)
    )
