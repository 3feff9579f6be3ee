"""The manager's pages on quality: forms that save, say what is wrong, and tell what is there."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation import services
from annotation.models import Campaign, GuidelineVersion, Labeler, Participation, Report, Task
from annotation.quality import QualityPlan
from annotation.services import add_member
from annotation.tests.planning import lease_of, make_known, plan, say, standing
from tests.cast import Cast, make_task, make_user, web

FORM = {
    "gold_every": "20",
    "gold_min": "0.8",
    "repeat_every": "0",
    "repeat_after": "10",
    "qualifies": "on",
    "qualification_min": "0.7",
    "attempts": "2",
    "max_per_day": "",
    "max_in_all": "100",
}


@pytest.fixture
def alice(cast: Cast) -> Labeler:
    return cast.labeler(cast.alice)


def page(cast: Cast, name: str, *ids: object) -> str:
    return web(cast.manager).get(reverse(f"annotation:{name}", args=ids)).content.decode()


def test_the_plan_is_saved_as_it_was_filled_in(cast: Cast, campaign: Campaign) -> None:
    url = reverse("annotation:quality-plan", args=[campaign.public_id])

    assert web(cast.manager).post(url, FORM).status_code == 302
    wrong = web(cast.manager).post(url, {**FORM, "gold_min": "2", "attempts": "0"})

    campaign.refresh_from_db()
    read = QualityPlan.read(campaign.quality)
    assert read == QualityPlan(gold_every=20, gold_min=0.8, qualifies=True, max_in_all=100)
    assert wrong.status_code == 422
    assert wrong.content.decode().count("errorlist") == 2
    assert "nobody gets any work" in page(cast, "quality-plan", campaign.public_id)
    make_known(campaign, "training")
    assert "nobody gets any work" not in page(cast, "quality-plan", campaign.public_id)


def test_a_known_order_is_made_of_a_task_on_its_page(cast: Cast, campaign: Campaign) -> None:
    task = make_task(campaign, "Which <b>one</b>?", ("<i>Good.</i>", "Bad.", "Odd."))
    make_task(campaign, "Another prompt?")
    listed = page(cast, "known-order-list", campaign.public_id)
    url = reverse("annotation:known-order-create", args=[campaign.public_id, task.public_id])
    good, bad, odd = (item.completion.public_id for item in task.items.select_related("completion"))

    empty = web(cast.manager).post(url, {"role": "gold"})
    made = web(cast.manager).post(
        url, {"role": "training", f"rank-{good}": "1", f"rank-{bad}": "2", "explanation": "So."}
    )

    assert url in listed
    assert "Which &lt;b&gt;one" in listed
    assert (empty.status_code, "known_order_empty" in empty.content.decode()) == (400, True)
    assert "<i>Good" not in empty.content.decode()
    assert made.headers["Location"] == reverse("annotation:known-order-list", args=[campaign.public_id])
    known = Task.objects.get(role="training")
    assert known.gold.ranks == {str(good): 1, str(bad): 2}
    assert str(odd) not in known.gold.ranks
    assert url not in page(cast, "known-order-list", campaign.public_id)


def test_a_known_order_is_changed_on_its_page(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    known, work = make_known(campaign, answers=("One.", "Two.", "Three.")), make_task(campaign, "Work?")
    one, two, three = known.gold.ranks
    say(lease_of(known, alice, takes_slot=False), (1, 2, 3))
    url = reverse("annotation:known-order-change", args=[campaign.public_id, known.public_id])
    client = web(cast.manager)
    form = client.get(url).context["form"]

    empty = client.post(url, {"explanation": "New."})
    changed = client.post(url, {f"rank-{one}": "2", f"rank-{two}": "1", "explanation": "New."}, follow=True)
    again = client.post(url, {f"rank-{one}": "2", f"rank-{two}": "1", "explanation": "New."}, follow=True)

    assert [form[f"rank-{answer}"].initial for answer in (one, two, three)] == [1, 2, 3]
    assert (form["explanation"].initial, "role" in form.fields) == ("Because.", False)
    assert (empty.status_code, "known_order_empty" in empty.content.decode()) == (400, True)
    assert "1 ranking has another score now." in changed.content.decode()
    assert "All scores stay as they were." in again.content.decode()
    known.gold.refresh_from_db()
    assert (known.gold.ranks, known.gold.explanation) == ({one: 2, two: 1}, "New.")
    assert url in page(cast, "known-order-list", campaign.public_id)
    for task in (work, services.archive_known_order(task=known, by=None)):
        gone = reverse("annotation:known-order-change", args=[campaign.public_id, task.public_id])
        assert client.get(gone).status_code == 404


def test_tasks_are_found_by_words_of_their_prompt(cast: Cast, campaign: Campaign) -> None:
    make_task(campaign, "Über die Brücke?")
    make_task(campaign, "Why is the sky blue?")
    client = web(cast.manager)
    url = reverse("annotation:known-order-list", args=[campaign.public_id])

    found = {words: client.get(url, {"q": words}).content.decode() for words in ("BRÜCKE", "nothing", "\x00")}

    assert ("Brücke?" in found["BRÜCKE"], "sky" in found["BRÜCKE"]) == (True, False)
    assert "No task has these words." in found["nothing"]
    assert "sky" in found["\x00"]


def test_a_known_order_is_put_away_on_the_list(cast: Cast, campaign: Campaign) -> None:
    known, work = make_known(campaign), make_task(campaign, "Work?")
    client = web(cast.manager)

    def put_away(task: Task) -> int:
        url = reverse("annotation:known-order-archive", args=[campaign.public_id, task.public_id])
        return client.post(url).status_code

    assert (put_away(known), put_away(work), put_away(known)) == (302, 404, 409)
    known.refresh_from_db()
    work.refresh_from_db()
    assert known.archived_at is not None
    assert work.archived_at is None


def test_a_persons_page_saves_what_they_read(cast: Cast, campaign: Campaign) -> None:
    url = reverse("annotation:member-detail", args=[campaign.public_id, cast.alice.public_id])
    client = web(cast.manager)

    wrong = client.post(url, {"languages": "en, a language", "skills": ""})
    saved = client.post(url, {"languages": " en, pt-BR ,", "skills": "tax law"})

    assert (wrong.status_code, "language_unknown" in wrong.content.decode()) == (400, True)
    assert saved.status_code == 302
    own = Participation.objects.get()
    assert (own.labeler.user, own.languages, own.skills) == (cast.alice, ["en", "pt-br"], ["tax law"])
    assert 'value="en, pt-br"' in client.get(url).content.decode()
    assert "tax law" in page(cast, "campaign-members", campaign.public_id)
    nobody = reverse("annotation:member-detail", args=[campaign.public_id, cast.charlie.public_id])
    assert client.get(nobody).status_code == 404


def test_who_failed_is_let_to_try_again_on_their_page(cast: Cast, campaign: Campaign, alice: Labeler) -> None:
    plan(campaign, qualifies=True, attempts=1)
    say(lease_of(make_known(campaign, "training"), alice, takes_slot=False), (2, 1))
    ids = [campaign.public_id, cast.alice.public_id]
    again, through = (reverse(f"annotation:member-{name}", args=ids) for name in ("try-again", "wave-through"))

    before = page(cast, "member-detail", *ids)
    web(cast.manager).post(again)
    between = page(cast, "member-detail", *ids)
    web(cast.manager).post(through)
    after = page(cast, "member-detail", *ids)

    assert [(again in text, through in text) for text in (before, between, after)] == [
        (True, True),
        (False, True),
        (False, False),
    ]
    assert standing(campaign, alice).qualified_version == campaign.guidelines.get()


def test_people_and_known_orders_cost_as_many_queries_at_three_rows_as_at_one(cast: Cast, campaign: Campaign) -> None:
    plan(campaign, qualifies=True, gold_every=5)
    counts: dict[str, list[int]] = {"campaign-members": [], "known-order-list": [], "report-list": []}
    for number in (1, 2, 3):
        user = make_user(f"labeler{number}")
        add_member(campaign=campaign, by=None, user=user)
        labeler = cast.labeler(user)
        say(lease_of(make_known(campaign, text=f"Gold {number}?"), labeler, takes_slot=False), (1, 2))
        task = make_task(campaign, f"Task {number}?")
        say(lease_of(task, labeler), (1, 2))
        say(lease_of(task, labeler, repeat=1, takes_slot=False), (1, 2))
        Report.objects.create(task=task, labeler=labeler, kind="other", text=f"Look {number}")
        for name, found in counts.items():
            client = web(cast.manager)
            with CaptureQueriesContext(
                connection,
            ) as queries:
                client.get(reverse(f"annotation:{name}", args=[campaign.public_id]))
            found.append(len(queries))

    assert {name: len(set(found)) for name, found in counts.items()} == dict.fromkeys(counts, 1), counts


def test_open_reports_are_shown_with_their_task_until_they_are_dealt_with(
    cast: Cast, campaign: Campaign, alice: Labeler
) -> None:
    task = make_task(campaign, "<b>Odd</b> prompt?")
    reports = [
        Report.objects.create(task=task, labeler=alice, kind="personal_data", text=f"<script>{number}</script>")
        for number in range(2)
    ]
    resolve = [reverse("annotation:report-resolve", args=[campaign.public_id, report.public_id]) for report in reports]
    before = page(cast, "report-list", campaign.public_id)

    web(cast.manager).post(resolve[0])
    after = page(cast, "report-list", campaign.public_id)

    assert "&lt;script&gt;0&lt;/script&gt;" in before
    assert "<script>0" not in before
    assert "<b>Odd" not in before
    assert [url in before for url in resolve] == [True, True]
    assert [url in after for url in resolve] == [False, True]
    inbox = reverse("annotation:report-list", args=[campaign.public_id])
    assert inbox in page(cast, "campaign-detail", campaign.public_id)


def test_a_version_of_the_guidelines_asks_to_qualify_again(cast: Cast, campaign: Campaign) -> None:
    url = reverse("annotation:campaign-guidelines", args=[campaign.public_id])

    web(cast.manager).post(url, {"text": "Small change."})
    web(cast.manager).post(url, {"text": "All new.", "asks_again": "on"})

    asked = GuidelineVersion.objects.filter(campaign=campaign).order_by("number").values_list("asks_again", flat=True)
    assert list(asked) == [False, False, True]
