"""The load of `labelling.py` on Label Studio Community: `next` and `annotations` of its API, by as many annotators.

It runs in an environment of its own, as its own image does: uWSGI with two processes, on a PostgreSQL of the system,
because it wants pg_trgm. Name that environment's interpreter in LABEL_STUDIO_PYTHON:

    apt-get install postgresql
    python3 -m venv /tmp/label-studio && /tmp/label-studio/bin/pip install label-studio==1.23.2 pyuwsgi==2.0.30.post1
    LABEL_STUDIO_PYTHON=/tmp/label-studio/bin/python python benchmarks/labelling_label_studio.py --json
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg

from benchmarks.browser import Browser
from benchmarks.cpu import Trees
from benchmarks.labelling_people import csrf_field
from benchmarks.labelling_site import free_port
from benchmarks.load import percentile, shift
from config.embedded.layout import Layout, make_directories, service_account
from config.embedded.spawn import end, run, spawn

PASSWORD = "a long enough pass phrase"  # noqa: S105 - of people who exist for minutes
USER = "labelstudio"
EMAIL = "labeler-{}@example.com"
READY_SECONDS = 120.0
CONFIG = (
    '<View><Text name="prompt" value="$prompt"/><List name="answers" value="$answers"/>'
    '<Ranker name="rank" toName="answers"/></View>'
)
PEOPLE = """
import django
django.setup()
from organizations.models import Organization
from users.models import User
made = [User.objects.create_user(email={email!r}.format(n), password={password!r}) for n in range({num})]
organization = Organization.create_organization(created_by=made[0], title="Benchmark")
for user in made:
    organization.has_user(user) or organization.add_user(user)
    user.active_organization = organization
    user.save(update_fields=["active_organization"])
"""
COUNTS = """
    SELECT (SELECT count(*) FROM task_completion),
           (SELECT count(*) FROM (SELECT 1 FROM task_completion GROUP BY task_id, completed_by_id
                                  HAVING count(*) > 1) AS twice),
           (SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM task_completion GROUP BY task_id
                                                 HAVING count(*) > 1) AS over)
"""


class Running(NamedTuple):
    port: int
    pids: dict[str, int]
    database_url: str


@contextlib.contextmanager
def label_studio(python: Path, binaries: Path, num_people: int) -> Iterator[Running]:
    """Label Studio with its people, in /var/tmp, on loopback."""
    directory = Path(tempfile.mkdtemp(prefix="label-studio-benchmark-", dir="/var/tmp"))
    directory.chmod(0o711)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        postgres, layout = stack.enter_context(_postgres(binaries, directory / "services"))
        home, environment = _home(python), _environment(directory, layout)
        for command in (["manage.py", "migrate", "--verbosity", "0"], ["-c", _people_script(num_people)]):
            subprocess.run([python, *command], cwd=home, env=environment, check=True, stdout=sys.stderr)
        port = free_port()
        with (directory / "web.log").open("wb") as log:
            web = spawn(
                _server(python, port), directory=home, death_signal=signal.SIGKILL, output=log, environment=environment
            )
        stack.callback(end, web, [(signal.SIGTERM, 20.0)])
        asyncio.run(_wait(port))
        url = f"postgres://{USER}@/postgres?host={layout.sockets}&passfile={layout.passfile}"
        yield Running(port, {"web": web.pid, "postgres": postgres.pid}, url)


@contextlib.contextmanager
def _postgres(binaries: Path, root: Path) -> Iterator[tuple[subprocess.Popen[bytes], Layout]]:
    """A PostgreSQL with contrib, which our own binaries lack; defaults, so fsync and synchronous_commit are on."""
    layout, account = Layout.at(root), service_account(root)
    make_directories(layout, account)
    secret = root / "password"
    for path, text in ((secret, PASSWORD), (layout.passfile, f"*:*:*:{USER}:{PASSWORD}\n")):
        path.write_text(text)
        path.chmod(0o600)
        if account is not None:
            os.chown(path, account.uid, account.gid)
    made: list[str | Path] = [
        binaries / "initdb",
        "-D",
        layout.data,
        f"--username={USER}",
        f"--pwfile={secret}",
        "--encoding=UTF8",
    ]
    code, printed = run([*made, "--auth=scram-sha-256", "--locale=C"], directory=root, account=account)
    if code:
        sys.exit(f"initdb failed: {printed}")
    settings = {"listen_addresses": "", "unix_socket_directories": str(layout.sockets)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (root / "postgres.log").open("wb") as log:
        server = spawn(
            [binaries / "postgres", "-D", layout.data, *options], directory=root, death_signal=signal.SIGINT,
            account=account, output=log,
        )  # fmt: skip
    try:
        yield server, layout
    finally:
        end(server, [(signal.SIGINT, 20.0)])


def _home(python: Path) -> Path:
    """The folder of its manage.py."""
    found = subprocess.run(
        [python, "-c", "import label_studio; print(label_studio.__path__[0])"],
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(found.stdout.strip())


def _environment(directory: Path, layout: Layout) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        "DJANGO_DB": "default",
        "POSTGRE_NAME": "postgres",
        "POSTGRE_USER": USER,
        "POSTGRE_PASSWORD": PASSWORD,
        "POSTGRE_HOST": str(layout.sockets),
        "POSTGRE_PORT": "5432",
        "LABEL_STUDIO_BASE_DATA_DIR": str(directory / "data"),
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "false",
        "LOG_LEVEL": "WARNING",
        "DEBUG": "false",
        "SECRET_KEY": secrets.token_urlsafe(48),
    }


def _people_script(num: int) -> str:
    return PEOPLE.format(email=EMAIL, password=PASSWORD, num=num)


def _server(python: Path, port: int) -> list[str]:
    """As the `uwsgi.ini` of its image, with two processes and kept connections."""
    uwsgi = python.parent / "uwsgi"
    options = ["--http11-socket", f"127.0.0.1:{port}", "--http-keepalive", "--wsgi-file", "core/wsgi.py"]
    options += ["--master", "--processes", "2", "--threads", "8", "--enable-threads", "--buffer-size", "65536"]
    return [str(uwsgi), *options, "--die-on-term", "--single-interpreter", "--vacuum", "--disable-logging"]


async def _wait(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        browser = Browser("127.0.0.1", port)
        try:
            async with asyncio.timeout(10):
                if (await browser.get("/health")).status == 200:
                    return
        except (ConnectionError, TimeoutError):
            await asyncio.sleep(0.5)
        finally:
            browser.close()
        if time.monotonic() > deadline:
            sys.exit(f"Label Studio did not answer within {READY_SECONDS:.0f} seconds.")


@dataclass(slots=True)
class Annotator:
    """Somebody signed in to Label Studio; a request is sent once, as its page does."""

    name: str
    browser: Browser
    chance: random.Random
    project: int = 0
    task: dict[str, Any] | None = None
    num_acknowledged: int = 0

    async def sign_in(self) -> None:
        page = await self.browser.get("/user/login/")
        fields = {"email": self.name, "password": PASSWORD, "csrfmiddlewaretoken": csrf_field(page)}
        found = await self.browser.post_form("/user/login/", fields)
        if found.status != 302:
            raise RuntimeError(f"{self.name} could not sign in: {found.status}")

    async def take(self) -> bool:
        response = await self.browser.get(f"/api/projects/{self.project}/next")
        if response.status == 404:
            return False
        self.task = json.loads(response.body)
        return response.status == 200

    async def hand_in(self) -> bool:
        assert self.task is not None
        order = [answer["id"] for answer in self.task["data"]["answers"]]
        self.chance.shuffle(order)
        value = {"from_name": "rank", "to_name": "answers", "type": "ranker", "value": {"ranker": {"rank": order}}}
        path = f"/api/tasks/{self.task['id']}/annotations/?project={self.project}"
        response = await self.browser.post_json(path, {"result": [value], "lead_time": 1.5})
        self.num_acknowledged += response.status == 201
        return response.status == 201


async def set_up(owner: Annotator, tasks: int) -> int:
    """A project with its tasks; returns its number."""
    made = await owner.browser.post_json(
        "/api/projects/", {"title": "Benchmark", "label_config": CONFIG, "maximum_annotations": 1}
    )
    project = int(json.loads(made.body)["id"])
    answers = [{"id": str(n), "title": f"Answer {n}", "body": f"This is version {n}. " * 25} for n in range(4)]
    rows = [{"prompt": f"No. {n}. What makes a rainbow?", "answers": answers} for n in range(tasks)]
    for start in range(0, tasks, 1000):
        response = await owner.browser.post_json(f"/api/projects/{project}/import", rows[start : start + 1000])
        if response.status != 201:
            raise RuntimeError(f"import: {response.status} {response.text()[:300]}")
    return project


async def load(options: argparse.Namespace, running: Running) -> dict[str, Any]:
    headers = {"Origin": f"http://127.0.0.1:{running.port}"}
    people = [
        Annotator(EMAIL.format(n), Browser("127.0.0.1", running.port, headers), random.Random(n))
        for n in range(options.labelers)
    ]
    for person in people:
        await person.sign_in()
    project = await set_up(people[0], options.tasks)
    for person in people:
        person.project = project
    await shift(people, options.warm_up)
    trees = Trees(running.pids)
    times = await shift(people, options.seconds)
    spent = trees.seconds()
    with psycopg.connect(running.database_url) as connection:
        stored, twice, over = connection.execute(COUNTS).fetchone() or (0, 0, 0)
    num = max(len(times.submit_ms), 1)
    waits = {"next": times.next_ms, "submit": times.submit_ms}
    return {
        "tasks": options.tasks,
        "labelers": options.labelers,
        "cycles_per_second": round(times.cycles_per_second, 2),
        **{f"{what}_p{n}_ms": round(percentile(ms, n) or 0, 1) for what, ms in waits.items() for n in (50, 95)},
        "duplicates": int(twice),
        "over_collected": int(over),
        "lost": sum(person.num_acknowledged for person in people) - int(stored),
        "server_cpu_ms_per_cycle": round(1000 * sum(spent.values()) / num, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--labelers", type=int, default=16)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--warm-up", type=float, default=5)
    parser.add_argument("--postgres", type=Path, default=Path("/usr/lib/postgresql/15/bin"), help="of a PostgreSQL")
    parser.add_argument("--json", action="store_true", help="the row as JSON")
    options = parser.parse_args()
    python = os.environ.get("LABEL_STUDIO_PYTHON")
    if not python:
        parser.error("LABEL_STUDIO_PYTHON is not set; it names the interpreter that has label-studio")
    with label_studio(Path(python), options.postgres, options.labelers) as running:
        found = asyncio.run(load(options, running))
    print(json.dumps(found, indent=1) if options.json else "\n".join(f"{k:<26}{v}" for k, v in found.items()))


if __name__ == "__main__":
    main()
