"""Write requirements/lock.txt and requirements/test.txt from what is installed: run with .venv/bin/python.

lock.txt pins pyproject's dependencies and everything they pull in; test.txt what the `test` extra adds. Torch's own
CUDA packages are left to torch: a CPU wheel of the same version does not have them. Triton, which the tests run in its
interpreter, keeps its range, so that torch's own pin wins where there is one.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LEFT_TO_TORCH = ("nvidia-", "cuda-", "triton", "torch-cuda")


def closure(requirements: list[str]) -> set[str]:
    """Canonical names of `requirements` and of everything installed that they need."""
    found: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in found or key[0].startswith(LEFT_TO_TORCH):
            continue
        found.add(key)
        for text in distribution(requirement.name).requires or []:
            needed = Requirement(text)
            environments = [{"extra": extra} for extra in (requirement.extras or {""})]
            if needed.marker is None or any(needed.marker.evaluate(environment) for environment in environments):
                waiting.append(needed)
    return {name for name, _ in found}


def pins(names: set[str]) -> str:
    """`+cpu` and the like name a build, not a version: any build of it will do."""
    return "".join(f"{name}=={version(name).split('+')[0]}\n" for name in sorted(names))


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = closure(project["dependencies"])
    wanted = project["optional-dependencies"]["test"]
    test = closure(wanted) - base
    ranges = "".join(f"{text}\n" for text in wanted if text.startswith(LEFT_TO_TORCH))
    head = "# Written by tools/lock.py from pyproject.toml; do not edit.\n"
    (ROOT / "requirements" / "lock.txt").write_text(head + pins(base))
    (ROOT / "requirements" / "test.txt").write_text(head + pins(test) + ranges)


if __name__ == "__main__":
    main()
