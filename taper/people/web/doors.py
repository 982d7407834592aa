"""What a browser meets: which requests are taken, and with which headers they are answered."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

from attrs import frozen
from klein import Klein
from twisted.protocols.policies import WrappingFactory
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from taper.people.web.asked import Asked

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress
    from twisted.web.iweb import IRequest

MOST_CONNECTIONS = 64
IDLE_SECONDS = 60.0
_MOST_ADDRESS = 8192
"""Bytes of an address that is asked for."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "taper",
}
HTML = "text/html; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"
_MISDIRECTED = 421
_STATIC = {
    "icon.svg": "image/svg+xml",
    "now.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
}

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class Reply:
    """What is answered."""

    body: bytes
    kind: str = HTML
    code: int = http.OK


Answerer = Callable[[Asked], Awaitable[Reply]]


def is_ours(host: str | None, names: Iterable[str]) -> bool:
    """Whether a request was meant for this server: with a name that somebody else gives to its
    address, a page of his could read what is here. Numbers are nobody's.

    :param host: the header
    :param names: by which it may be called, besides ``localhost``
    """
    if host is None:
        return False
    name = host.lower()
    if name.startswith("["):
        name, closed, port = name[1:].partition("]")
        if not closed or not _is_port(port):
            return False
    else:
        name, colon, port = name.partition(":")
        if not _is_port(f"{colon}{port}"):
            return False
    if name == "localhost" or name in {one.lower() for one in names}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    digits = text.removeprefix(":")
    return text == "" or (text[0] == ":" and digits.isascii() and digits.isdigit())


class Guard(Resource):
    """Looks at each request before anybody else does."""

    isLeaf = True

    def __init__(self, inner: Resource, names: Iterable[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._inner = inner
        self._names = tuple(names)

    def render(self, request: IRequest) -> Any:
        """Refuse it, or let it through."""
        taken: Any = request
        for name, value in HEADERS.items():
            taken.setHeader(name, value)
        if taken.method not in (b"GET", b"HEAD"):
            taken.setHeader("Allow", "GET, HEAD")
            return _refuse(taken, http.NOT_ALLOWED, "This server is only read.")
        hosts = taken.requestHeaders.getRawHeaders("host") or [None]
        if len(hosts) != 1 or not is_ours(hosts[0], self._names):
            text = "This server has no such name; taperctl web --host NAME gives it one."
            return _refuse(taken, _MISDIRECTED, text)
        if len(taken.uri) > _MOST_ADDRESS:
            return _refuse(taken, http.REQUEST_URI_TOO_LONG, "The address is too long.")
        return self._inner.render(taken)


def _refuse(request: Any, code: int, text: str) -> bytes:
    request.setResponseCode(code)
    request.setHeader("Content-Type", PLAIN)
    return f"{text}\n".encode()


class _Request(Request):
    """Whatever somebody sends behind the headers goes nowhere."""

    def gotLength(self, length: int | None) -> None:
        """See Request; nothing is set aside, in memory or in a file."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """See Request."""


class _Limited(WrappingFactory):
    """Takes no more connections than so many."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """See WrappingFactory; None: it is closed at once."""
        if len(self.protocols) >= MOST_CONNECTIONS:
            return None
        return super().buildProtocol(addr)


def make_factory(
    answerers: dict[str, Answerer],
    streams: dict[str, Callable[[Any], Any]],
    names: Iterable[str],
    reactor: Any,
) -> WrappingFactory:
    """All doors.

    :param answerers: by their paths
    :param streams: what is given a request, and answers it for as long as it likes
    :param names: see :func:`is_ours`
    """
    app = Klein()
    for path, answer in answerers.items():
        app.route(path, methods=["GET"], endpoint=path)(_page(answer))
    for path, stream in streams.items():
        app.route(path, methods=["GET"], endpoint=path)(stream)
    for name, kind in _STATIC.items():
        file = files("taper.people.web") / "static" / name
        reply = Reply(body=file.read_bytes(), kind=kind)
        app.route(f"/{name}", methods=["GET"], endpoint=name)(_page(_always(reply)))

    @app.handle_errors(Exception)
    def fail(request: Any, failure: Any) -> bytes:
        code = getattr(failure.value, "code", None)
        if code in (http.NOT_FOUND, http.NOT_ALLOWED, http.PERMANENT_REDIRECT):
            return _refuse(request, http.NOT_FOUND, "There is no such page.")
        _log.warning("the page %r: %s", request.path, failure.getTraceback())
        return _refuse(request, http.INTERNAL_SERVER_ERROR, "Something went wrong in this server.")

    site = Site(Guard(app.resource(), names), requestFactory=_Request, timeout=IDLE_SECONDS)
    site.reactor = reactor
    site.displayTracebacks = False
    return _Limited(site)  # type: ignore[no-untyped-call]


def _page(answer: Answerer) -> Callable[[Any], Awaitable[bytes]]:
    async def page(request: Any) -> bytes:
        reply = await answer(Asked(request.args))
        request.setResponseCode(reply.code)
        request.setHeader("Content-Type", reply.kind)
        request.setHeader("Content-Length", str(len(reply.body)))
        return reply.body

    return page


def _always(reply: Reply) -> Answerer:
    async def answer(asked: Asked) -> Reply:
        return reply

    return answer
