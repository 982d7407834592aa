"""One-shot listeners and what comes over them, on real sockets."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from devices.door import HELD_PATIENCE, MOST_WAITING, SILENT_PATIENCE
from taper.core.errors import SourceFault
from taper.flow import listeners
from taper.flow.listeners import (
    OneShotListener,
    Reception,
    listen_on_loopback,
    loopback_addresses,
)
from tests.fakes.stranger import NOBODY, Stranger, needs_root
from tests.opened import descriptors


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=600)


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

    def read_all(self) -> None:
        """What a reactor does when everything can be read."""
        for reader in list(self.readers):
            if reader in self.readers:
                reader.doRead()


def refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_loopback_address_is_the_first_ipv4_one() -> None:
    family, host = loopback_addresses()[0]
    assert (family, host.split(".")[0]) == (socket.AF_INET, "127")


def test_no_name_server_is_asked_for_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs would hold up the whole process."""

    def hang(*_: object, **__: object) -> None:
        raise AssertionError("the resolver was asked")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    listen_on_loopback().close()


IPV4, IPV6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1 localhost\n", [(IPV4, "127.0.0.1")]),
        ("::1 ip6-localhost localhost\n", [(IPV6, "::1"), (IPV4, "127.0.0.1")]),
        (
            "::1\tLOCALHOST # it\n127.0.0.2 me localhost\n",
            [(IPV4, "127.0.0.2"), (IPV6, "::1"), (IPV4, "127.0.0.1")],
        ),
        ("# 127.0.0.9 localhost\nlocalhost\nxx localhost\n0.0.0.0 localhost\n\n", []),
        ("127.0.0.9 localhost.example\n\x00\n", []),
    ],
)
def test_localhost_of_the_hosts_file(
    tmp_path: Path, text: str, expected: list[tuple[socket.AddressFamily, str]]
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(text)
    assert loopback_addresses(str(hosts)) == (expected or [(IPV4, "127.0.0.1")])


@given(st.binary(max_size=200))
def test_any_hosts_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    hosts = tmp_path_factory.getbasetemp() / "any hosts"
    hosts.write_bytes(data)
    assert (IPV4, "127.0.0.1") in loopback_addresses(str(hosts))


def test_a_localhost_that_this_host_cannot_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only "::1 localhost" in /etc/hosts, and a kernel without IPv6; or nothing at all there."""
    real = socket.socket

    def no_ipv6(family: int, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *rest)

    hosts = tmp_path / "hosts"
    hosts.write_text("::1 localhost\n")
    monkeypatch.setattr(listeners, "HOSTS", str(hosts))
    monkeypatch.setattr(socket, "socket", no_ipv6)
    with listen_on_loopback() as listener:
        assert listener.getsockname()[0] == "127.0.0.1"

    hosts.unlink()
    with listen_on_loopback() as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@ensureDeferred
async def test_it_takes_one_connection_and_closes() -> None:
    """The connection is in blocking mode; the next one is refused."""
    listener = OneShotListener(reactor)
    assert listener.address == f"127.0.0.1:{listener.port}"
    with connect(listener.port) as peer:
        peer.sendall(b"x")
        connection = await listener.accepted
        with connection:
            assert connection.getblocking()
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
    assert isinstance(failures[0], SourceFault)
    assert failures[0].text == "Error accepting incoming connection: Connection timed out"
    assert not wires.readers
    assert refused(listener.port)


def test_no_deadline_once_it_is_taken() -> None:
    """Before or after: waiting ends with the connection."""
    wires = Wires()
    listener = OneShotListener(wires)
    listener.wait_at_most(10)
    with connect(listener.port) as peer:
        peer.sendall(b"x")
        wires.read_all()
        assert not wires.clock.getDelayedCalls()
        listener.wait_at_most(10)
        assert not wires.clock.getDelayedCalls()
        listener.accepted.result.close()


def test_one_who_knocks_and_goes_is_not_the_one() -> None:
    wires = Wires()
    listener = OneShotListener(wires)
    verifyObject(IReadDescriptor, wires.readers[0])
    wires.read_all()  # the reactor saw somebody who is gone
    assert len(wires.readers) == 1
    listener.close()


def test_one_who_says_nothing_is_not_the_one() -> None:
    """Hung up or silent, he keeps the place from nobody."""
    wires = Wires()
    came: list[None] = []
    listener = OneShotListener(wires, lambda: came.append(None))
    listener.wait_at_most(10)
    connect(listener.port).close()
    wires.read_all()
    with connect(listener.port), connect(listener.port) as peer:
        wires.read_all()
        wires.read_all()
        assert len(came) == 2
        assert listener.waiting
        wires.clock.advance(10)
        assert not listener.accepted.called
        peer.sendall(b"x")
        wires.read_all()
        with listener.accepted.result as connection:
            assert connection.recv(9) == b"x"
        assert not wires.readers
        assert not wires.clock.getDelayedCalls()


def test_the_last_who_said_nothing_is_all_of_an_empty_dump() -> None:
    """When nobody better came in time; not as long as the deadline of a dump, if he was known:
    a dumper that fails early must not hold the taper up."""
    wires = Wires()
    listener = OneShotListener(wires)
    listener.wait_at_most(1800)
    with connect(listener.port) as peer:
        wires.read_all()
        peer.close()
        wires.read_all()
    wires.clock.advance(SILENT_PATIENCE - 1)
    assert not listener.accepted.called
    wires.clock.advance(1)
    with listener.accepted.result as connection:
        assert connection.recv(9) == b""


def test_who_was_not_known_and_said_nothing_is_waited_out() -> None:
    """He may be anybody."""
    wires = Wires()
    listener = OneShotListener(wires)
    listener.wait_at_most(1800)
    connect(listener.port).close()
    wires.read_all()
    wires.clock.advance(1799)
    assert not listener.accepted.called
    wires.clock.advance(1)
    with listener.accepted.result as connection:
        assert connection.recv(9) == b""


@needs_root
def test_a_stranger_of_this_host_is_sent_away(caplog: pytest.LogCaptureFixture) -> None:
    """However much he says; the one who may is served after him."""
    wires = Wires()
    listener = OneShotListener(wires)
    with Stranger(listener.port, "evil") as stranger:
        wires.read_all()
        assert stranger.heard() == b""
    with connect(listener.port) as peer:
        peer.sendall(b"good")
        wires.read_all()
        with listener.accepted.result as connection:
            assert connection.recv(9) == b"good"
    assert f"127.0.0.1, user {NOBODY} of this host" in caplog.text


def test_many_callers_cost_a_bounded_number_of_descriptors() -> None:
    """The first to come leave for the last."""
    wires = Wires()
    without = descriptors()
    listener = OneShotListener(wires)
    before = descriptors()
    peers = []
    for _ in range(MOST_WAITING + 20):
        peers.append(connect(listener.port))
        wires.read_all()
    assert len(descriptors() - before) - len(peers) == MOST_WAITING
    assert len(wires.readers) == MOST_WAITING + 1
    listener.close()
    for peer in peers:
        peer.close()
    assert descriptors() <= without


def gone(listener: OneShotListener, said: bytes) -> None:
    """Somebody has come, spoken and left before anybody looked."""
    with connect(listener.port) as peer:
        peer.sendall(said)


def test_who_cannot_be_identified_any_more_is_taken_when_nobody_better_comes() -> None:
    """The kernel has forgotten his user. He waits, counted from when somebody is waited for."""
    wires = Wires()
    listener = OneShotListener(wires)
    gone(listener, b"quick")
    wires.read_all()
    wires.clock.advance(100)
    assert not listener.accepted.called
    listener.wait_at_most(10)
    wires.clock.advance(HELD_PATIENCE)
    with listener.accepted.result as connection:
        assert connection.recv(9) == b"quick"
    assert not wires.clock.getDelayedCalls()


def test_who_is_known_is_better_than_who_is_not() -> None:
    wires = Wires()
    listener = OneShotListener(wires)
    listener.wait_at_most(10)
    gone(listener, b"quick")
    wires.read_all()
    with connect(listener.port) as peer:
        peer.sendall(b"good")
        wires.read_all()
        with listener.accepted.result as connection:
            assert connection.recv(9) == b"good"
    wires.clock.advance(10)


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
            for reader in list(wires.readers):
                reader.connectionLost(None)
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


def receive(limit: int = 1000) -> tuple[socket.socket, Deferred[bytes]]:
    """A connected peer, and what will be received from it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = connect(server.getsockname()[1])
        return peer, Reception(reactor, server.accept()[0], limit).done


@ensureDeferred
async def test_all_bytes_to_the_end() -> None:
    """In pieces, with pauses."""
    peer, received = receive()
    for piece in (b"a" * 10, b"b", b"c" * 489):
        peer.sendall(piece)
        await turn()
        assert not received.called
    peer.close()
    assert await received == b"a" * 10 + b"b" + b"c" * 489


@ensureDeferred
async def test_a_peer_that_says_nothing() -> None:
    peer, received = receive()
    peer.close()
    assert await received == b""


@ensureDeferred
async def test_exactly_as_many_as_allowed() -> None:
    peer, received = receive(500)
    peer.sendall(bytes(500))
    peer.close()
    assert len(await received) == 500


@ensureDeferred
async def test_more_than_allowed() -> None:
    """It is told at once, and the connection is cut."""
    peer, received = receive(500)
    peer.sendall(bytes(501))
    with pytest.raises(SourceFault, match="header is longer than 500 bytes"):
        await received
    await turn()
    peer.settimeout(5)
    with pytest.raises(ConnectionResetError):
        assert peer.recv(1) == b"never"
    peer.close()


@ensureDeferred
async def test_a_connection_that_is_reset_midway() -> None:
    """Half a header is an error, not a short header."""
    peer, received = receive()
    peer.sendall(b"half")
    await turn()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(SourceFault, match="header connection lost: "):
        await received


@ensureDeferred
async def test_a_connection_that_is_reset_before_anything_came() -> None:
    peer, received = receive()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert await received == b""


@ensureDeferred
async def test_giving_up_cuts_the_connection() -> None:
    peer, received = receive()
    received.cancel()
    with pytest.raises(CancelledError):
        await received
    await turn()
    peer.settimeout(5)
    with pytest.raises(ConnectionResetError):
        assert peer.recv(1) == b"never"
    peer.close()
