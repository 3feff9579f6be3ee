"""Win rates by hand: both orders, a tie counts one half, the mean is over prompts."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.errors import Refused
from annotation.models import Campaign, Completion, Purpose, Task
from annotation.services import exclude_labeler, skip_task
from policy.models import Checkpoint, WinRateStudy
from policy.services import WinRate, start_win_rate, win_rate
from runs.models import Run
from tests.cast import Cast, make_campaign, make_prompt
from tests.loop import answer, claim_comparison, judge, make_base, make_study, read_lines, revise


@pytest.fixture
def candidate(cast: Cast, base: Checkpoint) -> Checkpoint:
    return Checkpoint.objects.create(
        workspace=cast.workspace, lineage=base.lineage, number=1, parent=base, sha256=base.sha256, base_label="Tiny"
    )


@pytest.fixture
def campaign(cast: Cast) -> Campaign:
    campaign = make_campaign(cast, overlap=2)
    for text in ("First?", "Second?"):
        make_prompt(campaign, text, "test")
    make_prompt(campaign, "Learn?", "train")
    return campaign


@pytest.fixture
def study(cast: Cast, campaign: Campaign, candidate: Checkpoint, base: Checkpoint) -> WinRateStudy:
    return make_study(cast, campaign, candidate, base)


def test_only_test_prompts_are_answered_and_by_both_sides(
    study: WinRateStudy, candidate: Checkpoint, base: Checkpoint
) -> None:
    assert study.run is not None
    given = {row["messages"][0]["content"] for row in read_lines(study.run.inputs["prompts"]["sha256"])}

    assert given == {"First?", "Second?"}
    assert study.run.config["sources"] == [candidate.uri, base.uri]


def test_each_pair_of_answers_is_asked_in_both_orders(
    cast: Cast, campaign: Campaign, candidate: Checkpoint, base: Checkpoint
) -> None:
    study = start_win_rate(campaign=campaign, candidate=candidate, baseline=base, by=cast.researcher, per_prompt=2)
    assert study.run is not None
    (first, second) = campaign.prompts.filter(split="test").order_by("pk")
    texts = {p: [f"{p} {n}" for n in range(2)] for p in (first, second)}
    answer(study.run, {candidate: {p: [f"+{t}" for t in texts[p]] for p in texts}, base: texts})

    asked: dict[tuple[str, ...], bool] = {}
    for link in study.study_tasks.select_related("task"):
        items = link.task.items.select_related("completion")
        asked[tuple(item.completion.text for item in items)] = link.is_candidate_first
        assert (link.task.purpose, link.task.priority, link.task.is_order_fixed) == (Purpose.RATE, 40, True)
    expected: dict[tuple[str, ...], bool] = {}
    for text in (text for said in texts.values() for text in said):
        expected |= {(f"+{text}", text): True, (text, f"+{text}"): False}
    assert asked == expected
    lease = claim_comparison(cast, study, cast.alice)
    shown = [Completion.objects.get(public_id=public_id).text for public_id in lease.shown]
    assert tuple(shown) in expected
    assert shown == [item.completion.text for item in lease.task.items.order_by("position")]


def test_a_second_study_draws_fresh_answers(cast: Cast, study: WinRateStudy) -> None:
    make_study(cast, study.campaign, study.candidate, study.baseline)

    indices = Completion.objects.filter(source=study.candidate.uri).values_list("sample_index", flat=True)
    assert sorted(indices) == [0, 0, 1, 1]
    assert Task.objects.filter(purpose=Purpose.RATE).count() == 8


def test_nothing_judged_is_no_win_rate(study: WinRateStudy) -> None:
    # 2 prompts, both orders, 2 labelers.
    assert win_rate(study) == WinRate(None, None, None, 0, 0, 8)


def test_win_rate_by_hand(cast: Cast, study: WinRateStudy) -> None:
    """First prompt: win, tie, loss, and unrankable, lost too: 1.5 / 4. Second: two wins, one of them revised."""
    said: dict[str, list[tuple[int | None, int | None]]] = {
        "First?": [(1, 2), (1, 1), (2, 1), (None, 1)],
        "Second?": [(1, 2), (2, 1)],
    }
    rankings = {}
    for user in (cast.alice, cast.bob):
        for _task in range(4):
            lease = claim_comparison(cast, study, user)
            waiting = said[lease.task.prompt.text]
            if not waiting:
                skip_task(lease=lease)
                continue
            ours, theirs = waiting.pop(0)
            rankings[lease.task.prompt.text, ours] = judge(lease, study, ours=ours, theirs=theirs)
    lost = rankings["Second?", 2]
    sources = {item.completion.source: item.completion_id for item in lost.items.all()}
    revise(lost, {sources[study.candidate.uri]: 1, sources[study.baseline.uri]: 2})

    found = win_rate(study)

    # Over prompts (3/8 + 1) / 2; over comparisons it would be 3.5 / 6.
    assert found.mean == pytest.approx(0.6875)
    # Two prompts are redrawn as both the first, one each or both the second, with chances 1/4, 1/2 and 1/4.
    assert found.low == pytest.approx(0.375)
    assert found.high == pytest.approx(1.0)
    assert (found.num_prompts, found.num_comparisons) == (2, 6)
    assert found.num_open == 2


def test_another_studys_rankings_do_not_count(
    cast: Cast, study: WinRateStudy, candidate: Checkpoint, base: Checkpoint
) -> None:
    lease = claim_comparison(cast, study, cast.alice)
    judge(lease, study, ours=1, theirs=2)
    turned = make_study(cast, study.campaign, base, candidate)

    assert win_rate(study).num_comparisons == 1
    assert win_rate(turned) == WinRate(None, None, None, 0, 0, 8)


def test_a_labeler_who_is_set_aside_judges_no_study(cast: Cast, study: WinRateStudy) -> None:
    judge(claim_comparison(cast, study, cast.alice), study, ours=1, theirs=2)
    judge(claim_comparison(cast, study, cast.bob), study, ours=2, theirs=1)

    exclude_labeler(campaign=study.campaign, labeler=cast.labeler(cast.bob), by=cast.manager, reason="Too fast.")

    found = win_rate(study)
    assert (found.mean, found.num_comparisons) == (1.0, 1)


def test_a_study_that_cannot_be_is_refused(
    cast: Cast, campaign: Campaign, candidate: Checkpoint, base: Checkpoint
) -> None:
    theirs = make_base(cast.elsewhere, cast.charlie)
    bare = make_campaign(cast, name="Bare")
    make_prompt(bare, "Learn?", "train")
    before = Run.objects.count()

    for changes, code in (
        ({"baseline": candidate}, "same_checkpoint"),
        ({"baseline": theirs}, "workspace_mismatch"),
        ({"campaign": bare}, "no_test_prompts"),
        ({"config": {"temperature": -1}}, "config_invalid"),
        ({"per_prompt": 0}, "config_invalid"),
    ):
        asked: dict[str, Any] = {"campaign": campaign, "candidate": candidate, "baseline": base, **changes}
        with pytest.raises(Refused) as refused:
            start_win_rate(by=cast.researcher, **asked)
        assert refused.value.code == code

    assert not WinRateStudy.objects.exists()
    assert Run.objects.count() == before
