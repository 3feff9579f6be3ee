"""The loop, whole, on a tiny random model: real database, broker, workers and training processes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.conf import settings

from annotation.models import Purpose, Ranking, Split, Task
from annotation.personas import CREW
from config.demo.people import demo_people
from config.demo.progress import Progress
from config.demo.report import summarise, table
from config.demo.spec import TurnSpec
from config.demo.turn import Turn, run_turn
from policy.services import verify_checkpoint
from runs.directory import WorkerRunDirectory
from tests.tiny import build_tiny_model
from tests.workers import workers

PROMPTS = [
    {"messages": [{"role": "user", "content": f"what is the {thing} like"}], "category": "say"}
    for thing in ("sea", "sun", "rain", "wind", "tree", "sky", "water", "day", "light", "white", "small", "slow")
]

SPEC = TurnSpec(
    model_uri="file:tiny",
    lineage="Tiny",
    campaign="Whole loop",
    prompts=PROMPTS,
    guidelines="Shorter is better.",
    split=(6, 3, 3),
    crew=CREW[:3],
    overlap=2,
    completions_per_task=4,
    answers_per_test_prompt=1,
    follow_prompts=4,
    sampling={"max_new_tokens": 12, "temperature": 1.0},
    reward={"epochs": 1},
    ppo={"steps": 2, "answers_per_step": 6, "max_new_tokens": 12, "eval_every": 1},
    seed=3,
)


@pytest.fixture
def turn(transactional_db: None, tmp_path: Path) -> Turn:
    build_tiny_model(settings.MODEL_ROOTS[0] / "tiny", words=True)
    people = demo_people(tmp_path / "logins.json")
    with workers(tmp_path, "default", "gpu"):
        return run_turn(SPEC, people, Progress(num_phases=8, out=io.StringIO()))


@pytest.mark.slow
def test_one_turn_ends_with_the_new_checkpoints_answers_in_the_queue(turn: Turn) -> None:
    summary = summarise(turn, seed=3, seconds=60, peak_rss_mib=500)

    assert turn.checkpoint.parent == turn.parent
    assert turn.checkpoint.sha256 != turn.parent.sha256
    verify_checkpoint(turn.checkpoint)
    # 9 collection tasks and 6 comparisons, each ranked exactly twice; test prompts are judged in the study only.
    assert Ranking.objects.filter(task__purpose=Purpose.COLLECT).count() == 18
    assert Ranking.objects.filter(task__purpose=Purpose.RATE).count() == 12
    assert not Task.objects.filter(purpose=Purpose.COLLECT, prompt__split=Split.TEST).exists()
    assert set(Task.objects.filter(purpose=Purpose.RATE).values_list("prompt__split", flat=True)) == {Split.TEST}
    # The follow brought new tasks that wait for people: answers of both sides, none ranked yet.
    waiting = Task.objects.filter(purpose=Purpose.COLLECT, free_slots__gt=0)
    assert summary["new_tasks"] == 4 == waiting.count()
    sources = {c.source for task in waiting for c in task.completions.all()}
    assert sources == {turn.parent.uri, turn.checkpoint.uri}
    assert 0 < summary["test_comparisons"] <= 12
    assert 0 <= summary["win_rate_low"] <= summary["win_rate"] <= summary["win_rate_high"] <= 1
    assert all(summary[name] is not None for name in ("rm_accuracy", "rm_floor_length", "reward_first", "reward_last"))
    assert "win rate against its parent" in table(summary)
    assert turn.checkpoint.run is not None
    samples = turn.checkpoint.run.samples.all()
    assert [(each.step, each.index) for each in samples] == [(step, index) for step in (0, 1, 2) for index in range(3)]
    validation = {prompt.text for prompt in turn.campaign.prompts.filter(split=Split.VALIDATION)}
    assert {each.prompt for each in samples} == validation
    said = WorkerRunDirectory(turn.checkpoint.run).log.read_text()
    assert said.count("gpu_ops: ") == 1, "PPO's log says which path its losses take"
