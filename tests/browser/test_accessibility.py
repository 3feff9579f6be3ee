"""axe-core finds nothing to complain of on the main pages: light and dark, wide and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from accounts.models import User
from annotation import services
from tests.browser.cast import Cast, add_models, add_rankings
from tests.browser.conftest import SignIn
from tests.browser.quality import add_quality

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.django_db(transaction=True)
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
LOOKS = {"light": {"width": 1440, "height": 900}, "dark": {"width": 360, "height": 740}}


def main_pages(cast: Cast) -> dict[User | None, list[str]]:
    models = add_models(cast)
    add_rankings(cast)
    add_quality(cast)
    labeler = services.labeler_for(workspace=cast.workspace, user=cast.labeler)
    lease = services.claim_task(campaign=cast.campaign, labeler=labeler, purpose="collect")
    assert lease is not None
    campaign = [cast.campaign.public_id]
    return {
        None: [reverse("accounts:sign-in")],
        cast.labeler: [reverse("home"), reverse("annotation:lease", args=[lease.public_id]), "/nothing/here/"],
        cast.manager: [
            reverse("home"),
            reverse("annotation:campaign-list"),
            reverse("annotation:campaign-create"),
            reverse("annotation:campaign-detail", args=campaign),
            reverse("annotation:campaign-import", args=campaign),
            reverse("annotation:campaign-members", args=campaign),
            reverse("annotation:campaign-guidelines", args=campaign),
            reverse("annotation:member-detail", args=[*campaign, cast.labeler.public_id]),
            reverse("annotation:quality-plan", args=campaign),
            reverse("annotation:known-order-list", args=campaign),
            reverse("annotation:known-order-create", args=[*campaign, lease.task.public_id]),
            reverse("annotation:report-list", args=campaign),
            reverse("reward:labeler-detail", args=[*campaign, labeler.public_id]),
        ],
        cast.researcher: [
            reverse("annotation:campaign-detail", args=campaign),
            reverse("runs:run-list"),
            *(reverse("runs:run-detail", args=[run.public_id]) for run in (models.ppo, models.failed)),
            reverse("runs:run-detail", args=[models.ppo.public_id]) + "?prompt=1",
            f"{reverse('runs:run-compare')}?run={models.ppo.public_id}&run={models.version.run.public_id}",
            reverse("reward:version-list"),
            reverse("reward:version-detail", args=[models.version.public_id]),
            f"{reverse('reward:version-scores', args=[models.version.public_id])}?campaign={campaign[0]}&order=unsure",
            reverse("reward:snapshot-detail", args=[models.snapshot.public_id]),
            reverse("reward:completion-detail", args=[models.explanation.completion.public_id]),
            reverse("reward:train", args=campaign),
            reverse("policy:checkpoint-list"),
            reverse("policy:checkpoint-detail", args=[models.trained.public_id]),
            *(reverse(f"policy:{kind}", args=[models.base.public_id]) for kind in ("ppo", "dpo", "sft")),
            reverse("policy:sample", args=campaign),
            reverse("policy:follow", args=campaign),
            reverse("policy:study-create", args=campaign),
            reverse("policy:study-detail", args=[models.study.public_id]),
        ],
    }


def violations(page: Page) -> list[str]:
    """One line an element: the rule, where, and what axe says of it."""
    page.add_script_tag(path=AXE)
    found: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations'], preload: false})")
    return [
        f"{rule['id']} at {node['target']}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", LOOKS)
def test_axe_finds_no_violation(
    scheme: str, chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    told: dict[str, list[str]] = {}
    for user, paths in main_pages(cast).items():
        # The script comes from here, not from the site: its content security policy would refuse it.
        context = chromium.new_context(bypass_csp=True, color_scheme=scheme, viewport=LOOKS[scheme])  # type: ignore[arg-type]
        if user is not None:
            sign_in(context, user)
        page = context.new_page()
        for path in paths:
            page.goto(f"{live_server}{path}")
            told[f"{user} {path}"] = violations(page)
        context.close()

    assert {where: what for where, what in told.items() if what} == {}


def test_axe_finds_no_violation_in_the_ranking_pages_dialogs(
    chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    context = chromium.new_context(bypass_csp=True)
    sign_in(context, cast.labeler)
    page = context.new_page()
    page.goto(f"{live_server}{reverse('annotation:work')}")
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".answer.current")
    for key in ("?", "Escape", "s"):
        page.keyboard.press(key)
        assert violations(page) == []
    context.close()
