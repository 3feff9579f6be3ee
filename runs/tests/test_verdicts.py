"""Verdicts: what counts as healthy, on curves that are and that are not, and where a page says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from runs import verdicts
from runs.metric_help import metric_help
from runs.models import Run, RunMetric
from runs.tests.conftest import StartRun
from tests.cast import Cast, web

DOCUMENT = Path(__file__).parents[2] / "docs/metrics.md"
LEASH = {"kl": {"leash_kl_nats_per_sequence": 12.0}}
UP, DOWN = [0.1 * step for step in range(12)], [0.1 * (12 - step) for step in range(12)]


@pytest.mark.parametrize(
    ("name", "values", "is_healthy"),
    [
        ("reward_mean", UP, True),
        ("reward_mean", DOWN, False),
        ("reward_mean", UP[:9], None),
        ("clip_fraction", [0.5, 0.5, 0.5, 0.01, 0.05, 0.2, 0.1, 0.1], True),
        ("clip_fraction", [0.1] * 5 + [0.3] * 5, False),
        ("clip_fraction", [0.0] * 5, False),
        ("clip_fraction", [0.0] * 4, None),
        ("update_kl_k3_nats_per_token", [0.051] * 5, False),
        ("update_kl_k3_nats_per_token", [0.051] * 4, None),
        ("ratio_max", [40.0] + [2.0] * 5, True),
        ("clamped_tokens", [0.0, 1.0, 0.0], False),
        ("kl_nats_per_sequence", [0.0, 12.1, 3.0], False),
        ("kl_nats_per_sequence", [-0.1, 11.9], True),
        ("response_tokens_mean", [40.0] * 5 + [19.0] * 5, False),
        ("response_tokens_mean", [40.0] * 5 + [81.0] * 5, False),
        ("response_tokens_mean", [40.0] * 5 + [79.0] * 5, True),
        ("entropy_nats_per_token", [2.0] * 5 + [0.19] * 5, False),
        ("entropy_nats_per_token", [2.0] * 5 + [0.21] * 5, True),
        ("explained_variance", [-3.0] * 6 + [0.1] * 5, True),
        ("explained_variance", [-0.1] * 10, False),
        ("eval_reward", [0.0, 1.0, 0.6], True),
        ("eval_reward", [0.0, 1.0, 0.4], False),
        ("eval_reward", [0.0, -0.1, -0.1], False),
        ("eval_reward", [0.0, -1.0], None),
        ("eval_reward", [None, 0.0, None, 1.0, 0.6], True),
        ("kl_nats_per_sequence", [None], None),
        ("advantage_std", [0.0], None),
    ],
)
def test_a_metric_is_healthy_where_the_document_says_so(
    name: str, values: list[float | None], is_healthy: bool | None
) -> None:
    verdict = verdicts.judge(Run(config=LEASH), name, values)

    assert (verdict and verdict.is_healthy) is is_healthy


def test_steps_of_the_critic_alone_clip_nothing_and_say_nothing() -> None:
    run = Run(config={"update": {"critic_warmup_steps": 20}})

    assert verdicts.judge(run, "clip_fraction", [0.0] * 24) is None
    assert verdicts.judge(run, "clip_fraction", [0.0] * 25) == verdicts.Verdict(False, "0 over the last steps")
    assert verdicts.judge(run, "clip_fraction", [0.0] * 20 + [0.1] * 5) == verdicts.Verdict(
        True, "0.1 over the last steps"
    )


@pytest.mark.parametrize("config", [{}, {"kl": {"leash_kl_nats_per_sequence": None}}, {"kl": 3}])
def test_there_is_no_verdict_against_a_setting_that_is_empty(config: dict[str, Any]) -> None:
    assert verdicts.judge(Run(config=config), "kl_nats_per_sequence", [100.0]) is None


def test_every_rule_is_of_a_metric_whose_healthy_range_is_told() -> None:
    documented = set(re.findall(r"`(\w+)`", DOCUMENT.read_text()))

    assert set(verdicts.RULES) <= documented
    assert all(metric_help(name).healthy for name in verdicts.RULES)


def test_the_page_names_what_is_not_healthy_and_the_charts_are_told(cast: Cast, start_run: StartRun) -> None:
    run, client = start_run(), web(cast.researcher)
    RunMetric.objects.bulk_create(
        RunMetric(run=run, step=step, name=name, value=value)
        for step in range(1, 11)
        for name, value in (("clip_fraction", 0.3), ("reward_mean", 0.1 * step), ("ratio_max", None))
    )

    page = client.get(reverse("runs:run-detail", args=[run.public_id])).content.decode()
    told = client.get(reverse("runs:run-metrics", args=[run.public_id])).json()["series"]

    assert [concern.name for concern in verdicts.concerns(run)] == ["clip_fraction"]
    assert "0.3 over the last steps" in page
    assert "Healthy: 0.01 to 0.2" in page
    assert {one["name"]: one["verdict"] and one["verdict"]["is_healthy"] for one in told} == {
        "clip_fraction": False,
        "reward_mean": True,
        "ratio_max": None,
    }
