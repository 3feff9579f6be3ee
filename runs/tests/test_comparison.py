"""Several runs side by side: who may see which, what is told to differ, and the same over page, API and file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.errors import Refused
from runs import comparison
from runs.access import get_compared
from runs.events import EventBatch
from runs.models import Run
from runs.services import claim_run, create_run, record_events
from runs.tests.conftest import StartRun
from tests.cast import Cast, api, make_campaign, web


@pytest.fixture
def runs(start_run: StartRun) -> list[Run]:
    """Two that differ in `steps` and one of a kind that is not installed here."""
    made = [start_run(steps=3), start_run(steps=5), start_run()]
    Run.objects.filter(pk=made[2].pk).update(
        kind="test.other", seed=7, config={"lr": 0.1, "lora": {"rank": 4, "on": ["q", "v"]}}
    )
    return list(Run.objects.order_by("pk"))


def address(name: str, asked: Sequence[Any]) -> str:
    return f"{reverse(name)}?{urlencode({'run': [getattr(run, 'public_id', run) for run in asked]}, doseq=True)}"


def measure(run: Run, **curves: list[float | None]) -> None:
    claim_run(run_id=run.pk, worker="w")
    told = {(step, name): value for name, curve in curves.items() for step, value in enumerate(curve, start=1)}
    record_events(run_id=run.pk, attempt=1, batch=EventBatch(metrics=told))


def test_runs_come_in_the_order_asked_for_and_once(cast: Cast, runs: list[Run]) -> None:
    ids = [str(run.public_id) for run in runs]

    assert get_compared(cast.manager, [ids[2], ids[0], ids[2]]) == [runs[2], runs[0]]
    assert get_compared(cast.manager, [ids[2], ids[0], ids[2].upper()]) == [runs[2], runs[0]]


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_and_too_many_are_refused(cast: Cast, start_run: StartRun, count: int) -> None:
    ids = [str(start_run().public_id) for _ in range(count)]

    with pytest.raises(Refused, match=rf"^Choose 2 to 8 runs to compare; {count} were chosen\.$") as refused:
        get_compared(cast.researcher, ids)

    assert (refused.value.code, refused.value.status) == ("compare_count", 400)


@pytest.mark.parametrize("stranger", ["no uuid", "", "5f0e8e3c-7d4b-4f6e-9a53-2f6f0c1d9b7a"])
def test_a_run_that_is_not_there_is_refused_by_page_file_and_api(cast: Cast, runs: list[Run], stranger: str) -> None:
    asked = [runs[0], runs[1], stranger]

    page = web(cast.researcher).get(address("runs:run-compare", asked))
    file = web(cast.researcher).get(address("runs:run-compare-csv", asked))
    told = api(cast.researcher).get(address("api-run-compare", asked))

    assert (page.status_code, file.status_code, told.status_code) == (404, 404, 404)
    assert "is not yours to see; choose again" in page.content.decode()
    assert told.json()["error"]["code"] == "run_unknown"


def test_who_may_not_see_one_of_them_sees_none(cast: Cast, runs: list[Run]) -> None:
    make_campaign(cast)
    theirs = create_run(
        workspace=cast.elsewhere, by=cast.charlie, kind="test.count", title="Secret", config={}, inputs={}
    )

    for user, asked, status in [
        (cast.researcher, [runs[0], theirs], 404),
        (cast.charlie, [theirs, runs[0]], 404),
        (cast.alice, runs, 403),
    ]:
        for name in ("runs:run-compare", "runs:run-compare-csv"):
            refused = web(user).get(address(name, asked))
            assert (refused.status_code, b"Secret" in refused.content) == (status, False)
    assert api(cast.alice).get(address("api-run-compare", runs)).status_code == 404
    listed = web(cast.researcher).get(address("runs:run-list", [theirs])).content.decode()
    assert "Secret" not in listed


def test_settings_that_differ_stand_apart_from_those_of_one_kind_and_those_of_all(runs: list[Run]) -> None:
    found = comparison.settings(runs)

    assert {row.name: [cell.shown for cell in row.cells] for row in found.differing} == {
        "seed": [0, 0, 7],
        "steps": [3, 5, None],
    }
    partial = {row.name: row.cells for row in found.of_some}
    assert partial["lora.on"] == [(None, False), (None, False), (["q", "v"], True)]
    assert partial["lora.on"][2].shown == "q, v"
    assert {"lora.rank", "lr", "fault"} < set(partial)
    assert [row.name for row in found.same] == ["code_version"]


def test_an_empty_setting_is_not_a_missing_one_and_true_is_not_1(runs: list[Run]) -> None:
    for run, config in zip(runs, [{"a": None, "b": True}, {"a": 0, "b": 1}, {"b": 1.0}], strict=True):
        run.config = config

    found = comparison.settings(runs)

    assert {"a", "b"} <= {row.name for row in found.differing}
    assert [row.cells for row in found.differing if row.name == "a"] == [[(None, True), (0, True), (None, False)]]


def test_an_input_of_the_same_name_and_other_content_differs(runs: list[Run]) -> None:
    for run, sha256 in zip(runs, ("ab" * 32, "cd" * 32, "ab" * 32), strict=True):
        run.inputs = {"policy": {"label": "smollm2", "type": "dir", "sha256": sha256}}

    row = next(row for row in comparison.settings(runs).differing if row.name == "inputs.policy")

    assert [cell.value for cell in row.cells] == ["smollm2 (abababab)", "smollm2 (cdcdcdcd)", "smollm2 (abababab)"]


def test_last_values_are_of_the_main_metrics_and_pass_over_what_was_not_finite(runs: list[Run]) -> None:
    measure(runs[0], loss=[3.0, 2.0, None], step_seconds=[1.0])
    measure(runs[1], grad_norm=[1.0], reward_mean=[0.5, 0.25])

    found = [(row.name, row.values) for row in comparison.last_steps(runs)]

    assert found == [
        ("reward_mean", [None, 0.25, None]), ("loss", [2.0, None, None]), ("grad_norm", [None, 1.0, None]),
    ]  # fmt: skip


def test_outcomes_stand_side_by_side_in_reading_order(runs: list[Run]) -> None:
    runs[0].outcome = {"metrics": {"num_pairs": 4, "rm_accuracy": 0.5}}
    runs[2].outcome = {"metrics": {"rm_accuracy": 0.75}}

    rows = [(row.name, row.values) for row in comparison.outcomes(runs)]

    assert rows == [("rm_accuracy", [0.5, None, 0.75]), ("num_pairs", [4, None, None])]


def test_the_page_names_each_run_with_its_sign_and_escapes_what_it_shows(cast: Cast, runs: list[Run]) -> None:
    Run.objects.filter(pk=runs[0].pk).update(title="<script>alert(1)</script>", config={"say": "<img src=x>"})
    measure(runs[1], loss=[3.0, 2.0])

    page = web(cast.manager).get(address("runs:run-compare", [runs[1], runs[0]])).content.decode()

    rows = re.findall(r'data-sign="(\w)" data-metrics="([^"]+)"', page)
    assert rows == [
        (sign, reverse("runs:run-metrics", args=[run.public_id])) for sign, run in (("A", runs[1]), ("B", runs[0]))
    ]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;img src=x&gt;" in page
    assert not re.search(r"<script>|<img", page)
    assert re.search(r'<code class="sub">loss</code>.*?<td class="num">2</td>\s*<td class="num">–</td>', page, re.S)


def test_the_page_is_polled_until_all_have_finished(cast: Cast, runs: list[Run]) -> None:
    url = address("runs:run-compare", runs)
    Run.objects.filter(pk__in=[runs[0].pk, runs[1].pk]).update(state="succeeded")

    live = web(cast.manager).get(url, headers={"HX-Request": "true"}).content.decode()
    Run.objects.filter(pk=runs[2].pk).update(state="cancelled")
    done = web(cast.manager).get(url).content.decode()

    assert live.strip().startswith('<div id="compare-legend"')
    assert 'id="compare-values"' in live
    assert "<html" not in live
    assert ("hx-trigger" in live, "hx-trigger" in done) == (True, False)


def test_eight_runs_need_no_more_queries_than_two(cast: Cast, start_run: StartRun) -> None:
    asked = [start_run() for _ in range(8)]
    for run in asked:
        measure(run, loss=[1.0, 2.0])
    client, counts = web(cast.manager), []
    client.get(address("runs:run-compare", asked))

    for some in (asked[:2], asked):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address("runs:run-compare", some)).status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_the_file_has_a_row_a_value(cast: Cast, runs: list[Run]) -> None:
    measure(runs[0], loss=[0.1 + 0.2, None], kl=[1.0])
    measure(runs[1], loss=[4.0])

    response = web(cast.researcher).get(address("runs:run-compare-csv", [runs[1], runs[0]]))

    rows = list(csv.reader(io.StringIO(response.content.decode())))
    first, second = str(runs[1].public_id), str(runs[0].public_id)
    assert rows == [
        ["run", "step", "metric", "value"],
        [first, "1", "loss", "4.0"],
        [second, "1", "kl", "1.0"],
        [second, "1", "loss", "0.30000000000000004"],
    ]


def test_the_api_tells_the_same(cast: Cast, runs: list[Run]) -> None:
    measure(runs[0], loss=[3.0], kl=[0.5])
    measure(runs[1], loss=[2.0, 1.0])

    told = api(cast.manager).get(address("api-run-compare", runs[:2])).json()
    named = api(cast.manager).get(address("api-run-compare", runs[:2]) + "&name=kl").json()

    assert [(one["run"]["id"], one["metrics"], one["outcome"]) for one in told["runs"]] == [
        (str(runs[0].public_id), {"step": [1], "kl": [0.5], "loss": [3.0]}, None),
        (str(runs[1].public_id), {"step": [1, 2], "loss": [2.0, 1.0]}, None),
    ]
    ids = [str(run.public_id) for run in runs[:2]]
    assert told["differing"] == [{"name": "steps", "values": dict(zip(ids, (3, 5), strict=True))}]
    assert told["of_some"] == []
    assert [one["metrics"] for one in named["runs"]] == [{"step": [1], "kl": [0.5]}, {"step": []}]


def test_the_list_keeps_what_is_chosen_and_shows_what_stands_on_another_page(
    cast: Cast, start_run: StartRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.views.PER_PAGE", 2)
    old, *newer = [start_run() for _ in range(3)]

    page = web(cast.manager).get(address("runs:run-list", [old, newer[0], "nonsense"])).content.decode()

    boxes = dict(re.findall(r'name="run" id="choose-[^"]+" value="([^"]+)"[^>]*?(checked)?\s*>', page))
    assert boxes == {str(old.public_id): "checked", str(newer[0].public_id): "checked", str(newer[1].public_id): ""}
    assert re.search(r'<ul class="chosen"[^>]*>.*?' + str(old.public_id), page, re.S)
    assert f'formaction="{reverse("runs:run-list")}"' in page
    linked = web(cast.manager).get(reverse("runs:run-detail", args=[old.public_id])).content.decode()
    assert f'href="{reverse("runs:run-list")}?run={old.public_id}"' in linked
