"""Looks up what a metric is called, in which unit, and in which order a page shows them."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from runs.metric_texts import HELP, MetricHelp
from runs.metric_texts.words import NATS, NATS_PER_SEQUENCE, NATS_PER_TOKEN, SECONDS, SHARE, TOKENS

__all__ = ["FIRST", "MAIN", "MetricHelp", "in_reading_order", "metric_help", "reading_rank"]

ENDINGS = (
    ("_nats_per_sequence", NATS_PER_SEQUENCE),
    ("_nats_per_token", NATS_PER_TOKEN),
    ("_nats", NATS),
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
    "reward_disagreement",
    "response_tokens_mean",
    "entropy_nats_per_token",
    "clip_fraction",
    "explained_variance",
    "loss",
    "accuracy_train",
    *("dpo_loss", "dpo_accuracy_train", "dpo_margin", "dpo_loss_heldout", "dpo_accuracy_heldout"),
    *("sft_loss_nats_per_token", "sft_loss_heldout_nats_per_token", "sft_token_accuracy_share"),
    "grad_norm",
)
"""What a chart is open for at once; the rest is folded away, by name."""

FIRST = (
    *("score", "score_spread"),
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


def reading_rank(name: str) -> int:
    """Where a page shows the metric; those of one rank stand by name."""
    return FIRST.index(name) if name in FIRST else len(FIRST)


def in_reading_order(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: (reading_rank(name), name))
