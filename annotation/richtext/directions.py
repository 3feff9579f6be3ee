"""Characters that reorder the text around them are shown, not obeyed: what is read is what was written."""

from __future__ import annotations

import re

REORDERING = re.compile("([\u202a-\u202e\u2066-\u2069])\\1*")
"""Runs of an embedding, override or isolate. The marks U+200E, U+200F and U+061C order only themselves, and stay."""
MAX_SHOWN = 500
"""Runs that are named; after so many the rest become U+FFFD, so that a text does not grow fifty-fold."""


def show_reordering(html: str) -> str:
    """The HTML with each such character as its number. Its attributes hold none: nh3 let through only fixed ones."""
    return REORDERING.sub("\ufffd", REORDERING.sub(_named, html, count=MAX_SHOWN))


def _named(found: re.Match[str]) -> str:
    times = f" ×{len(found[0])}" if len(found[0]) > 1 else ""
    return f'<span class="control" dir="ltr">U+{ord(found[1]):04X}{times}</span>'
