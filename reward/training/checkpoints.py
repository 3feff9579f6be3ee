"""Checkpoints of a run: written to one side, hashed, renamed; the last few are kept.

checkpoints/step-000010/manifest.json   {"format": 1, "step": 10, "files": {"model.safetensors": {"sha256":, "bytes":}}}
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from reward.training.files import replace_json, sha256_of, sync

KEPT = 2
UNFINISHED = ".unfinished-"


def save(folder: Path, step: int, write: Callable[[Path], None], *, kept: int = KEPT) -> Path:
    """Let `write` fill an empty directory, then put it in place as step-NNNNNN and drop all but the last `kept`."""
    folder.mkdir(mode=0o700, exist_ok=True)
    remove_unfinished(folder)
    target = folder / f"step-{step:06d}"
    temporary = folder / f"{UNFINISHED}{target.name}"
    temporary.mkdir(mode=0o700)
    write(temporary)
    files = {}
    for path in sorted(p for p in temporary.rglob("*") if p.is_file()):
        sync(path)
        files[path.relative_to(temporary).as_posix()] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    replace_json(temporary / "manifest.json", {"format": 1, "step": step, "files": files})
    if target.exists():
        shutil.rmtree(target)
    temporary.rename(target)
    sync(folder)
    for _, old in _by_step(folder)[:-kept]:
        shutil.rmtree(old)
    return target


def newest_valid(folder: Path) -> tuple[tuple[int, Path] | None, list[tuple[int, str]]]:
    """The newest checkpoint that verifies, and (step, reason) of newer ones that do not; those are removed."""
    rejected: list[tuple[int, str]] = []
    for step, path in reversed(_by_step(folder)):
        reason = problem(path)
        if reason is None:
            return (step, path), rejected
        rejected.append((step, reason))
        shutil.rmtree(path)
    return None, rejected


def problem(path: Path) -> str | None:
    """What is wrong with the checkpoint at `path`, or None when every file is as the manifest says."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        for name, entry in manifest["files"].items():
            if (path / name).stat().st_size != entry["bytes"] or sha256_of(path / name) != entry["sha256"]:
                return f"{name} has changed"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "its manifest cannot be read"
    return None


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed or failed writer left behind."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path, ignore_errors=True)


def _by_step(folder: Path) -> list[tuple[int, Path]]:
    return sorted((int(path.name.removeprefix("step-")), path) for path in folder.glob("step-*") if path.is_dir())
