"""Markdown as HTML that can load nothing, run nothing and lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import nh3
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from annotation.richtext.allowed import ATTRIBUTES, CLASSES, TAGS, only_harmless
from annotation.richtext.directions import show_reordering
from annotation.richtext.highlighting import highlighted
from annotation.richtext.mathematics import mathematics, mathml

INERT_LINK = "inert-link"
MAX_DELIMITERS = 3_000
MAX_LINES = 4_000
MAX_CELLS = 20_000
"""A text with more of any stays plain: what takes quadratic time to read is written for that, not for people."""
MAX_FORMULA_CHARACTERS = 10_000
"""Of all formulas of a text; what comes after stays as it was written."""
DELIMITER_ROW = re.compile(r"^[ \t>]*[|:-][ \t|:-]*$", re.MULTILINE)
"""What makes a table of the lines around it; it has a cell for each of its columns in every line that follows."""
MAX_INLINE_CHARACTERS = 60
"""Of a formula's source that may stand among words without a bar to scroll."""
NARROW_COLUMNS = 36
"""A line of code this long fits a phone; a block with a longer one scrolls, and so must take the focus."""


def inert_html(text: str) -> str:
    """The text as inert HTML, in the active language."""
    html = _plain(text) if _is_excessive(text) else _rendered(text)
    clean = nh3.clean(
        html, tags=TAGS, attributes=ATTRIBUTES, allowed_classes=CLASSES, attribute_filter=only_harmless, link_rel=None
    )
    return show_reordering(clean)


def _is_excessive(text: str) -> bool:
    num_lines = text.count("\n") + 1
    num_columns = max((row[0].count("|") for row in DELIMITER_ROW.finditer(text)), default=0) + 1
    num_cells = num_columns * num_lines if num_columns > 1 else 0
    num_delimiters = sum(map(text.count, "*_`[]!<&\\$~"))
    return num_delimiters > MAX_DELIMITERS or num_lines > MAX_LINES or num_cells > MAX_CELLS


def _plain(text: str) -> str:
    return f'<div class="plain" dir="auto">{escapeHtml(text)}</div>'


def _rendered(text: str) -> str:
    env: dict[str, Any] = {"formula_characters": 0}
    tokens = _markdown.parse(text, env)
    for token in tokens:
        if token.children:
            token.children = _inert(token.children)
        if token.level == 0 and token.nesting == 1:
            # Only the outermost: an element with a direction of its own does not count for the one around it.
            token.attrSet("dir", "auto")
        if token.type in ("th_open", "td_open") and "style" in token.attrs:
            token.attrs = {"class": str(token.attrs["style"]).removeprefix("text-align:")}
    return str(_markdown.renderer.render(tokens, _markdown.options, env))


def _inert(children: Sequence[Token]) -> list[Token]:
    """The inline tokens without anchors and images; what they pointed at is written out."""
    result: list[Token] = []
    addresses: list[str] = []
    for token in children:
        if token.type == "link_open":
            addresses.append(str(token.attrs.get("href", "")))
            result.append(Token("span_open", "span", 1, attrs={"class": INERT_LINK}))
        elif token.type == "link_close":
            result.append(Token("span_close", "span", -1))
            address = addresses.pop()
            if address and not (result[-2].type == "text" and result[-2].content == address):
                result.append(Token("text", "", 0, content=f" ({address})"))
        elif token.type == "image":
            result.append(Token("text", "", 0, content=_("[image: %(description)s]") % {"description": token.content}))
        else:
            result.append(token)
    return result


def _code_block(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
    is_wide = any(len(line) > NARROW_COLUMNS for line in token.content.splitlines())
    focus = ' tabindex="0"' if is_wide else ""
    return f'<pre dir="ltr"{focus}><code>{highlighted(token.content, language)}</code></pre>\n'


def _code(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<code dir="ltr">{escapeHtml(tokens[index].content)}</code>'


def _formula(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    if not token.content.strip():
        return escapeHtml(token.markup * 2)
    env["formula_characters"] += len(token.content)
    if env["formula_characters"] > MAX_FORMULA_CHARACTERS:
        return f'<code dir="ltr">{escapeHtml(token.content)}</code>'
    is_display = token.type != "math_inline"
    formula = mathml(token.content, is_display=is_display)
    # A formula does not break into lines as its source does: what may be wider than a phone scrolls.
    is_wide = formula.startswith("<math") and (is_display or len(token.content) > MAX_INLINE_CHARACTERS)
    return f'<span class="formula" tabindex="0">{formula}</span>' if is_wide else formula


def _formula_block(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f"<div>{_formula(self, tokens, index, options, env)}</div>\n"


def _table_open(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<div class="scroll" tabindex="0">{self.renderToken(tokens, index, options, env)}'


def _table_close(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f"{self.renderToken(tokens, index, options, env)}</div>\n"


RULES = {
    "fence": _code_block,
    "code_block": _code_block,
    "code_inline": _code,
    "math_inline": _formula,
    "math_inline_double": _formula,
    "math_block": _formula_block,
    "table_open": _table_open,
    "table_close": _table_close,
}


def _parser() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).use(mathematics)
    for name, rule in RULES.items():
        markdown.add_render_rule(name, rule)
    return markdown


_markdown = _parser()
