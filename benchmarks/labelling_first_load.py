"""What a browser that comes for the first time loads before a labeler can work: bytes on the wire."""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath
from typing import NamedTuple

from benchmarks.browser import Browser, Response
from benchmarks.labelling_people import Reader

ACCEPTS = {"Accept-Encoding": "gzip, deflate, br"}
HTML_LINKS = re.compile(r'<(?:script[^>]*\ssrc|link[^>]*\shref)="(/static/[^"]+)"')
SCRIPT_LINKS = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.{0,2}/[^"']+\.js)["']""")
STYLE_LINKS = re.compile(r"""(?:url\(|@import\s+)["']?(?!data:|#)([^"')\s]+)["']?""")


class Part(NamedTuple):
    path: str
    num_bytes: int
    """Of the body as it was sent, compressed where the server compresses."""
    encoding: str


async def first_load(reader: Reader) -> list[Part]:
    """The labelling page of the reader's next task, and all that it names, each once."""
    await reader.take()
    path = f"/work/leases/{reader.lease}/"
    parts = [_part(path, await reader.browser.get(path, ACCEPTS))]
    # A page that came compressed is asked for once more, to read what it names.
    waiting = HTML_LINKS.findall((await reader.browser.get(path)).text())
    seen: set[str] = set()
    while waiting:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        parts.append(_part(path, await reader.browser.get(path, ACCEPTS)))
        waiting += await _named(reader.browser, path)
    return parts


def _part(path: str, response: Response) -> Part:
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status}")
    return Part(path, len(response.body), response.headers.get("content-encoding", ""))


async def _named(browser: Browser, path: str) -> list[str]:
    """What a script imports and what a style sheet draws in."""
    links = {".js": SCRIPT_LINKS, ".css": STYLE_LINKS}.get(path[path.rfind(".") :])
    if links is None:
        return []
    text = (await browser.get(path)).text()
    return [normpath(join(dirname(path), found)) for found in links.findall(text)]
