"""The run kind `policy.ppo`: policy, reward model and prompts in, the chosen policy out."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from policy.training.checkpointing import gather_state, save_state
from policy.training.evaluate import SampledAnswer, evaluate
from policy.training.ppo import StepMetrics, train
from policy.training.ppo_parts import Job, load_job
from policy.training.sharding import whole
from reward.training.language_model import decode, inherited, read_meta, save_policy
from reward.training.rundir import Outcome, RunDirectory


def train_policy(run: RunDirectory) -> Outcome:
    """Run PPO from the last checkpoint, if any, and save the chosen weights."""
    job = load_job(run)
    if job.ranks.count > 1:
        how = ", each with its share of the transformer layers" if job.ranks.sharded else ""
        run.note("ranks", f"{job.ranks.count} processes train together{how}.")
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
    meta: dict[str, Any] = inherited(parent)
    meta |= {"kind": "policy", "ppo_step": best.step}
    model = job.policy.plain_model()
    weights = whole(model.state_dict(), ranks=job.ranks)
    if job.ranks.is_first:
        save_policy(model, job.tokenizer, folder, meta=meta, weights=weights)
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


def _train(job: Job) -> bool:
    """Run the loop with evaluations and checkpoints at step boundaries; False once cancelled."""
    run, config = job.run, job.config
    run.progress("train", job.state.step, config.steps, "steps")
    if job.state.ended:
        return True
    loop = train(
        policy=job.policy,
        score=job.score,
        prompts=job.train_prompts,
        eos_id=job.tokenizer.eos_id,
        config=config,
        state=job.state,
        seed=run.spec.seed,
        imitation=job.imitation,
        ranks=job.ranks,
    )
    for told in loop:
        run.metrics(told.step, **told.values)
        _remember(job, told)
        job.state.ended = _slipped(job, told)
        if not job.state.ended and (told.step == config.steps or told.step % config.eval_every == 0):
            job.state.ended = _evaluate(job, told.step)
        run.progress("train", told.step, config.steps, "steps")
        # All of them stop once one is told to: a checkpoint takes what each holds.
        run.stopping = bool(job.ranks.greatest(run.stopping))
        if run.stopping or told.step % config.checkpoint_every_steps == 0:
            _checkpoint(job)
        if job.ranks.greatest(run.cancelled()):
            return False
        if job.state.ended:
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


def _evaluate(job: Job, step: int) -> bool:
    """Measure the weights that could be chosen, the averaged ones where there are such, and consider them.

    True where the guard wants the run to end.
    """
    with job.state.average.in_place(job.policy) if job.state.average else nullcontext():
        found, samples = evaluate(
            job.policy,
            job.score,
            job.validation_prompts,
            eos_id=job.tokenizer.eos_id,
            config=job.config,
            seed=job.run.spec.seed,
            step=step,
            ranks=job.ranks,
        )
        is_best = job.choice.offer(found, job.policy)
    job.run.metrics(step, **found.values)
    _show(job, step, samples)
    if is_best and step:
        message = (
            f"Best so far after step {step}: validation reward {found.reward:.3f} at {found.kl:.1f} nats per sequence."
        )
        job.run.note("best_so_far", message)
    assert job.choice.first is not None
    alarm = job.guard.look(found, first=job.choice.first, is_best=is_best)
    if alarm is not None and step < job.config.steps:
        job.run.note(alarm.code, alarm.message, level="warning")
    return alarm is not None


def _show(job: Job, step: int, samples: list[SampledAnswer]) -> None:
    """Tell the answers as text, which is for people only."""
    if not job.ranks.is_first:
        return
    for prompt, token_ids, values in samples:
        text = decode(job.tokenizer, token_ids)
        job.run.sample(step, prompt, prompt=job.validation_texts[prompt], text=text, values=values)


def _checkpoint(job: Job) -> None:
    files = gather_state(job.policy, job.state, job.choice, ranks=job.ranks)
    job.run.save_checkpoint(
        job.state.step,
        lambda path: save_state(path, files, job.state, job.choice, job.guard, job.history),
        kept=job.config.keep.checkpoints,
    )
