from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from runs.directory import WorkerRunDirectory
from runs.events import EventBatch, Sample
from runs.models import Run
from runs.services import claim_run, record_events
from runs.states import RunState
from runs.tests.conftest import StartRun
from tests.cast import Cast, api, make_campaign

PAGES = ["api-run-detail", "api-run-metrics", "api-run-samples", "api-run-log"]


@pytest.fixture
def run(start_run: StartRun) -> Run:
    return start_run()


def url(name: str, run: Run) -> str:
    return reverse(name, args=[run.public_id])


def test_staff_see_a_run_with_its_settings(run: Run, cast: Cast) -> None:
    for user in (cast.owner, cast.manager, cast.researcher):
        data = api(user).get(url("api-run-detail", run)).json()
        assert (data["id"], data["config"]["steps"], data["state"]) == (str(run.public_id), 4, "queued")


@pytest.mark.parametrize("page", PAGES)
def test_labeler_and_outsider_do_not_learn_of_a_run(run: Run, cast: Cast, page: str) -> None:
    make_campaign(cast)
    for user in (cast.alice, cast.charlie):
        response = api(user).get(url(page, run))
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
    assert api(None).get(url(page, run)).status_code == 401


def test_list_holds_the_workspaces_runs_only(start_run: StartRun, cast: Cast) -> None:
    first, second = start_run(), start_run()
    Run.objects.filter(pk=second.pk).update(state=RunState.FAILED)

    def ids(user: object, **query: str) -> list[str]:
        return [row["id"] for row in api(user).get(reverse("api-run-list"), query).json()["results"]]  # type: ignore[arg-type]

    assert ids(cast.manager) == [str(second.public_id), str(first.public_id)]
    assert ids(cast.manager, state="failed") == [str(second.public_id)]
    assert ids(cast.charlie) == []
    assert api(cast.alice).get(reverse("api-run-list")).status_code == 403


def test_researcher_cancels_and_manager_may_not(run: Run, cast: Cast) -> None:
    address = url("api-run-cancel", run)

    assert api(cast.alice).post(address).status_code == 404
    assert api(cast.manager).post(address).status_code == 403
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
    assert api(cast.researcher).post(address).json()["state"] == "cancelled"
    again = api(cast.researcher).post(address)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "run_finished")


def test_metrics_come_as_columns_of_one_length(run: Run, cast: Cast) -> None:
    claim_run(run_id=run.pk, worker="w")
    told = EventBatch(metrics={(1, "loss"): 0.5, (2, "loss"): None, (2, "kl"): 0.1})
    record_events(run_id=run.pk, attempt=1, batch=told)

    client, address = api(cast.manager), url("api-run-metrics", run)

    assert client.get(address).json() == {"step": [1, 2], "kl": [None, 0.1], "loss": [0.5, None]}
    assert client.get(address, {"name": "kl"}).json() == {"step": [2], "kl": [0.1]}


def test_samples_come_step_by_step_in_pages_and_can_be_chosen(run: Run, cast: Cast) -> None:
    told = {
        (step, index): Sample(prompt=f"Prompt {index}", text=f"Answer {step}", values={"score": step / 2, "kl": None})
        for step in (10, 0, 5)
        for index in (1, 0)
    }
    claim_run(run_id=run.pk, worker="w")
    record_events(run_id=run.pk, attempt=1, batch=EventBatch(samples=told))
    client, address = api(cast.manager), url("api-run-samples", run)

    def places(response: dict[str, object]) -> list[tuple[int, int]]:
        return [(row["step"], row["index"]) for row in response["results"]]  # type: ignore[attr-defined]

    first = client.get(address, {"page_size": 4}).json()
    second = client.get(first["next"]).json()

    assert places(first) == [(0, 0), (0, 1), (5, 0), (5, 1)]
    assert places(second) == [(10, 0), (10, 1)]
    assert first["results"][3] == {
        "step": 5, "index": 1, "prompt": "Prompt 1", "text": "Answer 5", "values": {"score": 2.5, "kl": None},
    }  # fmt: skip
    assert places(client.get(address, {"index": 1}).json()) == [(0, 1), (5, 1), (10, 1)]
    assert places(client.get(address, {"step": 0, "index": 1}).json()) == [(0, 1)]
    refused = client.get(address, {"step": "last"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid")


def test_log_ends_where_it_is_asked_to(run: Run, cast: Cast) -> None:
    directory = WorkerRunDirectory(run)
    directory.make()
    directory.log.write_text("first\nsecond\n")
    client, address = api(cast.manager), url("api-run-log", run)

    assert client.get(address).json() == {"log": "first\nsecond\n"}
    assert client.get(address, {"max_bytes": "9"}).json() == {"log": "second\n"}
    assert client.get(address, {"max_bytes": "none"}).json() == {"log": "first\nsecond\n"}


def test_list_takes_the_same_queries_for_one_run_and_for_three(start_run: StartRun, cast: Cast) -> None:
    counts = []
    for extra in (1, 2):
        for _run in range(extra):
            start_run()
        with CaptureQueriesContext(connection) as queries:
            api(cast.manager).get(reverse("api-run-list"))
        counts.append(len(queries))
    assert counts[0] == counts[1]
