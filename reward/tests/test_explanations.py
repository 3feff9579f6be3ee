"""Explanations of scores: who may ask, asked once and kept, and a whole run on a tiny model."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.errors import Refused
from annotation.models import Completion
from policy.models import Checkpoint
from reward.explanations import start_explanation
from reward.models import Explanation, RewardModel
from reward.tests.test_api import copy_to_charlie
from runs import launcher
from runs.artifacts import Stored, store
from runs.models import Run
from runs.services import Artifact, claim_run, finish_run
from runs.states import RunState
from tests.cast import Cast, api, web
from tests.loop import make_reward_model, ranked_campaign
from tests.tiny import build_tiny_model


def stored_explanation(values: list[float], ends: list[int], **rest: Any) -> Stored:
    figures = {"score": 0.8, "baseline_score": -0.4, "gap": 0.02, "relative_gap": 0.02 / 1.2, "num_steps": 32}
    payload = {"format": 1, **figures, "num_tokens": len(ends) + 1, "ends": ends, "values": values, **rest}
    return store().put_bytes(json.dumps(payload).encode())


def finish_explanation(run: Run, stored: Stored, state: RunState = RunState.SUCCEEDED) -> None:
    claimed = claim_run(run_id=run.pk, worker="w")
    assert claimed is not None
    artifact = Artifact(name="explanation", sha256=stored.sha256, is_directory=False, num_bytes=stored.num_bytes)
    finish_run(
        run_id=run.pk, attempt=claimed.attempt, state=state, outcome={"status": str(state)}, artifacts=[artifact]
    )


@pytest.fixture
def version(cast: Cast, base: Checkpoint) -> RewardModel:
    return make_reward_model(cast, ranked_campaign(cast), base)


@pytest.fixture
def completion(version: RewardModel) -> Completion:
    """ "One.", in four characters."""
    return Completion.objects.select_related("prompt__campaign").filter(text="One.").order_by("pk")[0]


def test_an_explanation_is_asked_for_once(cast: Cast, version: RewardModel, completion: Completion) -> None:
    first = start_explanation(version=version, completion=completion, by=cast.researcher)
    waiting = start_explanation(version=version, completion=completion, by=cast.owner)
    finish_explanation(first.explanation.run, stored_explanation([1.0, 0.18], [3, 4]))
    done = start_explanation(version=version, completion=completion, by=cast.researcher)

    assert [first.is_new, waiting.is_new, done.is_new] == [True, False, False]
    assert {started.explanation.pk for started in (first, waiting, done)} == {first.explanation.pk}
    assert (done.explanation.payload or {})["values"] == [1.0, 0.18]
    assert done.explanation.sha256 == first.explanation.run.artifacts.get().sha256
    assert Run.objects.filter(kind="reward.explain").count() == 1


def test_a_failed_explanation_may_be_asked_for_again(cast: Cast, version: RewardModel, completion: Completion) -> None:
    first = start_explanation(version=version, completion=completion, by=cast.researcher).explanation
    finish_explanation(first.run, stored_explanation([], []), RunState.FAILED)

    again = start_explanation(version=version, completion=completion, by=cast.researcher)

    assert again.is_new
    assert again.explanation.pk == first.pk
    assert again.explanation.run_id != first.run_id
    finish_explanation(again.explanation.run, stored_explanation([1.18], [4]))
    assert (Explanation.objects.get().payload or {})["ends"] == [4]


def test_two_versions_explain_one_answer_apart(
    cast: Cast, version: RewardModel, completion: Completion, base: Checkpoint
) -> None:
    newer = make_reward_model(cast, completion.prompt.campaign, base)
    started = [start_explanation(version=v, completion=completion, by=cast.researcher) for v in (version, newer)]

    finish_explanation(started[1].explanation.run, stored_explanation([1.18], [4]))

    found = {explanation.version: explanation.payload for explanation in Explanation.objects.all()}
    assert found[version] is None
    assert (found[newer] or {})["values"] == [1.18]


def test_a_version_of_another_workspace_is_refused(cast: Cast, version: RewardModel, completion: Completion) -> None:
    with pytest.raises(Refused, match="must be of one workspace") as refused:
        start_explanation(version=copy_to_charlie(cast, version), completion=completion, by=cast.charlie)

    assert refused.value.code == "workspace_mismatch"
    assert not Explanation.objects.exists()


def test_staff_read_and_researchers_ask_over_the_api(cast: Cast, version: RewardModel, completion: Completion) -> None:
    url = f"/api/v1/completions/{completion.public_id}/explanations/"
    body = {"reward_model": str(version.public_id)}
    roles = cast.everybody
    reads = {role: api(user).get(url).status_code for role, user in roles.items()}
    refused = {
        role: api(roles[role]).post(url, body, format="json").status_code for role in ("manager", "alice", "charlie")
    }
    assert not Explanation.objects.exists()

    asked = [api(user).post(url, body, format="json").status_code for user in (cast.researcher, cast.owner)]

    assert reads == {"owner": 200, "manager": 200, "researcher": 200, "alice": 404, "charlie": 404, "nobody": 401}
    assert refused == {"manager": 403, "alice": 404, "charlie": 404}
    assert asked == [201, 200]


def test_the_api_tells_pieces_that_join_to_the_answer(cast: Cast, version: RewardModel, completion: Completion) -> None:
    url = f"/api/v1/completions/{completion.public_id}/explanations/"
    asked = api(cast.researcher).post(url, {"reward_model": str(version.public_id)}, format="json").json()
    assert (asked["state"], asked["score"], asked["pieces"]) == ("queued", None, None)
    finish_explanation(Run.objects.get(public_id=asked["run"]), stored_explanation([1.0, 0.18], [3, 4]))

    (told,) = api(cast.manager).get(url).json()["results"]

    assert told["pieces"] == [{"text": "One", "value": 1.0}, {"text": ".", "value": 0.18}]
    assert (told["state"], told["score"], told["baseline_score"], told["gap"]) == ("succeeded", 0.8, -0.4, 0.02)
    assert told["reward_model"] == str(version.public_id)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid"),
        ({"reward_model": "00000000-0000-4000-8000-000000000000"}, 404, "not_found"),
        ({"reward_model": "ours", "config": {"steps": 0}}, 400, "config_invalid"),
        ({"reward_model": "ours", "config": {"baseline": "zeros"}}, 400, "config_invalid"),
    ],
    ids=str,
)
def test_a_refusal_is_a_sentence_and_a_code(
    cast: Cast, version: RewardModel, completion: Completion, body: dict[str, Any], status: int, code: str
) -> None:
    if body.get("reward_model") == "ours":
        body = {**body, "reward_model": str(version.public_id)}

    answer = api(cast.researcher).post(f"/api/v1/completions/{completion.public_id}/explanations/", body, format="json")

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert not Explanation.objects.exists()


def test_a_longer_list_needs_no_more_queries(
    cast: Cast, version: RewardModel, completion: Completion, base: Checkpoint
) -> None:
    url = f"/api/v1/completions/{completion.public_id}/explanations/"
    counts = []
    for more in (0, 2):
        for _n in range(more):
            start_explanation(
                version=make_reward_model(cast, completion.prompt.campaign, base), completion=completion, by=None
            )
        start_explanation(version=version, completion=completion, by=None)
        with CaptureQueriesContext(connection) as asked:
            assert len(api(cast.manager).get(url).json()["results"]) == more + 1
        counts.append(len(asked))

    assert counts[0] == counts[1]


def test_a_whole_run_ends_on_the_page(
    transactional_db: None, cast: Cast, version: RewardModel, completion: Completion, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(settings, "RUNS_DIR", tmp_path / "runs")
    monkeypatch.setattr(current_app, "send_task", lambda *args, **options: None)
    RewardModel.objects.filter(pk=version.pk).update(sha256=tiny_reward_model().sha256)
    Completion.objects.filter(pk=completion.pk).update(text="It <b>hangs</b> 🙂")
    client = web(cast.researcher)
    asked = client.post(
        reverse("reward:completion-explain", args=[completion.public_id]), {"version": version.public_id}
    )
    waiting = client.get(asked.headers["Location"]).content.decode()

    launcher.execute(run_id=Run.objects.get(kind="reward.explain").pk, worker="test")

    explanation = Explanation.objects.get()
    assert explanation.run.state == RunState.SUCCEEDED, explanation.run.error_message
    done = client.get(asked.headers["Location"]).content.decode()
    assert "hx-trigger" in waiting
    assert "hx-trigger" not in done
    assert "".join(re.findall(r'title="[^"]+">(.*?)</span>', done)) == "It &lt;b&gt;hangs&lt;/b&gt; 🙂"
    assert "of the score’s difference from the baseline" in done


def tiny_reward_model() -> Stored:
    from reward.training.reward_model import RewardModel as Trained

    with tempfile.TemporaryDirectory() as folder:
        base = build_tiny_model(Path(folder) / "base")
        path = Path(folder) / "reward"
        Trained.from_base(base, seed=0).save(path, meta={})
        return store().put_directory(path)
