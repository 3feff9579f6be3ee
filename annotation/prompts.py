"""One form for a prompt, so that the same prompt has the same hash however it came in."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import TypedDict

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.text import check_text

ROLES = ("system", "user", "assistant")
LANGUAGE_TAG = re.compile(r"([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?", re.ASCII)
LANGUAGE_MAX_CHARACTERS = 35


class Message(TypedDict):
    role: str
    content: str


def canonical_messages(prompt: object) -> list[Message]:
    """Return the prompt as messages; a plain text is one message of the user's. The text itself is not touched.

    Raises:
        Refused: prompt_invalid, prompt_too_long (all messages together) or the codes of `check_text`.
    """
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list | tuple) or not prompt:
        raise Refused(_("A prompt must be a text or a list of messages."), code="prompt_invalid")
    messages = [_message(message) for message in prompt]
    if messages[-1]["role"] != "user":
        raise Refused(_("A prompt's last message must be the user's."), code="prompt_invalid")
    num_characters = sum(len(message["content"]) for message in messages)
    if num_characters > settings.PROMPT_MAX_CHARACTERS:
        raise Refused(
            _("The prompt has %(num)d characters; at most %(max)d are allowed.")
            % {"num": num_characters, "max": settings.PROMPT_MAX_CHARACTERS},
            code="prompt_too_long",
        )
    return messages


def _message(message: object) -> Message:
    if not isinstance(message, dict) or set(message) != {"role", "content"}:
        raise Refused(_('A message must be {"role": …, "content": …} and nothing else.'), code="prompt_invalid")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise Refused(
            _("A message's role must be one of %(roles)s.") % {"roles": ", ".join(ROLES)}, code="prompt_invalid"
        )
    # Length is judged over all messages, in the caller.
    return {"role": role, "content": check_text(content, what=_("The prompt"), max_characters=2**31)}


def content_sha256(messages: Sequence[Message]) -> str:
    """SHA-256 of the messages as canonical JSON: sorted keys, no spaces, UTF-8."""
    canonical = json.dumps(list(messages), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def checked_language(tag: object) -> str:
    """A BCP 47 tag in lower case, or blank.

    Raises:
        Refused: language_unknown.
    """
    if not isinstance(tag, str) or len(tag) > LANGUAGE_MAX_CHARACTERS or not LANGUAGE_TAG.fullmatch(tag):
        raise Refused(_("A language is a tag such as en or pt-BR."), code="language_unknown")
    return tag.lower()
