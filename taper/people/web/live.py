"""What runs at this moment: on the page, and, where the browser runs JavaScript, sent to it
whenever it is something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web import http
from zope.interface import implementer

from taper.people.tapers import Tapers
from taper.people.watch_view import view
from taper.people.web.sheets import sheet

if TYPE_CHECKING:
    from protocols.status import Snapshot
    from taper.people.site import Site

MOST_STREAMS = 16
"""Browsers that are told at a time."""
BETWEEN = 1.0
"""Seconds between two pictures."""
ALIVE = 15
"""Pictures that are the same until it is said that all is well."""
PATIENCE = 30
"""Pictures that a browser may miss before it is let go."""


@implementer(IPushProducer)
class _Stream:
    """One browser.

    :ivar missed: pictures that it had no room for.
    :ivar over: fires when it is told no more.
    """

    def __init__(self, request: Any, ended: Callable[[_Stream], None]) -> None:
        self.request = request
        self.missed = 0
        self.over: Deferred[None] = Deferred()
        self._paused = False
        request.notifyFinish().addBoth(lambda _: ended(self))
        request.setHeader("Content-Type", "text/event-stream; charset=utf-8")
        request.registerProducer(self, True)

    def tell(self, event: bytes) -> None:
        """Send an event, if there is room for it; what is missed is made good by the next one."""
        if not self._paused:
            self.missed = 0
            self.request.write(event)
            return
        self.missed += 1
        if self.missed > PATIENCE:
            self.request.transport.abortConnection()  # what is on its way is never read

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self._paused = False

    def stopProducing(self) -> None:
        """See IPushProducer; that it has ended is told elsewhere."""

    def close(self) -> None:
        """End it in good order."""
        self.request.unregisterProducer()
        self.end()

    def end(self) -> None:
        """It has ended. Safe to repeat."""
        if not self.over.called:
            self.over.callback(None)


class Live:
    """Follows the tapers of a configuration, and tells browsers of them.

    :param call: makes a picture in a thread
    """

    def __init__(self, site: Site, call: Callable[..., Deferred[Any]]) -> None:
        self._site = site
        self._call = call
        self._tapers = Tapers(
            site.reactor, site.paths.tmpdir, site.call, lambda *_: None, site.screen.warn
        )
        self._streams: list[_Stream] = []
        self._timer: Any = None
        self._same = 0
        self._last = b""
        self._closed = False

    def begin(self) -> None:
        """Look for tapers from now on."""
        self._tapers.begin()

    def snapshots(self) -> list[Snapshot]:
        """What the tapers of this configuration do."""
        return [
            snapshot
            for taper in self._tapers.running.values()
            if (snapshot := taper.snapshot) is not None
            and snapshot.get("config") == self._site.config.name
        ]

    def picture(self, snapshots: list[Snapshot]) -> str:
        """The same as a piece of a page; in a thread."""
        return sheet("live", shown=view(snapshots, self._site.now()))

    def stream(self, request: Any) -> Any:
        """Tell a browser from now on."""
        if request.method == b"HEAD":
            request.setHeader("Content-Type", "text/event-stream; charset=utf-8")
            return b""
        if self._closed or len(self._streams) >= MOST_STREAMS:
            request.setResponseCode(http.SERVICE_UNAVAILABLE)
            request.setHeader("Content-Type", "text/plain; charset=utf-8")
            return b"There are too many who watch.\n"
        stream = _Stream(request, self._ended)
        self._streams.append(stream)
        stream.tell(self._last or b": well\n\n")
        if self._timer is None:
            self._timer = self._site.reactor.callLater(0, self._draw)
        return stream.over

    def _ended(self, stream: _Stream) -> None:
        self._streams.remove(stream)
        stream.end()

    def _draw(self) -> None:
        if not self._streams:
            self._timer, self._last = None, b""
            return
        drawing = self._call(self.picture, self.snapshots())
        drawing.addCallback(self._tell).addErrback(self._failed).addCallback(self._again)

    def _tell(self, picture: str) -> None:
        lines = "".join(f"data: {line}\n" for line in picture.splitlines())
        event = f"event: now\n{lines}\n".encode()
        if event == self._last:
            self._same += 1
            if self._same % ALIVE:
                return
            event = b": well\n\n"
        else:
            self._same, self._last = 0, event
        for stream in tuple(self._streams):
            stream.tell(event)

    def _failed(self, failure: Any) -> None:
        self._site.screen.warn(f"what runs now cannot be shown: {failure.getErrorMessage()}")

    def _again(self, _: None) -> None:
        if not self._closed:
            self._timer = self._site.reactor.callLater(BETWEEN, self._draw)

    def close(self) -> None:
        """Hang up everywhere."""
        self._closed = True
        self._tapers.close()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for stream in tuple(self._streams):
            stream.close()
