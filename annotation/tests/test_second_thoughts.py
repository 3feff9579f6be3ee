"""Two tasks at a time, rankings taken up again or back, skips with a reason, and reports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.errors import Conflict, Refused
from accounts.models import AuditEvent
from annotation.models import Campaign, Lease, Participation, Ranking, Report, ReportKind, SkipReason, Task
from annotation.queries import counted_rankings
from annotation.services import (
    archive_campaign,
    claim_task,
    close_campaign,
    exclude_labeler,
    expire_leases,
    recent_rankings,
    release_lease,
    renew_lease,
    report_task,
    revise_ranking,
    skip_task,
    submit_ranking,
    withdraw_ranking,
)
from annotation.states import LeaseState
from tests.cast import Cast, make_campaign, make_task, submission


@pytest.fixture
def campaign(cast: Cast) -> Campaign:
    campaign = make_campaign(cast, overlap=2)
    for number in range(3):
        make_task(campaign, f"{number}?")
    return campaign


def claim(cast: Cast, campaign: Campaign, **how: Any) -> Lease:
    lease = claim_task(campaign=campaign, labeler=cast.labeler(cast.alice), **how)
    assert lease is not None
    return lease


def rank(cast: Cast, campaign: Campaign, ranks: Any = None, **rest: Any) -> Ranking:
    lease = claim(cast, campaign)
    return submit_ranking(lease=lease, submission=submission(lease, ranks, **rest)).ranking


def run_out(*leases: Lease) -> None:
    Lease.objects.filter(pk__in=[lease.pk for lease in leases]).update(expires_at=timezone.now() - timedelta(seconds=1))


def free_slots(ranking: Ranking) -> int:
    return Task.objects.get(pk=ranking.task_id).free_slots


def refused(act: Callable[..., object], **how: Any) -> str:
    with pytest.raises(Refused) as error:
        act(**how)
    assert str(error.value).endswith(".")
    return error.value.code


def test_a_second_task_is_handed_out_ahead_and_no_third(cast: Cast, campaign: Campaign) -> None:
    first = claim(cast, campaign)
    second = claim(cast, campaign, ahead=True)

    assert second.task != first.task
    assert claim(cast, campaign, ahead=True) == second
    assert claim(cast, campaign) == first
    submit_ranking(lease=first, submission=submission(first))
    assert claim(cast, campaign) == second
    assert claim(cast, campaign, ahead=True).task not in {first.task, second.task}


def test_asked_ahead_without_a_task_the_first_is_handed_out(cast: Cast, campaign: Campaign) -> None:
    assert claim(cast, campaign, ahead=True) == claim(cast, campaign)


def test_one_heartbeat_holds_both_tasks(cast: Cast, campaign: Campaign) -> None:
    first, second = claim(cast, campaign), claim(cast, campaign, ahead=True)
    elsewhere = make_campaign(cast, name="Elsewhere")
    make_task(elsewhere)
    other = claim(cast, elsewhere)
    run_out(first, second, other)

    renew_lease(lease=first)

    assert expire_leases() == 1
    assert set(Lease.objects.active()) == {first, second}


def test_a_ranking_taken_up_again_shows_what_was_said_in_the_same_order(cast: Cast, campaign: Campaign) -> None:
    said = rank(cast, campaign, [2, 1], rationale="so", active_seconds=4.0)

    lease = revise_ranking(ranking=said, labeler=said.labeler)

    assert said.lease is not None
    assert (lease.shown, lease.takes_slot, lease.revises) == (said.lease.shown, False, said)
    assert lease.draft is not None
    assert [(item["completion"], item["rank"]) for item in lease.draft["items"]] == [
        (said.lease.shown[0], 2),
        (said.lease.shown[1], 1),
    ]
    assert (lease.draft["rationale"], lease.draft["active_seconds"]) == ("so", 4.0)
    assert revise_ranking(ranking=said, labeler=said.labeler) == lease
    # The work goes on beside it.
    assert claim(cast, campaign).task != said.task
    assert free_slots(said) == 1


def test_a_revision_replaces_the_ranking_and_takes_no_slot(cast: Cast, campaign: Campaign) -> None:
    said = rank(cast, campaign, [2, 1])
    lease = revise_ranking(ranking=said, labeler=said.labeler)

    new = submit_ranking(lease=lease, submission=submission(lease, [1, 2])).ranking

    said.refresh_from_db()
    assert said.superseded_by == new
    assert list(counted_rankings(campaign)) == [new]
    assert list(recent_rankings(said.labeler, campaign)) == [new]
    assert free_slots(said) == 1
    assert Participation.objects.get(labeler=said.labeler).num_submitted == 1
    assert AuditEvent.objects.filter(verb="ranking.revise").count() == 1
    assert submit_ranking(lease=lease, submission=submission(lease, [1, 2])).is_repeat
    assert refused(revise_ranking, ranking=said, labeler=said.labeler) == "ranking_replaced"
    again = revise_ranking(ranking=new, labeler=said.labeler)
    newest = submit_ranking(lease=again, submission=submission(again, [1, 1])).ranking
    assert list(counted_rankings(campaign)) == [newest]
    assert set(Ranking.objects.values_list("superseded_by", "withdrawn_at")) == {
        (new.pk, None),
        (newest.pk, None),
        (None, None),
    }


@pytest.mark.parametrize("leave", ["skip", "release", "expire"])
def test_a_revision_that_is_left_leaves_the_ranking(cast: Cast, campaign: Campaign, leave: str) -> None:
    said = rank(cast, campaign)
    lease = revise_ranking(ranking=said, labeler=said.labeler)

    if leave == "expire":
        run_out(lease)
        assert expire_leases() == 1
    else:
        {"skip": skip_task, "release": release_lease}[leave](lease=lease)

    assert list(counted_rankings(campaign)) == [said]
    assert free_slots(said) == 1
    if leave == "expire":
        # Late, but its place is the ranking's own.
        assert submit_ranking(lease=lease, submission=submission(lease, [2, 1])).ranking.task == said.task


def test_a_late_revision_of_a_ranking_that_does_not_stand_is_kept_as_a_draft(cast: Cast, campaign: Campaign) -> None:
    said = rank(cast, campaign)
    late = revise_ranking(ranking=said, labeler=said.labeler)
    run_out(late)
    expire_leases()
    withdraw_ranking(ranking=said, labeler=said.labeler)

    assert refused(submit_ranking, lease=late, submission=submission(late, [2, 1])) == "lease_over"
    late.refresh_from_db()
    assert late.draft is not None
    assert [item["rank"] for item in late.draft["items"]] == [2, 1]


def test_a_ranking_taken_back_counts_for_nothing_and_its_task_goes_to_others(cast: Cast, campaign: Campaign) -> None:
    said = rank(cast, campaign)
    lease = revise_ranking(ranking=said, labeler=said.labeler)

    withdraw_ranking(ranking=said, labeler=said.labeler)

    lease.refresh_from_db()
    assert lease.state == LeaseState.RELEASED
    assert free_slots(said) == 2
    assert list(counted_rankings(campaign)) == list(recent_rankings(said.labeler, campaign)) == []
    assert said.task not in Task.objects.open().not_ranked_by(said.labeler)
    assert said.task in Task.objects.open().not_ranked_by(cast.labeler(cast.bob))
    assert refused(withdraw_ranking, ranking=said, labeler=said.labeler) == "ranking_replaced"
    assert AuditEvent.objects.filter(verb="ranking.withdraw", actor=cast.alice).count() == 1


def test_whoever_took_a_ranking_back_does_not_rank_the_task_by_an_older_lease(cast: Cast, campaign: Campaign) -> None:
    old = claim(cast, campaign)
    run_out(old)
    expire_leases()
    Task.objects.exclude(pk=old.task_id).update(archived_at=timezone.now())
    said = rank(cast, campaign)
    assert said.task == old.task
    withdraw_ranking(ranking=said, labeler=said.labeler)

    assert refused(submit_ranking, lease=old, submission=submission(old)) == "lease_over"


def test_a_ranking_of_somebody_set_aside_has_no_slot_to_give_back(cast: Cast, campaign: Campaign) -> None:
    said = rank(cast, campaign)
    exclude_labeler(campaign=campaign, labeler=said.labeler, by=cast.manager, reason="Too fast.")
    assert free_slots(said) == 2

    withdraw_ranking(ranking=said, labeler=said.labeler)

    assert free_slots(said) == 2


def test_second_thoughts_have_a_window_and_an_owner(cast: Cast, campaign: Campaign) -> None:
    said = rank(cast, campaign)
    bob = cast.labeler(cast.bob)
    campaign.undo_minutes = 5
    campaign.save()
    for act in (revise_ranking, withdraw_ranking):
        assert refused(act, ranking=said, labeler=bob) == "ranking_unknown"
    assert list(recent_rankings(bob, campaign)) == []
    Ranking.objects.update(created_at=timezone.now() - timedelta(minutes=5, seconds=1))

    for act in (revise_ranking, withdraw_ranking):
        assert refused(act, ranking=said, labeler=said.labeler) == "undo_over"
    assert list(recent_rankings(said.labeler, campaign)) == []


def test_training_tasks_and_archived_campaigns_allow_no_second_thoughts(cast: Cast, campaign: Campaign) -> None:
    said = rank(cast, campaign)
    Task.objects.filter(pk=said.task_id).update(role="training", free_slots=0)
    assert refused(revise_ranking, ranking=said, labeler=said.labeler) == "training_done"
    assert list(recent_rankings(said.labeler, campaign)) == []
    Task.objects.filter(pk=said.task_id).update(role="work")
    close_campaign(campaign=campaign, by=cast.manager)
    archive_campaign(campaign=campaign, by=cast.manager)

    for act in (revise_ranking, withdraw_ranking):
        assert refused(act, ranking=said, labeler=said.labeler) == "campaign_archived"


def test_a_skip_keeps_its_reason_and_note(cast: Cast, campaign: Campaign) -> None:
    lease = claim(cast, campaign)
    assert refused(skip_task, lease=lease, reason="dull") == "skip_reason_unknown"
    assert refused(skip_task, lease=lease, reason="other", note="x" * 1001) == "text_too_long"

    skip_task(lease=lease, reason=SkipReason.NO_EXPERTISE, note="It is about <b>law</b>.")

    lease.refresh_from_db()
    assert (lease.skip_reason, lease.skip_note) == ("no_expertise", "It is about <b>law</b>.")


def test_a_report_reaches_the_manager_once_and_the_work_goes_on(cast: Cast, campaign: Campaign) -> None:
    lease = claim(cast, campaign)

    report = report_task(lease=lease, kind=ReportKind.PERSONAL_DATA, text=" A phone number. ")
    again = report_task(lease=lease, kind=ReportKind.PERSONAL_DATA, text="A phone number.")
    other = report_task(lease=lease, kind=ReportKind.BROKEN)

    assert again == report
    assert set(Report.objects.values_list("task", "labeler", "kind", "text")) == {
        (lease.task_id, lease.labeler_id, "personal_data", "A phone number."),
        (lease.task_id, lease.labeler_id, "broken", ""),
    }
    assert claim(cast, campaign) == lease
    assert AuditEvent.objects.filter(verb="task.report").count() == 2
    Report.objects.filter(pk=other.pk).update(resolved_at=timezone.now())
    assert report_task(lease=lease, kind=ReportKind.BROKEN) != other


def test_two_tabs_that_skip_and_submit_the_same_lease_do_one_of_the_two(cast: Cast, campaign: Campaign) -> None:
    lease = claim(cast, campaign)
    skip_task(lease=lease)

    with pytest.raises(Conflict) as late:
        submit_ranking(lease=lease, submission=submission(lease))

    assert late.value.code == "lease_over"
    assert Ranking.objects.count() == 0
