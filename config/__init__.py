"""Joins the rooms: settings, URLs, Celery, the home page and the demo."""

from __future__ import annotations

from config.celery import app as celery_app

__all__ = ["celery_app"]
