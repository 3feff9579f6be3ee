"""PPO and sampling."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from runs.metric_texts.words import (
    ANSWERS,
    NATS,
    NATS_PER_SEQUENCE,
    NATS_PER_TOKEN,
    REWARD,
    SECONDS,
    SHARE,
    STEP,
    STEPS,
    TOKENS,
    MetricHelp,
)

PPO: dict[str, MetricHelp] = {
    # PPO, per step
    "reward_mean": MetricHelp(
        _("Reward"), REWARD, _("Mean score of the step's answers, before any KL penalty."), _("rises, then flattens")
    ),
    "reward_std": MetricHelp(
        _("Reward spread"),
        REWARD,
        _("How much the answers' scores differ."),
        _("above 0; near 0 there is nothing to learn from"),
    ),
    "reward_disagreement": MetricHelp(
        _("Reward, disagreement of heads"),
        REWARD,
        _("Standard deviation of the reward model's heads on an answer, mean over answers."),
        _("steady; rising with reward_mean, the policy goes where the reward model guesses"),
    ),
    "reward_shaped_mean": MetricHelp(
        _("Reward after penalties"),
        REWARD,
        _("Less the penalty for disagreement, scaled and clipped, less that for a cut-off answer; without KL."),
        _("rises with reward_mean"),
    ),
    "reward_clipped_share": MetricHelp(
        _("Clipped rewards"), SHARE, _("Share of scores that met the clip."), _("below 0.05")
    ),
    "missing_eos_answers": MetricHelp(
        _("Cut-off answers"), ANSWERS, _("Answers that reached the length limit."), _("falls, or stays low")
    ),
    "finished_share": MetricHelp(
        _("Finished answers"),
        SHARE,
        _("Answers that ended by themselves, not cut off."),
        _("rises; a sudden 1 with short answers is a collapse"),
    ),
    "response_tokens_mean": MetricHelp(
        _("Answer length"), TOKENS, _("Mean length of the answers."), _("within a factor of 2 of the start")
    ),
    "kl_nats_per_sequence": MetricHelp(
        _("KL to the reference"),
        NATS_PER_SEQUENCE,
        _("How far the policy has moved; read it beside the reward."),
        _("0 at step 1, then below the leash; a negative value is noise near 0"),
    ),
    "kl_nats_per_token": MetricHelp(
        _("KL per token"), NATS_PER_TOKEN, _("Mean over the answers' tokens."), _("below about 0.2")
    ),
    "kl_k3_nats_per_sequence": MetricHelp(
        _("KL to the reference, k3"),
        NATS_PER_SEQUENCE,
        _("Never negative."),
        _("near the k1 value; far above it, a few tokens are very unlikely under the reference"),
    ),
    "kl_coefficient": MetricHelp(
        _("KL penalty"), _("reward per nat"), _("What a nat of KL costs."), _("steady, or slowly moving when adaptive")
    ),
    "entropy_nats_per_token": MetricHelp(
        _("Entropy"),
        NATS,
        _("How undecided the policy is."),
        _("falls slowly; below a tenth of the start the policy has collapsed"),
    ),
    "advantage_std": MetricHelp(
        _("Advantage spread"), REWARD, _("Before whitening. Near zero there is nothing to learn."), _("above 0")
    ),
    "value_mean": MetricHelp(
        _("Value estimate"), REWARD, _("Mean estimate at sampling time."), _("follows return_mean")
    ),
    "return_mean": MetricHelp(
        _("Return"),
        REWARD,
        _("Mean of advantage plus value: what the estimates learn."),
        _("follows reward_shaped_mean"),
    ),
    "explained_variance": MetricHelp(
        _("Explained variance"),
        SHARE,
        _("Of the returns, by the value estimates: 1 is all."),
        _("rises above 0; far below 0 the critic harms"),
    ),
    "sampler_logp_gap_std": MetricHelp(
        _("Sampler and trainer"),
        NATS,
        _("Spread of their log-probabilities' gap."),
        _("float32 below 1e-4; bfloat16 weights or medium precision about 0.05"),
    ),
    "policy_loss": MetricHelp(
        _("Policy loss"), "", _("Over all updates of the step, per token."), _("small; its sign means little")
    ),
    "value_loss": MetricHelp(
        _("Value loss"), _("reward²"), _("Half the squared error of the value estimates."), _("falls")
    ),
    "imitation_loss_nats_per_token": MetricHelp(
        _("Imitation loss"),
        NATS_PER_TOKEN,
        _("How unlikely the policy finds the answers that people ranked best."),
        _("steady; rising, the policy forgets them"),
    ),
    "update_kl_k1_nats_per_token": MetricHelp(
        _("Update size, k1"), NATS_PER_TOKEN, _("New against old policy."), _("below 0.02")
    ),
    "update_kl_k3_nats_per_token": MetricHelp(
        _("Update size, k3"), NATS_PER_TOKEN, _("New against old policy."), _("below 0.05")
    ),
    "clip_fraction": MetricHelp(
        _("Clipped ratios"), SHARE, _("Tokens whose policy gradient was set to zero by a clip."), _("0.01 to 0.2")
    ),
    "value_clip_fraction": MetricHelp(
        _("Clipped values"), SHARE, _("Tokens whose value estimate was clipped."), _("below 0.3")
    ),
    "clamped_tokens": MetricHelp(_("Clamped tokens"), TOKENS, _("Tokens with a log-ratio beyond ±20."), _("0")),
    "ratio_max": MetricHelp(_("Largest ratio"), "", _("New to old probability, of any token."), _("below about 5")),
    "first_ratio_error": MetricHelp(
        _("First ratio's error"),
        "",
        _("New against old probability before the first update."),
        _("0; beyond 1e-4 (float32) or 2e-2 (bfloat16 autocast) the run is refused"),
    ),
    "grad_norm": MetricHelp(
        _("Gradient norm"),
        "",
        _("Before clipping. Spikes tell of unstable steps."),
        _("steady; around max_grad_norm or below"),
    ),
    "learning_rate": MetricHelp(_("Learning rate"), "", _("The rate of this step."), _("as scheduled")),
    "updates": MetricHelp(
        _("Updates"),
        STEPS,
        _("Optimizer steps taken in the step."),
        _("epochs × mini-batches, fewer when stopped on KL"),
    ),
    "skipped_updates": MetricHelp(_("Updates skipped in the step"), STEPS, _("Their gradient was not finite."), _("0")),
    "skipped_total": MetricHelp(
        _("Updates skipped"), STEPS, _("Their gradient was not finite."), _("0; three in a row end the run")
    ),
    "update_stopped_early": MetricHelp(
        _("Stopped early"), "", _("1: the new policy had moved far enough from the old one."), _("mostly 0")
    ),
    "act_seconds": MetricHelp(_("Time to sample"), SECONDS, _("Wall-clock time."), ""),
    "score_seconds": MetricHelp(_("Time to score"), SECONDS, _("Wall-clock time."), ""),
    "judge_seconds": MetricHelp(_("Time for log-probabilities"), SECONDS, _("Wall-clock time."), ""),
    "credit_seconds": MetricHelp(_("Time for advantages"), SECONDS, _("Wall-clock time."), ""),
    "learn_seconds": MetricHelp(_("Time to learn"), SECONDS, _("Wall-clock time."), ""),
    "step_seconds": MetricHelp(_("Time of a step"), SECONDS, _("Wall-clock time."), _("steady")),
    "cpu_seconds": MetricHelp(_("Processor time"), SECONDS, _("Over all threads."), _("about step_seconds × threads")),
    # PPO, on the validation prompts
    "eval_reward": MetricHelp(
        _("Validation reward"),
        REWARD,
        _("On prompts that are not learned from."),
        _("rises; losing half of its gain while reward_mean rises is over-fitting"),
    ),
    "eval_reward_disagreement": MetricHelp(
        _("Validation, disagreement of heads"), REWARD, _("On prompts that are not learned from."), _("steady")
    ),
    "eval_kl_nats_per_sequence": MetricHelp(
        _("Validation KL"),
        NATS_PER_SEQUENCE,
        _("On prompts that are not learned from."),
        _("below the leash: beyond it a checkpoint is never chosen"),
    ),
    "eval_kl_k3_nats_per_sequence": MetricHelp(
        _("Validation KL, k3"), NATS_PER_SEQUENCE, _("Never negative."), _("near the k1 value")
    ),
    "eval_response_tokens_mean": MetricHelp(
        _("Validation answer length"),
        TOKENS,
        _("Mean length on validation prompts."),
        _("within a factor of 2 of the start"),
    ),
    "eval_finished_share": MetricHelp(
        _("Validation, finished answers"), SHARE, _("Answers that ended by themselves."), _("rises")
    ),
    # PPO, samples
    "score_spread": MetricHelp(
        _("Spread of heads"),
        REWARD,
        _("Standard deviation of the heads' scores of the answer."),
        _("as at step 0; where it grows, the reward model guesses"),
    ),
    "response_tokens": MetricHelp(_("Length"), TOKENS, _("Tokens of the answer."), ""),
    # PPO, of the whole run
    "reward_first": MetricHelp(
        _("Reward, first step"), REWARD, _("Mean score of the first rollout."), _("last above first")
    ),
    "reward_last": MetricHelp(_("Reward, last step"), REWARD, _("Mean score at the end."), _("last above first")),
    "kl_last_nats_per_sequence": MetricHelp(
        _("KL, last step"), NATS_PER_SEQUENCE, _("Of the last rollout."), _("below the leash")
    ),
    "best_step": MetricHelp(_("Step kept"), STEP, _("The step whose policy became the checkpoint."), _("above 0")),
    "eval_reward_first": MetricHelp(
        _("Validation reward, start"), REWARD, _("Before anything was learned."), _("best above first")
    ),
    "eval_reward_best": MetricHelp(
        _("Validation reward, kept"), REWARD, _("Of the step that was kept."), _("best above first")
    ),
    "kl_best_nats_per_sequence": MetricHelp(
        _("KL of what was kept"), NATS_PER_SEQUENCE, _("On validation prompts."), _("below the leash")
    ),
    "num_steps": MetricHelp(
        _("Steps"), STEPS, _("Steps that were taken."), _("as configured, fewer when the leash ended the run")
    ),
    # Sampling
    "num_answers": MetricHelp(_("Answers"), ANSWERS, "", _("prompts × per_prompt × models")),
}
