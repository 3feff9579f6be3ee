"""What strangers and models write is shown, and does nothing."""

from __future__ import annotations

import re

import pytest
from django.utils import translation

from annotation.richtext import markdown
from annotation.richtext.allowed import ATTRIBUTES, TAGS
from annotation.richtext.highlighting import MAX_CHARACTERS, highlighted
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
    '```"onmouseover="alert(1)\nx\n```',
    "| <b onclick=x>a</b> |\n|---|\n| <style>*{}</style> |",
    '**bold<div hx-get="/admin/" hx-trigger="load">**',
    "<!-- --><form action=/sign-out/><button>",
    "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>",
    "<math><annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml></math>",
    "$\\text{<img src=x onerror=alert(1)>}$",
    "$\\text{&lt;script&gt;alert(1)&lt;/script&gt;}$",
    "$$\\href{javascript:alert(1)}{x}$$",
    "\\[\\style{position:fixed;inset:0}{x}\\]",
    "\\(\\class{skip}{x} \\color{white}{x} \\colorbox{white}{x}\\)",
    "$\\unicode{x3c}script\\unicode{x3e}$",
    "$\\hspace{-900em}x\\rule{900em}{900em}$",
]
TAG = re.compile(r"<(/?)([a-z0-9-]+)([^>]*)>")
ATTRIBUTE = re.compile(r'([a-z-]+)="([^"]*)"')


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_inert(text: str) -> None:
    tags = TAG.findall(inert_markdown(text))

    assert {name for _slash, name, _rest in tags} <= TAGS
    for _slash, name, rest in tags:
        found = ATTRIBUTE.findall(rest)
        assert rest.strip() == " ".join(f'{attribute}="{value}"' for attribute, value in found)
        assert {attribute for attribute, _value in found} <= ATTRIBUTES.get(name, set()) | {"class"}
        assert not any("900" in value for _attribute, value in found)


def test_nothing_that_loads_runs_or_leads_anywhere_may_stand_in_a_text() -> None:
    anywhere = {attribute for allowed in ATTRIBUTES.values() for attribute in allowed}

    assert not TAGS & {"a", "img", "svg", "script", "style", "iframe", "form", "maction", "annotation-xml", "semantics"}
    assert not anywhere & {"href", "src", "style", "id", "class", "mathcolor", "mathbackground", "actiontype"}


def test_raw_html_shows_as_the_text_it_is() -> None:
    expected = '<p dir="auto">&lt;script&gt;alert(1)&lt;/script&gt;</p>\n'
    assert inert_markdown("<script>alert(1)</script>") == expected


def test_a_link_keeps_its_words_and_shows_its_address() -> None:
    html = inert_markdown("see [the docs](https://docs.example/a?b=1&c=2)")

    words = '<span class="inert-link">the docs</span> (https://docs.example/a?b=1&amp;c=2)'
    assert html == f'<p dir="auto">see {words}</p>\n'


def test_an_image_becomes_its_description_in_the_language_of_the_page() -> None:
    image = "![a cat](https://x.example/c.png)"

    assert inert_markdown(image) == '<p dir="auto">[image: a cat]</p>\n'
    with translation.override("de"):
        assert inert_markdown(image) == '<p dir="auto">[Bild: a cat]</p>\n'


def test_each_block_finds_its_own_direction_and_code_runs_from_left_to_right() -> None:
    html = inert_markdown("مرحبا **بالعالم**\n\n> said\n\n- one\n\n`x`\n\n    y\n")

    assert '<p dir="auto">مرحبا <strong>بالعالم</strong></p>' in html
    # A direction inside would hide the words from the one that the quote around them looks for.
    assert '<blockquote dir="auto">\n<p>said</p>' in html
    assert '<ul dir="auto">\n<li>one</li>' in html
    assert '<code dir="ltr">x</code>' in html
    assert '<pre dir="ltr"><code>y\n</code></pre>' in html


def test_characters_that_reorder_text_are_named_and_gone() -> None:
    html = inert_markdown("pay \u202e\u202e100\u202c `a\u2066b` &#x202d; $\\text{\u202e}$")

    assert not re.search("[\u202a-\u202e\u2066-\u2069]", html)
    assert re.findall(r"U\+[0-9A-F]{4}(?: ×\d+)?", html) == ["U+202E ×2", "U+202C", "U+2066", "U+202D", "U+202E"]
    assert "\u200f" in inert_markdown("\u200fשלום")  # a mark orders nothing but itself


def test_markdown_still_reads_as_markdown() -> None:
    assert inert_markdown("3. three\n4. four") == '<ol start="3" dir="auto">\n<li>three</li>\n<li>four</li>\n</ol>\n'
    table = inert_markdown("| a | b |\n|---|--:|\n| 1 | 2 |")
    assert table.startswith('<div class="scroll" tabindex="0"><table dir="auto">')
    assert '<td class="right">2</td>' in table


@pytest.mark.parametrize("text", ["$x^2$", "\\(x^2\\)", "so $x^2$, then", "-$x^2$-", "| a |\n|-|\n| $x^2$ |"])
def test_a_formula_in_a_line_is_mathml(text: str) -> None:
    formula = '<math display="inline" dir="ltr"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    assert formula in inert_markdown(text)


@pytest.mark.parametrize("text", ["$$x$$", "$$\nx\n$$", "\\[x\\]", "\\[\nx\n\\]", "> $$\n> x\n> $$", "- \\[x\\]"])
def test_a_formula_of_its_own_line_is_displayed(text: str) -> None:
    formula = '<math display="block" dir="ltr"><mrow><mi>x</mi></mrow></math>'
    assert f'<span class="formula" tabindex="0">{formula}</span>' in inert_markdown(text)


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6.",
        "from US$5 to US$6",
        "$HOME/bin:$PATH",
        "a 10$ bill and 20$ more",
        "$ 5 $",
        "\\$x\\$",
        "$5-$6",
        "$",
        "$$",
        "$$$$",
        "\\(",
        "\\[ and no end",
    ],
)
def test_prices_and_variables_are_no_formulas(text: str) -> None:
    html = inert_markdown(text)

    assert "<math" not in html
    assert "<code" not in html


def test_a_formula_that_cannot_be_read_stays_as_it_was_written() -> None:
    for tex in ("\\frac{1}{", "\\nosuchcommand{x}", "\\newcommand{\\a}{\\a\\a}\\a", "{" * 500 + "x" + "}" * 500):
        assert inert_markdown(f"${tex}$") == f'<p dir="auto"><code dir="ltr">{tex}</code></p>\n'


def test_code_has_the_classes_of_the_language_that_its_fence_names() -> None:
    assert '<span class="k">def</span>' in inert_markdown("```py\ndef f(): pass\n```")
    for unknown in ("```\ndef f(): pass\n```", "```nosuch\ndef f(): pass\n```", "    def f(): pass"):
        assert "<pre" in inert_markdown(unknown)
        assert "<span" not in inert_markdown(unknown)


def test_a_block_that_can_scroll_takes_the_focus() -> None:
    assert 'tabindex="0"' not in inert_markdown("```\nshort\n```")
    assert '<pre dir="ltr" tabindex="0">' in inert_markdown("```\n" + "a wide line " * 9 + "\n```")


def test_highlighting_loses_no_character() -> None:
    code = 'int main() { /* a\n */ return "<b>&amp;"[0]; }\n' + "\n" * 300 + "// end"
    for language in ("c", "python", "html", "no such"):
        shown = re.sub(r"<[^>]*>", "", highlighted(code, language))
        assert shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&") == code


PATHOLOGICAL = {
    **{unit: unit * (64_000 // len(unit)) for unit in ("*", "$", "_", "`", "[", "!", "<", "\\", "~", ">", "&", "|")},
    **{unit: unit * (64_000 // len(unit)) for unit in ("*a ", "$a ", "$$a\n", "\\(", "\\[a\n", "$\\$", "[](", "- a\n")},
    "table": "|" + "a|" * 2000 + "\n|" + "-|" * 2000 + "\n" + "|x\n" * 18_000,
    "formulas": ("$" + "\\frac{1}{2}" * 100 + "$ ") * 60,
    "controls": "\u202e\u202d" * 32_000,
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_a_text_written_to_take_long_does_not(name: str) -> None:
    """The timeout is what fails: with the limits off, several of these take minutes."""
    html = inert_markdown(PATHOLOGICAL[name])

    # A quotation mark becomes six characters; a table could become a thousand times itself.
    assert len(html) < 6.5 * 64_000


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("language", "unit"), [("c", "\n"), ("c", "/"), ("c#", '"\\'), ("diff", "--"), ("css", '"\\')])
def test_code_written_to_take_long_does_not(language: str, unit: str) -> None:
    code = unit * (MAX_CHARACTERS // len(unit))

    assert re.sub(r"<[^>]*>", "", highlighted(code, language)).replace("&quot;", '"') == code


def test_a_text_beyond_the_limits_stays_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "MAX_DELIMITERS", 10)

    assert markdown.inert_html("**a** <b> " * 6) == f'<div class="plain" dir="auto">{"**a** &lt;b&gt; " * 6}</div>'


def test_deep_nesting_does_not_break_the_page() -> None:
    assert "deep" in inert_markdown(">" * 2500 + " deep") + inert_markdown("[" * 5000 + "deep")
