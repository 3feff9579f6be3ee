"""The load generator: what its browser does with a connection, and how it counts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from benchmarks.browser import Browser, FrailBrowser
from benchmarks.load import percentile, shift

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


T = TypeVar("T")


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in a thread: this one may belong to Playwright's event loop."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def with_server(answer: Answer, use: Callable[[int], Awaitable[None]]) -> None:
    """Serve connections by `answer` on loopback while `use` runs with the port."""

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            await use(server.sockets[0].getsockname()[1])

    complete(run())


class Recorder:
    """Answers each request with the number of its connection, and keeps the heads."""

    def __init__(self, extra: bytes = b"", body: bytes | None = None) -> None:
        self.extra, self.body = extra, body
        self.connections = 0
        self.heads: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = b"%d" % self.connections
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            self.heads.append(head.decode())
            length = f"Content-Length: {len(number)}\r\n\r\n".encode() + number
            writer.write(b"HTTP/1.1 200 OK\r\n" + self.extra + (self.body or length))


def test_a_connection_is_kept_and_cookies_come_back() -> None:
    recorder = Recorder(b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; HttpOnly\r\n")

    async def use(port: int) -> None:
        browser = Browser("127.0.0.1", port)
        assert (await browser.get("/one")).text() == "1"
        assert (await browser.get("/two")).text() == "1"
        browser.close()
        assert (await browser.get("/three")).text() == "2"
        browser.close()

    with_server(recorder, use)
    assert "Cookie:" not in recorder.heads[0]
    assert "Cookie: a=1; b=2\r\n" in recorder.heads[1]


def test_a_body_in_chunks_is_put_together() -> None:
    recorder = Recorder(body=b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    async def use(port: int) -> None:
        browser = Browser("127.0.0.1", port)
        assert [(await browser.get("/")).text() for _turn in range(2)] == ["abcde", "abcde"]
        browser.close()

    with_server(recorder, use)
    assert recorder.connections == 1


def test_an_answer_that_breaks_off_is_a_connection_error_and_the_next_request_connects_again() -> None:
    recorder = Recorder(body=b"Content-Length: 10\r\n\r\nonly")
    broken: list[bool] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not broken:
            broken.append(True)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly")
            writer.close()
            return
        recorder.body = None
        await recorder(reader, writer)

    async def use(port: int) -> None:
        browser = Browser("127.0.0.1", port)
        with pytest.raises(ConnectionError):
            await browser.get("/")
        assert (await browser.get("/")).status == 200
        browser.close()

    with_server(answer, use)


def test_a_kept_connection_that_was_closed_meanwhile_is_opened_anew() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def use(port: int) -> None:
        browser = Browser("127.0.0.1", port)
        assert [(await browser.get("/")).text() for _turn in range(3)] == ["ok", "ok", "ok"]
        browser.close()

    with_server(answer, use)


def test_a_frail_browser_cuts_the_share_it_is_asked_for() -> None:
    recorder = Recorder()

    async def use(port: int) -> None:
        browser = FrailBrowser("127.0.0.1", port, share=0.5, chance=random.Random(0))
        failed = 0
        for _turn in range(200):
            try:
                await browser.get("/")
            except ConnectionError:
                failed += 1
        browser.close()
        assert failed == browser.num_cut
        assert 80 < failed < 120

    with_server(recorder, use)
    assert recorder.connections > 80


class Counted:
    """A person with so many tasks before them; every third is refused."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks

    async def take(self) -> bool:
        await asyncio.sleep(0.001)
        self.tasks -= 1
        return self.tasks >= 0

    async def hand_in(self) -> bool:
        await asyncio.sleep(0.002)
        return self.tasks % 3 != 0


def test_a_shift_counts_what_is_in_and_ends_when_nothing_is_left() -> None:
    times = complete(shift([Counted(6), Counted(3)], seconds=30))
    assert len(times.next_ms) == len(times.submit_ms) == 6
    assert times.num_refused == 3
    assert 0 < times.seconds < 5
    assert min(times.submit_ms) >= 2
    assert times.cycles_per_second == pytest.approx(6 / times.seconds)


def test_a_shift_ends_in_time() -> None:
    times = complete(shift([Counted(10**9)], seconds=0.05))
    assert 0.05 <= times.seconds < 2


def test_percentiles_by_hand() -> None:
    assert percentile([], 50) is None
    assert percentile([7.0], 95) == 7.0
    assert percentile([1.0, 2.0, 3.0, 4.0, 5.0], 50) == 3.0
    assert percentile([float(n) for n in range(101)], 95) == 95.0
