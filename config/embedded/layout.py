"""Where the embedded services keep their files, and as whom they run.

PostgreSQL refuses to run as root, so root hands the services to an unprivileged account and keeps their files below
/var/lib/plumbline, which that account can reach whatever the modes above the project are. Anybody else runs them as
themselves, below var/embedded. The modes of directories that were there before are never changed.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.embedded.errors import EmbeddedError

PROJECT = Path(__file__).resolve().parent.parent.parent
SYSTEM_ROOT = Path("/var/lib/plumbline")
ACCOUNT = "plumbline"
SOCKET_BYTES = 100
"""A unix socket's path may have 107 bytes on Linux, 103 on macOS."""
POSTGRES_PORT = 5432
"""Only part of the socket's name: no TCP port is opened."""


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged user that root runs the services as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one pair of services, all in `root` (0700, the account's own); `sockets` may lie elsewhere."""

    root: Path
    sockets: Path

    @classmethod
    def at(cls, root: Path) -> Layout:
        """Layout of a given directory; a long path gets its sockets in a private directory below /tmp."""
        sockets = root / "run"
        if len(os.fsencode(sockets / f".s.PGSQL.{POSTGRES_PORT}")) >= SOCKET_BYTES:
            sockets = Path("/tmp") / f"plumbline-{os.geteuid()}-{short_hash(root)}"  # noqa: S108 - checked in make_private
        return cls(root=root, sockets=sockets)

    @classmethod
    def default(cls) -> Layout:
        """Layout of this installation, keyed by its var directory; reads nothing but the environment."""
        var = var_directory()
        if os.geteuid() == 0:
            return cls.at(SYSTEM_ROOT / short_hash(var))
        return cls.at(var / "embedded")

    @property
    def data(self) -> Path:
        return self.root / "postgres18"

    @property
    def passfile(self) -> Path:
        """libpq's password file: the password never stands in a URL or an environment."""
        return self.root / "pgpass"

    @property
    def postgres_log(self) -> Path:
        return self.root / "postgres.log"

    @property
    def redis_log(self) -> Path:
        return self.root / "redis.log"

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"

    def database_url(self, database: str = "plumbline") -> str:
        """A URL that libpq and django-environ both read; the socket's directory is the `host` option."""
        return f"postgres://plumbline@/{database}?host={self.sockets}&passfile={self.passfile}"

    def redis_url(self, database: int = 0) -> str:
        return f"unix://{self.redis_socket}?db={database}"


def var_directory() -> Path:
    """Where this installation keeps all its other files."""
    return Path(os.environ.get("PLUMBLINE_VAR") or PROJECT / "var").resolve()


def short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:10]


def service_account(root: Path) -> Account | None:
    """The account for services below `root`: whoever owns it already, else `plumbline`, else `nobody`.

    Returns None when this process is not root: services then run as the user who starts them.
    Also: creates the system user `plumbline` where it is missing and useradd can.
    """
    if os.geteuid() != 0:
        return None
    if root.exists() and root.stat().st_uid != 0:
        return _account(pwd.getpwuid(root.stat().st_uid))
    return _named(ACCOUNT) or _create_account() or _named("nobody") or _refuse_root()


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _named(name: str) -> Account | None:
    try:
        return _account(pwd.getpwnam(name))
    except KeyError:
        return None


def _create_account() -> Account | None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")
    if useradd is None:
        return None
    options = ["--system", "--no-create-home", "--home-dir", str(SYSTEM_ROOT), "--shell", "/usr/sbin/nologin"]
    subprocess.run([useradd, *options, ACCOUNT], capture_output=True, check=False)
    return _named(ACCOUNT)


def _refuse_root() -> Account:
    raise EmbeddedError(
        "PostgreSQL refuses to run as root and this machine has no other account; create one with "
        f"`useradd --system {ACCOUNT}`, or set DATABASE_URL to a database of your own.",
        code="no_account",
    )


def make_directories(layout: Layout, account: Account | None) -> None:
    """Create what is missing of `layout`, private to the account.

    Raises:
        EmbeddedError: a directory cannot be made, belongs to somebody else, or leads through one closed to the account.
    """
    try:
        if layout.root.parent == SYSTEM_ROOT and not SYSTEM_ROOT.exists():
            SYSTEM_ROOT.mkdir(parents=True)
            SYSTEM_ROOT.chmod(0o755)
        layout.root.parent.mkdir(parents=True, exist_ok=True)
        make_private(layout.root, account)
        make_private(layout.sockets, account)
    except PermissionError as error:
        raise EmbeddedError(
            f"This user may not create {error.filename}; start Plumbline as the owner of {layout.root.parent}.",
            code="not_permitted",
        ) from error


def make_private(path: Path, account: Account | None) -> None:
    """Make a 0700 directory of the account's own; one that exists must be exactly that."""
    owner = os.geteuid() if account is None else account.uid
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    else:
        path.chmod(0o700)
        if account is not None:
            os.chown(path, account.uid, account.gid)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise EmbeddedError(
            f"{path} must be a directory that only its owner (user id {owner}) can enter; remove it and try again.",
            code="not_private",
        )
