"""The content-addressed store: a file is named by its sha256, a directory by the sha256 of its manifest.

    sha256/ab/abcdef…    in django's storage `artifacts`: a local directory, or S3, Azure, GCS through django-storages

Every byte that leaves the store is hashed on the way; a changed one is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypedDict

from django.core.files.storage import FileSystemStorage, Storage, storages
from django.utils.translation import gettext as _

from accounts.errors import Refused
from runs.blobs import Blobs, LocalBlobs, RemoteBlobs, nothing

SHA256 = re.compile(r"[0-9a-f]{64}")
Tick = Callable[[], None]
"""Called after every chunk of bytes, for heartbeats: a large model takes minutes to move."""


class ManifestEntry(TypedDict):
    sha256: str
    bytes: int


class Manifest(TypedDict):
    files: dict[str, ManifestEntry]


@dataclass(frozen=True, slots=True)
class Stored:
    """What was put: the hash that names it, and its size (of all files, for a directory)."""

    sha256: str
    num_bytes: int


class ArtifactStore:
    """Put and fetch by hash. Putting the same bytes twice stores them once."""

    def __init__(self, storage: Storage) -> None:
        self._blobs: Blobs = LocalBlobs(storage) if isinstance(storage, FileSystemStorage) else RemoteBlobs(storage)

    def put_file(self, path: Path, *, is_ours: bool = False, tick: Tick = nothing) -> Stored:
        """Store a file.

        Args:
            is_ours: the file is this process's own and will not be written again, so a local store may keep it by a
                hard link (and make it read-only) instead of a copy.
        """
        with Path(path).open("rb") as handle:
            sha256 = hash_of(handle, tick)
        if not self._is_intact(sha256, tick):
            self._blobs.put(sha256, Path(path), is_ours=is_ours)
        return Stored(sha256, Path(path).stat().st_size)

    def put_bytes(self, data: bytes, *, tick: Tick = nothing) -> Stored:
        """Store what is at hand in memory, as a file."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self._is_intact(sha256, tick):
            self._blobs.put_bytes(sha256, data)
        return Stored(sha256, len(data))

    def put_directory(self, path: Path, *, is_ours: bool = False, tick: Tick = nothing) -> Stored:
        """Store every file below a directory, then the manifest that lists them.

        Raises:
            Refused: the directory is empty, or holds a link or device (`artifact_not_plain`).
        """
        files: dict[str, ManifestEntry] = {}
        for file in _plain_files(Path(path)):
            stored = self.put_file(file, is_ours=is_ours, tick=tick)
            files[file.relative_to(path).as_posix()] = {"sha256": stored.sha256, "bytes": stored.num_bytes}
        data = json.dumps({"files": files}, sort_keys=True, separators=(",", ":")).encode()
        return Stored(self.put_bytes(data, tick=tick).sha256, sum(entry["bytes"] for entry in files.values()))

    def exists(self, sha256: str) -> bool:
        return bool(SHA256.fullmatch(sha256)) and self._blobs.exists(sha256)

    def open(self, sha256: str, *, name: str = "", tick: Tick = nothing) -> IO[bytes]:
        """A file's bytes, already verified; `name` is what an error calls it.

        Raises:
            Refused: the store has no such file (`artifact_missing`), or its bytes have changed (`artifact_corrupt`).
        """
        self._require(sha256, name)
        handle = self._blobs.open(sha256)
        found = hash_of(handle, tick)
        if found != sha256:
            handle.close()
            raise _corrupt(sha256, name)
        handle.seek(0)
        return handle

    def read_json(self, sha256: str, *, name: str = "") -> Any:
        """A small file's content. Raises what `open` does."""
        with self.open(sha256, name=name) as handle:
            return json.load(handle)

    def manifest(self, sha256: str) -> Manifest:
        """The manifest of a directory: `{"files": {relative path: {"sha256", "bytes"}}}`."""
        with self.open(sha256, name=_("the manifest")) as handle:
            return _read_manifest(handle.read(), sha256)

    def fetch_file(self, sha256: str, dest: Path, *, name: str = "", tick: Tick = nothing) -> None:
        """Place a file at `dest`, read-only, by hard link where the store is local. An existing `dest` is replaced.

        Raises:
            Refused: `artifact_missing` or `artifact_corrupt`; nothing is left at `dest`.
        """
        self._require(sha256, name)
        dest.unlink(missing_ok=True)
        self._blobs.fetch(sha256, dest)
        with dest.open("rb") as handle:
            is_intact = hash_of(handle, tick) == sha256
        if not is_intact:
            dest.unlink()
            raise _corrupt(sha256, name)

    def fetch_directory(self, sha256: str, dest: Path, *, tick: Tick = nothing) -> None:
        """Place all files of a directory below `dest`, which is created. Raises as `fetch_file` does."""
        dest.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, entry in self.manifest(sha256)["files"].items():
            target = dest / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.fetch_file(entry["sha256"], target, name=name, tick=tick)

    def verify_directory(self, sha256: str, *, tick: Tick = nothing) -> None:
        """Read every byte of a stored directory. Raises Refused naming the first file that is missing or changed."""
        for name, entry in self.manifest(sha256)["files"].items():
            self.open(entry["sha256"], name=name, tick=tick).close()

    def _require(self, sha256: str, name: str) -> None:
        if not self.exists(sha256):
            raise Refused(
                _("The artifact store has no %(what)s; it was removed, or the store was changed.")
                % {"what": _called(sha256, name)},
                code="artifact_missing",
                status=409,
            )

    def _is_intact(self, sha256: str, tick: Tick) -> bool:
        # A damaged copy is replaced by putting the file again.
        if not self._blobs.exists(sha256):
            return False
        with self._blobs.open(sha256) as handle:
            return hash_of(handle, tick) == sha256


def store() -> ArtifactStore:
    """The installation's store."""
    return ArtifactStore(storages["artifacts"])


def hash_of(handle: IO[bytes], tick: Tick = nothing) -> str:
    """sha256 of what is left to read, in hex."""
    digest = hashlib.sha256()
    while chunk := handle.read(4 * 1024 * 1024):
        digest.update(chunk)
        tick()
    return digest.hexdigest()


def _plain_files(folder: Path) -> list[Path]:
    entries = sorted(folder.rglob("*"))
    # A link could lead out of a run's directory, and what it leads to could change.
    odd = [e for e in entries if e.is_symlink() or not (e.is_file() or e.is_dir())]
    files = [entry for entry in entries if entry.is_file()]
    if odd or not files:
        why = _("%(name)s is not a plain file") % {"name": odd[0].name} if odd else _("it is empty")
        raise Refused(_("The directory cannot be stored: %(why)s.") % {"why": why}, code="artifact_not_plain")
    return files


def _read_manifest(data: bytes, sha256: str) -> Manifest:
    try:
        manifest: dict[str, Any] = json.loads(data)
        files = {str(name): entry for name, entry in manifest["files"].items()}
        plain = all(SHA256.fullmatch(entry["sha256"]) and _is_below(name) for name, entry in files.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        plain = False
    if not plain:
        raise Refused(_("%(sha256)s is no directory's manifest.") % {"sha256": sha256[:12]}, code="artifact_corrupt")
    return {"files": files}


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _called(sha256: str, name: str) -> str:
    return f"{name} ({sha256[:12]}…)" if name else f"{sha256[:12]}…"


def _corrupt(sha256: str, name: str) -> Refused:
    return Refused(
        _("The stored file %(what)s has changed since it was written and is not used; restore it from a backup.")
        % {"what": _called(sha256, name)},
        code="artifact_corrupt",
        status=409,
        details={"file": name, "sha256": sha256},
    )
