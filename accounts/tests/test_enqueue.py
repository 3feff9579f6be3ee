from __future__ import annotations

import pytest
from celery import Celery
from django.db import transaction

from accounts import enqueue as module
from accounts.enqueue import enqueue
from accounts.models import Workspace

NOBODY_LISTENS = "redis://127.0.0.1:1/0"


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_neither_undoes_the_work_nor_fails_the_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = Celery(broker=NOBODY_LISTENS, set_as_current=False)
    monkeypatch.setattr(module, "current_app", app)

    with transaction.atomic():
        Workspace.objects.create(name="Field station")
        enqueue("runs.tasks.execute_run", 1, queue="gpu")

    assert Workspace.objects.filter(name="Field station").exists()
    (told,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert told.getMessage().startswith("The broker is away, so runs.tasks.execute_run(1,) was not sent to gpu: ")
    assert told.exc_info is None
