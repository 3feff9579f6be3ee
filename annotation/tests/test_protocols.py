"""A campaign's way of asking: who may change it, and what becomes of what people say under it."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.errors import Refused
from annotation.models import Campaign, Completion, Protocol, Ranking
from annotation.pairs import pairs_of
from annotation.protocols import PRESETS, Questions
from annotation.services import (
    NewPrompt,
    Submission,
    SubmittedItem,
    add_prompts,
    claim_task,
    create_campaign,
    import_jsonl,
    submit_ranking,
    update_campaign,
)
from annotation.services.importing import ImportRefused
from tests.cast import Cast, api, make_campaign, make_task, submission, web

THREE = ("One.", "Two.", "Three.")


def refusal(code: str) -> Any:
    return pytest.raises(Refused, check=lambda refused: refused.code == code)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_campaign_through_its_page(cast: Cast, name: str) -> None:
    client = web(cast.manager)
    page = client.get("/campaigns/new/", {"preset": name})
    form = page.context["form"]
    fields = {field.html_name: field.value() for field in form if field.value() is not None}
    sent = client.post("/campaigns/new/", {**fields, "name": "From a preset"})

    assert sent.status_code == 302, sent.context["form"].errors
    campaign = Campaign.objects.get(name="From a preset")
    preset = PRESETS[name]
    assert (campaign.protocol, campaign.completions_per_task) == (preset.protocol, preset.completions_per_task)
    assert Questions.read(campaign.questions) == preset.questions


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"protocol": "dice"}, "protocol_unknown"),
        ({"protocol": "strength", "completions_per_task": 4}, "protocol_needs_two"),
        ({"questions": {"rating": "often"}}, "questions_invalid"),
        ({"quality": {"gold_every": -1}}, "quality_invalid"),
        ({"quality": {"gold_min": True}}, "quality_invalid"),
        ({"quality": {"luck": 1}}, "quality_invalid"),
        ({"overlap": 3, "overlap_max": 2}, "setting_out_of_range"),
        ({"undo_minutes": 1441}, "setting_out_of_range"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_nothing_is_made(
    cast: Cast, settings: dict[str, Any], code: str
) -> None:
    with refusal(code):
        create_campaign(workspace=cast.workspace, by=cast.manager, name="New", **settings)

    assert not Campaign.objects.exists()


def test_a_protocol_stays_once_somebody_has_ranked_by_it(cast: Cast, campaign: Campaign) -> None:
    update_campaign(campaign=campaign, by=cast.manager, protocol=Protocol.STRICT)
    make_task(campaign)
    lease = claim_task(campaign=campaign, labeler=cast.labeler(cast.alice))
    assert lease is not None
    ranking = submit_ranking(lease=lease, submission=submission(lease)).ranking
    assert ranking.protocol == Protocol.STRICT

    update_campaign(campaign=campaign, by=cast.manager, protocol=Protocol.STRICT, overlap=2)
    with refusal("protocol_frozen"):
        update_campaign(campaign=campaign, by=cast.manager, protocol=Protocol.RANKING)


def test_a_choice_between_two_has_tasks_of_two(cast: Cast) -> None:
    campaign = make_campaign(cast, protocol=Protocol.SCALE, completions_per_task=2)
    make_task(campaign)

    with refusal("protocol_needs_two"):
        make_task(campaign, "Name three.", THREE)
    with pytest.raises(ImportRefused) as refused:
        import_jsonl(campaign=campaign, by=None, lines=b'{"prompt": "p", "completions": ["a", "b", "c"]}')
    assert refused.value.details["errors"][0]["code"] == "protocol_needs_two"


def test_a_campaign_with_tasks_of_three_cannot_ask_for_a_choice_between_two(cast: Cast, campaign: Campaign) -> None:
    make_task(campaign, "Name three.", THREE)

    with refusal("protocol_needs_two"):
        update_campaign(campaign=campaign, by=None, protocol=Protocol.STRENGTH, completions_per_task=2)


def said_by(cast: Cast, campaign: Campaign, said: Submission) -> Ranking:
    lease = claim_task(campaign=campaign, labeler=cast.labeler(cast.alice))
    assert lease is not None
    return submit_ranking(lease=lease, submission=said).ranking


def test_the_best_of_three_says_nothing_about_the_other_two(cast: Cast) -> None:
    campaign = make_campaign(cast, protocol=Protocol.BEST)
    first, second, third = make_task(campaign, "Name three.", THREE).completions.order_by("pk")
    items = [SubmittedItem(completion_id=c.public_id, rank=r) for c, r in ((first, 2), (second, 1), (third, 2))]

    ranking = said_by(cast, campaign, Submission(items=items))

    assert [tuple(pair) for pair in pairs_of(ranking)] == [(first.pk, second.pk, -1), (second.pk, third.pk, 1)]


def test_a_rewrite_becomes_an_answer_of_the_labelers_own_and_flags_are_kept(cast: Cast) -> None:
    asked = {"rewrite": "optional", "rating": "optional", "answer_flags": ["violent"], "prompt_flags": ["unclear"]}
    campaign = make_campaign(cast, questions=asked)
    for text in ("Why?", "How?"):
        make_task(campaign, text)
    labeler = cast.labeler(cast.alice)
    for number in range(2):
        lease = claim_task(campaign=campaign, labeler=labeler)
        assert lease is not None
        first, second = lease.shown
        items = [
            SubmittedItem(completion_id=first, rank=1, rating=6, flags=["violent"], rewrite=f"Mine, {number}."),  # type: ignore[arg-type]
            SubmittedItem(completion_id=second, rank=2, seen_seconds=4.5),  # type: ignore[arg-type]
        ]
        ranking = submit_ranking(lease=lease, submission=Submission(items=items, prompt_flags=["unclear"])).ranking
        best, other = ranking.items.all()
        assert best.rewrite is not None
        assert (best.rewrite.text, best.rewrite.source) == (f"Mine, {number}.", f"human:{labeler.public_id}")
        assert best.rewrite.prompt_id == lease.task.prompt_id
        assert (best.rating, best.flags, other.rewrite, other.seen_seconds) == (6, ["violent"], None, 4.5)
        assert ranking.prompt_flags == ["unclear"]
    assert Completion.objects.filter(source__startswith="human:").count() == 2


@pytest.mark.parametrize("language", ["german or so", "d", "1", 5, "en" + "-abcdefgh" * 4])
def test_a_language_is_a_tag(campaign: Campaign, language: Any) -> None:
    with refusal("language_unknown"):
        add_prompts(campaign=campaign, prompts=[NewPrompt(messages="Hallo", language=language)])


def test_language_and_skill_of_a_prompt_are_its_tasks(cast: Cast, campaign: Campaign) -> None:
    line = '{"prompt": "Wie geht es?", "language": "DE", "skill": "medicine", "completions": ["Gut.", "Schlecht."]}'
    import_jsonl(campaign=campaign, by=None, lines=line.encode())

    task = campaign.tasks.get()
    assert (task.language, task.skill) == ("de", "medicine")


def test_the_api_sets_and_shows_how_a_campaign_asks(cast: Cast) -> None:
    client = api(cast.manager)
    asked = {"name": "Over the API", "protocol": "best", "questions": {"rating": "required"}, "undo_minutes": 5}
    made = client.post("/api/v1/campaigns/", asked, format="json")

    assert made.status_code == 201, made.json()
    found = made.json()
    assert (found["protocol"], found["questions"]["rating"], found["undo_minutes"]) == ("best", "required", 5)
    refused = client.patch(f"/api/v1/campaigns/{found['id']}/", {"questions": {"rating": "x"}}, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "questions_invalid")
