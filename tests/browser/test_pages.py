"""What only a browser can tell of the other pages: they fit a phone, follow a run by themselves, keep the theme."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import User
from annotation import services
from runs.models import Run, RunMetric, RunNote
from tests.browser.cast import Cast, add_models, add_rankings
from tests.browser.conftest import SignIn, asked_within
from tests.stored import make_measurable

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_page_scrolls_sideways_on_a_phone(
    chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    models = add_models(cast)
    add_rankings(cast)
    labeler = services.labeler_for(workspace=cast.workspace, user=cast.labeler)
    lease = services.claim_task(campaign=cast.campaign, labeler=labeler, purpose="collect")
    assert lease is not None
    campaign = [cast.campaign.public_id]
    visits = {
        cast.labeler: [reverse("home"), reverse("annotation:lease", args=[lease.public_id])],
        cast.manager: [
            reverse("annotation:campaign-list"),
            *(
                reverse(f"annotation:campaign-{name}", args=campaign)
                for name in ("detail", "edit", "import", "members")
            ),
        ],
        cast.researcher: [
            reverse("home"),
            reverse("runs:run-list"),
            reverse("runs:run-detail", args=[models.ppo.public_id]),
            f"{reverse('runs:run-compare')}?run={models.ppo.public_id}&run={models.version.run.public_id}",
            reverse("reward:version-list"),
            reverse("reward:version-detail", args=[models.version.public_id]),
            reverse("reward:version-scores", args=[models.version.public_id]),
            reverse("reward:completion-detail", args=[models.explanation.completion.public_id]),
            reverse("reward:train", args=campaign),
            reverse("policy:checkpoint-list"),
            reverse("policy:checkpoint-detail", args=[models.trained.public_id]),
            reverse("policy:ppo", args=[models.base.public_id]),
            reverse("policy:dpo", args=[models.base.public_id]),
            reverse("policy:sft", args=[models.base.public_id]),
            reverse("reward:snapshot-detail", args=[models.snapshot.public_id]),
            reverse("policy:study-detail", args=[models.study.public_id]),
        ],
    }
    too_wide = []
    for user, paths in visits.items():
        context = chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
        sign_in(context, user)
        page = context.new_page()
        for path in paths:
            page.goto(f"{live_server}{path}")
            if page.evaluate("document.documentElement.scrollWidth") > 360:
                too_wide.append(path)
        context.close()

    assert too_wide == []


def test_a_run_is_followed_until_it_is_finished(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, complaints: list[str]
) -> None:
    run = add_models(cast).ppo
    sign_in(page.context, cast.researcher)
    page.clock.install()
    page.goto(f"{live_server}{reverse('runs:run-detail', args=[run.public_id])}")
    page.wait_for_selector("#charts-main .chart canvas")
    first = page.locator("#charts-main .chart .now").first.inner_text()
    page.get_by_role("heading", name="Metrics").evaluate("heading => heading.dataset.same = 'yes'")

    RunMetric.objects.create(run=run, step=27, name="reward_mean", value=9.75)
    Run.objects.filter(pk=run.pk).update(
        state="succeeded",
        finished_at=timezone.now(),
        outcome={"metrics": {"reward_last": 9.75}, "seconds": 61, "peak_rss_mib": 900},
    )
    page.clock.fast_forward(2000)

    page.wait_for_selector("#run-live .state.succeeded")
    expect(page.locator("#charts-main .chart .now").first).to_have_text("9.75")
    assert first != "9.75"
    assert page.locator("#run-live").get_attribute("hx-trigger") is None
    assert page.locator("[data-same=yes]").count() == 1  # the page was not loaded again
    assert asked_within(page, 2600) == []
    assert complaints == []


@pytest.mark.parametrize(("account", "zone"), [("", "Asia/Kolkata"), ("America/Bogota", "America/Bogota")])
def test_times_are_the_readers_own_also_when_a_part_comes_anew(
    chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn, account: str, zone: str
) -> None:
    run = add_models(cast).ppo
    User.objects.filter(pk=cast.researcher.pk).update(timezone=account)
    context = chromium.new_context(timezone_id="Asia/Kolkata", locale="de-DE")
    sign_in(context, cast.researcher)
    page = context.new_page()
    page.goto(f"{live_server}{reverse('runs:run-detail', args=[run.public_id])}")

    def own(moment: datetime, form: str) -> str:
        return moment.astimezone(ZoneInfo(zone)).strftime(form)

    created = page.locator("time[data-shows=minute]").first
    expect(created).to_have_text(own(run.created_at, "%Y-%m-%d %H:%M"))
    note = RunNote.objects.create(run=run, level="warning", message="Look here.", created_at=timezone.now())
    last = page.locator("#run-live li", has_text="Look here.").locator("time")
    expect(last).to_have_text(own(note.created_at, "%H:%M:%S"), timeout=15_000)
    context.close()


def test_curves_are_smoothed_and_come_back_and_held_out_reward_stands_beside_kl(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    models = add_models(cast)
    sign_in(page.context, cast.researcher)
    page.goto(f"{live_server}{reverse('runs:run-detail', args=[models.ppo.public_id])}")
    canvas = page.locator("#charts-main .chart canvas").first
    canvas.wait_for()

    def drawn() -> str:
        page.wait_for_timeout(200)  # uPlot draws in a later frame
        picture: str = canvas.evaluate("canvas => canvas.toDataURL()")
        return picture

    raw = drawn()
    page.get_by_label("Smoothing").fill("0.8")
    smooth = drawn()
    page.get_by_label("Smoothing").fill("0")

    assert smooth != raw
    assert drawn() == raw
    legend = page.locator("#charts-together .u-legend")
    expect(legend).to_contain_text("Validation reward")
    expect(legend).to_contain_text("Validation KL, nats per sequence")


def test_the_chosen_theme_is_kept(page: Page, live_server: object, cast: Cast) -> None:
    page.goto(f"{live_server}{reverse('accounts:sign-in')}")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.get_by_role("button", name="Light or dark").click()
    page.reload()

    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_the_skip_link_leads_past_the_header(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    sign_in(page.context, cast.manager)
    page.goto(f"{live_server}{reverse('annotation:campaign-list')}")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"


def test_the_estimate_follows_what_is_typed(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    models = add_models(cast)
    make_measurable(models.base, models.version)
    sign_in(page.context, cast.researcher)
    page.goto(f"{live_server}{reverse('policy:ppo', args=[models.base.public_id])}")
    panel = page.locator("#estimate")
    expect(panel).to_contain_text("of the 23.5 GiB of memory on workshop")
    expect(panel).not_to_contain_text("value network")

    page.get_by_label("Value network").select_option("separate")

    expect(panel).to_contain_text("Weights of the value network")
    page.get_by_label("Answers per step").fill("0")
    expect(panel).to_contain_text("config_invalid")
    page.get_by_label("Answers per step").fill("16")
    expect(panel).to_contain_text("Weights of the value network")
