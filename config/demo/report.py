"""The table at the end of a turn, and summary.json with the same numbers."""

from __future__ import annotations

from typing import Any

from annotation.queries import agreement
from config.demo.turn import Turn, new_tasks_waiting
from policy.services import win_rate
from runs.models import Run


def summarise(turn: Turn, *, seed: int, seconds: float, peak_rss_mib: float) -> dict[str, Any]:
    """Every number is read back from what the runs and the labelers left in the database."""
    reward = turn.reward_model.metrics
    ppo = (turn.ppo.outcome or {}).get("metrics", {})
    won = win_rate(turn.study)
    said = agreement(turn.campaign)
    return {
        "model": turn.parent.base_label,
        "seed": seed,
        "rankings": turn.snapshot.num_rankings,
        "agreement_alpha": said.alpha,
        "rm_accuracy": reward.get("rm_accuracy"),
        "rm_accuracy_low": reward.get("rm_accuracy_low"),
        "rm_accuracy_high": reward.get("rm_accuracy_high"),
        "rm_floor_length": reward.get("rm_floor_length"),
        "rm_ceiling": reward.get("rm_ceiling"),
        "reward_first": ppo.get("reward_first"),
        "reward_last": ppo.get("reward_last"),
        "kl_first_nats_per_sequence": _first(turn.ppo, "kl_nats_per_sequence"),
        "kl_last_nats_per_sequence": ppo.get("kl_last_nats_per_sequence"),
        "ppo_best_step": ppo.get("best_step"),
        "win_rate": won.mean,
        "win_rate_low": won.low,
        "win_rate_high": won.high,
        "test_prompts": won.num_prompts,
        "test_comparisons": won.num_comparisons,
        "new_tasks": new_tasks_waiting(turn),
        "seconds": round(seconds, 1),
        "peak_rss_mib": round(peak_rss_mib),
    }


def _first(run: Run, name: str) -> float | None:
    return run.metrics.filter(name=name).order_by("step").values_list("value", flat=True).first()


def _number(value: Any, pattern: str = "{:.3f}") -> str:
    return "unknown" if value is None else pattern.format(value)


def table(summary: dict[str, Any]) -> str:
    """The summary as people read it; a losing turn says so."""
    s = summary
    rows = [
        ("model", s["model"]),
        ("rankings collected", f"{s['rankings']} by simulated labelers"),
        ("agreement (Krippendorff's alpha)", _number(s["agreement_alpha"])),
        (
            "reward model, held-out accuracy",
            f"{_number(s['rm_accuracy'])} [{_number(s['rm_accuracy_low'])}, {_number(s['rm_accuracy_high'])}]",
        ),
        ("  its floor (length alone)", _number(s["rm_floor_length"])),
        ("  its ceiling (labelers among themselves)", _number(s["rm_ceiling"])),
        ("PPO reward, first to last step", f"{_number(s['reward_first'])} to {_number(s['reward_last'])}"),
        (
            "PPO KL, first to last step",
            f"{_number(s['kl_first_nats_per_sequence'], '{:.2f}')} to "
            f"{_number(s['kl_last_nats_per_sequence'], '{:.2f}')} nats a sequence",
        ),
        (
            "win rate against its parent",
            f"{_number(s['win_rate'])} [{_number(s['win_rate_low'])}, {_number(s['win_rate_high'])}] "
            f"({s['test_comparisons']} comparisons on {s['test_prompts']} test prompts)",
        ),
        ("new tasks waiting for people", str(s["new_tasks"])),
        ("time, peak memory", f"{s['seconds'] / 60:.1f} minutes, {s['peak_rss_mib'] / 1024:.1f} GiB"),
    ]
    width = max(len(name) for name, _value in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows]
    return "\n".join([f"One turn of the loop, seed {s['seed']}", *lines, "", _verdict(s)])


def _verdict(s: dict[str, Any]) -> str:
    if s["win_rate_low"] is None:
        return "Nothing was judged, so there is no win rate."
    if s["win_rate_low"] > 0.5:
        return "The new checkpoint beats its parent: the whole interval lies above 50 %."
    if s["win_rate_high"] < 0.5:
        return "The new checkpoint LOSES to its parent: the whole interval lies below 50 %."
    return "The new checkpoint does NOT clearly beat its parent: the interval contains 50 %."
