"""A run's samples on its page."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from runs.models import Run, RunSample
from runs.samples import MAX_ROWS, sample_page
from runs.states import RunState
from runs.templatetags.run_text import brief, change
from runs.tests.conftest import StartRun
from tests.cast import Cast, web

HOSTILE = "<script>alert(1)</script> & more"


@pytest.fixture
def run(start_run: StartRun) -> Run:
    """Two prompts at three steps; the second prompt's answer stays as it was."""
    run = start_run()
    for place, step in enumerate((0, 5, 10)):
        add(run, step, 0, f"A wall that stands {'very ' * place}well", score=0.25 * place, kl_nats_per_sequence=place)
        add(run, step, 1, "Seven.", score=1.0)
    return run


def add(run: Run, step: int, index: int, text: str, **values: float) -> None:
    RunSample.objects.create(run=run, step=step, index=index, prompt=f"Prompt <{index}>", text=text, values=values)


def page_of(client: Client, run: Run, **asked: str | int) -> str:
    page = client.get(reverse("runs:run-detail", args=[run.public_id]), asked).content.decode()
    return re.sub(r"\s+>", ">", page.split('<section id="samples"')[1].split("</section>")[0])


def test_newest_step_stands_beside_the_answers_from_before_training(run: Run, cast: Cast) -> None:
    page = page_of(web(cast.manager), run)

    assert "A wall that stands <ins>very very </ins>well" in page
    assert page.count("Before training") == 2
    assert page.count("After step 10") == 2
    assert page.count("The same as before training.") == 1
    assert re.search(r"Score</dt>\s*<dd>\s*0.50\s*<small>\+0.50</small>", page)
    assert re.search(r"KL to the reference</dt>\s*<dd>\s*2\s*<small>\+2</small>", page)
    assert "Prompt &lt;1&gt;" in page


def test_a_step_is_chosen_by_the_address_and_an_unknown_one_is_the_newest(run: Run, cast: Cast) -> None:
    client = web(cast.manager)

    assert "A wall that stands <ins>very </ins>well" in page_of(client, run, step=5)
    first = page_of(client, run, step=0)
    assert "<ins>" not in first
    assert first.count("Before training") == 2
    for unknown in ("7", "-5", "x", "9" * 30, "٥"):
        assert "After step 10" in page_of(client, run, step=unknown)


def test_a_prompt_is_followed_over_all_steps(run: Run, cast: Cast) -> None:
    page = page_of(web(cast.manager), run, prompt=1)

    assert re.findall(r">\s*(Step \d+)\s*</a>", page) == ["Step 0", "Step 5", "Step 10"]
    assert page.count("<ins>") == 2
    assert "Seven" not in page


def test_of_many_steps_some_are_listed_from_the_first_to_the_last(start_run: StartRun) -> None:
    run = start_run()
    for step in range(3 * MAX_ROWS):
        add(run, step, 0, "Same.")

    found = sample_page(run, {"prompt": "1"})

    assert found is not None
    steps = [shown.sample.step for shown in found.rows]
    assert (len(steps), steps[0], steps[-1]) == (MAX_ROWS, 0, 3 * MAX_ROWS - 1)
    assert steps == sorted(set(steps))


def test_hostile_answer_and_prompt_are_text(start_run: StartRun, cast: Cast) -> None:
    run = start_run()
    for step, text in ((0, "Fine & more"), (5, HOSTILE)):
        RunSample.objects.create(run=run, step=step, index=0, prompt=HOSTILE * 20, text=text, values={HOSTILE: 1.0})

    for asked in ({}, {"prompt": 1}):
        page = page_of(web(cast.manager), run, **asked)
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert "<ins>" in page


def test_what_cannot_be_compared_is_shown_without_marks(start_run: StartRun, cast: Cast) -> None:
    run = start_run()
    for step, text in ((0, "wall " * 2000), (5, "stone " * 2000), (10, "")):
        add(run, step, 0, text)
    client = web(cast.manager)

    long = page_of(client, run, step=5)
    empty = page_of(client, run, step=10)

    assert "Too long to compare word by word." in long
    assert "<ins>" not in long
    assert "This answer is empty." in empty


def test_the_part_keeps_the_choice_in_the_address_unless_the_page_asks_by_itself(run: Run, cast: Cast) -> None:
    client, part = web(cast.manager), reverse("runs:run-samples", args=[run.public_id])

    chosen = client.get(part, {"step": 5}, headers={"HX-Request": "true"})
    again = client.get(part, {"step": 5, "again": 1}, headers={"HX-Request": "true"})

    assert chosen["HX-Push-Url"] == reverse("runs:run-detail", args=[run.public_id]) + "?step=5#samples"
    assert "HX-Push-Url" not in again
    assert chosen.content == again.content
    assert "<html" not in chosen.content.decode()


def test_a_live_page_is_told_of_new_samples_only(run: Run, cast: Cast) -> None:
    client, address = web(cast.manager), reverse("runs:run-detail", args=[run.public_id])

    def told(**asked: int) -> bool:
        return "new-samples" in client.get(address, asked, headers={"HX-Request": "true"}).headers.get("HX-Trigger", "")

    assert 'name="seen" value="6"' in page_of(client, run)
    assert [told(seen=6), told(seen=4), told()] == [False, True, False]


def test_a_finished_run_waits_for_no_samples_and_one_without_shows_none(
    run: Run, start_run: StartRun, cast: Cast
) -> None:
    client = web(cast.manager)
    assert 'hx-trigger="new-samples"' in page_of(client, run)
    assert "hidden" in page_of(client, start_run()).split(">")[0]

    Run.objects.filter(pk=run.pk).update(state=RunState.SUCCEEDED)

    assert "new-samples" not in page_of(client, run)


@pytest.mark.parametrize(
    ("value", "short", "signed"),
    [(0.0, "0", "±0"), (23.0, "23", "+23"), (-0.5466, "−0.55", "−0.55"), (0.0123, "0.012", "+0.012"),
     (1234.5, "1,234", "+1,234"), (-3.0, "−3", "−3")],
)  # fmt: skip
def test_numbers_are_short_and_changes_have_a_sign(value: float, short: str, signed: str) -> None:
    assert (brief(value), change(value)) == (short, signed)
