"""What each metric of a run is called on its page, its unit and what it means; `docs/metrics.md` says it at length."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class MetricHelp(NamedTuple):
    title: str | Promise
    unit: str | Promise
    help: str | Promise


REWARD_UNITS = _("reward units")
NATS_PER_SEQUENCE = _("nats per sequence")
NATS_PER_TOKEN = _("nats per token")
SHARE = _("share")
SECONDS = _("seconds")
TOKENS = _("tokens")

HELP: dict[str, MetricHelp] = {
    # One step of PPO
    "reward_mean": MetricHelp(_("Reward"), REWARD_UNITS, _("Mean score of the step's answers, before any KL penalty.")),
    "reward_std": MetricHelp(_("Reward spread"), REWARD_UNITS, _("Near zero, the answers are all alike.")),
    "reward_shaped_mean": MetricHelp(_("Reward after penalties"), REWARD_UNITS, _("With the KL penalty and clipping.")),
    "reward_clipped_share": MetricHelp(_("Clipped rewards"), SHARE, _("Share of scores that met the clip.")),
    "kl_nats_per_sequence": MetricHelp(
        _("KL to the reference"), NATS_PER_SEQUENCE, _("How far the policy has moved. Watch it beside the reward.")
    ),
    "kl_k3_nats_per_sequence": MetricHelp(_("KL to the reference, k3"), NATS_PER_SEQUENCE, _("Never negative.")),
    "kl_nats_per_token": MetricHelp(_("KL per token"), NATS_PER_TOKEN, _("Mean over the answers' tokens.")),
    "kl_coefficient": MetricHelp(_("KL penalty"), _("reward units per nat"), _("What a nat of KL costs.")),
    "entropy_nats_per_token": MetricHelp(
        _("Entropy"), NATS_PER_TOKEN, _("How undecided the policy is. Towards zero it repeats itself.")
    ),
    "response_tokens_mean": MetricHelp(_("Answer length"), TOKENS, _("Mean length of the answers.")),
    "finished_share": MetricHelp(_("Finished answers"), SHARE, _("Answers that ended by themselves, not cut off.")),
    "missing_eos_answers": MetricHelp(_("Cut-off answers"), _("answers"), _("Answers that reached the length limit.")),
    "clip_fraction": MetricHelp(_("Clipped ratios"), SHARE, _("Tokens whose ratio was clipped. 5 to 20 % is usual.")),
    "value_clip_fraction": MetricHelp(_("Clipped values"), SHARE, _("Tokens whose value estimate was clipped.")),
    "ratio_max": MetricHelp(_("Largest ratio"), _("ratio"), _("New to old probability, of any token.")),
    "first_ratio_error": MetricHelp(
        _("First ratio's error"), _("ratio"), _("Before the first update it must be near 0.")
    ),
    "sampler_logp_gap_std": MetricHelp(
        _("Sampler and trainer"), _("nats"), _("Spread of their log-probabilities' gap.")
    ),
    "update_kl_k1_nats_per_token": MetricHelp(_("Update size, k1"), NATS_PER_TOKEN, _("New against old policy.")),
    "update_kl_k3_nats_per_token": MetricHelp(_("Update size, k3"), NATS_PER_TOKEN, _("New against old policy.")),
    "policy_loss": MetricHelp(_("Policy loss"), _("loss"), _("Its sign means little; watch reward and KL.")),
    "value_loss": MetricHelp(_("Value loss"), _("loss"), _("Half the squared error of the value estimates.")),
    "explained_variance": MetricHelp(
        _("Explained variance"), SHARE, _("Of the returns, by the value estimates: 1 is all, below 0 is harm.")
    ),
    "eval_reward": MetricHelp(_("Validation reward"), REWARD_UNITS, _("On prompts that are not learned from.")),
    "eval_kl_nats_per_sequence": MetricHelp(
        _("Validation KL"), NATS_PER_SEQUENCE, _("On prompts that are not learned from.")
    ),
    "step_seconds": MetricHelp(_("Time of a step"), SECONDS, _("Wall-clock time.")),
    "cpu_seconds": MetricHelp(_("Processor time"), SECONDS, _("Over all threads.")),
    # The end of PPO
    "reward_first": MetricHelp(_("Reward, first step"), REWARD_UNITS, _("Mean score before anything was learned.")),
    "reward_last": MetricHelp(_("Reward, last step"), REWARD_UNITS, _("Mean score at the end.")),
    "kl_last_nats_per_sequence": MetricHelp(_("KL, last step"), NATS_PER_SEQUENCE, _("Of the last rollout.")),
    "kl_best_nats_per_sequence": MetricHelp(_("KL of what was kept"), NATS_PER_SEQUENCE, _("On validation prompts.")),
    "best_step": MetricHelp(_("Step kept"), "", _("The step whose policy became the checkpoint.")),
    "num_steps": MetricHelp(_("Steps"), "", _("Steps that were taken.")),
    "eval_reward_first": MetricHelp(_("Validation reward, start"), REWARD_UNITS, _("Before anything was learned.")),
    "eval_reward_best": MetricHelp(_("Validation reward, kept"), REWARD_UNITS, _("Of the step that was kept.")),
    # Reward models
    "loss": MetricHelp(_("Loss"), _("loss"), _("Mean preference loss over prompts; a coin's is ln 2 ≈ 0.69.")),
    "accuracy_train": MetricHelp(_("Accuracy on training pairs"), SHARE, _("Pairs of the step ordered as people did.")),
    "grad_norm": MetricHelp(_("Gradient norm"), _("norm"), _("Before clipping. Spikes tell of unstable steps.")),
    "learning_rate": MetricHelp(_("Learning rate"), "", _("The rate of this step.")),
    "rm_accuracy": MetricHelp(_("Held-out accuracy"), SHARE, _("Pairs on held-out prompts ordered as people did.")),
    "rm_accuracy_low": MetricHelp(_("Held-out accuracy, low"), SHARE, _("95 % interval, bootstrap over prompts.")),
    "rm_accuracy_high": MetricHelp(_("Held-out accuracy, high"), SHARE, _("95 % interval, bootstrap over prompts.")),
    "rm_floor_length": MetricHelp(
        _("Length alone"), SHARE, _("What a rule that only looks at length reaches; its direction is chosen on train.")
    ),
    "rm_floor_longer_wins": MetricHelp(_("Length rule prefers"), "", _("1: the longer answer, 0: the shorter one.")),
    "rm_ceiling": MetricHelp(
        _("One labeler against the others"), SHARE, _("How often people agree on the same pairs: the ceiling.")
    ),
    "rm_loss_heldout": MetricHelp(_("Held-out loss"), _("loss"), _("A coin's is ln 2 ≈ 0.69.")),
    "rm_tie_strength": MetricHelp(_("Tie strength"), "", _("Davidson's ν: how readily the model expects a tie.")),
    "num_train_pairs": MetricHelp(_("Pairs to train on"), "", ""),
    "num_train_prompts": MetricHelp(_("Prompts to train on"), "", ""),
    "num_heldout_pairs": MetricHelp(_("Pairs held out"), "", ""),
    "num_heldout_prompts": MetricHelp(_("Prompts held out"), "", ""),
    "num_left_out_answers": MetricHelp(_("Answers left out"), "", _("Longer than the longest that is read.")),
    "num_skipped_steps": MetricHelp(_("Steps skipped"), "", _("Their gradient was not finite.")),
    "skipped_total": MetricHelp(_("Updates skipped"), "", _("Their gradient was not finite.")),
    "num_answers": MetricHelp(_("Answers"), "", ""),
}

ENDINGS = (
    ("_nats_per_sequence", NATS_PER_SEQUENCE),
    ("_nats_per_token", NATS_PER_TOKEN),
    ("_nats", _("nats")),
    ("_seconds", SECONDS),
    ("_tokens", TOKENS),
    ("_fraction", SHARE),
    ("_share", SHARE),
    ("_mib", "MiB"),
)

MAIN = (
    "reward_mean",
    "kl_nats_per_sequence",
    "eval_reward",
    "response_tokens_mean",
    "entropy_nats_per_token",
    "clip_fraction",
    "explained_variance",
    "grad_norm",
    "loss",
    "accuracy_train",
)
"""What a chart is open for at once; the rest is folded away, by name."""

FIRST = (
    *MAIN,
    *("rm_accuracy", "rm_accuracy_low", "rm_accuracy_high", "rm_floor_length", "rm_ceiling"),
    *("reward_first", "reward_last", "kl_last_nats_per_sequence", "eval_reward_first", "eval_reward_best", "best_step"),
)


def metric_help(name: str) -> MetricHelp:
    """The entry for a metric; for one that has none, its name in words and the unit that its ending tells."""
    known = HELP.get(name)
    if known is not None:
        return known
    for ending, unit in ENDINGS:
        if name.endswith(ending):
            return MetricHelp(name.removesuffix(ending).replace("_", " ").capitalize(), unit, "")
    words = name.replace("_", " ").capitalize()
    return MetricHelp(f"{_('Count of')} {words.removeprefix('Num ')}" if name.startswith("num_") else words, "", "")


def in_reading_order(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
