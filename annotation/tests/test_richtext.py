"""What strangers and models write is shown, and does nothing."""

from __future__ import annotations

import re

import pytest

from annotation.templatetags.richtext import inert_markdown

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "[click](javascript:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "![pixel](https://tracker.example/p.gif)",
    "<https://evil.example/>",
    "[ref][1]\n\n[1]: https://evil.example 'title'",
    '<a href="https://evil.example" style="position:fixed">x</a>',
    "<svg/onload=alert(1)>",
    "<iframe src=//evil.example></iframe>",
    "```html\n<script>alert(1)</script>\n```",
    "| <b onclick=x>a</b> |\n|---|\n| <style>*{}</style> |",
    '**bold<div hx-get="/admin/" hx-trigger="load">**',
    "<!-- --><form action=/sign-out/><button>",
]
TAG = re.compile(r"<(/?)([a-z0-9]+)([^>]*)>")
PLAIN = {
    "p",
    "br",
    "code",
    "pre",
    "strong",
    "em",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "span",
    "ol",
    "ul",
    "li",
    "hr",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_inert(text: str) -> None:
    tags = TAG.findall(inert_markdown(text))

    assert {name for _slash, name, _rest in tags} <= PLAIN
    assert {rest.strip() for _slash, _name, rest in tags} <= {"", 'class="inert-link"'}


def test_raw_html_shows_as_the_text_it_is() -> None:
    assert inert_markdown("<script>alert(1)</script>") == "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"


def test_a_link_keeps_its_words_and_shows_its_address() -> None:
    html = inert_markdown("see [the docs](https://docs.example/a?b=1&c=2)")

    assert html == '<p>see <span class="inert-link">the docs</span> (https://docs.example/a?b=1&amp;c=2)</p>\n'


def test_an_image_becomes_its_description() -> None:
    assert inert_markdown("![a cat](https://x.example/c.png)") == "<p>[image: a cat]</p>\n"


def test_right_to_left_text_is_left_as_it_was_written() -> None:
    assert inert_markdown("مرحبا **بالعالم**") == "<p>مرحبا <strong>بالعالم</strong></p>\n"


def test_markdown_still_reads_as_markdown() -> None:
    assert inert_markdown("3. three\n4. four") == '<ol start="3">\n<li>three</li>\n<li>four</li>\n</ol>\n'


def test_deep_nesting_does_not_break_the_page() -> None:
    assert "deep" in inert_markdown(">" * 5000 + " deep") + inert_markdown("[" * 5000 + "deep")
