"""The pages as ``taperctl web`` serves them, for a client that is as strange as one likes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from taper.people.commands import COMMANDS
from taper.people.running import Work
from taper.people.screen import Screen, Style
from taper.people.site import Site
from tests.people.nights import NOW, Nights, parse

GET = "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@define
class Reply:
    """What was answered."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class _Client(Protocol):
    def __init__(self) -> None:
        self.heard = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.heard)


@define
class Served:
    """A running ``taperctl web``.

    :ivar where: as it has told.
    """

    where: str
    port: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.port = int(self.where.rstrip("/").rpartition(":")[2])

    async def say(self, data: bytes) -> bytes:
        """Send bytes. :return: all that comes back, to the end of the connection"""
        from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

        client = _Client()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), client)
        assert client.transport is not None
        client.transport.write(data)
        return await client.ended

    async def ask(self, request: str) -> Reply:
        """Send a request that has all its headers."""
        return read_reply(await self.say(request.encode()))

    async def get(self, path: str, code: int = 200) -> Reply:
        """A page."""
        reply = await self.ask(GET.format(path=path))
        assert reply.code == code, (path, reply.code, reply.text)
        return reply


def read_reply(heard: bytes) -> Reply:
    """One that ends with the connection."""
    head, _, body = heard.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return Reply(int(first.split(" ")[1]), {name.lower(): value for name, value in pairs}, body)


class _Waiting(io.StringIO):
    """Tells when a command has said something."""

    def __init__(self) -> None:
        super().__init__()
        self.said: Deferred[str] = Deferred()

    def flush(self) -> None:
        if self.getvalue():
            reactor.callLater(0, self._tell)  # when the command is through with its turn

    def _tell(self) -> None:
        if not self.said.called:
            self.said.callback(self.getvalue())


@asynccontextmanager
async def serving(nights: Nights, *words: str, now: float = NOW) -> AsyncIterator[Served]:
    """Serve a configuration's pages."""
    async with served_record(nights, *words, now=now) as record:
        yield Served(record["listening"])


@asynccontextmanager
async def served_record(nights: Nights, *words: str, now: float = NOW) -> AsyncIterator[Any]:
    """The same. Gives what the command says as JSON."""
    options = parse("web", "C", *(words or ("--listen", "tcp:127.0.0.1:0")))
    out = _Waiting()
    screen = Screen(Style.JSON, out, lambda: 0.0)
    screen.warn = nights.said.append  # type: ignore[method-assign]
    site = Site(reactor, nights.config(), nights.paths, screen, now=lambda: now)
    work = Work(site, COMMANDS["web"], options)
    ended = Deferred.fromCoroutine(work.run())
    ended.addBoth(lambda result: out.said.called or out.said.cancel() or result)
    try:
        with contextlib.suppress(CancelledError):
            await out.said
        assert out.getvalue(), nights.said
        yield nights.read(out.getvalue())
    finally:
        work.leave()
        await ended


VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """Reads a page as strictly as it is written.

    :ivar elements: names and attributes of all elements.
    :ivar texts: all texts.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str]:
        return [link for one in self.all("a") if (link := one.get("href")) is not None]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.texts).split())


def look_at(page: Page) -> None:
    """What holds for each page."""
    assert page.all("html") == [{"lang": "en"}]
    for landmark in ("header", "main", "footer", "h1"):
        assert len(page.all(landmark)) == 1, landmark
    assert page.elements[1][0] == "head"
    assert page.all("title")
    assert all(one.get("aria-label") for one in page.all("nav"))
    assert all(one.get("scope") in ("col", "row") for one in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(one.get("role") and one.get("aria-label") for one in page.all("svg"))
    labelled = {one["for"] for one in page.all("label")}
    assert {one["id"] for one in page.all("input")} == labelled
    for name, attributes in page.elements:
        assert name != "style"
        assert "style" not in attributes, (name, attributes)
        assert not any(key.startswith("on") for key in attributes), (name, attributes)
        for key in ("href", "src", "action"):
            assert attributes.get(key, "/").startswith(("/", "#")), (name, attributes)
    assert [one for one in page.all("script") if set(one) != {"src", "defer"}] == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
