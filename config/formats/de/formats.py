"""Figures are written alike in every language, as in charts, CSV and JSON: a point before decimals."""

from __future__ import annotations

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = "\u202f"
