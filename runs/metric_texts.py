"""What each metric of a run is called on its page, its unit, what it means and what is healthy: the short form of
`docs/metrics.md`, which a test holds it to."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class MetricHelp(NamedTuple):
    title: str | Promise
    unit: str | Promise
    help: str | Promise
    healthy: str | Promise = ""

    @property
    def is_share(self) -> bool:
        """Whether the value is a share of 0 to 1, which pages show as per cent."""
        return self.unit == SHARE


REWARD = _("reward")
NATS = _("nats")
NATS_PER_SEQUENCE = _("nats per sequence")
NATS_PER_TOKEN = _("nats per token")
SHARE = _("share")
SECONDS = _("seconds")
TOKENS = _("tokens")
ANSWERS = _("answers")
STEP = _("step")
STEPS = _("steps")

HELP: dict[str, MetricHelp] = {
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
        _("Answer length"), TOKENS, _("Mean length of the answers."), _("no drift to the minimum or the limit")
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
        _("Entropy"), NATS, _("How undecided the policy is."), _("falls slowly; near 0 the policy has collapsed")
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
        _("rises; falling while reward_mean rises is over-fitting"),
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
        _("Validation answer length"), TOKENS, _("Mean length on validation prompts."), _("no collapse")
    ),
    "eval_finished_share": MetricHelp(
        _("Validation, finished answers"), SHARE, _("Answers that ended by themselves."), _("rises")
    ),
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
    # DPO
    "dpo_loss": MetricHelp(_("DPO loss"), NATS, _("A coin's is ln 2 ≈ 0.69."), _("0.69 at step 1, then falls")),
    "dpo_accuracy_train": MetricHelp(
        _("Preferences learned"),
        SHARE,
        _("Preferences of the step whose chosen answer gained more probability than the rejected one."),
        _("0 at step 1, where all are equal; then above 0.5"),
    ),
    "dpo_margin": MetricHelp(
        _("DPO margin"),
        NATS,
        _("How much more the chosen answer gained than the rejected one, times beta."),
        _("0 at step 1, then rises"),
    ),
    "dpo_reward_chosen": MetricHelp(
        _("Gain of the chosen answer"),
        NATS,
        _("Its log-probability less the reference's, times beta."),
        _("near 0 or above; far below 0 the policy forgets good answers too"),
    ),
    "dpo_reward_rejected": MetricHelp(
        _("Gain of the rejected answer"), NATS, _("Its log-probability less the reference's, times beta."), _("falls")
    ),
    "dpo_loss_heldout": MetricHelp(
        _("DPO loss, held out"),
        NATS,
        _("On preferences of held-out prompts."),
        _("below 0.69; rising while dpo_loss falls is over-fitting"),
    ),
    "dpo_accuracy_heldout": MetricHelp(
        _("Preferences met, held out"), SHARE, _("On preferences of held-out prompts."), _("above 0.5")
    ),
    "dpo_margin_heldout": MetricHelp(
        _("DPO margin, held out"), NATS, _("On preferences of held-out prompts."), _("above 0")
    ),
    "num_left_out_ties": MetricHelp(_("Ties left out"), "", _("DPO needs a better and a worse answer."), _("few")),
    # SFT
    "sft_loss_nats_per_token": MetricHelp(
        _("SFT loss"), NATS_PER_TOKEN, _("Mean over the tokens of the answers that are imitated."), _("falls")
    ),
    "sft_token_accuracy_share": MetricHelp(
        _("Tokens predicted"), SHARE, _("Tokens of the answers that are the policy's likeliest."), _("rises")
    ),
    "sft_loss_heldout_nats_per_token": MetricHelp(
        _("SFT loss, held out"),
        NATS_PER_TOKEN,
        _("On the best answers to held-out prompts."),
        _("falls; rising while the training loss falls is over-fitting"),
    ),
    "sft_token_accuracy_heldout_share": MetricHelp(
        _("Tokens predicted, held out"), SHARE, _("On the best answers to held-out prompts."), _("rises")
    ),
    "num_demonstrations": MetricHelp(
        _("Answers imitated"), ANSWERS, _("Ranked best, and acceptable."), _("about one for each prompt")
    ),
    "num_heldout_demonstrations": MetricHelp(
        _("Answers held out"), ANSWERS, _("Best answers to held-out prompts."), _("about one for each prompt")
    ),
    "num_left_out_prompts": MetricHelp(
        _("Prompts left out"), "", _("Without a best answer that is acceptable."), _("few")
    ),
    # Reward model, per step
    "loss": MetricHelp(
        _("Loss"),
        NATS,
        _("Mean preference loss over prompts; a coin's is ln 2 ≈ 0.69."),
        _("starts near 0.69 (without ties), falls"),
    ),
    "accuracy_train": MetricHelp(
        _("Accuracy on training pairs"),
        SHARE,
        _("Pairs of the step ordered as people did."),
        _("rises above 0.5; near 1 early is memorising"),
    ),
    "tie_strength": MetricHelp(
        _("Tie strength"),
        "",
        _("Davidson's ν: how readily the model expects a tie."),
        _("moves towards the share of ties"),
    ),
    "tokens": MetricHelp(_("Tokens of the step"), TOKENS, _("Of all answers with their prompts."), ""),
    # Reward model, of the whole run
    "rm_accuracy": MetricHelp(
        _("Held-out accuracy"),
        SHARE,
        _("Pairs on held-out prompts ordered as people did."),
        _("above rm_floor_length, below or near rm_ceiling"),
    ),
    "rm_accuracy_low": MetricHelp(
        _("Held-out accuracy, low"), SHARE, _("95 % interval, bootstrap over prompts."), _("the lower end above 0.5")
    ),
    "rm_accuracy_high": MetricHelp(
        _("Held-out accuracy, high"), SHARE, _("95 % interval, bootstrap over prompts."), _("the lower end above 0.5")
    ),
    "rm_floor_length": MetricHelp(
        _("Length alone"),
        SHARE,
        _("What a rule that only looks at length reaches; its direction is chosen on train."),
        _("clearly below rm_accuracy"),
    ),
    "rm_floor_bag_of_words": MetricHelp(
        _("Words alone"),
        SHARE,
        _("What a rule reaches that only counts an answer's words; fitted to the training prompts."),
        _("clearly below rm_accuracy"),
    ),
    "rm_floor_probe": MetricHelp(
        _("Base model's features"),
        SHARE,
        _("What a linear rule on the untrained model's last hidden state reaches."),
        _("clearly below rm_accuracy"),
    ),
    "rm_ece": MetricHelp(
        _("Calibration error"),
        SHARE,
        _("How far the model's probabilities lie from how often it is right."),
        _("below 0.05"),
    ),
    "rm_spread_heldout": MetricHelp(
        _("Disagreement of heads"),
        REWARD,
        _("Standard deviation of the heads' scores of an answer, mean over held-out answers; unknown with one head."),
        "",
    ),
    "score": MetricHelp(_("Score"), REWARD, _("Of the answer that is explained."), ""),
    "baseline_score": MetricHelp(
        _("Baseline's score"), REWARD, _("Of an answer of the same length that is only end tokens."), ""
    ),
    "completeness_gap_share": MetricHelp(
        _("Completeness gap"),
        SHARE,
        _("What the attributions leave of the difference between the two scores."),
        _("below 0.02"),
    ),
    "num_points": MetricHelp(_("Points of the integration"), "", _("Doubled until the gap is small."), ""),
    "num_answer_tokens": MetricHelp(_("Tokens of the answer"), TOKENS, "", ""),
    # Scores of a campaign's answers
    "num_scored": MetricHelp(_("Answers scored"), ANSWERS, "", ""),
    "score_mean": MetricHelp(_("Mean score"), REWARD, _("That of the training answers is 0."), ""),
    "score_std": MetricHelp(
        _("Score spread, all answers"), REWARD, _("Standard deviation over the answers scored."), _("above 0")
    ),
    "spread_mean": MetricHelp(
        _("Disagreement of heads, all answers"),
        REWARD,
        _("Standard deviation of the heads' scores of an answer, mean over answers; unknown with one head."),
        _("below score_std"),
    ),
    "rm_floor_longer_wins": MetricHelp(
        _("Length rule prefers"), "", _("1: the longer answer, 0: the shorter one."), ""
    ),
    "rm_ceiling": MetricHelp(
        _("One labeler against the others"),
        SHARE,
        _("How often people agree on the same pairs: the ceiling."),
    ),
    "rm_loss_heldout": MetricHelp(_("Held-out loss"), NATS, _("A coin's is ln 2 ≈ 0.69."), _("below 0.69")),
    "rm_score_std_train": MetricHelp(
        _("Score spread, training"), REWARD, _("Standard deviation over training answers."), _("around 1")
    ),
    "rm_score_mean_heldout": MetricHelp(
        _("Mean score, held out"), REWARD, _("That of the training answers is 0."), _("near 0")
    ),
    "rm_score_std_heldout": MetricHelp(
        _("Score spread, held out"),
        REWARD,
        _("Standard deviation over held-out answers."),
        _("near rm_score_std_train"),
    ),
    "rm_tie_strength": MetricHelp(
        _("Tie strength at the end"), "", _("Davidson's ν or Rao–Kupper's η: how readily the model expects a tie."), ""
    ),
    "rm_acceptable_score": MetricHelp(
        _("Acceptable from"),
        REWARD,
        _("The score at which an answer is as likely acceptable as not; unknown where people never said so."),
        "",
    ),
    "num_train_pairs": MetricHelp(_("Pairs to train on"), "", "", ""),
    "num_train_prompts": MetricHelp(_("Prompts to train on"), "", "", ""),
    "num_heldout_pairs": MetricHelp(_("Pairs held out"), "", "", _("50 pairs or more for a useful interval")),
    "num_heldout_prompts": MetricHelp(_("Prompts held out"), "", "", _("50 pairs or more for a useful interval")),
    "num_left_out_answers": MetricHelp(
        _("Answers left out"), ANSWERS, _("Longer than the longest that is read."), _("0")
    ),
    "num_skipped_steps": MetricHelp(_("Steps skipped"), STEPS, _("Their gradient was not finite."), _("none skipped")),
}
