"""Removes what make demo, run and test made, and nothing else. Standard library only, run by the system's Python."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
CACHES = (".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis")


def embedded() -> ModuleType:
    """config.embedded without config/__init__.py, which imports Celery: .venv may be gone already."""
    package = ModuleType("config")
    package.__path__ = [str(ROOT / "config")]
    sys.modules["config"] = package
    return importlib.import_module("config.embedded")


def main() -> None:
    services = embedded()
    layout = services.Layout.default()
    try:
        if layout.root.exists():
            with services.held(layout.root):
                services.remove(layout)
    except services.EmbeddedError as error:
        sys.exit(str(error))
    for name in (*CACHES, "var", ".venv", "gpu_ops/cpp/build"):
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for cache in ROOT.rglob("__pycache__"):
        shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
