"""The database of a site that root runs, beside the var/ that it was made for."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from pathlib import Path

import psycopg
import pytest

from config import embedded
from config.embedded import Layout
from config.embedded.keeping import match


def test_a_database_goes_with_its_var_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody removes the project, clones it to the same place and starts it; then the old files come back."""
    var, old = tmp_path / "var", tmp_path / "old"
    var.mkdir()
    monkeypatch.setenv("PLUMBLINE_VAR", str(var))

    def tables(statement: str = "") -> list[str]:
        only = frozenset({"postgres"})
        with embedded.services("dev", only=only) as running, psycopg.connect(running.database_url) as connection:
            connection.execute(statement or "SELECT 1")
            found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return [name for (name,) in found]

    try:
        assert tables("CREATE TABLE first ()") == ["first"]
        assert tables() == ["first"]
        var.rename(old)
        assert tables("CREATE TABLE second ()") == ["second"]
        shutil.rmtree(var)
        old.rename(var)
        assert tables() == ["first"]
    finally:
        embedded.remove(Layout.default())


def test_a_database_from_before_there_were_keys_is_this_vars(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "root")
    layout.data.mkdir(parents=True)

    assert match(layout, tmp_path / "var") is None
    assert match(layout, tmp_path / "var") is None
    assert layout.data.exists()

    aside = match(layout, tmp_path / "another")
    assert aside is not None
    assert (aside / layout.data.name).exists()
    assert not layout.data.exists()


def test_a_database_whose_artifacts_are_elsewhere_outlives_a_var(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout.at(tmp_path / "root")
    layout.data.mkdir(parents=True)
    match(layout, tmp_path / "var")
    monkeypatch.setenv("ARTIFACT_URL", "storages.backends.s3.S3Storage")

    assert match(layout, tmp_path / "another") is None

    assert layout.data.exists()
    monkeypatch.delenv("ARTIFACT_URL")
    assert match(layout, tmp_path / "another") is None


@pytest.mark.parametrize("num_moved", [0, 1, 2])
def test_a_move_that_was_interrupted_is_ended_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_moved: int
) -> None:
    layout, var, another = Layout.at(tmp_path / "root"), tmp_path / "var", tmp_path / "another"
    layout.data.mkdir(parents=True)
    layout.passfile.touch()
    match(layout, var)
    rename, moves = Path.rename, itertools.count()

    def fall(path: Path, target: Path) -> Path:
        if next(moves) == num_moved:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fall)
        with contextlib.suppress(KeyboardInterrupt):
            match(layout, another)
    match(layout, another)
    assert not layout.data.exists()
    assert not layout.passfile.exists()

    with monkeypatch.context() as patch:
        moves = itertools.count()
        patch.setattr(Path, "rename", fall)
        with contextlib.suppress(KeyboardInterrupt):
            match(layout, var)
    match(layout, var)
    assert layout.data.exists()
    assert layout.passfile.exists()
