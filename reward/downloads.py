"""A snapshot as a file to take away: the page and the API answer with the same one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from django.http import StreamingHttpResponse
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts.errors import Refused
from reward.exports import as_lines, preferences, tally
from reward.groups import TRAINED_SPLITS
from reward.models import Snapshot
from runs.artifacts import store

CONTENT_TYPE = "application/jsonl"


def preference_file(snapshot: Snapshot, split: str) -> StreamingHttpResponse:
    """The stated preferences of one split; two headers count them and the ties that are left out.

    Raises:
        Refused: there is no such split (`split_unknown`), or the snapshot's file is missing or changed
            (`artifact_missing`, `artifact_corrupt`).
    """
    if split not in TRAINED_SPLITS:
        raise Refused(
            _("A snapshot has no %(split)r prompts; ask for train or validation.") % {"split": split[:20]},
            code="split_unknown",
        )
    handle = store().open(snapshot.sha256, name="groups.jsonl")
    counted = tally(_groups(handle), split=split)
    handle.seek(0)
    name = f"{slugify(snapshot.campaign.name) or 'snapshot'}-{snapshot.number}-{split}.preferences.jsonl"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Preferences": str(counted.num_preferences),
        "Ties-Left-Out": str(counted.num_ties),
    }
    return StreamingHttpResponse(_stream(handle, split), content_type=CONTENT_TYPE, headers=headers)


def _stream(handle: IO[bytes], split: str) -> Iterator[bytes]:
    with handle:
        yield from as_lines(preferences(_groups(handle), split=split))


def _groups(handle: IO[bytes]) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in handle)
