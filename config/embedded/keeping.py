"""A database that lies outside var/ goes with the var/ that it was made for.

Root's services keep their files below /var/lib/plumbline, by the path of var/. Where somebody removes var/ and begins
anew at the same path, the database that is left there would speak of models, files and passwords that are gone.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from config.embedded.layout import Layout

KEY = "database-key"


def match(layout: Layout, var: Path) -> Path | None:
    """Have `layout` hold the database that was made for `var`, or none. For the one who holds the layout's lock.

    Another var's database is set aside, and comes back with its var. One without a key is older than keys are: it is
    taken to be this var's. Where artifacts are kept elsewhere (ARTIFACT_URL), a new var/ leaves nothing behind, and the
    database stays; one that lies in var/ needs none of this. Whatever this is interrupted at, the next start goes on
    from there.

    Returns:
        Where a database has been set aside just now, if one has.
    """
    if layout.root.is_relative_to(var):
        return None
    present = _read(layout.root / KEY)
    if present and os.environ.get("ARTIFACT_URL"):
        _write(var / KEY, present)
    wanted = _read(var / KEY) or _write(var / KEY, secrets.token_hex(8))
    aside = None
    if present not in (None, wanted):
        aside = _move(layout, layout.root, layout.root / f"set-aside-{present}")
    if present != wanted:
        _write(layout.root / KEY, wanted)
    _move(layout, layout.root / f"set-aside-{wanted}", layout.root)
    return aside


def _move(layout: Layout, source: Path, target: Path) -> Path | None:
    """Move the password, then the cluster; None where there is neither."""
    found = [source / path.name for path in (layout.passfile, layout.data) if (source / path.name).exists()]
    if not found:
        return None
    target.mkdir(mode=0o700, exist_ok=True)
    for path in found:
        path.rename(target / path.name)
    return target


def _read(path: Path) -> str | None:
    return path.read_text().strip() if path.exists() else None


def _write(path: Path, key: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(f"{key}\n")
    draft.replace(path)
    return key
