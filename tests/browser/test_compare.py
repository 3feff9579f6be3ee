"""What only a browser can tell of comparing runs: they are chosen, drawn in the legend's lines, and followed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from runs.models import Run, RunMetric
from tests.browser.cast import Cast, add_models
from tests.browser.conftest import SignIn, asked_within

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.django_db(transaction=True)


def comparison(live_server: object, *runs: Run) -> str:
    return f"{live_server}{reverse('runs:run-compare')}?{urlencode([('run', run.public_id) for run in runs])}"


def readings(page: Page, metric: str) -> list[str]:
    chart = page.locator(".chart").filter(has=page.get_by_role("heading", name=metric, exact=True))
    return [text.strip() for text in chart.locator(".readings li > span:last-child").all_inner_texts()]


def test_runs_are_chosen_while_the_list_is_polled_and_then_compared(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    models = add_models(cast)
    sign_in(page.context, cast.researcher)
    page.clock.install()
    page.goto(f"{live_server}{reverse('runs:run-detail', args=[models.ppo.public_id])}")
    page.get_by_role("link", name="Compare with …").click()
    button = page.get_by_role("button", name="Compare")
    expect(button).to_be_disabled()
    expect(page.locator(f"#choose-{models.ppo.public_id}")).to_be_checked()

    page.locator(f"#choose-{models.done.public_id}").check()
    with page.expect_response(lambda response: response.request.headers.get("hx-request") == "true"):
        page.locator("#runs").evaluate("part => part.dataset.old = 'yes'")
        page.clock.fast_forward(4000)
    page.wait_for_selector("#runs:not([data-old])")

    expect(page.locator(f"#choose-{models.done.public_id}")).to_be_checked()
    expect(button).to_have_text("Compare 2")
    button.click()
    expect(page.get_by_role("heading", name="2 runs compared")).to_be_visible()
    expect(page.locator("#charts-main .chart canvas").first).to_be_visible()


def test_runs_are_compared_without_javascript(
    chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    models = add_models(cast)
    context = chromium.new_context(java_script_enabled=False)
    sign_in(context, cast.researcher)
    page = context.new_page()
    page.goto(f"{live_server}{reverse('runs:run-list')}")

    for run in (models.version.run, models.done):
        page.locator(f"#choose-{run.public_id}").check()
    page.get_by_role("button", name="Compare").click()

    expect(page.get_by_role("heading", name="2 runs compared")).to_be_visible()
    expect(page.locator("#compare-values")).to_contain_text("74.2 %")
    context.close()


def test_curves_are_followed_until_every_run_is_finished(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn, complaints: list[str]
) -> None:
    models = add_models(cast)
    sign_in(page.context, cast.researcher)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    page.goto(comparison(live_server, models.done, models.ppo))
    page.wait_for_selector("#charts-main .chart canvas")
    before = readings(page, "Reward")

    RunMetric.objects.create(run=models.ppo, step=39, name="reward_mean", value=9.75)
    RunMetric.objects.create(run=models.ppo, step=39, name="reward_new", value=0.125)
    Run.objects.filter(pk=models.ppo.pk).update(
        state="succeeded", finished_at=timezone.now(), outcome={"metrics": {"reward_last": 9.5}, "seconds": 61}
    )
    page.clock.fast_forward(4000)
    expect(page.locator("#compare-legend .state.succeeded")).to_have_count(2)
    expect(page.locator("#compare-values")).to_contain_text("9.5")
    expect(page.locator("#charts-main")).to_contain_text("9.75")

    assert readings(page, "Reward") == [before[0], "9.75"]
    page.get_by_text("All other metrics").click()
    assert readings(page, "Reward new") == ["0.125"], "only the run that has it is read"
    done = f"{live_server}{reverse('runs:run-metrics', args=[models.done.public_id])}"
    assert asked.count(done) == 1, "a finished run is not asked again"
    assert asked_within(page, 4600) == []
    assert complaints == []


def test_each_line_is_drawn_as_the_legend_has_it_and_can_be_smoothed(
    page: Page, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    models = add_models(cast)
    sign_in(page.context, cast.researcher)
    page.goto(comparison(live_server, models.done, models.ppo))
    canvas = page.locator("#charts-main .chart canvas").first
    canvas.wait_for()
    strokes = page.locator("#compare-legend .sign path").evaluate_all(
        "paths => paths.map(path => { const s = getComputedStyle(path); return [s.stroke, s.strokeDasharray] })"
    )

    def drawn() -> dict[str, int]:
        """How often each of the legend's colours is on the canvas."""
        page.wait_for_timeout(200)
        found: dict[str, int] = canvas.evaluate(
            """(canvas, colours) => {
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              const count = Object.fromEntries(colours.map((colour) => [colour, 0]));
              for (let at = 0; at < data.length; at += 4) {
                const colour = `rgb(${data[at]}, ${data[at + 1]}, ${data[at + 2]})`;
                if (data[at + 3] === 255 && colour in count) count[colour] += 1;
              }
              return count;
            }""",
            [stroke for stroke, _dash in strokes],
        )
        return found

    raw = drawn()
    page.get_by_label("Smoothing").fill("0.8")
    smooth = drawn()
    page.get_by_label("Smoothing").fill("0")

    assert len({dash for _stroke, dash in strokes}) == 2, "colour is not all that tells them apart"
    assert len(raw) == 2
    assert min(raw.values()) > 50
    assert smooth != raw
    assert drawn() == raw
