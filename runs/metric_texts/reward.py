"""Reward models and what they say of answers."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from runs.metric_texts.words import ANSWERS, NATS, REWARD, SHARE, STEPS, TOKENS, MetricHelp

REWARD_MODEL: dict[str, MetricHelp] = {
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
    "score": MetricHelp(_("Score"), REWARD, _("Of one answer, by the reward model."), ""),
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
