"""What a web server loads: all of the site, views too, so that nobody's first request waits for them."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from reward.training.process import loading

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")

with loading():
    application = get_wsgi_application()
    _ = get_resolver().url_patterns
