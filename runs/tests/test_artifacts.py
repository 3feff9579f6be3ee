from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage

from accounts.errors import Refused
from runs.artifacts import ArtifactStore


@pytest.fixture(params=["local", "remote"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A directory of this machine, and a backend that only speaks Django's storage interface."""
    return FileSystemStorage(tmp_path / "artifacts") if request.param == "local" else InMemoryStorage()


@pytest.fixture
def store(storage: Storage) -> ArtifactStore:
    return ArtifactStore(storage)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "weights").write_bytes(os.urandom(9000))
    return folder


def damage(storage: Storage, sha256: str) -> None:
    name = f"sha256/{sha256[:2]}/{sha256}"
    data = bytearray(storage.open(name, "rb").read())
    data[-1] ^= 1
    storage.delete(name)
    with storage.open(name, "wb") as handle:
        handle.write(bytes(data))


def test_directory_comes_back_as_it_was(store: ArtifactStore, model: Path, tmp_path: Path) -> None:
    stored = store.put_directory(model)
    store.fetch_directory(stored.sha256, tmp_path / "back")

    assert stored.num_bytes == 9002
    back = tmp_path / "back"
    assert (back / "config.json").read_text() == "{}"
    assert (back / "sub" / "weights").read_bytes() == (model / "sub" / "weights").read_bytes()
    assert {path.name for path in back.rglob("*")} == {"config.json", "sub", "weights"}


def test_hash_names_the_bytes_and_not_the_place(store: ArtifactStore, model: Path, tmp_path: Path) -> None:
    model.rename(tmp_path / "elsewhere")
    first = store.put_directory(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "config.json").write_text("{ }")

    assert first.sha256 != store.put_directory(tmp_path / "elsewhere").sha256
    assert store.put_file(tmp_path / "elsewhere" / "config.json").sha256 == hashlib.sha256(b"{ }").hexdigest()
    assert set(store.manifest(first.sha256)["files"]) == {"config.json", "sub/weights"}


def test_changed_byte_is_refused_by_the_files_name(
    storage: Storage, store: ArtifactStore, model: Path, tmp_path: Path
) -> None:
    stored = store.put_directory(model)
    weights = store.manifest(stored.sha256)["files"]["sub/weights"]["sha256"]
    damage(storage, weights)

    for read in (
        lambda: store.fetch_directory(stored.sha256, tmp_path / "back"),
        lambda: store.verify_directory(stored.sha256),
        lambda: store.open(weights, name="sub/weights"),
    ):
        with pytest.raises(Refused, match="sub/weights") as refused:
            read()
        assert refused.value.code == "artifact_corrupt"
    assert not (tmp_path / "back" / "sub" / "weights").exists()


def test_changed_manifest_is_refused(storage: Storage, store: ArtifactStore, model: Path) -> None:
    stored = store.put_directory(model)
    damage(storage, stored.sha256)

    with pytest.raises(Refused) as refused:
        store.manifest(stored.sha256)
    assert refused.value.code == "artifact_corrupt"


def test_putting_a_damaged_file_again_repairs_it(storage: Storage, store: ArtifactStore, model: Path) -> None:
    stored = store.put_file(model / "config.json")
    damage(storage, stored.sha256)

    store.put_file(model / "config.json")

    assert store.open(stored.sha256).read() == b"{}"


def test_missing_file_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        store.fetch_file("0" * 64, tmp_path / "x")
    assert refused.value.code == "artifact_missing"
    assert not store.exists("../../etc/passwd")


def test_link_in_a_directory_is_refused(store: ArtifactStore, model: Path) -> None:
    (model / "secrets").symlink_to("/etc/passwd")

    with pytest.raises(Refused, match="secrets") as refused:
        store.put_directory(model)
    assert refused.value.code == "artifact_not_plain"


def test_manifest_that_leads_out_of_its_directory_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    plain, manifest = tmp_path / "plain", tmp_path / "manifest"
    plain.write_text("{}")
    entry = {"sha256": store.put_file(plain).sha256, "bytes": 2}
    manifest.write_text(json.dumps({"files": {"../escaped": entry}}))
    sha256 = store.put_file(manifest).sha256

    with pytest.raises(Refused):
        store.fetch_directory(sha256, tmp_path / "back")
    assert not (tmp_path / "escaped").exists()


def test_local_files_are_private_and_read_only_and_the_source_keeps_its_mode(tmp_path: Path, model: Path) -> None:
    store = ArtifactStore(FileSystemStorage(tmp_path / "artifacts"))
    (model / "config.json").chmod(0o644)
    sha256 = store.put_file(model / "config.json").sha256
    blob = tmp_path / "artifacts" / "sha256" / sha256[:2] / sha256

    assert blob.stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "artifacts").stat().st_mode & 0o777 == 0o700
    assert (model / "config.json").stat().st_mode & 0o777 == 0o644
    assert blob.stat().st_ino != (model / "config.json").stat().st_ino, "somebody else's file may change"
    assert [path.name for path in blob.parent.iterdir()] == [sha256]
