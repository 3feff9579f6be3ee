"""How the form of an answer is chosen. Apart from base.py, which imports views, and these read the settings anew."""

from __future__ import annotations

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class SoleRenderer(DefaultContentNegotiation):
    """A view with one form of answer gives that one, whatever is asked for (RFC 9110, section 12.4.1)."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        known = list(renderers)
        if len(known) == 1 and not format_suffix:
            return known[0], str(known[0].media_type)
        return super().select_renderer(request, known, format_suffix)
