from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import current_app
from django.conf import settings

from runs.models import Run
from runs.services import create_run
from runs.tests import kinds  # noqa: F401 - registers the test kind
from tests.cast import Cast, make_cast

StartRun = Callable[..., Run]


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture
def start_run(cast: Cast) -> StartRun:
    """A queued run of the test kind; keywords are its config."""

    def start(**config: Any) -> Run:
        return create_run(
            workspace=cast.workspace, by=cast.researcher, kind="test.count", title="Count", config=config, inputs={}
        )

    return start


@pytest.fixture
def nudged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the runs that messages were sent for."""
    sent: list[int] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, args, **options: sent.append(args[0]))
    return sent


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "RUNS_DIR", tmp_path / "runs")
