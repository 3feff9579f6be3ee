"""Ten rankings by keyboard alone, timed: `pytest tests/browser/ten_rankings.py -s`.

Each key is pressed after the time that a practised hand takes, and nothing waits for the server; what is printed is how
long the page takes from Enter until the next task can be ranked, and how long the ten take in all. The file's name
keeps it out of `make test`: a speed is no test.
"""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import pytest

from annotation.models import Ranking
from annotation.protocols import PRESETS
from tests.browser.cast import make_cast
from tests.browser.conftest import SignIn
from tests.browser.desk import ask_as, press, start, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(0)]
NUM_RANKINGS = 10
KEY_SECONDS = 0.15
READING_SECONDS = 2.0
KEYS = {"simple": "1223", "instructgpt": "73511223", "llama2": "7", "hh": "3"}
TIMED = """
addEventListener("keydown", (event) => { if (event.key === "Enter") window.enteredAt = performance.now(); }, true);
new MutationObserver(() => {
  const work = document.getElementById("work");
  if (!work || work === window.lastWork || !work.querySelector(".answer.current")) return;
  if (window.lastWork) requestAnimationFrame(() => (window.took ??= []).push(performance.now() - window.enteredAt));
  window.lastWork = work;
}).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });
"""


def has_measured(page: Page, num: int) -> bool:
    return len(page.evaluate("window.took ?? []")) >= num


@pytest.mark.parametrize("preset", KEYS)
def test_ten_rankings(preset: str, page: Page, live_server: object, transactional_db: None, sign_in: SignIn) -> None:
    found = PRESETS[preset]
    answers = [f"Answer number {n} says something of its own." for n in range(found.completions_per_task)]
    cast = make_cast(questions={f"Question {n}?": [f"{a} ({n})" for a in answers] for n in range(NUM_RANKINGS + 2)})
    ask_as(cast, preset)
    page.context.add_init_script(TIMED)
    start(page, live_server, cast, sign_in)

    began = time.monotonic()
    for number in range(NUM_RANKINGS):
        page.wait_for_timeout(READING_SECONDS * 1000)
        for key in (*KEYS[preset], "Enter"):
            press(page, key)
            page.wait_for_timeout(KEY_SECONDS * 1000)
        wait_until(page, partial(has_measured, page, number + 1))
    seconds = time.monotonic() - began

    took = page.evaluate("window.took")
    wait_until(page, lambda: Ranking.objects.count() == NUM_RANKINGS)
    idle = READING_SECONDS + (len(KEYS[preset]) + 1) * KEY_SECONDS
    print(
        f"\n{preset}: {seconds:.1f} s for {NUM_RANKINGS}, of which {NUM_RANKINGS * idle:.1f} s reading and typing;"
        f" Enter to next task: median {median(took):.0f} ms, longest {max(took):.0f} ms"
    )
