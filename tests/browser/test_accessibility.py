"""axe-core finds nothing to complain of on any page, as it is and under the looks that people ask their system for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from annotation import services
from tests.browser.cast import Cast, add_models, add_rankings
from tests.browser.conftest import SignIn
from tests.browser.quality import add_quality
from tests.test_pages import PAGES, address, ids_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.django_db(transaction=True)
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOK_RULES = ["color-contrast", "target-size", "link-in-text-block", "scrollable-region-focusable"]
PLAIN: dict[str, Any] = {
    "viewport": {"width": 1440, "height": 900},
    "color_scheme": "light",
    "contrast": "no-preference",
    "forced_colors": "none",
}
NOT_PAGES = ("csv", "parquet", "tensorboard", "-metrics", "-log", "-agreement", "-samples", "-progress")
"""Files, and parts of other pages."""
LOOKS: dict[str, dict[str, Any]] = {
    "dark, on a phone": {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}},
    "light, on a phone, more contrast": {
        "color_scheme": "light",
        "viewport": {"width": 360, "height": 740},
        "contrast": "more",
    },
    "dark, very large, more contrast": {
        "color_scheme": "dark",
        "viewport": {"width": 2560, "height": 1440},
        "contrast": "more",
    },
    "the system's colours": {"viewport": {"width": 1440, "height": 900}, "forced_colors": "active"},
}
ROLES = ("labeler", "manager", "researcher")


def pages_of(cast: Cast) -> dict[str, list[str]]:
    """Every page of the table of pages for each role that sees it, once: a manager's page is not asked for again."""
    models = add_models(cast)
    add_rankings(cast)
    add_quality(cast)
    ids = ids_of(cast, models)
    extra = {
        "labeler": ["/nothing/here/"],
        "manager": [],
        "researcher": [
            address("runs:run-detail", "run", ids) + "?prompt=1",
            reverse("runs:run-detail", args=[models.failed.public_id]),
        ],
    }
    own: dict[str, list[str]] = {role: extra[role] for role in ROLES}
    for name, (kind, allowed) in PAGES.items():
        # A page that differs by role is looked at by each, the rest by whoever may do the most on it.
        seeing = [role for role in ROLES if allowed[role] == 200]
        for role in seeing if name in ("home", "annotation:campaign-detail") else seeing[-1:]:
            if not name.endswith(NOT_PAGES):
                own[role].append(address(name, kind, ids))
    return own


def violations(page: Page, **run_only: list[str]) -> list[str]:
    """One line an element: the rule, where, and what axe says of it."""
    options = {"resultTypes": ["violations"], "preload": False, "rules": {"target-size": {"enabled": True}}}
    kind, values = next(iter(run_only.items()), ("tags", TAGS))
    options["runOnly"] = {"type": kind, "values": values}
    found: dict[str, Any] = page.evaluate("(options) => axe.run(options)", options)
    return [
        f"{rule['id']} at {node['target']}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def looked_at(page: Page, url: str) -> dict[str, list[str]]:
    """The site answers once; the browser then changes the look, and only what a look changes is asked again."""
    show(page, PLAIN)
    page.goto(url)
    page.add_script_tag(path=AXE)
    told = {"all rules": violations(page)}
    for name, look in LOOKS.items():
        show(page, {**PLAIN, **look})
        # Where the system paints, contrast is the system's.
        rules = LOOK_RULES if "forced_colors" not in look else [rule for rule in LOOK_RULES if rule != "color-contrast"]
        told[name] = violations(page, rules=rules)
    return told


def show(page: Page, look: dict[str, Any]) -> None:
    """Change the look, and have every style made anew: Chromium keeps some colours of the scheme before."""
    page.set_viewport_size(look["viewport"])
    page.emulate_media(**{key: value for key, value in look.items() if key != "viewport"})
    page.evaluate("""() => {
        document.documentElement.hidden = true;
        document.documentElement.getBoundingClientRect();
        document.documentElement.hidden = false;
        return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())));
    }""")


def context_of(chromium: Browser, **look: Any) -> BrowserContext:
    # The script comes from here, not from the site: its content security policy would refuse it. Without motion, or a
    # button would be looked at on its way from one scheme's colour to the other's.
    return chromium.new_context(bypass_csp=True, reduced_motion="reduce", **look)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ROLES)
def test_axe_finds_no_violation_on_any_page(
    role: str, chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    context = context_of(chromium)
    sign_in(context, getattr(cast, role))
    page = context.new_page()

    told = {path: looked_at(page, f"{live_server}{path}") for path in pages_of(cast)[role]}
    context.clear_cookies()
    told["sign-in"] = looked_at(page, f"{live_server}{reverse('accounts:sign-in')}")
    context.close()

    complaints = {f"{path} ({look})": what for path, looks in told.items() for look, what in looks.items() if what}
    assert complaints == {}


def test_axe_finds_no_violation_in_the_ranking_pages_dialogs(
    chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn
) -> None:
    context = context_of(chromium)
    sign_in(context, cast.labeler)
    page = context.new_page()
    page.goto(f"{live_server}{reverse('annotation:work')}")
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector(".answer.current")
    page.add_script_tag(path=AXE)
    for key in ("?", "Escape", "s"):
        page.keyboard.press(key)
        assert violations(page) == []
    context.close()


def test_rendered_texts_are_accessible_too(chromium: Browser, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    """Code in colours, formulas, tables and the signs for hidden characters, in both schemes."""
    code = "```python\ndef f(x): # why\n    return 'a', 1.5\n```\n\n"
    text = code + "| a | b |\n|---|---|\n| $x^2$ | \u202e [c](https://d.example) |"
    services.add_guideline_version(campaign=cast.campaign, by=cast.manager, text=text)
    context = context_of(chromium)
    sign_in(context, cast.manager)
    page = context.new_page()
    page.goto(f"{live_server}{reverse('annotation:campaign-guidelines', args=[cast.campaign.public_id])}")
    page.add_script_tag(path=AXE)
    for scheme in ("light", "dark"):
        show(page, {**PLAIN, "color_scheme": scheme})
        assert page.locator(".prose pre .k").count() > 0
        assert violations(page) == []
    context.close()


def test_less_motion_is_none(page: Page, live_server: object, cast: Cast, sign_in: SignIn) -> None:
    sign_in(page.context, cast.labeler)
    longest = """() => Math.max(...[...document.querySelectorAll('*')].flatMap((element) => {
        const style = getComputedStyle(element);
        return [style.transitionDuration, style.animationDuration].flatMap((text) => text.split(',').map(parseFloat));
    }))"""
    page.goto(f"{live_server}{reverse('annotation:work')}")
    assert page.evaluate(longest) > 0.05

    page.emulate_media(reduced_motion="reduce")

    assert page.evaluate(longest) <= 0.001
