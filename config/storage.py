from __future__ import annotations

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Hashed names in the imports of our JavaScript modules too, so that an upgrade never mixes two versions of them.

    Django does it for every file or for none, and others' files name in comments what does not exist.
    """

    _module_patterns = getattr(ManifestStaticFilesStorage, "_js_module_import_aggregation_patterns")[1]  # noqa: B009
    patterns = (*CompressedManifestStaticFilesStorage.patterns, ("js/*.js", _module_patterns))
