"""An NDMP session over real sockets, and what else may listen there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, ServerFactory

from protocols.ndmp import messages as m
from protocols.ndmp.errors import (
    NdmpGarbage,
    NdmpInvalid,
    NdmpLost,
    NdmpTimeout,
)
from protocols.twisted_transports.ndmp import connect_session
from tests.fakes.turning import Turning, turning_reactor
from tests.protocols.ndmp_peer import PASSWORD, Peer


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


class _Served(Protocol):
    def __init__(self, behave: Callable[[_Served, bytes], None]) -> None:
        self.behave = behave
        self.peer = Peer()

    def connectionMade(self) -> None:
        self.behave(self, b"")

    def dataReceived(self, data: bytes) -> None:
        self.behave(self, data)


def serve(turning: Turning, behave: Callable[[_Served, bytes], None]) -> tuple[Any, int]:
    """A server on localhost; ``behave`` is called with nothing once, then with what comes."""
    factory = ServerFactory()
    factory.buildProtocol = lambda _: _Served(behave)  # type: ignore[method-assign, assignment]
    port = turning.reactor.listenTCP(0, factory, interface="127.0.0.1")
    return port, port.getHost().port


def well(served: _Served, data: bytes) -> None:
    """As a good server; it hangs up after CONNECT_CLOSE."""
    transport: Any = served.transport
    if not data:
        transport.write(served.peer.greeting())
        return
    for answer in served.peer.hear(data):
        transport.write(answer)
    if isinstance(served.peer.heard[-1], m.ConnectClose):
        transport.loseConnection()


def connect(turning: Turning, port: int, *, timeout: float = 30.0, **kwargs: Any) -> Deferred[Any]:
    account = {"username": "me", "password": PASSWORD, "auth": "md5", **kwargs}
    return connect_session(turning.reactor, "127.0.0.1", port, timeout=timeout, **account)


def test_a_session_over_tcp(turning: Turning) -> None:
    """Connect, ask, close."""
    port, number = serve(turning, well)
    session = turning.wait(connect(turning, number, versions=(3,)))
    assert session.version == 3
    reply = turning.wait(session.request(m.TapeRead(200_000)))
    assert len(reply.data) == 200_000
    turning.wait(session.close())
    turning.wait(port.stopListening())


def test_nobody_listens(turning: Turning) -> None:
    """The error says that it was the connecting."""
    port, number = serve(turning, well)
    turning.wait(port.stopListening())
    with pytest.raises(NdmpLost, match=r"connect failed: .*refused"):
        turning.wait(connect(turning, number))


def _silent(served: _Served, data: bytes) -> None:
    """Accepts, and never says a word."""


def _web(served: _Served, data: bytes) -> None:
    transport: Any = served.transport
    transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def _hang_up(served: _Served, data: bytes) -> None:
    transport: Any = served.transport
    transport.loseConnection()


@pytest.mark.parametrize(
    ("behave", "kind"),
    [(_silent, NdmpTimeout), (_web, NdmpGarbage), (_hang_up, NdmpLost)],
)
def test_something_else_listens(
    turning: Turning, behave: Callable[[_Served, bytes], None], kind: type[Exception]
) -> None:
    """A dead program, a web server, a port that hangs up: a clear error each."""
    port, number = serve(turning, behave)
    patience = 0.2 if kind is NdmpTimeout else 60
    with pytest.raises(kind):
        turning.wait(connect(turning, number, timeout=patience))
    turning.wait(port.stopListening())


def test_connecting_can_be_cancelled(turning: Turning) -> None:
    """While it opens; the server sees the end."""
    port, number = serve(turning, _silent)
    connecting = connect(turning, number)
    got: list[Any] = []
    connecting.addBoth(got.append)
    turning.wait(wait_a_turn(turning))
    connecting.cancel()
    assert got[0].check(CancelledError)
    turning.wait(port.stopListening())


def test_connecting_can_be_cancelled_at_once(turning: Turning) -> None:
    """Before the name is looked up: what the endpoint makes of it is no failure to connect."""
    port, number = serve(turning, _silent)
    connecting = connect(turning, number)
    connecting.cancel()
    with pytest.raises(CancelledError):
        turning.wait(connecting)
    turning.wait(port.stopListening())


def wait_a_turn(turning: Turning) -> Deferred[None]:
    """Fires after the reactor had a chance to connect."""
    fired: Deferred[None] = Deferred()
    turning.reactor.callLater(0.1, fired.callback, None)
    return fired


def test_bad_settings_fail_before_connecting(turning: Turning) -> None:
    """An unknown way of logging in."""
    with pytest.raises(NdmpInvalid, match="auth 'magic'"):
        turning.wait(connect(turning, 1, auth="magic"))
