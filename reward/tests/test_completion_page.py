"""A completion's page: its heat map, what people said in counts, and what each role may see and do."""

from __future__ import annotations

import html
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation.models import Completion
from annotation.services import exclude_labeler
from policy.models import Checkpoint
from reward.completion_page import LEVELS, places
from reward.explanations import start_explanation
from reward.models import Explanation, RewardModel
from reward.templatetags.heat import signed, whole_percent
from reward.tests.test_explanations import finish_explanation, stored_explanation
from runs.models import Run
from runs.states import RunState
from tests.cast import Cast, make_task, rank_task, web
from tests.loop import make_reward_model, ranked_campaign

HOSTILE = '<script>alert(1)</script>\n  "é🙂'
PIECE = re.compile(r'<span\s+class="(heat [^"]+)" title="([^"]+)">(.*?)</span>', re.S)


@pytest.fixture
def version(cast: Cast, base: Checkpoint) -> RewardModel:
    return make_reward_model(cast, ranked_campaign(cast), base)


@pytest.fixture
def completion(version: RewardModel) -> Completion:
    return Completion.objects.select_related("prompt__campaign").filter(text="One.").order_by("pk")[0]


def url_of(completion: Completion) -> str:
    return reverse("reward:completion-detail", args=[completion.public_id])


def explained(
    cast: Cast, version: RewardModel, completion: Completion, *, gap: float = 0.02, values: tuple[float, ...] = (1, 0.2)
) -> Explanation:
    started = start_explanation(version=version, completion=completion, by=cast.researcher).explanation
    ends = [len(completion.text) - left for left in range(len(values) - 1, -1, -1)]
    finish_explanation(started.run, stored_explanation(list(values), ends, gap=gap, relative_gap=abs(gap) / 1.2))
    return Explanation.objects.get(pk=started.pk)


def page(cast: Cast, completion: Completion, query: str = "") -> str:
    return web(cast.researcher).get(url_of(completion) + query).content.decode()


def test_staff_see_it_and_for_others_it_does_not_exist(cast: Cast, completion: Completion) -> None:
    people = {"owner": cast.owner, "manager": cast.manager, "alice": cast.alice, "charlie": cast.charlie}

    found = {name: web(user).get(url_of(completion)).status_code for name, user in people.items()}

    assert found == {"owner": 200, "manager": 200, "alice": 404, "charlie": 404}


def test_only_researchers_are_offered_and_given_an_explanation(
    cast: Cast, version: RewardModel, completion: Completion
) -> None:
    url = reverse("reward:completion-explain", args=[completion.public_id])
    button = "Explain with RM 1"

    assert button in page(cast, completion)
    assert button not in web(cast.manager).get(url_of(completion)).content.decode()
    refused = {
        user.username: web(user).post(url, {"version": version.public_id}).status_code
        for user in (cast.manager, cast.alice, cast.charlie)
    }
    assert refused == {"max": 403, "alice": 404, "charlie": 404}
    assert not Explanation.objects.exists()
    assert [web(cast.researcher).post(url, {"version": said}).status_code for said in ("", "x")] == [404, 404]


def test_the_pieces_are_the_answer_escaped(cast: Cast, version: RewardModel, completion: Completion) -> None:
    completion.text = HOSTILE
    completion.save()
    values = tuple(0.1 * n for n in range(-5, 6))
    explained(cast, version, completion, values=values)

    shown = page(cast, completion)

    heat_map = re.search(r'<p class="heat-map".*?</p>', shown, re.S)
    assert heat_map is not None
    pieces = PIECE.findall(heat_map[0])
    assert len(pieces) == len(values)
    assert html.unescape("".join(text for _css, _title, text in pieces)) == HOSTILE
    assert re.sub(r"<[^>]+>", "", heat_map[0]) == "".join(text for _css, _title, text in pieces)
    assert "<script>alert" not in shown


def test_colours_tell_sign_and_strength(cast: Cast, version: RewardModel, completion: Completion) -> None:
    explained(cast, version, completion, values=(-0.6, 0.04, 0.3, 0.6))

    pieces = PIECE.findall(page(cast, completion))

    assert [(css, title) for css, title, _text in pieces] == [
        (f"heat down heat-{LEVELS}", "−0.60"),
        ("heat none", "+0.04"),
        ("heat up heat-3", "+0.30"),
        (f"heat up heat-{LEVELS}", "+0.60"),
    ]


def test_the_completeness_gap_is_told_and_a_large_one_in_red(
    cast: Cast, version: RewardModel, completion: Completion, base: Checkpoint
) -> None:
    explained(cast, version, completion, gap=0.024)
    newer = make_reward_model(cast, completion.prompt.campaign, base)
    explained(cast, newer, completion, gap=-0.144)

    good = page(cast, completion, f"?version={version.public_id}")
    bad = page(cast, completion, f"?version={newer.public_id}")

    assert "The attributions explain 98\u00a0% of the score’s difference from the baseline" in good
    assert "notice failed" not in good
    assert "The attributions add up to 112\u00a0% of the score’s difference from the baseline." in bad
    assert "notice failed" in bad


def test_a_waiting_explanation_is_polled_and_a_failed_one_may_be_asked_for_again(
    cast: Cast, version: RewardModel, completion: Completion
) -> None:
    run = start_explanation(version=version, completion=completion, by=cast.researcher).explanation.run
    waiting = page(cast, completion)
    Run.objects.filter(pk=run.pk).update(progress={"done": 12, "total": 32})
    running = page(cast, completion)
    part = web(cast.researcher).get(url_of(completion), headers={"HX-Request": "true"}).content.decode()
    finish_explanation(run, stored_explanation([], []), RunState.FAILED)
    failed = page(cast, completion)

    assert 'hx-trigger="every 2s"' in waiting
    assert "Waits for a worker" in waiting
    assert "Explaining: 12 of 32 points" in running
    assert "Explain with RM 1" not in waiting
    assert part.strip().startswith('<div id="explanations"')
    assert "hx-trigger" not in failed
    assert "Explain with RM 1" in failed


def test_places_are_counted_by_rank_and_kind_of_labeler(cast: Cast, version: RewardModel) -> None:
    campaign = version.snapshot.campaign
    task = make_task(campaign, "Where?", ("Here.", "There.", "Nowhere."), priority=1)
    rank_task(task, cast.labeler(cast.alice), (1, 2, None))
    rank_task(task, cast.labeler(cast.bob), (1, 1, None))
    here, there, nowhere = (item.completion for item in task.items.select_related("completion"))

    def said(completion: Completion) -> list[tuple[int | None, int, int]]:
        return [(place.rank, place.num_answers, place.num_people) for place in places(completion)]

    assert said(here) == [(1, 3, 2)]
    assert said(there) == [(1, 3, 1), (2, 3, 1)]
    assert said(nowhere) == [(None, 3, 2)]
    assert not {"Alice", "Bob"} & set(re.findall(r"\w+", page(cast, there)))
    exclude_labeler(campaign=campaign, labeler=cast.labeler(cast.bob), by=cast.manager, reason="Too fast.")
    assert said(there) == [(2, 3, 1)]


def test_more_versions_and_rankings_need_no_more_queries(
    cast: Cast, version: RewardModel, completion: Completion, base: Checkpoint
) -> None:
    start_explanation(version=version, completion=completion, by=cast.researcher)
    client = web(cast.researcher)
    client.get(url_of(completion))
    with CaptureQueriesContext(connection) as few:
        client.get(url_of(completion))
    for _n in range(2):
        newer = make_reward_model(cast, completion.prompt.campaign, base)
        start_explanation(version=newer, completion=completion, by=cast.researcher)
    with CaptureQueriesContext(connection) as many:
        assert client.get(url_of(completion)).content.decode().count("Waits for a worker") == 3

    assert len(many) == len(few)


def test_an_answer_without_a_difference_has_nothing_to_explain(
    cast: Cast, version: RewardModel, completion: Completion
) -> None:
    started = start_explanation(version=version, completion=completion, by=cast.researcher).explanation
    same = {"score": 0.4, "baseline_score": 0.4, "gap": 0.0, "relative_gap": None}
    finish_explanation(started.run, stored_explanation([0.0], [4], **same))

    assert "there is no difference to explain" in page(cast, completion)


def test_figures_are_short_and_signed() -> None:
    assert [signed(value) for value in (0.814, -0.35, 0.0, 0.0123, -12.0, None)] == [
        *("+0.81", "−0.35", "0", "+0.012", "−12.00", "–")
    ]
    assert [whole_percent(share) for share in (0.984, 1.12, -0.2)] == ["98\u00a0%", "112\u00a0%", "−20\u00a0%"]
