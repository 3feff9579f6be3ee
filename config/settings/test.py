"""Settings of the test suite: real PostgreSQL and Redis, cheap password hashing, files under a temporary directory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from config import embedded

if "PLUMBLINE_VAR" not in os.environ:
    os.environ["PLUMBLINE_VAR"] = tempfile.mkdtemp(prefix="plumbline-test-")
embedded.prepare_for_tests()

from config.settings.base import *  # noqa: E402, F403

ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}  # noqa: F405
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405  # WhiteNoise warns of a folder that is not there
MODEL_ROOTS = [Path(VAR_DIR) / "models"]  # noqa: F405
DATABASES["default"]["CONN_MAX_AGE"] = 0  # noqa: F405
RUN_HEARTBEAT_SECONDS = 1
RUN_DEAD_AFTER_SECONDS = 6
RUN_PROBE = env.text("RUN_PROBE", "")  # noqa: F405
