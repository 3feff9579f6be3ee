"""Whether a run's metrics are where docs/metrics.md says they are healthy: the same sentence, read by a program.

Noise of single steps is no verdict: a metric is judged by its mean over the last steps, beside that over the first.
Where nothing certain can be said (too few steps, a range that is a matter of judgement) there is no verdict.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from runs import queries
from runs.metric_help import metric_help
from runs.models import Run

WINDOW = 5
"""Values in the mean of the first and of the last."""


class Verdict(NamedTuple):
    """is_healthy, and the number that says so, in words."""

    is_healthy: bool
    found: str


class Concern(NamedTuple):
    """A metric that is not where it should be."""

    name: str
    title: str
    found: str
    healthy: str


class Series(NamedTuple):
    """A metric's values in the order of steps, and the run's settings."""

    values: Sequence[float]
    config: Mapping[str, Any]

    @property
    def first(self) -> float:
        return statistics.fmean(self.values[:WINDOW])

    @property
    def last(self) -> float:
        return statistics.fmean(self.values[-WINDOW:])

    @property
    def has_last(self) -> bool:
        return len(self.values) >= WINDOW

    @property
    def is_long(self) -> bool:
        """Whether first and last steps are different ones."""
        return len(self.values) >= 2 * WINDOW


Rule = Callable[[Series], Verdict | None]


def judge(run: Run, name: str, values: Sequence[float | None]) -> Verdict | None:
    """The verdict on a metric; None where there is none."""
    known = [value for value in values if value is not None]
    rule = RULES.get(name)
    return rule(Series(known, run.config)) if rule is not None and known else None


def concerns(run: Run) -> list[Concern]:
    """What is not healthy now, in the order of docs/metrics.md."""
    series = queries.metric_series(run, list(RULES))
    found = []
    for name in RULES:
        verdict = judge(run, name, series.get(name, []))
        if verdict is not None and not verdict.is_healthy:
            texts = metric_help(name)
            found.append(Concern(name, str(texts.title), verdict.found, str(texts.healthy)))
    return found


def between(low: float, high: float) -> Rule:
    """The last values' mean, ends included; no verdict before there are enough of them."""
    return lambda series: Verdict(low <= series.last <= high, _now(series.last)) if series.has_last else None


def below(high: float) -> Rule:
    """The last values' mean, likewise."""
    return between(-math.inf, high)


def once_the_policy_learns(rule: Rule) -> Rule:
    """Of the steps behind those in which the critic alone learns."""

    def later(series: Series) -> Verdict | None:
        warmup = _setting(series.config, "update", "critic_warmup_steps") or 0
        rest = series.values[warmup:]
        return rule(series._replace(values=rest)) if rest else None

    return later


def never_above(high: float) -> Rule:
    """Every value."""
    return lambda series: Verdict(max(series.values) <= high, _worst(max(series.values)))


def below_setting(*path: str) -> Rule:
    """Every value, against a setting of the run; no verdict where that is empty."""

    def rule(series: Series) -> Verdict | None:
        limit = _setting(series.config, *path)
        return None if limit is None else Verdict(max(series.values) <= limit, _worst(max(series.values)))

    return rule


def within_factor_of_start(factor: float) -> Rule:
    def rule(series: Series) -> Verdict | None:
        if not series.is_long or series.first <= 0:
            return None
        return Verdict(1 / factor <= series.last / series.first <= factor, _moved(series))

    return rule


def above_share_of_start(share: float) -> Rule:
    def rule(series: Series) -> Verdict | None:
        if not series.is_long or series.first <= 0:
            return None
        return Verdict(series.last >= share * series.first, _moved(series))

    return rule


def rises(series: Series) -> Verdict | None:
    return Verdict(series.last > series.first, _moved(series)) if series.is_long else None


def above_zero_in_time(series: Series) -> Verdict | None:
    return Verdict(series.last > 0, _now(series.last)) if series.is_long else None


def keeps_its_gain(series: Series) -> Verdict | None:
    """Never below the start, and at most half of what was gained is lost again."""
    start, last, best = series.values[0], series.values[-1], max(series.values)
    if len(series.values) < 3:
        return None
    text = _("from %(start).3g by way of %(best).3g to %(last).3g") % {"start": start, "best": best, "last": last}
    return Verdict(last >= start + (best - start) / 2, text)


RULES: dict[str, Rule] = {
    "reward_mean": rises,
    "reward_clipped_share": below(0.05),
    "response_tokens_mean": within_factor_of_start(2),
    "kl_nats_per_sequence": below_setting("kl", "leash_kl_nats_per_sequence"),
    "kl_nats_per_token": below(0.2),
    "entropy_nats_per_token": above_share_of_start(0.1),
    "explained_variance": above_zero_in_time,
    "update_kl_k1_nats_per_token": below(0.02),
    "update_kl_k3_nats_per_token": below(0.05),
    "clip_fraction": once_the_policy_learns(between(0.01, 0.2)),
    "value_clip_fraction": below(0.3),
    "clamped_tokens": never_above(0),
    "ratio_max": below(5),
    "skipped_total": never_above(0),
    "update_stopped_early": below(0.5),
    "eval_reward": keeps_its_gain,
    "eval_kl_nats_per_sequence": below_setting("kl", "leash_kl_nats_per_sequence"),
    "eval_response_tokens_mean": within_factor_of_start(2),
}
"""For what docs/metrics.md calls healthy where that is a number."""


def _setting(config: Any, *path: str) -> Any:
    for part in path:
        config = config.get(part) if isinstance(config, Mapping) else None
    return config


def _now(value: float) -> str:
    return _("%(value).3g over the last steps") % {"value": value}


def _worst(value: float) -> str:
    return _("up to %(value).3g") % {"value": value}


def _moved(series: Series) -> str:
    return _("from %(first).3g to %(last).3g") % {"first": series.first, "last": series.last}
