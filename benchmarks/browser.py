"""A light HTTP/1.1 client that keeps its connection and its cookies as a browser does; no more than a load needs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

LIMIT_BYTES = 8 * 2**20
MAX_DELAY_SECONDS = 0.05
"""A connection is cut within so long after its request, where one is cut on purpose."""


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    """Names in small letters; of a repeated one the last."""
    body: bytes

    def text(self) -> str:
        return self.body.decode()


class Browser:
    """One person's connection to a site.

    Args:
        headers: sent with every request.
    """

    def __init__(self, host: str, port: int, headers: Mapping[str, str] | None = None) -> None:
        self.host, self.port = host, port
        self.cookies: dict[str, str] = {}
        self._common = {"Host": f"{host}:{port}", **(headers or {})}
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        return await self.send("GET", path, headers=headers)

    async def post_form(
        self, path: str, fields: Mapping[str, str] | list[tuple[str, str]], headers: Mapping[str, str] | None = None
    ) -> Response:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.send("POST", path, body=urlencode(fields).encode(), headers={**kind, **(headers or {})})

    async def post_json(self, path: str, body: Any) -> Response:
        """As a page's script sends it: with the token of the CSRF cookie."""
        headers = {"Content-Type": "application/json", "X-CSRFToken": self.cookies["csrftoken"]}
        return await self.send("POST", path, body=json.dumps(body).encode(), headers=headers)

    async def send(
        self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send a request and read its answer; once more where a kept connection had been closed meanwhile.

        Raises:
            ConnectionError: the connection ended before the answer was whole; nobody knows what became of it.
        """
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in self._common.items())]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if method != "GET":
            lines.append(f"Content-Length: {len(body)}")
        raw = "\r\n".join([*lines, "", ""]).encode() + body
        is_kept = self._stream is not None
        try:
            try:
                response = await self._exchange(raw)
            except asyncio.IncompleteReadError as error:
                if error.partial or not is_kept:
                    raise
                self.close()
                response = await self._exchange(raw)
        except (OSError, EOFError) as error:
            self.close()
            raise ConnectionError(str(error)) from error
        except BaseException:
            self.close()
            raise
        if response.headers.get("connection", "").lower() == "close":
            self.close()
        return response

    def close(self) -> None:
        if self._stream is not None:
            self._stream[1].transport.abort()
            self._stream = None

    async def _exchange(self, raw: bytes) -> Response:
        reader, writer = await self._connected()
        writer.write(raw)
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = {}
        for line in lines:
            name, _colon, value = line.partition(":")
            headers[name.lower()] = value.strip()
            if name.lower() == "set-cookie":
                key, _equals, content = value.strip().split(";", 1)[0].partition("=")
                self.cookies[key] = content
        return Response(int(status.split(" ", 2)[1]), headers, await _body(reader, headers))

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._stream is None:
            self._stream = await asyncio.open_connection(self.host, self.port, limit=LIMIT_BYTES)
        return self._stream


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readexactly(2)
        return b"".join(parts)
    return await reader.readexactly(int(headers.get("content-length", "0")))


class FrailBrowser(Browser):
    """A browser whose connection is cut at random: within the request, or before the whole answer is there.

    Args:
        share: of the requests that are cut, in [0, 1].
    """

    def __init__(
        self, host: str, port: int, headers: Mapping[str, str] | None = None, *, share: float, chance: random.Random
    ) -> None:
        super().__init__(host, port, headers)
        self.share, self.chance = share, chance
        self.num_cut = 0

    async def _exchange(self, raw: bytes) -> Response:
        if self.chance.random() >= self.share:
            return await super()._exchange(raw)
        self.num_cut += 1
        if self.chance.random() < 0.3:
            _reader, writer = await self._connected()
            writer.write(raw[: self.chance.randrange(len(raw))])
            await asyncio.sleep(0)
            raise ConnectionResetError("cut within the request")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(super()._exchange(raw), self.chance.uniform(0, MAX_DELAY_SECONDS))
        raise ConnectionResetError("cut before the answer was read")
