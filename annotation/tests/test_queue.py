from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent
from annotation.models import Campaign, Lease, Ranking, RankingItem, Task
from annotation.services import (
    Submission,
    add_guideline_version,
    claim_task,
    close_campaign,
    expire_leases,
    open_campaign,
    release_lease,
    remove_member,
    renew_lease,
    save_draft,
    skip_task,
    submit_ranking,
)
from annotation.states import LeaseState
from tests.cast import Cast, make_campaign, make_task, submission


@pytest.fixture
def task(campaign: Campaign) -> Task:
    return make_task(campaign)


def claim(cast: Cast, campaign: Campaign, user: Any = None, **how: Any) -> Lease:
    lease = claim_task(campaign=campaign, labeler=cast.labeler(user or cast.alice), **how)
    assert lease is not None
    return lease


def run_out(lease: Lease) -> None:
    Lease.objects.filter(pk=lease.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def expire(lease: Lease) -> None:
    run_out(lease)
    assert expire_leases() == 1
    lease.refresh_from_db()


def free_slots(task: Task) -> int:
    return Task.objects.get(pk=task.pk).free_slots


def test_tasks_come_by_priority_and_then_by_age(cast: Cast, campaign: Campaign) -> None:
    late, early, first = (make_task(campaign, f"{n}?", priority=n) for n in (100, 100, 50))
    rate = make_task(campaign, "rate?", priority=40, purpose="rate")
    seen = []
    for _turn in range(3):
        lease = claim(cast, campaign, purpose="collect")
        seen.append(lease.task)
        submit_ranking(lease=lease, submission=submission(lease))

    assert seen == [first, late, early]
    assert claim(cast, campaign).task == rate


def test_a_task_is_not_offered_twice_to_whoever_ranked_skipped_or_holds_it(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=3)
    ranked, skipped, held = (make_task(campaign, f"{n}?") for n in range(3))
    lease = claim(cast, campaign)
    assert lease.task == ranked
    submit_ranking(lease=lease, submission=submission(lease))
    lease = claim(cast, campaign)
    assert lease.task == skipped
    skip_task(lease=lease, reason="no_expertise")
    lease = claim(cast, campaign)
    assert lease.task == held

    assert claim(cast, campaign) == lease
    assert list(Task.objects.open().not_ranked_by(cast.labeler(cast.alice))) == []
    assert set(Task.objects.open().not_ranked_by(cast.labeler(cast.bob))) == {ranked, skipped, held}


def test_released_and_expired_tasks_are_offered_again(cast: Cast, campaign: Campaign, task: Task) -> None:
    lease = claim(cast, campaign)
    release_lease(lease=lease)
    assert (lease.state, free_slots(task)) == (LeaseState.RELEASED, 1)

    lease = claim(cast, campaign)
    expire(lease)
    assert (lease.state, free_slots(task)) == (LeaseState.EXPIRED, 1)

    assert claim(cast, campaign).task == task


def test_a_lease_that_ran_out_goes_to_the_next_who_asks_without_waiting_for_the_clock(
    cast: Cast, campaign: Campaign, task: Task
) -> None:
    stale = claim(cast, campaign)
    assert claim_task(campaign=campaign, labeler=cast.labeler(cast.bob)) is None
    run_out(stale)

    assert claim(cast, campaign, cast.bob).task == task
    stale.refresh_from_db()
    assert stale.state == LeaseState.EXPIRED


def test_a_heartbeat_holds_a_lease(cast: Cast, campaign: Campaign, task: Task) -> None:
    lease = claim(cast, campaign)
    run_out(lease)

    renew_lease(lease=lease)

    assert expire_leases() == 0
    assert lease.expires_at > timezone.now() + timedelta(seconds=campaign.lease_seconds - 60)


@pytest.mark.parametrize("move", [renew_lease, release_lease, skip_task])
def test_a_lease_that_is_over_does_not_move_and_frees_no_second_slot(
    cast: Cast, campaign: Campaign, task: Task, move: Any
) -> None:
    lease = claim(cast, campaign)
    release_lease(lease=lease)

    with pytest.raises(Conflict) as refused:
        move(lease=lease)

    assert refused.value.code == "lease_over"
    assert free_slots(task) == 1


def test_a_ranking_keeps_what_was_shown_and_said(cast: Cast, campaign: Campaign) -> None:
    task = make_task(campaign, answers=("one", "two", "three"))
    lease = claim(cast, campaign)
    said = submission(lease, [3, None, 1], rationale="Third is <b>short</b>", active_seconds=7.5)

    ranking, is_repeat, _feedback = submit_ranking(lease=lease, submission=said)

    assert not is_repeat
    items = [(str(i.completion.public_id), i.position_shown, i.rank) for i in ranking.items.all()]
    assert items == [(lease.shown[0], 0, 2), (lease.shown[1], 1, None), (lease.shown[2], 2, 1)]
    assert (ranking.active_seconds, ranking.rationale) == (7.5, "Third is <b>short</b>")
    assert ranking.guideline_version is not None
    assert ranking.guideline_version.number == 1
    assert free_slots(task) == 0
    lease.refresh_from_db()
    assert lease.state == LeaseState.SUBMITTED
    assert AuditEvent.objects.filter(verb="ranking.submit", actor=cast.alice).count() == 1


def test_the_same_submit_twice_is_one_ranking_and_another_body_is_a_conflict(
    cast: Cast, campaign: Campaign, task: Task
) -> None:
    lease = claim(cast, campaign)
    first = submit_ranking(lease=lease, submission=submission(lease, [1, 2], active_seconds=3))

    again = submit_ranking(lease=lease, submission=submission(lease, [1, 5], active_seconds=4))
    with pytest.raises(Conflict) as refused:
        submit_ranking(lease=lease, submission=submission(lease, [2, 1]))

    assert (again.ranking, again.is_repeat) == (first.ranking, True)
    assert (refused.value.code, refused.value.status) == ("idempotency_conflict", 409)
    assert (Ranking.objects.count(), RankingItem.objects.count()) == (1, 2)


def test_a_late_submit_counts_while_a_slot_is_free(cast: Cast, campaign: Campaign, task: Task) -> None:
    lease = claim(cast, campaign)
    expire(lease)

    result = submit_ranking(lease=lease, submission=submission(lease))

    assert (result.ranking.lease, free_slots(task)) == (lease, 0)


def test_a_late_submit_without_a_slot_is_kept_as_a_draft(cast: Cast, campaign: Campaign, task: Task) -> None:
    lease = claim(cast, campaign)
    expire(lease)
    other = claim(cast, campaign, cast.bob)

    with pytest.raises(Conflict) as refused:
        submit_ranking(lease=lease, submission=submission(lease, [2, 1], rationale="my reasons"))

    assert (refused.value.code, refused.value.status) == ("lease_expired_no_slot", 409)
    assert refused.value.details == {"draft_kept": True}
    lease.refresh_from_db()
    assert lease.draft is not None
    assert lease.draft["rationale"] == "my reasons"
    assert [item["rank"] for item in lease.draft["items"]] == [2, 1]
    assert Ranking.objects.count() == 0
    submit_ranking(lease=other, submission=submission(other))
    assert free_slots(task) == 0


def test_a_late_submit_uses_the_slot_of_the_same_labelers_new_lease(cast: Cast, campaign: Campaign, task: Task) -> None:
    old = claim(cast, campaign)
    expire(old)
    new = claim(cast, campaign)

    submit_ranking(lease=old, submission=submission(old))

    new.refresh_from_db()
    assert (new.state, free_slots(task)) == (LeaseState.RELEASED, 0)
    with pytest.raises(Conflict) as refused:
        submit_ranking(lease=new, submission=submission(new))
    assert refused.value.code == "lease_over"
    assert Ranking.objects.count() == 1


def test_closing_lets_those_at_work_finish_and_nobody_begin(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    make_task(campaign)
    in_time, late = claim(cast, campaign), claim(cast, campaign, cast.bob)
    expire(late)
    close_campaign(campaign=campaign, by=cast.manager)

    submit_ranking(lease=in_time, submission=submission(in_time))
    with pytest.raises(Conflict) as begin:
        claim_task(campaign=campaign, labeler=cast.labeler(cast.bob))
    with pytest.raises(Conflict) as finish:
        submit_ranking(lease=late, submission=submission(late))

    assert begin.value.code == finish.value.code == "campaign_closed"
    late.refresh_from_db()
    assert late.draft is not None
    open_campaign(campaign=campaign, by=cast.manager)
    assert submit_ranking(lease=late, submission=submission(late)).ranking.labeler.user == cast.bob


def test_a_refused_ranking_leaves_the_lease_as_it_was(cast: Cast, campaign: Campaign, task: Task) -> None:
    lease = claim(cast, campaign)
    half = Submission(items=submission(lease).items[:1])

    with pytest.raises(Refused) as refused:
        submit_ranking(lease=lease, submission=half)

    assert refused.value.code == "ranking_incomplete"
    lease.refresh_from_db()
    assert (lease.state, Ranking.objects.count()) == (LeaseState.ACTIVE, 0)


def test_a_ranking_names_the_guidelines_that_were_on_the_screen(cast: Cast, campaign: Campaign, task: Task) -> None:
    lease = claim(cast, campaign)
    add_guideline_version(campaign=campaign, by=cast.manager, text="Be strict.")

    ranking = submit_ranking(lease=lease, submission=submission(lease)).ranking

    assert ranking.guideline_version is not None
    assert ranking.guideline_version.text == "Be kind."


def test_a_draft_that_cannot_be_stored_is_refused(cast: Cast, campaign: Campaign, task: Task) -> None:
    lease = claim(cast, campaign)
    save_draft(lease=lease, draft={"rationale": "so far"})

    for bad in ({"rationale": "a\x00"}, {"\ud800": 1}, {"n": float("inf")}):
        with pytest.raises(Refused):
            save_draft(lease=lease, draft=bad)

    lease.refresh_from_db()
    assert lease.draft == {"rationale": "so far"}


def test_who_loses_their_seat_gives_their_task_back(cast: Cast, campaign: Campaign, task: Task) -> None:
    lease = claim(cast, campaign)

    remove_member(campaign=campaign, by=cast.manager, user=cast.alice)

    lease.refresh_from_db()
    assert (lease.state, free_slots(task)) == (LeaseState.RELEASED, 1)


def test_order_is_shuffled_by_labeler_and_fixed_where_the_task_says_so(cast: Cast) -> None:
    campaign = make_campaign(cast, overlap=2)
    answers = [f"answer {n}" for n in range(9)]
    free, fixed = make_task(campaign, "free?", answers), make_task(campaign, "fixed?", answers, is_order_fixed=True)
    orders: dict[int, list[list[str]]] = {free.pk: [], fixed.pk: []}
    for user in (cast.alice, cast.bob):
        for _turn in range(2):
            lease = claim(cast, campaign, user)
            orders[lease.task_id].append(lease.shown)
            submit_ranking(lease=lease, submission=submission(lease))

    stored = [str(item.completion.public_id) for item in fixed.items.all()]
    assert orders[fixed.pk] == [stored, stored]
    hers, his = orders[free.pk]
    assert hers != his
    assert sorted(hers) == sorted(his) == sorted(str(item.completion.public_id) for item in free.items.all())
