"""A campaign with a quality plan at work: people of all standings, known orders, repeats and reports."""

from __future__ import annotations

from annotation.models import Campaign, Labeler, Ranking, Report, Task
from annotation.services import (
    add_guideline_version,
    add_member,
    labeler_for,
    make_known_order,
    set_reading,
    update_campaign,
    wave_through,
)
from annotation.tests.planning import lease_of, say, standing
from tests.browser.cast import GUIDELINES, Cast, add_questions, make_person

QUESTIONS = {
    "Which of these is a prime number?": ["Seven.", "Nine, because 9 = 3 · 3 has only one factor."],
    "How long do you boil an egg to have a soft yolk?": [
        "About six minutes from the moment the water boils.",
        "Half an hour.",
        "Eggs are laid by hens.",
    ],
    "Is it safe to look at the sun through a telescope?": [
        "No. It burns the retina at once; project the image or use a filter made for it.",
        "Yes, if you do it briefly.",
    ],
}
PEOPLE = {
    "ines": (["pt", "en"], ["medicine"]),
    "samir": (["ar", "en"], []),
    "tove": ([], ["law", "tax"]),
}


def add_quality(cast: Cast) -> None:
    """Three known orders, one of them doubtful; three people who work by them; two open reports."""
    campaign = cast.campaign
    update_campaign(
        campaign=campaign,
        by=cast.manager,
        quality={"gold_every": 12, "repeat_every": 20, "qualifies": True, "max_per_day": 120},
    )
    people = [_person(cast, name, *reading) for name, reading in PEOPLE.items()]
    sun, egg, prime = _known_orders(cast)
    for person, ranks in zip(people, ((1, 2), (2, 1), (2, 1)), strict=True):
        say(lease_of(sun, person, takes_slot=False), ranks)
        say(lease_of(prime, person, takes_slot=False), (1, 2))
    say(lease_of(egg, people[0], takes_slot=False), (1, 2, 2))
    _repeat(campaign, people[0])
    failed = standing(campaign, people[1])
    failed.failed_at = campaign.created_at
    failed.save(update_fields=["failed_at"])
    task = campaign.tasks.filter(role="work").order_by("pk")[0]
    for person, kind, text in (
        (people[1], "personal_data", "The second answer names a real person with their address."),
        (people[2], "guidelines", "May an answer be long if it is a list?"),
    ):
        Report.objects.create(task=task, labeler=person, kind=kind, text=text)
    add_guideline_version(campaign=campaign, by=cast.manager, text=GUIDELINES + "\nLists may be long.", asks_again=True)
    wave_through(campaign=campaign, labeler=people[2], by=cast.manager)
    wave_through(campaign=campaign, labeler=labeler_for(workspace=cast.workspace, user=cast.labeler), by=cast.manager)


def _person(cast: Cast, name: str, languages: list[str], skills: list[str]) -> Labeler:
    user = make_person(name)
    add_member(campaign=cast.campaign, by=cast.manager, user=user)
    labeler = labeler_for(workspace=cast.workspace, user=user)
    set_reading(campaign=cast.campaign, labeler=labeler, by=cast.manager, languages=languages, skills=skills)
    return labeler


def _known_orders(cast: Cast) -> list[Task]:
    add_questions(cast.campaign, QUESTIONS)
    tasks = list(cast.campaign.tasks.order_by("-pk")[: len(QUESTIONS)])
    made = []
    for task, role in zip(tasks, ("gold", "training", "gold"), strict=True):
        answers = task.items.select_related("completion").order_by("position")
        ranks = {str(item.completion.public_id): min(item.position + 1, 2) for item in answers}
        made.append(make_known_order(task=task, by=cast.manager, role=role, ranks=ranks, explanation="See above."))
    return made


def _repeat(campaign: Campaign, labeler: Labeler) -> None:
    task = campaign.tasks.filter(role="work", purpose="collect", archived_at=None).order_by("pk")[0]
    num = task.items.count()
    say(lease_of(task, labeler), range(1, num + 1))
    first = Ranking.objects.get(task=task, labeler=labeler)
    assert first.lease is not None
    again = lease_of(task, labeler, repeat=1, takes_slot=False, shown=first.lease.shown[::-1])
    say(again, (2, 1, *range(3, num + 1)))
