"""Where dumps come from: holding files and pairs of ports."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from devices.interfaces import AccessMode
from devices.lane import Lane, LaneDevice
from protocols.header import Header, HeaderType, build_header
from taper.core.interfaces import FeedError, IFeed, IFeeds, ITransfer
from taper.core.splitting import CacheKind, DirectoryFacts, Mode, SplitPlan
from taper.run.feeds import Feeds, PortFeed, look_at_directory
from tests.fakes.device import FakeDevice, FakeVolume
from tests.plane.dumping import HEADER, write_holding

PLAN = SplitPlan(
    part_size=0,
    block_size=32768,
    buffer_size=1310720,
    mode=Mode.SPLITTER,
    cache=CacheKind.NONE,
    allow_split=False,
    retry=False,
    debug_text="",
)
DATA = bytes(range(256)) * 1000


def make_feeds(dtimeout: float = 5) -> Feeds:
    make_lane = functools.partial(Lane, reactor)  # type: ignore[arg-type]
    return Feeds(reactor, make_lane, dtimeout, make_lane("files"))


def soon(seconds: float = 0.05) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)  # type: ignore[attr-defined]
    return done


async def write(feed: IFeed) -> bytes:
    """Write the feed's dump as one part; what is then on the volume."""
    volume = FakeVolume()
    device = FakeDevice(volume)
    device.start(AccessMode.WRITE, "V", "20260101000000")
    lane = Lane(reactor, "device")  # type: ignore[arg-type]
    transfer = feed.transfer(PLAN)
    verifyObject(ITransfer, transfer)
    transfer.start()
    result = await transfer.write_part(LaneDevice(device, lane), HEADER)
    assert (result.successful, result.eof) == (True, True)
    await transfer.close()
    assert transfer.bytes_written == result.size
    assert transfer.source_crc() == transfer.dest_crc()
    assert not transfer.take_errors()
    await lane.stop()
    return bytes(volume.files[result.fileno].data)


def connect(address: str | int) -> socket.socket:
    port = address if isinstance(address, int) else int(address.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=60)


async def send_header(port: int, data: bytes | None = None) -> None:
    """As a dumper does: it is connected long before it knows the header."""
    with connect(port) as peer:
        await soon()
        peer.sendall(build_header(HEADER, 32768, None) if data is None else data)


@ensureDeferred
async def test_a_holding_file(tmp_path: Path) -> None:
    """Nobody needs to connect; header and data come from the chain of chunks."""
    feeds = make_feeds()
    feed = feeds.holding(write_holding(str(tmp_path), DATA, 100_000))
    verifyObject(IFeeds, feeds)
    verifyObject(IFeed, feed)
    assert await feed.offer() is None
    header = await feed.header()
    assert (header.host, header.disk) == ("localhost", "/srv")
    await feed.ready()
    assert await write(feed) == DATA
    await feed.close()
    await feed.close()


@ensureDeferred
async def test_a_holding_file_that_is_not_used(tmp_path: Path) -> None:
    """Its descriptor is closed; closing twice is as good as once."""
    feed = make_feeds().holding(write_holding(str(tmp_path), DATA, 100_000))
    await feed.header()
    before = len(os.listdir("/proc/self/fd"))
    await feed.close()
    await feed.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


@ensureDeferred
async def test_a_missing_holding_file() -> None:
    feed = make_feeds().holding("/no/such/file")
    with pytest.raises(FeedError, match="while opening holding file '/no/such/file'") as caught:
        await feed.header()
    assert not caught.value.device
    await feed.close()


@ensureDeferred
async def test_a_dump_over_tcp() -> None:
    """One loopback address; the header on one connection, then the data on another."""
    feed = make_feeds().port()
    verifyObject(IFeed, feed)
    offer = await feed.offer()
    assert offer is not None
    (address,) = offer.addresses
    assert address.startswith("127.0.0.1:")
    coming = feed.header()
    await send_header(offer.header_port)
    assert (await coming).disk == "/srv"
    flowing = feed.ready()
    assert not flowing.called
    peer = connect(address)
    peer.sendall(DATA[:1])
    await flowing
    from threading import Thread

    sender = Thread(target=lambda: (peer.sendall(DATA[1:]), peer.close()))
    sender.start()
    assert await write(feed) == DATA
    sender.join()
    await feed.close()
    await feed.close()


@ensureDeferred
async def test_data_that_comes_before_the_header() -> None:
    feed = make_feeds().port()
    offer = await feed.offer()
    assert offer is not None
    with connect(offer.addresses[0]) as peer:
        peer.sendall(b"early")
        await soon()
        coming = feed.header()
        await send_header(offer.header_port)
        await coming
        await feed.ready()
    assert await write(feed) == b"early"
    await feed.close()


async def header_failure(sent: bytes, dtimeout: float = 5) -> FeedError:
    feed = make_feeds(dtimeout).port()
    offer = await feed.offer()
    assert offer is not None
    coming = feed.header()
    await send_header(offer.header_port, sent)
    with pytest.raises(FeedError) as caught:
        await coming
    await feed.close()
    return caught.value


@ensureDeferred
async def test_an_empty_header() -> None:
    """It is known for one when no other came in time."""
    assert (await header_failure(b"", dtimeout=-0.8)).text == "Got empty header"


@ensureDeferred
async def test_a_caller_without_a_header_costs_nothing() -> None:
    feed = make_feeds().port()
    offer = await feed.offer()
    assert offer is not None
    coming = feed.header()
    await send_header(offer.header_port, b"")
    with connect(offer.header_port):
        await send_header(offer.header_port)
        assert (await coming).disk == "/srv"
    await feed.close()


@ensureDeferred
async def test_a_header_without_end() -> None:
    assert "longer than 1048576 bytes" in (await header_failure(bytes(1048577))).text


@ensureDeferred
async def test_a_header_of_garbage_is_judged_by_the_core() -> None:
    """It comes back as what it is: none of ours."""
    feed = make_feeds().port()
    offer = await feed.offer()
    assert offer is not None
    coming = feed.header()
    await send_header(offer.header_port, b"\xff\x00garbage\n" * 99)
    assert (await coming).type is HeaderType.WEIRD
    await feed.close()


class Timed:
    """The reactor, but time passes when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.advance = self.clock.advance

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


async def make_port() -> tuple[PortFeed, Any, Timed]:
    """A feed that waits 10 s for each connection."""
    time = Timed()
    feed = PortFeed(time, 10, Lane(reactor, "port"))  # type: ignore[arg-type]
    offer = await feed.offer()
    assert offer is not None
    return feed, offer, time


@ensureDeferred
async def test_nobody_sends_a_header() -> None:
    feed, _, time = await make_port()
    coming = feed.header()
    time.advance(10)
    with pytest.raises(FeedError, match="incoming connection: Connection timed out"):
        await coming
    await feed.close()


@ensureDeferred
async def test_a_header_connection_that_never_says_anything() -> None:
    """A dumper may hold it while its client starts, but not for ever."""
    feed, offer, time = await make_port()
    coming = feed.header()
    with connect(offer.header_port):
        await soon()
        time.advance(19)
        await soon()
        assert not coming.called or isinstance(coming.result, Deferred)
        time.advance(1)
        with pytest.raises(FeedError, match="Timeout while waiting for the header"):
            await coming
    await feed.close()


@ensureDeferred
async def test_data_may_take_as_long_again_once_the_header_came() -> None:
    """The wait for it begins with the header, not with PORT (taper-protocol 8)."""
    feed, offer, time = await make_port()
    coming = feed.header()
    with connect(offer.header_port) as peer:
        await soon()
        time.advance(15)
        peer.sendall(build_header(HEADER, 32768, None))
    assert isinstance(await coming, Header)
    flowing = feed.ready()
    time.advance(9)
    with connect(offer.addresses[0]) as peer:
        peer.sendall(b"x")
        await flowing
    await feed.close()


@ensureDeferred
async def test_nobody_sends_data() -> None:
    feed, offer, time = await make_port()
    coming = feed.header()
    await send_header(offer.header_port)
    await coming
    flowing = feed.ready()
    time.advance(10)
    with pytest.raises(FeedError, match="incoming connection: Connection timed out"):
        await flowing
    await feed.close()


@ensureDeferred
async def test_a_wait_that_is_given_up_leaves_nothing_open() -> None:
    """Before a connection, while the header comes, and before the data."""
    before = len(os.listdir("/proc/self/fd"))
    for stage in ("knock", "header", "data"):
        feed, offer, time = await make_port()
        waiting: Deferred[Any] = feed.header()
        peers = []
        if stage == "header":
            peers.append(connect(offer.header_port))
            await soon()
        elif stage == "data":
            await send_header(offer.header_port)
            await waiting
            waiting = feed.ready()
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting
        await feed.close()
        for peer in peers:
            peer.close()
        await soon()
        assert not time.clock.getDelayedCalls()
    assert len(os.listdir("/proc/self/fd")) == before


@ensureDeferred
async def test_a_data_connection_nobody_wants_any_more_is_closed() -> None:
    feed, offer, _ = await make_port()
    with connect(offer.addresses[0]) as peer:
        await soon()
        await feed.close()
        assert peer.recv(1) == b""


@ensureDeferred
async def test_no_port_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's fault, not the dump's; what was opened is closed again."""
    feed = make_feeds().port()
    real = socket.socket.listen
    calls: list[int] = []

    def second_fails(self: socket.socket, backlog: int) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(24, "Too many open files")
        real(self, backlog)

    monkeypatch.setattr("socket.socket.listen", second_fails)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FeedError, match="Too many open files") as caught:
        await feed.offer()
    assert caught.value.device
    await feed.close()
    assert len(os.listdir("/proc/self/fd")) == before


@ensureDeferred
async def test_what_is_found_of_a_cache_directory(tmp_path: Path) -> None:
    facts = await make_feeds().directory_facts(str(tmp_path))
    assert facts.exists
    assert facts.free
    assert look_at_directory(str(tmp_path / "no")) == DirectoryFacts(exists=False)
