"""Where the artifact store's bytes lie: files named by hash, on this machine or behind a django-storages backend."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol, cast

from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage

READ_ONLY = 0o400


def nothing() -> None:
    """The tick of a caller that needs none."""


def blob_name(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256}"


class Blobs(Protocol):
    """Bytes by name. Nothing here looks at their hash."""

    def exists(self, sha256: str) -> bool: ...

    def open(self, sha256: str) -> IO[bytes]: ...

    def put(self, sha256: str, path: Path, *, is_ours: bool) -> None: ...

    def put_bytes(self, sha256: str, data: bytes) -> None: ...

    def fetch(self, sha256: str, dest: Path) -> None: ...


class LocalBlobs:
    """Files below a directory of this machine: read-only, private, put in place by rename."""

    def __init__(self, storage: FileSystemStorage) -> None:
        self._root = Path(storage.location)

    def _path(self, sha256: str) -> Path:
        return self._root / blob_name(sha256)

    def exists(self, sha256: str) -> bool:
        return self._path(sha256).is_file()

    def open(self, sha256: str) -> IO[bytes]:
        return self._path(sha256).open("rb")

    def put(self, sha256: str, path: Path, *, is_ours: bool) -> None:
        with self._placing(sha256) as temporary:
            if is_ours:
                link_or_copy(path, temporary)
            else:
                shutil.copyfile(path, temporary)

    def put_bytes(self, sha256: str, data: bytes) -> None:
        with self._placing(sha256) as temporary:
            temporary.write_bytes(data)

    def fetch(self, sha256: str, dest: Path) -> None:
        link_or_copy(self._path(sha256), dest)
        dest.chmod(READ_ONLY)

    @contextlib.contextmanager
    def _placing(self, sha256: str) -> Iterator[Path]:
        """A temporary file that takes its place once the block has filled it, and is gone if the block fails."""
        folder = self._path(sha256).parent
        for part in (self._root, folder.parent, folder):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.chmod(READ_ONLY)
            temporary.replace(self._path(sha256))
        finally:
            temporary.unlink(missing_ok=True)


class RemoteBlobs:
    """Objects of a django-storages backend."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def exists(self, sha256: str) -> bool:
        return self._storage.exists(blob_name(sha256))

    def open(self, sha256: str) -> IO[bytes]:
        return cast(IO[bytes], self._storage.open(blob_name(sha256), "rb"))

    def put(self, sha256: str, path: Path, *, is_ours: bool) -> None:
        with path.open("rb") as handle:
            self._save(sha256, File(handle))

    def put_bytes(self, sha256: str, data: bytes) -> None:
        self._save(sha256, ContentFile(data))

    def fetch(self, sha256: str, dest: Path) -> None:
        with self.open(sha256) as source, dest.open("wb") as target:
            shutil.copyfileobj(source, target, 4 * 1024 * 1024)
        dest.chmod(READ_ONLY)

    def _save(self, sha256: str, content: File[bytes]) -> None:
        name = blob_name(sha256)
        self._storage.delete(name)  # a damaged object, where there is one: backends do not overwrite by default
        self._storage.save(name, content)


def link_or_copy(source: Path, dest: Path) -> None:
    """`dest` becomes the same file as `source`, or a copy of it where a hard link is not possible."""
    dest.unlink(missing_ok=True)
    try:
        os.link(source, dest)
    except OSError:
        shutil.copyfile(source, dest)
