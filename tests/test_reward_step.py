"""The benchmark of a reward model's step keeps what it promises to machines."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from django.conf import settings

SMALL = "--model stories260K --groups 30 --heldout 6 --answers 3 --prompt-tokens 12 --answer-tokens 8 --threads 1"


@pytest.mark.slow
def test_both_sides_learn_the_same_task_and_tell_their_cost() -> None:
    command = [sys.executable, "benchmarks/reward_step.py", *SMALL.split(), "--checkpointing", "--json"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found) == {"ours", "trl", "trl_checkpointing"}
    for side in found.values():
        assert side["steps"] == 30
        assert 0 < side["cpu_seconds_per_pair"] < 5
        assert side["peak_rss_mib"] > 50
        assert 0.6 < side["accuracy"] <= 1
