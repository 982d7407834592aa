"""Feeds over a data connection of the device's own; whole dumps are in tests/conformance."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from devices.callers import Callers
from devices.lane import Lane, LaneDevice
from devices.null import NullDevice
from protocols.crc import UNKNOWN
from protocols.directtcp import Address
from protocols.header import Header, HeaderType, build_header
from taper.core.interfaces import FeedError, IFeed, ITransfer
from taper.core.splitting import CacheKind, Mode, SplitPlan
from taper.run.feeds import Feeds, header_silence
from taper.run.lane_transfer import must_be_fed
from taper.run.moving import MoverTransfer
from taper.run.resolving import addresses_of, find_callers
from taper.run.straight_feeds import DirectTCPFeed, PushedFeed
from tests.core.moments import Moments
from tests.fakes.device import FakeDevice
from tests.fakes.mover import MoverConnection, MoverDevice, MoverServer, MoverTape, Stream
from tests.fakes.turning import Sender, Turning, turning_reactor
from tests.plane.dumping import HEADER, write_holding

DATA = bytes(range(256)) * 500
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


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


def null_device(turning: Turning) -> LaneDevice:
    device = NullDevice("null:", "")
    device.properties.set("directtcp-address", "127.0.0.1")
    return LaneDevice(device, Lane(turning.reactor, "null"))


def feed_onto(turning: Turning, device: LaneDevice, **options: object) -> DirectTCPFeed:
    facts: dict[str, object] = {"one_address": False, "substitute": None, "silence": 0.0}
    return DirectTCPFeed(
        turning.reactor,
        device,
        5.0,
        Lane(turning.reactor, "feed"),
        **{**facts, **options},  # type: ignore[arg-type]
    )


def mover(moments: Moments, server: MoverServer) -> MoverDevice:
    tape = MoverTape(server)
    return MoverDevice(FakeDevice(tape.medium, name="ndmp:t@d"), tape, moments, server)


def test_the_feeds_are_feeds(turning: Turning, tmp_path: Path) -> None:
    device = null_device(turning)
    verifyObject(IFeed, feed_onto(turning, device))
    name = write_holding(str(tmp_path), DATA, 100_000)
    pushed = PushedFeed(turning.reactor, name, device, Lane(turning.reactor, "pushed"))
    verifyObject(IFeed, pushed)
    turning.wait(pushed.close())


def test_a_movers_transfer_is_one(turning: Turning) -> None:
    moments = Moments()
    server = MoverServer(streams=[Stream(b"")])
    transfer = MoverTransfer(
        MoverConnection("x", server, moments),
        PLAN,
        turning.reactor.seconds,
    )
    verifyObject(ITransfer, transfer)
    assert (transfer.source_crc(), transfer.dest_crc()) == (UNKNOWN, UNKNOWN)
    assert not transfer.can_retry()


def test_a_dump_that_passes_through_us_cannot_go_to_a_mover(turning: Turning) -> None:
    """The device is named; nothing of it is touched."""
    moments = Moments()
    with pytest.raises(FeedError, match="'ndmp:t@d' takes data from a connection only") as caught:
        turning.wait(must_be_fed(mover(moments, MoverServer())))
    assert caught.value.device
    turning.wait(must_be_fed(null_device(turning)))
    assert not moments.waiting


def test_a_socket_cannot_go_to_a_mover(turning: Turning) -> None:
    """Both devices are named."""
    moments = Moments()
    feed = feed_onto(turning, null_device(turning))
    offer = turning.wait(feed.offer())
    assert offer is not None
    where = ("127.0.0.1", Address.parse(offer.addresses[0]).port)
    with socket.create_connection(where) as peer:
        peer.sendall(b"x")
        turning.wait(feed.ready())
        adopting = feed.adopt(mover(moments, MoverServer()))
        moments.step()
        with pytest.raises(FeedError, match="'null:' made it, 'ndmp:t@d' was to use it"):
            turning.wait(adopting)
        turning.wait(feed.close())


def test_closing_gives_all_back(turning: Turning) -> None:
    """A connection that nobody took is closed, the ports are free, the device's lane too."""
    device = null_device(turning)
    feed = feed_onto(turning, device)
    offer = turning.wait(feed.offer())
    assert offer is not None
    with socket.create_connection(("127.0.0.1", Address.parse(offer.addresses[0]).port)) as peer:
        peer.sendall(b"x")
        turning.wait(feed.ready())
        turning.wait(feed.close())
        peer.settimeout(10)
        with pytest.raises(ConnectionResetError):  # what he said is unread
            peer.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", offer.header_port))
    turning.wait(device.finish())


def test_a_device_that_cannot_listen(turning: Turning) -> None:
    """The device is to blame."""
    device = null_device(turning)
    device.device.properties.set("directtcp-address", "192.0.2.99")
    feed = feed_onto(turning, device)
    with pytest.raises(
        FeedError, match=r"Error starting DirectTCP listen: .*192\.0\.2\.99"
    ) as caught:
        turning.wait(feed.offer())
    assert caught.value.device
    turning.wait(feed.close())


def test_the_real_header_wins_over_one_being_made(turning: Turning) -> None:
    """A substitute that takes its time comes too late."""
    from twisted.internet.defer import Deferred

    making: list[Deferred[Header]] = []

    def make() -> Deferred[Header]:
        making.append(Deferred())
        return making[0]

    feed = feed_onto(turning, null_device(turning), substitute=make, silence=0.01)
    offer = turning.wait(feed.offer())
    assert offer is not None
    coming = feed.header()
    sender = Sender(Address.parse(offer.addresses[0]), b"data")
    with socket.create_connection(("127.0.0.1", offer.header_port)) as link:
        turning.until(lambda: bool(making))
        link.sendall(build_header(HEADER, 32768, None))
    assert turning.wait(coming).disk == HEADER.disk
    assert feed.remark is None
    making[0].callback(Header(type=HeaderType.DUMPFILE))
    turning.wait(feed.close())
    sender.join(60)


def test_who_may_connect_is_found_out_meanwhile(turning: Turning) -> None:
    """Who comes before the host is resolved waits; a host that cannot be is told of."""
    from twisted.internet.defer import Deferred

    known: Deferred[Callers] = Deferred()

    async def find(warn: Callable[[str], None]) -> Callers:
        warn("host h is not known")
        return await known

    feed = feed_onto(turning, null_device(turning), find=find)
    offer = turning.wait(feed.offer())
    assert offer is not None
    assert feed.remark == "host h is not known"
    with socket.create_connection(("127.0.0.1", Address.parse(offer.addresses[0]).port)) as peer:
        peer.sendall(b"x")
        ready = feed.ready()
        assert not ready.called
        known.callback(Callers("h"))
        turning.wait(ready)
    turning.wait(feed.close())


def test_closing_while_the_host_is_resolved(turning: Turning) -> None:
    """The ports are closed, and the device can be used again."""
    from twisted.internet.defer import Deferred

    async def find(_: Callable[[str], None]) -> Callers:
        return await Deferred()

    device = null_device(turning)
    feed = feed_onto(turning, device, find=find)
    offer = turning.wait(feed.offer())
    assert offer is not None
    turning.wait(feed.close())
    turning.wait(device.listen(True))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", Address.parse(offer.addresses[0]).port))


def test_an_empty_dump_and_a_client_that_takes_its_time(turning: Turning) -> None:
    """Who is connected is waited for; who hung up without a byte is all there is, in the end."""
    feed = feed_onto(turning, null_device(turning))
    feed._patience = 0.2
    offer = turning.wait(feed.offer())
    assert offer is not None
    ready = feed.ready()
    turns: list[None] = []
    with socket.create_connection(("127.0.0.1", Address.parse(offer.addresses[0]).port)):
        turning.reactor.callLater(0.5, turns.append, None)
        turning.until(lambda: bool(turns))
        assert not ready.called
    turning.wait(ready)
    turning.wait(feed.close())


def test_the_addresses_of_a_host(turning: Turning) -> None:
    """All of them, plain; a name that nobody knows has none, and that is said."""
    assert addresses_of("127.0.0.1") == {"127.0.0.1"}
    assert addresses_of("::1") == {"::1"}
    told: list[str] = []
    found = find_callers(turning.reactor, "127.0.0.9", Lane(turning.reactor, "r"), told.append)
    assert turning.run(found).addresses == {"127.0.0.9"}
    assert not told
    for name in ("nowhere.invalid", "a" * 300, "\udce4"):
        found = find_callers(turning.reactor, name, Lane(turning.reactor, "r"), told.append)
        assert not turning.run(found).addresses
        assert "DIRECTTCP-PEER-ADDRESS only" in told.pop()


def test_how_long_silence_lasts() -> None:
    """Three seconds unless amanda.conf says otherwise."""
    assert header_silence(None) == 3.0


def test_making_feeds(turning: Turning) -> None:
    make_lane = functools.partial(Lane, turning.reactor)
    feeds = Feeds(turning.reactor, make_lane, 5, make_lane("files"))
    pushed = feeds.pushed("/no/such/file", null_device(turning))
    with pytest.raises(FeedError, match="/no/such/file"):
        turning.wait(pushed.header())
    turning.wait(pushed.close())
    assert threading.active_count() < 50
