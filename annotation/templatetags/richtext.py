"""Prompts and answers are written by strangers and by models: they become inert HTML, or they stay text."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import nh3
from django import template
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.token import Token

register = template.Library()

TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "em", "strong", "s", "code", "pre", "blockquote", "span"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
INERT_LINK = "inert-link"

_markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@register.filter
def inert_markdown(text: object) -> SafeString:
    """Markdown as HTML that can load nothing, run nothing and lead nowhere.

    Raw HTML shows as the text it is. A link becomes its words and its address, an image its description.
    """
    return mark_safe(_render(str(text)))  # noqa: S308  cleaned by nh3 against an allow-list


@functools.lru_cache(maxsize=512)
def _render(text: str) -> str:
    tokens = _markdown.parse(text)
    for token in tokens:
        if token.children:
            token.children = _inert(token.children)
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    return nh3.clean(html, tags=TAGS, attributes={"ol": {"start"}}, allowed_classes={"span": {INERT_LINK}})


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
