"""``taperctl web``: what runs now, as events for whoever listens."""

from __future__ import annotations

from pathlib import Path

from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from taper.people.web.live import MOST_STREAMS, _Stream
from taper.people.web.live import PATIENCE as PATIENCE_OF_STREAMS
from tests.people.nights import Nights
from tests.people.served import GET, Page, Served, look_at, serving
from tests.people.test_watch import Served as Status


class Browser(Protocol):
    """Hears events; :meth:`until` waits for a text among them."""

    def __init__(self) -> None:
        self.heard = b""
        self._waiting: list[tuple[bytes, Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        for waiting in tuple(self._waiting):
            if waiting[0] in self.heard:
                self._waiting.remove(waiting)
                waiting[1].callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.heard += b"END"
        self.dataReceived(b"")

    def until(self, text: bytes) -> Deferred[None]:
        self.heard = self.heard if text in self.heard else b""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((text, waiting))
        self.dataReceived(b"")
        return waiting


async def open_browser(served: Served) -> Browser:
    browser = Browser()
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", served.port)
    await connectProtocol(endpoint, browser)
    assert browser.transport is not None
    browser.transport.write(GET.format(path="/now/events").encode())
    return browser


@ensureDeferred
async def test_what_runs_now(tmp_path: Path) -> None:
    """On the page for everybody, and as events for whoever listens; of this configuration only."""
    nights = Nights(tmp_path).make()
    other = Status(tmp_path / "tmp", pid=2, config="OTHER")
    taper = Status(tmp_path / "tmp")
    try:
        taper.write()
        async with serving(nights) as served:
            browser = await open_browser(served)
            await browser.until(b"worker0-0")
            assert b"text/event-stream" in browser.heard
            assert b"OTHER" not in browser.heard
            page = Page((await served.get("/")).text)
            look_at(page)
            assert "worker0-0" in page.words
            assert "C01" in page.words
            taper.end()
            await browser.until(b"No taper is running.")
            assert (
                (await served.get("/now.js")).headers["content-type"].startswith("text/javascript")
            )
        await browser.until(b"END")
    finally:
        taper.end()
        other.end()


@ensureDeferred
async def test_more_who_watch_than_anybody_needs(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    async with serving(nights) as served:
        browsers = [await open_browser(served) for _ in range(MOST_STREAMS)]
        for browser in browsers:
            await browser.until(b"No taper is running.")
        reply = await served.get("/now/events", 503)
        assert b"There are too many who watch.\n" in reply.body
        head = await served.ask(GET.format(path="/now/events").replace("GET", "HEAD"))
        assert (head.code, head.body) == (200, b"")
        await served.get("/")
        transport = browsers[0].transport
        assert transport is not None
        transport.loseConnection()
        await browsers[0].until(b"END")
        late = await open_browser(served)
        await late.until(b"HTTP/1.1")  # there may be room for it already, or not yet
        assert (await served.get("/")).code == 200


def test_a_browser_that_does_not_read() -> None:
    """It misses pictures, and is let go; the others are told."""
    deaf = Silent()
    stream = _Stream(deaf, lambda _: None)
    stream.tell(b"1")
    stream.pauseProducing()
    for _ in range(3):
        stream.tell(b"2")
    stream.resumeProducing()
    stream.tell(b"3")
    assert deaf.written == [b"1", b"3"]
    stream.pauseProducing()
    for _ in range(PATIENCE_OF_STREAMS):
        stream.tell(b"4")
    assert not deaf.lost
    stream.tell(b"5")
    assert deaf.lost
    assert verifyObject(IPushProducer, stream)


class Silent:
    """A request of somebody who reads when he likes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.lost = False
        self.transport = self

    def notifyFinish(self) -> Deferred[None]:
        return Deferred()

    def setHeader(self, name: str, value: str) -> None:
        pass

    def registerProducer(self, producer: object, streaming: bool) -> None:
        assert streaming

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abortConnection(self) -> None:
        self.lost = True
