from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from accounts.text import check_json


class StrictJSONParser(JSONParser):
    """JSON that can be stored and shown: no NUL, no half of a surrogate pair, no endless nesting."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            parsed = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The body nests too deeply.")) from None
        check_json(parsed, what=_("The body"), max_characters=settings.IMPORT_MAX_BYTES)
        return parsed
