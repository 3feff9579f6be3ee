"""What each metric of a run is called on its page, in which unit, and what it means. `docs/metrics.md` says it at length."""

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
    "reward_mean": MetricHelp(_("Reward"), REWARD_UNITS, _("Mean score of the step's answers, before any KL penalty.")),
    "reward_std": MetricHelp(
        _("Reward spread"), REWARD_UNITS, _("Standard deviation of the scores. Near zero, the answers are all alike.")
    ),
    "kl_nats_per_sequence": MetricHelp(
        _("KL to the reference"),
        NATS_PER_SEQUENCE,
        _("How far the policy has moved. Reward that rises only with this is over-optimisation."),
    ),
    "kl_nats_per_token": MetricHelp(
        _("KL per token"), NATS_PER_TOKEN, _("KL to the reference, mean over the response's tokens.")
    ),
    "approx_kl_k1": MetricHelp(
        _("Update size, k1"), NATS_PER_TOKEN, _("New against old policy within the step; unbiased, may be negative.")
    ),
    "approx_kl_k3": MetricHelp(
        _("Update size, k3"), NATS_PER_TOKEN, _("New against old policy within the step; never negative.")
    ),
    "clip_fraction": MetricHelp(
        _("Clipped ratios"), SHARE, _("Share of tokens at which the ratio was clipped. 5 to 20 % is usual.")
    ),
    "ratio_max": MetricHelp(_("Largest ratio"), _("ratio"), _("Largest new-to-old probability ratio of any token.")),
    "entropy": MetricHelp(
        _("Entropy"),
        NATS_PER_TOKEN,
        _("How undecided the policy is. A collapse towards zero means that it repeats itself."),
    ),
    "policy_loss": MetricHelp(
        _("Policy loss"), _("loss"), _("The clipped surrogate. Its sign means little; watch reward and KL.")
    ),
    "value_loss": MetricHelp(_("Value loss"), _("loss"), _("Half the squared error of the value estimates.")),
    "explained_variance": MetricHelp(
        _("Explained variance"),
        SHARE,
        _("How much of the returns the value estimates explain: 1 is all, below 0 is harm."),
    ),
    "grad_norm": MetricHelp(_("Gradient norm"), _("norm"), _("Before clipping. Spikes tell of unstable steps.")),
    "learning_rate": MetricHelp(_("Learning rate"), _("rate"), _("The rate of this step.")),
    "response_tokens": MetricHelp(_("Answer length"), TOKENS, _("Mean length of the step's answers.")),
    "response_tokens_mean": MetricHelp(_("Answer length"), TOKENS, _("Mean length of the step's answers.")),
    "eos_fraction": MetricHelp(
        _("Finished answers"), SHARE, _("Share of answers that ended by themselves instead of being cut off.")
    ),
    "missing_eos_fraction": MetricHelp(
        _("Cut-off answers"), SHARE, _("Share of answers that reached the length limit.")
    ),
    "loss": MetricHelp(_("Loss"), _("loss"), _("Mean preference loss over prompts; ln 2 ≈ 0.69 is a coin's.")),
    "accuracy_train": MetricHelp(
        _("Accuracy on training pairs"), SHARE, _("Share of the step's pairs that the model orders as people did.")
    ),
    "rm_accuracy": MetricHelp(
        _("Held-out accuracy"), SHARE, _("Share of pairs on held-out prompts that the model orders as people did.")
    ),
    "rm_accuracy_low": MetricHelp(
        _("Held-out accuracy, low"), SHARE, _("Lower end of the 95 % interval, bootstrap over prompts.")
    ),
    "rm_accuracy_high": MetricHelp(
        _("Held-out accuracy, high"), SHARE, _("Upper end of the 95 % interval, bootstrap over prompts.")
    ),
    "rm_floor_length": MetricHelp(
        _("Length alone"), SHARE, _("What a rule that only looks at length reaches; its direction is chosen on train.")
    ),
    "rm_ceiling": MetricHelp(
        _("One labeler against the others"),
        SHARE,
        _("How often people agree with each other on the same pairs: the ceiling."),
    ),
    "reward_first": MetricHelp(_("Reward, first step"), REWARD_UNITS, _("Mean score before anything was learned.")),
    "reward_last": MetricHelp(_("Reward, last step"), REWARD_UNITS, _("Mean score at the end.")),
    "kl_last_nats_per_sequence": MetricHelp(
        _("KL at the end"), NATS_PER_SEQUENCE, _("How far the kept policy stands from the reference.")
    ),
    "best_step": MetricHelp(_("Step kept"), _("step"), _("The step whose policy became the checkpoint.")),
    "step_seconds": MetricHelp(_("Time of a step"), SECONDS, _("Wall-clock time.")),
}

ENDINGS = (
    ("_nats_per_sequence", NATS_PER_SEQUENCE),
    ("_nats_per_token", NATS_PER_TOKEN),
    ("_nats", _("nats")),
    ("_seconds", SECONDS),
    ("_tokens", TOKENS),
    ("_fraction", SHARE),
    ("_mib", "MiB"),
)

FIRST = ("reward_mean", "kl_nats_per_sequence", "loss", "accuracy_train", "response_tokens_mean", "entropy")
"""What people look at first; the rest follows by name."""


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
