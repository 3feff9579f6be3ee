"""Pictures of every page with realistic data, to be looked at: `pytest tests/browser/screenshots.py`.

They go to SCREENSHOTS, or to var/screenshots; nothing is compared, so the file's name keeps it out of `make test`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.conf import settings
from django.urls import reverse

from accounts.models import User
from annotation import services
from annotation.models import Labeler, Lease, Purpose, Ranking
from annotation.protocols import PRESETS, Questions
from reward.labelers import set_labeler_aside, take_labeler_back
from runs.models import Run
from tests.browser.cast import QUESTIONS, Cast, Models, add_curves, add_models, add_rankings, make_cast
from tests.browser.desk import ask, overflow, press
from tests.browser.quality import add_quality
from tests.stored import make_measurable

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZES = {"1440": (1440, 900), "360": (360, 780)}
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(0)]


def listen(page: Page) -> list[str]:
    """The page's complaints, as they come."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    return found


def session_of(user: User, live_server: object) -> dict[str, str]:
    from django.test import Client

    client = Client()
    client.force_login(user)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    return {"name": cookie.key, "value": cookie.value, "url": str(live_server)}


def set_aside_labeler(cast: Cast, models: Models) -> list[Labeler]:
    """The snapshot holds what is there; one of its labelers is set aside, was once before, and comes first."""
    models.snapshot.rankings.set(Ranking.objects.filter(task__campaign=cast.campaign, task__purpose=Purpose.COLLECT))
    odd, other = Labeler.objects.filter(pk__in=models.snapshot.rankings.values("labeler")).order_by("name")[:2]
    about: dict[str, Any] = {"campaign": cast.campaign, "labeler": odd, "by": cast.manager}
    set_labeler_aside(**about, reason="Twenty tasks in two minutes; asked for an explanation.")
    take_labeler_back(**about)
    set_labeler_aside(**about, reason="Always prefers the answer on the left, and has been told twice.")
    return [odd, other]


def compared(models: Models) -> str:
    query = {"run": [run.public_id for run in (models.ppo, models.done, models.version.run)]}
    return f"{reverse('runs:run-compare')}?{urlencode(query, doseq=True)}"


def compared_many(models: Models) -> str:
    """Eight of them, all alike but for their noise: what the colours and dashes must tell apart."""
    runs = []
    for number in range(8):
        run = Run.objects.get(pk=models.done.pk)
        run.pk, run.public_id, run.title, run.seed = None, uuid4(), f"Seed {number}", number
        run.config = {**run.config, "learning_rate": 1e-6 * (number + 1)}
        run.save(force_insert=True)
        add_curves(run, steps=60 + 10 * number, seed=number)
        runs.append(run.public_id)
    return f"{reverse('runs:run-compare')}?{urlencode({'run': runs}, doseq=True)}"


def test_take_pictures(live_server: object, chromium: Browser) -> None:
    directory = Path(os.environ.get("SCREENSHOTS", settings.BASE_DIR / "var" / "screenshots"))
    directory.mkdir(parents=True, exist_ok=True)
    cast = make_cast()
    models = add_models(cast)
    add_rankings(cast)
    make_measurable(models.base, models.version)
    odd = set_aside_labeler(cast, models)
    add_quality(cast)
    labeler = services.labeler_for(workspace=cast.workspace, user=cast.labeler)
    lease = services.claim_task(campaign=cast.campaign, labeler=labeler, purpose="collect")
    assert lease is not None
    campaign = [cast.campaign.public_id]
    known = cast.campaign.tasks.filter(role="gold").latest("pk")
    pages = {
        "sign-in": (None, reverse("accounts:sign-in")),
        "home-labeler": (cast.labeler, reverse("home")),
        "home-manager": (cast.manager, reverse("home")),
        "home-researcher": (cast.researcher, reverse("home")),
        "rank": (cast.labeler, reverse("annotation:lease", args=[lease.public_id])),
        "campaigns": (cast.manager, reverse("annotation:campaign-list")),
        "campaign": (cast.manager, reverse("annotation:campaign-detail", args=campaign)),
        "campaign-researcher": (cast.researcher, reverse("annotation:campaign-detail", args=campaign)),
        "campaign-new": (cast.manager, reverse("annotation:campaign-create")),
        "guidelines": (cast.manager, reverse("annotation:campaign-guidelines", args=campaign)),
        "members": (cast.manager, reverse("annotation:campaign-members", args=campaign)),
        "member": (
            cast.manager,
            reverse("annotation:member-detail", args=[*campaign, cast.labeler.public_id]),
        ),
        "quality": (cast.manager, reverse("annotation:quality-plan", args=campaign)),
        "known-orders": (cast.manager, reverse("annotation:known-order-list", args=campaign)),
        "known-order-change": (
            cast.manager,
            reverse("annotation:known-order-change", args=[*campaign, known.public_id]),
        ),
        "known-order": (
            cast.manager,
            reverse("annotation:known-order-create", args=[*campaign, lease.task.public_id]),
        ),
        "reports": (cast.manager, reverse("annotation:report-list", args=campaign)),
        "scores-unsure": (
            cast.researcher,
            reverse("reward:version-scores", args=[models.version.public_id])
            + f"?campaign={cast.campaign.public_id}&order=unsure",
        ),
        "import": (cast.manager, reverse("annotation:campaign-import", args=campaign)),
        "runs": (cast.researcher, reverse("runs:run-list")),
        "run": (cast.researcher, reverse("runs:run-detail", args=[models.ppo.public_id])),
        "run-prompt": (cast.researcher, reverse("runs:run-detail", args=[models.ppo.public_id]) + "?prompt=1"),
        "run-done": (cast.researcher, reverse("runs:run-detail", args=[models.version.run.public_id])),
        "run-failed": (cast.manager, reverse("runs:run-detail", args=[models.failed.public_id])),
        "runs-chosen": (cast.researcher, f"{reverse('runs:run-list')}?run={models.ppo.public_id}"),
        "compare": (cast.researcher, compared(models)),
        "compare-many": (cast.researcher, compared_many(models)),
        "reward": (cast.researcher, reverse("reward:version-list")),
        "reward-version": (cast.researcher, reverse("reward:version-detail", args=[models.version.public_id])),
        "scores": (cast.researcher, reverse("reward:version-scores", args=[models.version.public_id])),
        "snapshot": (cast.researcher, reverse("reward:snapshot-detail", args=[models.snapshot.public_id])),
        "completion": (
            cast.researcher,
            reverse("reward:completion-detail", args=[models.explanation.completion.public_id]),
        ),
        "labeler": (cast.researcher, reverse("reward:labeler-detail", args=[*campaign, odd[0].public_id])),
        "labeler-counted": (cast.manager, reverse("reward:labeler-detail", args=[*campaign, odd[1].public_id])),
        "train": (cast.researcher, reverse("reward:train", args=campaign)),
        "checkpoints": (cast.researcher, reverse("policy:checkpoint-list")),
        "checkpoint": (cast.researcher, reverse("policy:checkpoint-detail", args=[models.trained.public_id])),
        "checkpoint-import": (cast.researcher, reverse("policy:checkpoint-import")),
        "ppo": (cast.researcher, reverse("policy:ppo", args=[models.base.public_id])),
        "dpo": (cast.researcher, reverse("policy:dpo", args=[models.base.public_id])),
        "sft": (cast.researcher, reverse("policy:sft", args=[models.base.public_id])),
        "sample": (cast.researcher, reverse("policy:sample", args=campaign)),
        "follow": (cast.researcher, reverse("policy:follow", args=campaign)),
        "study-new": (cast.researcher, reverse("policy:study-create", args=campaign)),
        "study": (cast.researcher, reverse("policy:study-detail", args=[models.study.public_id])),
        "404": (cast.labeler, "/nothing/here/"),
    }
    only = set(filter(None, os.environ.get("ONLY", "").split(",")))
    for scheme in ("light", "dark"):
        for size, (width, height) in SIZES.items():
            for name, (user, path) in pages.items():
                if only and name not in only:
                    continue
                context = chromium.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,  # type: ignore[arg-type]
                    has_touch=size == "360",
                )
                if user is not None:
                    context.add_cookies([session_of(user, live_server)])  # type: ignore[list-item]
                page = context.new_page()
                errors = listen(page)
                page.goto(f"{live_server}{path}")
                page.wait_for_timeout(450)
                page.screenshot(path=directory / f"{name}-{size}-{scheme}.png", full_page=True)
                print(name, size, scheme, f"overflow={overflow(page)}", errors or "")
                context.close()


LONG_ANSWER = (
    """A plumb line is a weight on a string; it shows the **vertical**.

```python
def is_straight(wall: list[float], tolerance: float = 0.002) -> bool:
    # in metres
    return max(wall) - min(wall) <= tolerance
```

1. Hang it beside the wall.
2. Wait until the bob is still.
3. Measure from the string to the wall, at the top and at the bottom.

| course | distance, mm |
|---|---|
| first | 42 |
| tenth | 43 |
"""
    + "\nMasons have used it for five thousand years, and it has never needed a battery.\n" * 14
)
DESKS: dict[str, tuple[str, Questions, int, list[str]]] = {
    "ranking": ("ranking", Questions(), 4, ["1", "2", "2"]),
    "strict": ("strict", Questions(rationale="required"), 4, ["1", "2", "2"]),
    "instructgpt": ("ranking", PRESETS["instructgpt"].questions, 4, ["7", "3", "5", "1", "1", "f"]),
    "llama2": ("strength", PRESETS["llama2"].questions, 2, ["7"]),
    "hh": ("scale", PRESETS["hh"].questions, 2, ["3"]),
    "best": ("best", Questions(rewrite="optional"), 3, ["2"]),
    "nine": ("ranking", Questions(), 9, ["1", "3", "u"]),
}


def make_desk(protocol: str, questions: Questions, num_answers: int) -> tuple[Cast, Lease]:
    answers = [LONG_ANSWER, *(text for texts in QUESTIONS.values() for text in texts)][:num_answers]
    cast = make_cast(questions={"What is a plumb line for, and how do I *check a wall* with it?": answers})
    ask(cast, protocol, questions)
    labeler = services.labeler_for(workspace=cast.workspace, user=cast.labeler)
    lease = services.claim_task(campaign=cast.campaign, labeler=labeler)
    assert lease is not None
    return cast, lease


@pytest.mark.parametrize("name", DESKS)
def test_take_pictures_of_the_desk(name: str, live_server: object, chromium: Browser) -> None:
    """The ranking page as each protocol asks, in the middle of the work, on a phone, a laptop and a wide screen."""
    directory = Path(os.environ.get("SCREENSHOTS", settings.BASE_DIR / "var" / "screenshots"))
    directory.mkdir(parents=True, exist_ok=True)
    protocol, questions, num_answers, keys = DESKS[name]
    cast, lease = make_desk(protocol, questions, num_answers)
    for scheme in ("light", "dark"):
        for size, (width, height) in {**SIZES, "2560": (2560, 1300)}.items():
            context = chromium.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,  # type: ignore[arg-type]
                has_touch=size == "360",
            )
            context.add_cookies([session_of(cast.labeler, live_server)])  # type: ignore[list-item]
            page = context.new_page()
            errors = listen(page)
            page.goto(f"{live_server}{reverse('annotation:lease', args=[lease.public_id])}")
            page.wait_for_selector(".answer.current")
            press(page, *keys)
            page.wait_for_timeout(300)
            page.screenshot(path=directory / f"desk-{name}-{size}-{scheme}.png", full_page=size == "360")
            print(name, size, scheme, f"overflow={overflow(page)}", errors or "")
            context.close()


def test_take_the_readme_picture(live_server: object, chromium: Browser) -> None:
    """The ranking page; pictures of figures are taken from real runs, not here."""
    cast = make_cast()
    labeler = services.labeler_for(workspace=cast.workspace, user=cast.labeler)
    lease = services.claim_task(campaign=cast.campaign, labeler=labeler, purpose="collect")
    assert lease is not None
    context = chromium.new_context(viewport={"width": 1360, "height": 850}, color_scheme="light")
    context.add_cookies([session_of(cast.labeler, live_server)])  # type: ignore[list-item]
    page = context.new_page()
    page.goto(f"{live_server}{reverse('annotation:lease', args=[lease.public_id])}")
    page.wait_for_timeout(800)
    for key in "12":
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    page.screenshot(path=settings.BASE_DIR / "docs" / "images" / "ranking.png")
    context.close()
