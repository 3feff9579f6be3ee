"""Settings of a developer's machine, of `make run` and of `make demo`: loopback, plain HTTP."""

from __future__ import annotations

import os

from django.core.management.utils import get_random_secret_key

from config.settings.base import *  # noqa: F403

DEBUG = env.boolean("DEBUG", False)  # noqa: F405
ALLOWED_HOSTS = ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]  # noqa: F405

if "SECRET_KEY" not in os.environ:
    # A key of this installation, so that sessions survive a restart and no two installations share one.
    _key_file = VAR_DIR / "secret_key"  # noqa: F405
    if not _key_file.exists():
        _key_file.parent.mkdir(parents=True, exist_ok=True)
        _descriptor = os.open(_key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(_descriptor, "w") as _handle:
            _handle.write(get_random_secret_key())
    SECRET_KEY = _key_file.read_text()

# Static files straight from the source tree: no collectstatic step between an edit and the page.
WHITENOISE_USE_FINDERS = True
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}  # noqa: F405
