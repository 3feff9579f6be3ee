"""TeX formulas as MathML: what is in dollars, in \\( \\) or in \\[ \\]; what cannot be read stays as it was written."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import Converter
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from mdit_py_plugins.dollarmath.index import math_block_dollar, math_inline_dollar

InlineRule = Callable[[StateInline, bool], bool]

MAX_CHARACTERS = 2_000
"""Of one formula; a longer one is shown as it was written."""
MAX_DEPTH = 40
"""Of nested braces; the converter calls itself for each."""
DEFINES = re.compile(r"\\(?:new|renew|provide)(?:command|environment)|\\[egx]?def\b|\\let\b|\\DeclareMathOperator")
"""Macros can be made to grow without end, so no formula makes any."""
CLOSING = {"\\(": "\\)", "\\[": "\\]"}


def mathematics(markdown: MarkdownIt) -> None:
    """A plugin of markdown-it: tokens `math_inline` and `math_block`, whose markup says where they stood."""
    markdown.inline.ruler.before("escape", "math_inline", _not_inside_words(math_inline_dollar(False, False, True)))
    markdown.inline.ruler.before("escape", "math_brackets", _brackets)
    markdown.block.ruler.before("fence", "math_block", math_block_dollar(allow_labels=False, allow_blank_lines=False))
    markdown.block.ruler.before("fence", "math_block_brackets", _bracket_block)


def mathml(tex: str, *, is_display: bool) -> str:
    """The formula as a `<math>` element, or its source in a `<code>` where it cannot be read."""
    tex = tex.strip()
    element = _element(tex, is_display=is_display)
    if element is None:
        return f'<code dir="ltr">{escapeHtml(tex)}</code>'
    return tostring(element, encoding="unicode")


def _element(tex: str, *, is_display: bool) -> Element | None:
    if not tex or len(tex) > MAX_CHARACTERS or _depth(tex) > MAX_DEPTH or DEFINES.search(tex):
        return None
    try:
        element = Converter(display="block" if is_display else "inline").convert_to_element(tex)
    except Exception:  # the converter raises whatever its parser stumbles over: any of it means "not a formula"
        return None
    del element.attrib["xmlns"]
    element.set("dir", "ltr")
    for part in element.iter():
        # The converter leaves character references in its texts, to be unescaped once; so they are here, as text.
        part.text = html.unescape(part.text or "")
        if part.text.startswith("\\") and len(part.text) > 1:
            return None  # a command that it does not know
    return element


def _depth(tex: str) -> int:
    depth = deepest = 0
    for character in tex:
        depth += (character == "{") - (character == "}")
        deepest = max(deepest, depth)
    return max(deepest, tex.count("\\left"), tex.count("\\begin"))


def _not_inside_words(rule: InlineRule) -> InlineRule:
    """$HOME/bin:$PATH and US$5 are no formulas: a dollar with a letter or digit outside delimits nothing."""

    def guarded(state: StateInline, silent: bool) -> bool:
        start = state.pos
        if state.src[start] != "$" or (start and state.src[start - 1].isalnum()) or not rule(state, True):
            return False
        end, state.pos = state.pos, start
        if end > state.posMax or state.src[end : end + 1].isalnum():
            return False
        return rule(state, silent)

    return guarded


def _brackets(state: StateInline, silent: bool) -> bool:
    opening = state.src[state.pos : state.pos + 2]
    if opening not in CLOSING:
        return False
    end = _find(state, CLOSING[opening])
    content = state.src[state.pos + 2 : max(end, 0)]
    if not content.strip():
        return False
    if not silent:
        token = state.push("math_inline" if opening == "\\(" else "math_inline_double", "math", 0)
        token.content, token.markup = content, opening
    state.pos = end + 2
    return True


def _find(state: StateInline, closing: str) -> int:
    """Where the next `closing` stands, or -1; a text full of openings is searched for a missing one only once."""
    absent: set[tuple[str, int, str]] = state.env.setdefault("absent", set())
    key = (state.src, state.posMax, closing)
    if key in absent:
        return -1
    end = state.src.find(closing, state.pos + 2, state.posMax)
    if end < 0:
        absent.add(key)
    return end


def _bracket_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """\\[ at the start of a line up to \\] at the end of one, without an empty line between."""
    start = state.bMarks[start_line] + state.tShift[start_line]
    if state.is_code_block(start_line) or not state.src.startswith("\\[", start):
        return False
    end = _closing_line(state, start_line, end_line)
    if end is None:
        return False
    if silent:
        return True
    lines = [state.src[state.bMarks[at] + state.tShift[at] : state.eMarks[at]] for at in range(start_line, end + 1)]
    token = state.push("math_block", "math", 0)
    token.content = "\n".join(lines).strip()[2:-2]
    token.markup, token.block, token.map = "\\[", True, [start_line, end + 1]
    state.line = end + 1
    return True


def _closing_line(state: StateBlock, start_line: int, end_line: int) -> int | None:
    for line in range(start_line, end_line):
        text = state.src[state.bMarks[line] : state.eMarks[line]].strip()
        if not text:
            return None
        at = text.find("\\]")
        if at >= 0:
            return line if at == len(text) - 2 and text != "\\[\\]" else None
    return None
