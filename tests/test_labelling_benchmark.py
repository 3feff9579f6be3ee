"""The benchmark of the queue keeps what it promises to machines, and its checks see what they are for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.db.models import F

from accounts.models import User
from annotation.models import Campaign, Lease, Ranking, RankingItem, Task
from annotation.services import claim_task, labeler_for, submit_ranking
from benchmarks import labelling_data
from benchmarks.labelling import KEYS
from benchmarks.labelling_checks import Soundness, examine
from benchmarks.labelling_people import Said
from config import embedded
from tests.cast import make_task, submission

SHORT = "--labelers 4 --tasks 300 --seconds 2 --warm-up 0.5 --chaos-seconds 6 --json"


@pytest.mark.slow
@pytest.mark.parametrize("where", [[], ["--pages"]], ids=["api", "pages"])
def test_nothing_is_lost_or_doubled_with_workers_killed_and_connections_cut(where: list[str]) -> None:
    ours = {embedded.TEST_DIRECTORY, "DATABASE_URL", "REDIS_URL", "PLUMBLINE_VAR", "DJANGO_SETTINGS_MODULE"}
    outside = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "benchmarks/labelling.py", *SHORT.split(), *where]
    done = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False, env=outside)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert tuple(found) == KEYS
    assert (found["tasks"], found["labelers"]) == (300, 4)
    assert (found["duplicates"], found["over_collected"], found["lost"]) == (0, 0, 0)
    assert found["cycles_per_second"] > 0
    assert 0 < found["next_p50_ms"] <= found["next_p95_ms"]
    assert 0 < found["submit_p50_ms"] <= found["submit_p95_ms"]
    assert found["server_cpu_ms_per_cycle"] > 0
    assert 5 < found["first_load_kb"] <= 120
    assert "under disorder" in done.stderr


@pytest.fixture
def worked(transactional_db: None) -> tuple[Campaign, dict[str, Said]]:
    """A campaign of five tasks, overlap 2, in which one person has handed in two rankings; and what they said."""
    workspace, (user,) = labelling_data.people(1)
    campaign = labelling_data.campaign(workspace, [user], name="Few", num_tasks=5, overlap=2, completions_per_task=3)
    return campaign, {str(lease.public_id): said for lease, said in (rank(campaign, user) for _turn in range(2))}


def rank(campaign: Campaign, user: User) -> tuple[Lease, Said]:
    """The best answer first, the other two tied."""
    lease = claim_task(campaign=campaign, labeler=labeler_for(workspace=campaign.workspace, user=user))
    assert lease is not None
    submit_ranking(lease=lease, submission=submission(lease, [1, 2, 2]))
    return lease, Said(dict(zip(lease.shown, (1, 5, 5), strict=True)), is_acknowledged=True)


def test_tasks_are_copied_whole(worked: tuple[Campaign, dict[str, Said]]) -> None:
    campaign, _said = worked
    tasks = list(Task.objects.filter(campaign=campaign).prefetch_related("completions"))
    assert len(tasks) == 5
    assert len({task.prompt.content_sha256 for task in tasks}) == 5
    for task in tasks:
        answers = list(task.completions.all())
        assert len({answer.text for answer in answers}) == 3
        assert {answer.prompt_id for answer in answers} == {task.prompt_id}
        assert [item.position for item in task.items.all()] == [0, 1, 2]
    # The sequences know of the copies.
    assert make_task(campaign, "Another?").pk > max(task.pk for task in tasks)


def test_what_was_sent_and_stored_is_sound(worked: tuple[Campaign, dict[str, Said]]) -> None:
    campaign, said = worked
    assert examine(campaign, [said]) == Soundness(2, duplicates=0, over_collected=0, lost=0, astray=0)


def test_an_acknowledged_ranking_that_is_not_there_is_lost(worked: tuple[Campaign, dict[str, Said]]) -> None:
    campaign, said = worked
    said["00000000-0000-0000-0000-000000000000"] = Said({}, is_acknowledged=True)
    assert examine(campaign, [said]).lost == 1


def test_an_acknowledged_ranking_that_was_stored_otherwise_is_lost(worked: tuple[Campaign, dict[str, Said]]) -> None:
    campaign, said = worked
    RankingItem.objects.filter(pk=RankingItem.objects.latest("pk").pk).update(rank=1)
    found = examine(campaign, [said])
    assert (found.lost, found.duplicates) == (1, 1)


def test_a_ranking_that_nobody_sent_is_told(worked: tuple[Campaign, dict[str, Said]]) -> None:
    campaign, said = worked
    said.popitem()
    assert examine(campaign, [said]) == Soundness(1, duplicates=1, over_collected=0, lost=0, astray=0)


def test_a_ranking_beyond_the_overlap_is_told(worked: tuple[Campaign, dict[str, Said]]) -> None:
    campaign, said = worked
    Task.objects.filter(rankings__isnull=False).update(overlap=1, free_slots=0)
    task = Task.objects.filter(rankings__isnull=False).order_by("pk")[0]
    Ranking.objects.filter(task__campaign=campaign).exclude(task=task).update(task=task, repeat=1)
    assert examine(campaign, [said]).over_collected == 1


def test_a_task_that_one_person_holds_twice_is_told(worked: tuple[Campaign, dict[str, Said]]) -> None:
    campaign, said = worked
    lease = Lease.objects.earliest("pk")
    Lease.objects.create(
        task=lease.task, labeler=lease.labeler, shown=[], expires_at=lease.expires_at, takes_slot=False
    )
    assert examine(campaign, [said]).duplicates == 1


def test_a_slot_that_went_astray_is_told(worked: tuple[Campaign, dict[str, Said]]) -> None:
    campaign, said = worked
    Task.objects.filter(pk=Task.objects.latest("pk").pk).update(free_slots=F("free_slots") - 1)
    assert examine(campaign, [said]) == Soundness(2, duplicates=0, over_collected=0, lost=0, astray=1)
