"""What a labeler's browser loads before the first task can be ranked: everything, as the production site sends it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.conf import LazySettings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from annotation import services
from tests.browser.cast import make_cast

pytestmark = pytest.mark.django_db
MAX_BYTES = 120 * 1024
LOADED = re.compile(r"""(?:src|href)=["'](/static/[^"']+)["']""")
IMPORTED = re.compile(r"""(?:from|import)\s*["'](\.{1,2}/[^"']+)["']""")


@pytest.fixture
def stored(settings: LazySettings, tmp_path: Path) -> Path:
    """The static files as `collectstatic` leaves them: hashed names, compressed beside each."""
    settings.STATIC_ROOT = str(tmp_path)
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "config.storage.StaticStorage"}}
    call_command("collectstatic", interactive=False, verbosity=0)
    return tmp_path


def num_bytes(path: Path) -> int:
    """As it travels: compressed where that is smaller."""
    compressed = path.with_name(f"{path.name}.gz")
    return (compressed if compressed.exists() else path).stat().st_size


def with_imports(url: str, stored: Path) -> set[str]:
    """The file and, of a JavaScript module, what it imports, and so on."""
    found, waiting = set(), [url]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            text = (stored / current.removeprefix("/static/")).read_text("utf-8", "ignore")
            waiting += [urljoin(current, name) for name in IMPORTED.findall(text)] if current.endswith(".js") else []
    return found


def test_the_first_load_of_the_ranking_page_is_small(client: Client, stored: Path) -> None:
    cast = make_cast()
    labeler = services.labeler_for(workspace=cast.workspace, user=cast.labeler)
    lease = services.claim_task(campaign=cast.campaign, labeler=labeler)
    assert lease is not None
    client.force_login(cast.labeler)
    page = client.get(reverse("annotation:lease", args=[lease.public_id])).content

    loaded = set().union(*(with_imports(url, stored) for url in LOADED.findall(page.decode())))
    sizes = {url: num_bytes(stored / url.removeprefix("/static/")) for url in sorted(loaded)}
    total = len(gzip.compress(page)) + sum(sizes.values())

    assert len([url for url in loaded if "/desk/" in url]) > 15
    assert total <= MAX_BYTES, f"{total} bytes: {sizes}"


def test_modules_import_each_other_under_hashed_names(stored: Path) -> None:
    """A browser that holds yesterday's module must not mix it with today's."""
    text = (stored / staticfiles_storage.url("js/ranking.js").removeprefix("/static/")).read_text("utf-8")

    imported = IMPORTED.findall(text)
    assert len(imported) > 5
    assert [name for name in imported if not re.search(r"\.[0-9a-f]{12}\.js$", name)] == []
