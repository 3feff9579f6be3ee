"""A labeler set aside and taken back: what counts, what is rebuilt, what stays, and who may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.errors import Refused
from accounts.models import AuditEvent, User
from annotation.models import Campaign, Exclusion, Labeler
from annotation.queries import agreement, agreement_with_and_without, campaign_progress, labeler_stats
from annotation.services import exclude_labeler, readmit_labeler
from policy.models import Checkpoint
from policy.services import start_tuning
from reward.groups import build_groups
from reward.labelers import Rebuilt, holdings, set_aside_in, set_labeler_aside, take_labeler_back, voices
from reward.models import Snapshot
from reward.services import freeze_snapshot
from tests.cast import Cast, api, make_campaign, make_labeler, make_prompt, make_task, rank_task
from tests.loop import make_child, make_reward_model, train

ANSWERS = ("One.", "Two.", "Three.", "Four.")
SAID = {"alice": (2, 4, 1, 3), "bob": (1, 4, 2, 3), "mallory": (3, 1, 4, 2)}


@dataclass(frozen=True)
class Crowd:
    campaign: Campaign
    alice: Labeler
    bob: Labeler
    mallory: Labeler
    """Says the opposite."""


def crowd_in(cast: Cast, name: str) -> Crowd:
    """Three labelers rank four answers to a train and to a validation prompt: 18 pairs each, 6 of each labeler."""
    campaign = make_campaign(cast, name=name, overlap=3)
    mallory = Labeler.objects.filter(name="Mallory").first() or make_labeler(cast.workspace, "Mallory")
    crowd = Crowd(campaign, cast.labeler(cast.alice), cast.labeler(cast.bob), mallory)
    for text, split in (("Why?", "train"), ("When?", "validation")):
        task = make_task(campaign, text, ANSWERS, split=split)
        for who, ranks in SAID.items():
            rank_task(task, getattr(crowd, who), ranks)
    make_prompt(campaign, "How?", "train")
    return crowd


@pytest.fixture
def crowd(cast: Cast) -> Crowd:
    return crowd_in(cast, "Short answers")


def set_aside(crowd: Crowd, by: User, reason: str = "Says the opposite of everybody.") -> Rebuilt:
    return set_labeler_aside(campaign=crowd.campaign, labeler=crowd.mallory, by=by, reason=reason)


def labelers_in(snapshot: Snapshot) -> set[Labeler]:
    return {ranking.labeler for ranking in snapshot.rankings.select_related("labeler")}


def test_set_aside_a_labeler_counts_for_nothing_and_the_snapshot_is_rebuilt(cast: Cast, crowd: Crowd) -> None:
    first = freeze_snapshot(campaign=crowd.campaign, by=cast.researcher)
    before = agreement(crowd.campaign).alpha
    assert before is not None
    assert before < 0

    rebuilt = set_aside(crowd, cast.manager)

    second = rebuilt.snapshot
    assert second is not None
    assert (second.number, second.num_rankings, second.num_pairs, second.num_heldout_pairs) == (2, 4, 12, 12)
    assert labelers_in(second) == {crowd.alice, crowd.bob}
    assert labelers_in(first) == {crowd.alice, crowd.bob, crowd.mallory}, "a snapshot never changes"
    assert [(voice.labeler, voice.num_rankings) for voice in voices(second)] == [(crowd.alice, 2), (crowd.bob, 2)]
    assert (set_aside_in(first), set_aside_in(second)) == ([crowd.mallory], [])
    assert agreement(crowd.campaign).alpha == second.agreement_alpha
    # Alice and Bob differ on 2 of 12 pairs; of their 24 words 14 are for the older answer.
    assert second.agreement_alpha == pytest.approx(1 - 23 * 2 / (14 * 10))
    assert campaign_progress(crowd.campaign).num_rankings == 6, "what was said stays said"
    events = AuditEvent.objects.filter(actor=cast.manager, verb="campaign.labeler_exclude")
    assert [event.data["labeler"] for event in events] == [str(crowd.mallory.public_id)]


def test_what_they_rank_afterwards_does_not_count_either(cast: Cast, crowd: Crowd) -> None:
    set_aside(crowd, cast.manager)

    rank_task(make_task(crowd.campaign, "Late?", ("One.", "Two.")), crowd.mallory, (1, 2))

    assert str(crowd.mallory.public_id) not in build_groups(crowd.campaign).data.decode()


def test_taken_back_the_rankings_are_what_they_were(cast: Cast, crowd: Crowd) -> None:
    first = freeze_snapshot(campaign=crowd.campaign, by=cast.researcher)
    set_aside(crowd, cast.manager)

    rebuilt = take_labeler_back(campaign=crowd.campaign, labeler=crowd.mallory, by=cast.owner)

    assert rebuilt.snapshot is not None
    assert (rebuilt.snapshot.number, rebuilt.snapshot.sha256) == (3, first.sha256)
    assert set_aside_in(first) == []
    exclusion = Exclusion.objects.get()
    assert (exclusion.created_by, exclusion.lifted_by) == (cast.manager, cast.owner)
    assert exclusion.lifted_at is not None


def test_a_campaign_that_was_never_frozen_is_not_frozen_now(cast: Cast, crowd: Crowd) -> None:
    assert set_aside(crowd, cast.manager) == Rebuilt(None, None)
    assert not Snapshot.objects.exists()


def test_too_little_left_is_no_reason_to_keep_them(cast: Cast, crowd: Crowd) -> None:
    freeze_snapshot(campaign=crowd.campaign, by=cast.researcher)
    set_aside(crowd, cast.manager)

    rebuilt = set_labeler_aside(campaign=crowd.campaign, labeler=crowd.bob, by=cast.manager, reason="Too fast.")

    assert rebuilt.snapshot is None
    assert rebuilt.refused is not None
    assert rebuilt.refused.code == "too_few_rankings"
    assert set(Exclusion.objects.in_force().values_list("labeler", flat=True)) == {crowd.mallory.pk, crowd.bob.pk}
    assert crowd.campaign.snapshots.count() == 2


def test_another_campaign_is_not_touched(cast: Cast, crowd: Crowd) -> None:
    other = crowd_in(cast, "Long answers")

    set_aside(crowd, cast.manager)

    assert {voice.labeler for voice in voices(freeze_snapshot(campaign=other.campaign, by=None))} == {
        other.alice,
        other.bob,
        other.mallory,
    }


def test_statistics_name_them_and_compare_nobody_with_them(cast: Cast, crowd: Crowd) -> None:
    set_aside(crowd, cast.manager)

    stats = {row.labeler: row for row in labeler_stats(crowd.campaign)}

    assert {who: row.exclusion is not None for who, row in stats.items()} == {
        crowd.alice: False,
        crowd.bob: False,
        crowd.mallory: True,
    }
    # Alice and Bob differ on one of six pairs, which has no majority for Mallory to be compared with.
    told = {who: (row.num_rankings, row.agreement, row.num_compared) for who, row in stats.items()}
    assert told == {crowd.alice: (2, 10 / 12, 12), crowd.bob: (2, 10 / 12, 12), crowd.mallory: (2, 0.0, 10)}


def test_agreement_with_and_without_is_the_same_before_and_after(cast: Cast, crowd: Crowd) -> None:
    before = agreement_with_and_without(crowd.campaign, crowd.mallory)
    assert before.with_labeler == agreement(crowd.campaign)

    set_aside(crowd, cast.manager)

    assert agreement_with_and_without(crowd.campaign, crowd.mallory) == before
    assert before.without == agreement(crowd.campaign)


@pytest.mark.parametrize(
    ("reason", "code"), [("", "text_empty"), (" ", "text_empty"), ("a\x00b", "nul_byte"), ("x" * 501, "text_too_long")]
)
def test_a_reason_that_cannot_be_is_refused(cast: Cast, crowd: Crowd, reason: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        set_aside(crowd, cast.manager, reason)

    assert refused.value.code == code
    assert not Exclusion.objects.exists()


def test_twice_is_once_and_a_stranger_is_nobody(cast: Cast, crowd: Crowd) -> None:
    def code_of(do: Any, **given: Any) -> str:
        with pytest.raises(Refused) as refused:
            do(campaign=crowd.campaign, by=cast.manager, **given)
        return refused.value.code

    stranger = make_labeler(cast.elsewhere, "Stranger")
    assert code_of(readmit_labeler, labeler=crowd.mallory) == "labeler_not_excluded"
    assert code_of(exclude_labeler, labeler=stranger, reason="Why not.") == "labeler_unknown"
    set_aside(crowd, cast.manager)
    assert code_of(exclude_labeler, labeler=crowd.mallory, reason="Again.") == "labeler_excluded"
    assert Exclusion.objects.get().reason == "Says the opposite of everybody."


def test_everything_that_holds_their_rankings_is_named(cast: Cast, crowd: Crowd, base: Checkpoint) -> None:
    version = make_reward_model(cast, crowd.campaign, base)
    version.evaluation = {"labelers": [{"labeler": str(crowd.mallory.public_id), "reliability": 0.1, "weight": 0.0}]}
    version.save()
    ppo = make_child(cast, base, version, crowd.campaign).run
    dpo = start_tuning(kind="policy.dpo", checkpoint=base, snapshot=version.snapshot, by=cast.researcher)
    without = set_aside(crowd, cast.manager).snapshot
    assert without is not None
    clean = train(cast, without, base)
    make_child(cast, base, clean, crowd.campaign)

    (found,) = holdings(crowd.campaign, crowd.mallory)

    assert (found.snapshot, found.num_rankings, found.runs) == (version.snapshot, 2, [dpo])
    (row,) = found.versions
    assert (row.version, row.reliability, row.weight, row.runs) == (version, 0.1, 0.0, [ppo])
    assert [(each.snapshot.number, each.num_rankings) for each in holdings(crowd.campaign, crowd.alice)] == [
        (2, 2),
        (1, 2),
    ]


def test_holdings_take_as_many_queries_for_three_snapshots_as_for_one(
    cast: Cast, crowd: Crowd, base: Checkpoint
) -> None:
    def num_queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert holdings(crowd.campaign, crowd.alice)
        return len(queries)

    make_child(cast, base, make_reward_model(cast, crowd.campaign, base), crowd.campaign)
    once = num_queries()
    for name in ("Late?", "Later?"):
        rank_task(make_task(crowd.campaign, name, ("One.", "Two.")), crowd.alice, (1, 2))
        make_child(cast, base, make_reward_model(cast, crowd.campaign, base), crowd.campaign)

    assert len(holdings(crowd.campaign, crowd.alice)) == 3
    assert num_queries() == once


def test_the_api_shows_staff_and_lets_managers_decide(cast: Cast, crowd: Crowd) -> None:
    freeze_snapshot(campaign=crowd.campaign, by=cast.researcher)
    url = f"/api/v1/campaigns/{crowd.campaign.public_id}/labelers/{crowd.mallory.public_id}/"
    seen = {role: api(user).get(url).status_code for role, user in cast.everybody.items()}
    assert seen == {"owner": 200, "manager": 200, "researcher": 200, "alice": 404, "charlie": 404, "nobody": 401}
    body = {"reason": "Says the opposite."}
    for role, status in {"researcher": 403, "alice": 404, "charlie": 404, "nobody": 401}.items():
        assert api(cast.everybody[role]).post(f"{url}exclusion/", body, format="json").status_code == status
        assert api(cast.everybody[role]).delete(f"{url}exclusion/").status_code == status
    assert not Exclusion.objects.exists()

    made = api(cast.manager).post(f"{url}exclusion/", body, format="json")

    assert made.status_code == 201
    assert made.json() == {"snapshot": str(crowd.campaign.snapshots.get(number=2).public_id), "refused": None}
    told = api(cast.researcher).get(url).json()
    assert [(row["reason"], row["lifted_at"]) for row in told["exclusions"]] == [("Says the opposite.", None)]
    assert [(row["number"], row["num_rankings"]) for row in told["snapshots"]] == [(1, 2)]
    again = api(cast.manager).post(f"{url}exclusion/", body, format="json")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "labeler_excluded")
    assert api(cast.manager).delete(f"{url}exclusion/").status_code == 200
    assert api(cast.manager).delete(f"{url}exclusion/").status_code == 409


def test_a_labeler_of_another_campaign_is_not_found(cast: Cast, crowd: Crowd) -> None:
    stranger = make_labeler(cast.workspace, "Only elsewhere")
    url = f"/api/v1/campaigns/{crowd.campaign.public_id}/labelers/{stranger.public_id}/"

    assert api(cast.manager).get(url).status_code == 404
    assert api(cast.manager).post(f"{url}exclusion/", {"reason": "Why not."}, format="json").status_code == 404
