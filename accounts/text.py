"""What text must be like to be stored: PostgreSQL takes neither NUL nor half of a surrogate pair."""

from __future__ import annotations

import math
import re
from typing import Any

from django.utils.translation import gettext as _

from accounts.errors import Refused

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_JSON_DEPTH = 20


def check_text(value: object, *, what: str, max_characters: int, is_required: bool = True) -> str:
    """Return the text unchanged.

    Args:
        what: how the sentence names it, as "The prompt".
        is_required: refuse a text without a visible character.

    Raises:
        Refused: text_not_string, nul_byte, lone_surrogate, text_empty or text_too_long.
    """
    if not isinstance(value, str):
        raise Refused(_("%(what)s must be text.") % {"what": what}, code="text_not_string")
    if "\x00" in value:
        raise Refused(_("%(what)s holds a NUL character (U+0000); remove it.") % {"what": what}, code="nul_byte")
    if LONE_SURROGATE.search(value):
        raise Refused(
            _("%(what)s holds half of a surrogate pair, which is not valid Unicode; repair the text.") % {"what": what},
            code="lone_surrogate",
        )
    if is_required and not value.strip():
        raise Refused(_("%(what)s is empty.") % {"what": what}, code="text_empty")
    if len(value) > max_characters:
        raise Refused(
            _("%(what)s has %(num)d characters; at most %(max)d are allowed.")
            % {"what": what, "num": len(value), "max": max_characters},
            code="text_too_long",
        )
    return value


def check_json(value: Any, *, what: str, max_characters: int, depth: int = 0) -> None:
    """Refuse JSON that PostgreSQL cannot store, that nests too deeply or holds a text that is too long.

    Raises:
        Refused: the codes of `check_text`, json_too_deep or number_not_finite.
    """
    if depth > MAX_JSON_DEPTH:
        raise Refused(_("%(what)s nests too deeply.") % {"what": what}, code="json_too_deep")
    if isinstance(value, str):
        check_text(value, what=what, max_characters=max_characters, is_required=False)
    elif isinstance(value, float) and not math.isfinite(value):
        raise Refused(_("%(what)s holds a number that is not finite.") % {"what": what}, code="number_not_finite")
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_json(key, what=what, max_characters=max_characters, depth=depth + 1)
            check_json(inner, what=what, max_characters=max_characters, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            check_json(inner, what=what, max_characters=max_characters, depth=depth + 1)


def storable(value: str) -> str:
    """Return the text with U+FFFD in place of what cannot be stored; for text whose tokens are kept beside it."""
    return LONE_SURROGATE.sub("\ufffd", value).replace("\x00", "\ufffd")
