"""A snapshot's preferences as TRL reads them: exact lines, and who may take them away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from policy.models import Checkpoint
from reward.exports import Tally, as_lines, preferences, tally
from reward.models import Snapshot
from reward.services import freeze_snapshot
from tests.cast import Cast, api, make_task, rank_task, web
from tests.loop import ranked_campaign


def pair(first: int, second: int, outcome: int, strength: int | None = None) -> dict[str, Any]:
    labeler = "00000000-0000-4000-8000-000000000001"
    return {
        "first": first, "second": second, "outcome": outcome, "strength": strength, "weight": 1.0, "labeler": labeler
    }  # fmt: skip


def group(split: str, texts: tuple[str, ...], pairs: list[dict[str, Any]]) -> dict[str, Any]:
    completions = [
        {"text": text, "token_ids": [1], "tokenizer_sha256": "c0", "finish_reason": "stop"} for text in texts
    ]
    return {
        "prompt_id": "1",
        "split": split,
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Wie heißt du?"}],
        "completions": completions,
        "pairs": pairs,
        "verdicts": [{"answer": 0, "acceptable": True, "weight": 1.0, "labeler": "1"}],
    }


GROUPS = [
    group("train", ("Änne.", "No.", "Why?"), [pair(0, 1, 1), pair(0, 1, -1), pair(1, 2, 0), pair(0, 2, -1, 3)]),
    group("validation", ("Held out.", "Worse."), [pair(0, 1, 1, 4)]),
]


def test_every_labelers_stated_word_is_one_line() -> None:
    prompt = '"prompt": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Wie heißt du?"}]'
    expected = [
        f'{{{prompt}, "chosen": [{{"role": "assistant", "content": "{chosen}"}}], '
        f'"rejected": [{{"role": "assistant", "content": "{rejected}"}}], "margin": {margin}}}\n'
        for chosen, rejected, margin in (("Änne.", "No.", 0.0), ("No.", "Änne.", 0.0), ("Why?", "Änne.", 0.75))
    ]

    found = list(as_lines(preferences(GROUPS, split="train")))

    assert [line.decode() for line in found] == expected


def test_ties_are_counted_as_left_out() -> None:
    assert tally(GROUPS, split="train") == Tally(num_preferences=3, num_ties=1)
    assert tally(GROUPS, split="validation") == Tally(num_preferences=1, num_ties=0)


@pytest.fixture
def snapshot(cast: Cast, base: Checkpoint) -> Snapshot:
    """12 stated pairs on a train prompt and a tie; 12 on a validation prompt."""
    campaign = ranked_campaign(cast)
    task = make_task(campaign, "Same?", ("Left.", "Right."), split="train")
    rank_task(task, cast.labeler(cast.alice), (1, 1))
    return freeze_snapshot(campaign=campaign, by=cast.researcher)


def addresses(snapshot: Snapshot) -> list[str]:
    return [
        reverse("reward:snapshot-preferences", args=[snapshot.public_id]),
        f"/api/v1/snapshots/{snapshot.public_id}/preferences/",
    ]


def test_the_page_and_the_api_give_the_same_file(cast: Cast, snapshot: Snapshot) -> None:
    page, endpoint = addresses(snapshot)
    for split, question, num_ties in (("train", "Why?", 1), ("validation", "When?", 0)):
        answers = [client.get(url, {"split": split}) for client, url in
                   ((web(cast.manager), page), (api(cast.manager), endpoint))]  # fmt: skip
        bodies = [b"".join(answer.streaming_content) for answer in answers]  # type: ignore[attr-defined]

        rows = [json.loads(line) for line in bodies[0].splitlines()]
        assert bodies[0] == bodies[1]
        assert len(rows) == 12
        assert {row["prompt"][0]["content"] for row in rows} == {question}
        for answer in answers:
            assert answer["Content-Disposition"] == f'attachment; filename="short-answers-1-{split}.preferences.jsonl"'
            assert answer["Content-Type"] == "application/jsonl"
            assert (answer["Preferences"], answer["Ties-Left-Out"]) == ("12", str(num_ties))


def test_only_staff_take_a_snapshot_away(cast: Cast, snapshot: Snapshot) -> None:
    page, endpoint = addresses(snapshot)
    for user, status in (
        (cast.owner, 200), (cast.manager, 200), (cast.researcher, 200), (cast.alice, 404), (cast.charlie, 404)
    ):  # fmt: skip
        assert web(user).get(page).status_code == status
        assert api(user).get(endpoint).status_code == status
    assert web(None).get(page).status_code == 302
    assert api(None).get(endpoint).status_code == 401


def test_test_prompts_are_not_given_away(cast: Cast, snapshot: Snapshot) -> None:
    page, endpoint = addresses(snapshot)

    answer = api(cast.manager).get(endpoint, {"split": "test"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "split_unknown")
    assert web(cast.manager).get(page, {"split": "test"}).status_code == 400


def test_a_snapshot_whose_file_is_gone_says_so(cast: Cast, snapshot: Snapshot) -> None:
    Snapshot.objects.update(sha256="00" * 32)

    answer = api(cast.manager).get(addresses(snapshot)[1])

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "artifact_missing")


def test_the_snapshots_page_links_to_both_files(cast: Cast, snapshot: Snapshot) -> None:
    shown = web(cast.manager).get(reverse("reward:snapshot-detail", args=[snapshot.public_id])).content.decode()

    for split in ("train", "validation"):
        assert f'href="{addresses(snapshot)[0]}?split={split}"' in shown
