"""Models named by URI. Rooms register schemes; a URI becomes a model directory in the artifact store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from accounts.errors import Refused
from accounts.models import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A model that can be an input of a run. `sha256` is its directory's manifest in the artifact store."""

    uri: str
    label: str
    sha256: str
    licence: str


Resolver = Callable[[Workspace, str], ResolvedModel]
"""(workspace, the URI behind its scheme and colon) -> the model, or Refused."""

_resolvers: dict[str, Resolver] = {}


def register_scheme(name: str, resolver: Resolver) -> None:
    """Let `resolver` answer for URIs that begin with `name:`."""
    _resolvers[name] = resolver


def resolve(*, workspace: Workspace, uri: str) -> ResolvedModel:
    """The model that a URI names, as this workspace may see it.

    Raises:
        Refused: `model_uri_invalid` for a URI of no known scheme, or what the scheme's resolver refuses
            (`model_not_found`, `path_outside_model_roots`).
    """
    scheme, colon, rest = uri.strip().partition(":")
    if colon and rest and scheme in _resolvers:
        return _resolvers[scheme](workspace, rest)
    raise Refused(
        _("%(uri)r does not name a model here. Write one of: %(schemes)s; import other models first.")
        % {"uri": uri[:120], "schemes": ", ".join(f"{name}:…" for name in sorted(_resolvers)) or "—"},
        code="model_uri_invalid",
    )
