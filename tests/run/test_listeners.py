"""One-shot listeners and what comes over them, on real sockets."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from taper.core.interfaces import FeedError
from taper.run.listeners import OneShotListener, loopback, receive_all


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def turn() -> Deferred[None]:
    """Let the reactor see what is there."""
    turned: Deferred[None] = Deferred()
    reactor.callLater(0.02, turned.callback, None)  # type: ignore[attr-defined]
    return turned


class Wires:
    """A reactor's file descriptors without a reactor, and a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


def refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_loopback_address_is_the_first_ipv4_one() -> None:
    family, host = loopback()
    assert (family, host.split(".")[0]) == (socket.AF_INET, "127")


@ensureDeferred
async def test_it_takes_one_connection_and_closes() -> None:
    """The connection is in blocking mode; the next one is refused."""
    listener = OneShotListener(reactor)
    verifyObject(IReadDescriptor, listener)
    assert listener.address == f"127.0.0.1:{listener.port}"
    with connect(listener.port) as peer:
        connection = await listener.accepted
        with connection:
            assert connection.getblocking()
            peer.sendall(b"x")
            assert connection.recv(1) == b"x"
            assert refused(listener.port)


def test_nobody_comes_in_time() -> None:
    wires = Wires()
    listener = OneShotListener(wires)
    failures: list[Any] = []
    listener.accepted.addErrback(lambda failure: failures.append(failure.value))
    listener.wait_at_most(10)
    wires.clock.advance(9)
    assert not failures
    wires.clock.advance(1)
    assert isinstance(failures[0], FeedError)
    assert failures[0].text == "Error accepting incoming connection: Connection timed out"
    assert not wires.readers
    assert refused(listener.port)


def test_no_deadline_once_it_is_taken() -> None:
    """Before or after: waiting ends with the connection."""
    wires = Wires()
    listener = OneShotListener(wires)
    listener.wait_at_most(10)
    with connect(listener.port):
        listener.doRead()
        assert not wires.clock.getDelayedCalls()
        listener.wait_at_most(10)
        assert not wires.clock.getDelayedCalls()
        listener.accepted.result.close()


def test_one_who_knocks_and_goes_is_not_the_one() -> None:
    wires = Wires()
    listener = OneShotListener(wires)
    listener.doRead()  # the reactor saw somebody who is gone
    assert wires.readers == [listener]
    listener.close()


@pytest.mark.parametrize("way", ["cancel", "close", "connectionLost"])
def test_it_stops_listening_when_told(way: str) -> None:
    """Safe to repeat; no timer and no reader is left."""
    wires = Wires()
    listener = OneShotListener(wires)
    listener.wait_at_most(10)
    outcome: list[Any] = []
    listener.accepted.addErrback(lambda failure: outcome.append(failure.type))
    for _ in range(2):
        if way == "cancel":
            listener.accepted.cancel()
        elif way == "close":
            listener.close()
        else:
            listener.connectionLost(None)  # type: ignore[arg-type]
    assert outcome == ([CancelledError] if way == "cancel" else [])
    assert not wires.readers
    assert not wires.clock.getDelayedCalls()
    assert refused(listener.port)


def test_no_descriptor_left_to_listen_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(self: socket.socket, backlog: int) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("socket.socket.listen", no_room)
    with pytest.raises(OSError, match="Too many open files"):
        OneShotListener(Wires())


async def receive(limit: int = 1000) -> tuple[socket.socket, Deferred[bytes]]:
    """A connected peer, and what will be received from it."""
    listener = OneShotListener(reactor)
    peer = connect(listener.port)
    return peer, receive_all(reactor, await listener.accepted, limit)


@ensureDeferred
async def test_all_bytes_to_the_end() -> None:
    """In pieces, with pauses."""
    peer, received = await receive()
    for piece in (b"a" * 10, b"b", b"c" * 489):
        peer.sendall(piece)
        await turn()
        assert not received.called
    peer.close()
    assert await received == b"a" * 10 + b"b" + b"c" * 489


@ensureDeferred
async def test_a_peer_that_says_nothing() -> None:
    peer, received = await receive()
    peer.close()
    assert await received == b""


@ensureDeferred
async def test_exactly_as_many_as_allowed() -> None:
    peer, received = await receive(500)
    peer.sendall(bytes(500))
    peer.close()
    assert len(await received) == 500


@ensureDeferred
async def test_more_than_allowed() -> None:
    """It is told at once, and the connection is cut."""
    peer, received = await receive(500)
    peer.sendall(bytes(501))
    with pytest.raises(FeedError, match="header is longer than 500 bytes"):
        await received
    await turn()
    peer.settimeout(5)
    with pytest.raises(ConnectionResetError):
        assert peer.recv(1) == b"never"
    peer.close()


@ensureDeferred
async def test_a_connection_that_is_reset_midway() -> None:
    """Half a header is an error, not a short header."""
    peer, received = await receive()
    peer.sendall(b"half")
    await turn()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(FeedError, match="header connection lost: "):
        await received


@ensureDeferred
async def test_a_connection_that_is_reset_before_anything_came() -> None:
    peer, received = await receive()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert await received == b""


@ensureDeferred
async def test_giving_up_cuts_the_connection() -> None:
    peer, received = await receive()
    received.cancel()
    with pytest.raises(CancelledError):
        await received
    await turn()
    peer.settimeout(5)
    with pytest.raises(ConnectionResetError):
        assert peer.recv(1) == b"never"
    peer.close()
