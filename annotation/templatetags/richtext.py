"""Prompts and answers are written by strangers and by models: they become inert HTML, or they stay text."""

from __future__ import annotations

import functools

from django import template
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from annotation.richtext.markdown import inert_html

register = template.Library()


@register.filter
def inert_markdown(text: object) -> SafeString:
    """Markdown as HTML that can load nothing, run nothing and lead nowhere.

    Raw HTML shows as the text it is. A link becomes its words and its address, an image its description; code is
    coloured where its fence names the language, and formulas are MathML.
    """
    return mark_safe(_render(str(text), get_language()))  # noqa: S308  cleaned by nh3 against an allow-list


@functools.lru_cache(maxsize=512)
def _render(text: str, language: str | None) -> str:
    """The language is part of what is remembered: a few words of the page stand inside."""
    return inert_html(text)
