"""Where dumps come from: holding files and pairs of ports."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from devices.lane import Lane
from protocols.header import Header, HeaderType, build_header
from taper.core.errors import DeviceFault, DumpFault
from taper.core.splitting import DirectoryFacts
from taper.flow.holding import HoldingOrigin
from taper.flow.interfaces import IBlockOrigin, IConnectingOrigin
from taper.flow.port import PortOrigin
from taper.run.look import Look, look_at_directory
from tests.flow.flowing import Flowing, make_context
from tests.opened import descriptors
from tests.plane.dumping import HEADER, write_holding

DATA = bytes(range(256)) * 1000


def from_files(name: str) -> Flowing:
    context = make_context(reactor)
    return Flowing(context, HoldingOrigin(context, name))


def from_port(dtimeout: float = 5) -> Flowing:
    context = make_context(reactor, dtimeout + 1)
    return Flowing(context, PortOrigin(context, "localhost"))


def soon(seconds: float = 0.05) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)  # type: ignore[attr-defined]
    return done


def connect(address: str | int) -> socket.socket:
    port = address if isinstance(address, int) else int(address.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=600)


async def send_header(port: int, data: bytes | None = None) -> None:
    """As a dumper does: it is connected long before it knows the header."""
    with connect(port) as peer:
        await soon()
        peer.sendall(build_header(HEADER, 32768, None) if data is None else data)


@ensureDeferred
async def test_a_holding_file(tmp_path: Path) -> None:
    """Nobody needs to connect; header and data come from the chain of chunks."""
    flowing = from_files(write_holding(str(tmp_path), DATA, 100_000))
    verifyObject(IBlockOrigin, flowing.origin)
    assert await flowing.offer() is None
    header = await flowing.header()
    assert (header.host, header.disk) == ("localhost", "/srv")
    await flowing.ready()
    assert await flowing.write() == DATA
    await flowing.close()
    await flowing.close()


@ensureDeferred
async def test_a_holding_file_that_is_not_used(tmp_path: Path) -> None:
    """Its descriptor is closed; closing twice is as good as once."""
    flowing = from_files(write_holding(str(tmp_path), DATA, 100_000))
    await flowing.header()
    before = descriptors()
    await flowing.close()
    await flowing.close()
    after = descriptors()
    assert after <= before
    assert any(str(tmp_path) in path for _, path in before - after)


@ensureDeferred
async def test_a_missing_holding_file() -> None:
    flowing = from_files("/no/such/file")
    with pytest.raises(DumpFault, match="while opening holding file '/no/such/file'") as caught:
        await flowing.header()
    assert not isinstance(caught.value, DeviceFault)
    await flowing.close()


@ensureDeferred
async def test_a_dump_over_tcp() -> None:
    """One loopback address; the header on one connection, then the data on another."""
    flowing = from_port()
    verifyObject(IBlockOrigin, flowing.origin)
    verifyObject(IConnectingOrigin, flowing.origin)
    offer = await flowing.offer()
    assert offer is not None
    (address,) = offer.addresses
    assert address.startswith("127.0.0.1:")
    coming = flowing.header()
    await send_header(offer.header_port)
    assert (await coming).disk == "/srv"
    coming_data = flowing.ready()
    assert not coming_data.called
    peer = connect(address)
    peer.sendall(DATA[:1])
    await coming_data
    from threading import Thread

    sender = Thread(target=lambda: (peer.sendall(DATA[1:]), peer.close()))
    sender.start()
    assert await flowing.write() == DATA
    sender.join()
    await flowing.close()
    await flowing.close()


@ensureDeferred
async def test_data_that_comes_before_the_header() -> None:
    flowing = from_port()
    offer = await flowing.offer()
    assert offer is not None
    with connect(offer.addresses[0]) as peer:
        peer.sendall(b"early")
        await soon()
        coming = flowing.header()
        await send_header(offer.header_port)
        await coming
        await flowing.ready()
    assert await flowing.write() == b"early"
    await flowing.close()


async def header_failure(sent: bytes, dtimeout: float = 5) -> DumpFault:
    flowing = from_port(dtimeout)
    offer = await flowing.offer()
    assert offer is not None
    coming = flowing.header()
    await send_header(offer.header_port, sent)
    with pytest.raises(DumpFault) as caught:
        await coming
    await flowing.close()
    return caught.value


@ensureDeferred
async def test_an_empty_header() -> None:
    """It is known for one when no other came in time."""
    assert (await header_failure(b"", dtimeout=-0.8)).text == "Got empty header"


@ensureDeferred
async def test_a_caller_without_a_header_costs_nothing() -> None:
    flowing = from_port()
    offer = await flowing.offer()
    assert offer is not None
    coming = flowing.header()
    await send_header(offer.header_port, b"")
    with connect(offer.header_port):
        await send_header(offer.header_port)
        assert (await coming).disk == "/srv"
    await flowing.close()


@ensureDeferred
async def test_a_header_without_end() -> None:
    assert "longer than 1048576 bytes" in (await header_failure(bytes(1048577))).text


@ensureDeferred
async def test_a_header_of_garbage_is_judged_by_the_core() -> None:
    """It comes back as what it is: none of ours."""
    flowing = from_port()
    offer = await flowing.offer()
    assert offer is not None
    coming = flowing.header()
    await send_header(offer.header_port, b"\xff\x00garbage\n" * 99)
    assert (await coming).type is HeaderType.WEIRD
    await flowing.close()


class Timed:
    """The reactor, but time passes when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.advance = self.clock.advance

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


async def make_port() -> tuple[Flowing, Any, Timed]:
    """A dumper is waited for 10 s for each connection."""
    time = Timed()
    context = make_context(time, 10)
    flowing = Flowing(context, PortOrigin(context, "localhost"))
    offer = await flowing.offer()
    assert offer is not None
    return flowing, offer, time


@ensureDeferred
async def test_nobody_sends_a_header() -> None:
    flowing, _, time = await make_port()
    coming = flowing.header()
    time.advance(10)
    with pytest.raises(DumpFault, match="incoming connection: Connection timed out"):
        await coming
    await flowing.close()


@ensureDeferred
async def test_a_header_connection_that_never_says_anything() -> None:
    """A dumper may hold it while its client starts, but not for ever."""
    flowing, offer, time = await make_port()
    coming = flowing.header()
    with connect(offer.header_port):
        await soon()
        time.advance(19)
        await soon()
        assert not coming.called or isinstance(coming.result, Deferred)
        time.advance(1)
        with pytest.raises(DumpFault, match="Timeout while waiting for the header"):
            await coming
    await flowing.close()


@ensureDeferred
async def test_data_may_take_as_long_again_once_the_header_came() -> None:
    """The wait for it begins with the header, not with PORT [protocol 8]."""
    flowing, offer, time = await make_port()
    coming = flowing.header()
    with connect(offer.header_port) as peer:
        await soon()
        time.advance(15)
        peer.sendall(build_header(HEADER, 32768, None))
    assert isinstance(await coming, Header)
    coming_data = flowing.ready()
    time.advance(9)
    with connect(offer.addresses[0]) as peer:
        peer.sendall(b"x")
        await coming_data
    await flowing.close()


@ensureDeferred
async def test_nobody_sends_data() -> None:
    flowing, offer, time = await make_port()
    coming = flowing.header()
    await send_header(offer.header_port)
    await coming
    coming_data = flowing.ready()
    time.advance(10)
    with pytest.raises(DumpFault, match="incoming connection: Connection timed out"):
        await coming_data
    await flowing.close()


@ensureDeferred
async def test_a_wait_that_is_given_up_leaves_nothing_open() -> None:
    """Before a connection, while the header comes, and before the data."""
    before = descriptors()
    for stage in ("knock", "header", "data"):
        flowing, offer, time = await make_port()
        waiting: Deferred[Any] = flowing.header()
        peers = []
        if stage == "header":
            peers.append(connect(offer.header_port))
            await soon()
        elif stage == "data":
            await send_header(offer.header_port)
            await waiting
            waiting = flowing.ready()
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting
        await flowing.close()
        for peer in peers:
            peer.close()
        await soon()
        assert not time.clock.getDelayedCalls()
    assert descriptors() <= before


@ensureDeferred
async def test_a_data_connection_nobody_wants_any_more_is_closed() -> None:
    flowing, offer, _ = await make_port()
    with connect(offer.addresses[0]) as peer:
        await soon()
        await flowing.close()
        assert peer.recv(1) == b""


@ensureDeferred
async def test_no_port_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's fault, not the dump's; what was opened is closed again."""
    flowing = from_port()
    real = socket.socket.listen
    calls: list[int] = []

    def second_fails(self: socket.socket, backlog: int) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(24, "Too many open files")
        real(self, backlog)

    monkeypatch.setattr("socket.socket.listen", second_fails)
    before = descriptors()
    with pytest.raises(DumpFault, match="Too many open files") as caught:
        await flowing.offer()
    assert isinstance(caught.value, DeviceFault)
    await flowing.close()
    assert descriptors() <= before


@ensureDeferred
async def test_what_is_found_of_a_cache_directory(tmp_path: Path) -> None:
    facts = await Look(Lane(reactor, "look")).directory_facts(str(tmp_path))  # type: ignore[arg-type]
    assert facts.exists
    assert facts.free
    assert look_at_directory(str(tmp_path / "no")) == DirectoryFacts(exists=False)
