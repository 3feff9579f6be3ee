"""Labelers as the site knows them: signed in with a password, a session cookie and a CSRF token."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from benchmarks.browser import Browser, Response

PAUSE_SECONDS = 0.05
GIVE_UP_SECONDS = 120.0


@dataclass(slots=True)
class Said:
    """What was sent for a lease, and whether the server has said that it has it."""

    ranks: dict[str, int]
    """Answer -> rank."""
    is_acknowledged: bool = False


@dataclass(slots=True)
class Labeler:
    """Somebody who works over the REST API: `POST work/<campaign>/next/`, `POST leases/<lease>/submit/`.

    A request without an answer is sent again, as a page does when the connection comes back.
    """

    name: str
    browser: Browser
    campaign: str
    chance: random.Random
    said: dict[str, Said] = field(default_factory=dict)
    """Lease -> what was sent."""
    num_retries: int = 0
    lease: str = ""
    answers: list[str] = field(default_factory=list)

    async def sign_in(self, password: str) -> None:
        """As the sign-in page does it.

        Raises:
            RuntimeError: the site does not let them in.
        """
        page = await self.browser.get("/sign-in/")
        fields = {"username": self.name, "password": password, "next": "/work/"}
        found = await self.browser.post_form("/sign-in/", {**fields, "csrfmiddlewaretoken": csrf_field(page)})
        if found.status != 302:
            raise RuntimeError(f"{self.name} could not sign in: {found.status} {found.text()[:200]}")

    async def take(self) -> bool:
        response = await self._persist(lambda: self.browser.post_json(f"/api/v1/work/{self.campaign}/next/", {}))
        if response.status == 204:
            return False
        lease = json.loads(_require(response, 200))
        self.lease, self.answers = lease["id"], [answer["id"] for answer in lease["answers"]]
        return True

    async def hand_in(self) -> bool:
        said = self._decide()
        items = [{"completion": key, "rank": rank} for key, rank in said.ranks.items()]
        path, body = f"/api/v1/leases/{self.lease}/submit/", {"items": items, "active_seconds": 1.5}
        response = await self._persist(lambda: self.browser.post_json(path, body))
        said.is_acknowledged = response.status in (200, 201)
        return said.is_acknowledged

    def _decide(self) -> Said:
        """A ranking at random, ties included; the same for a lease that came back after a cut."""
        if self.lease not in self.said:
            highest = len(self.answers)
            self.said[self.lease] = Said({key: self.chance.randint(1, highest) for key in self.answers})
        return self.said[self.lease]

    async def _persist(self, send: Callable[[], Awaitable[Response]]) -> Response:
        """Send until there is an answer that is not the server's own failure."""
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while True:
                try:
                    response = await send()
                    if response.status < 500:
                        return response
                except ConnectionError:
                    pass
                self.num_retries += 1
                await asyncio.sleep(PAUSE_SECONDS * self.chance.random())


@dataclass(slots=True)
class Reader(Labeler):
    """Somebody who works on the page: the task after the one on the screen is fetched before that one is handed in."""

    ahead: str = ""
    """The next task, as the part of the page that it will be."""

    async def take(self) -> bool:
        page = self.ahead or await self._open()
        found = re.search(r'data-lease="([0-9a-f-]{36})"', page)
        if found is None:
            return False
        self.lease = found[1]
        self.answers = list(dict.fromkeys(re.findall(r'name="rank-([0-9a-f-]{36})"', page)))
        fetched = await self._persist(lambda: self._form(f"/work/{self.campaign}/ahead/", []))
        self.ahead = fetched.text() if fetched.status == 200 and self.lease not in fetched.text() else ""
        return True

    async def _open(self) -> str:
        """The task that stands first, by the address that the site sends them to."""
        sent = await self._persist(lambda: self._form(f"/work/{self.campaign}/next/", []))
        where = sent.headers.get("location", "")
        return (await self._persist(lambda: self.browser.get(where))).text() if where else ""

    async def hand_in(self) -> bool:
        said = self._decide()
        fields = [(f"rank-{key}", str(rank)) for key, rank in said.ranks.items()]
        path = f"/work/leases/{self.lease}/send/"
        response = await self._persist(lambda: self._form(path, [*fields, ("active_seconds", "1.5")]))
        said.is_acknowledged = response.status == 200
        return said.is_acknowledged

    def _form(self, path: str, fields: list[tuple[str, str]]) -> Awaitable[Response]:
        return self.browser.post_form(path, fields, {"X-CSRFToken": self.browser.cookies["csrftoken"]})


def csrf_field(page: Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text())
    if found is None:
        raise RuntimeError(f"no CSRF token in the page: {page.status} {page.text()[:200]}")
    return found[1]


def _require(response: Response, status: int) -> bytes:
    if response.status != status:
        raise RuntimeError(f"{response.status} instead of {status}: {response.text()[:300]}")
    return response.body
