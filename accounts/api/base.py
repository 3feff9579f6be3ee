"""What every API view shares: the error envelope and cursor pagination."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, pagination
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from accounts.errors import Refused


class CursorPagination(pagination.CursorPagination):
    ordering = "-pk"
    page_size_query_param = "page_size"
    max_page_size = 200


def envelope(*, code: str, message: str, details: Any = None) -> dict[str, Any]:
    """`{"error": {"code", "message", "details"}}`: the one shape of every error."""
    return {"error": {"code": code, "message": message, "details": details or {}}}


def _first_sentence(detail: Any, prefix: str = "") -> str:
    if isinstance(detail, dict):
        field, inner = next(iter(detail.items()))
        return _first_sentence(inner, "" if field == "non_field_errors" else f"{field}: ")
    if isinstance(detail, list):
        return _first_sentence(detail[0], prefix)
    return f"{prefix}{detail}"


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(exc, Refused):
        return Response(envelope(code=exc.code, message=exc.message, details=exc.details), status=exc.status)
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied(*(exc.args or ()))
    response = drf_exception_handler(exc, context)
    if response is None or not isinstance(exc, exceptions.APIException):
        return response
    invalid = isinstance(exc, exceptions.ValidationError)
    code = "invalid" if invalid else str(getattr(exc.detail, "code", exc.default_code))
    response.data = envelope(
        code=code, message=_first_sentence(exc.detail), details={"fields": exc.detail} if invalid else None
    )
    return response
