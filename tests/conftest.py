from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import layout_of


@pytest.fixture
def site_environment() -> Iterator[dict[str, str]]:
    """The environment of a site of its own: its files, its services, nothing of the test run's."""
    var = Path(tempfile.mkdtemp(prefix="plumbline-site-", dir="/tmp"))
    foreign = {"DATABASE_URL", "REDIS_URL", "PLUMBLINE_TEST_SERVICES", "DJANGO_SETTINGS_MODULE"}
    environment = {name: value for name, value in os.environ.items() if name not in foreign}
    yield {**environment, "PLUMBLINE_VAR": str(var)}
    layout = layout_of(var)
    shutil.rmtree(var)
    shutil.rmtree(layout.root, ignore_errors=True)
