"""Which flow serves what, and those by way of a device that listens; whole dumps are in
tests/conformance."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from devices.callers import Callers
from devices.lane import Lane, LaneDevice
from protocols.crc import UNKNOWN
from protocols.directtcp import Address
from protocols.driver.commands import VaultWrite
from protocols.driver.messages import SplitFields
from protocols.header import Header, HeaderType, build_header
from taper.core.errors import DeviceFault
from taper.core.interfaces import IOrigin, Rest
from taper.flow.flows import Flows, Way, way_between
from taper.flow.holding import HoldingOrigin
from taper.flow.interfaces import FlowContext, ITransfer
from taper.flow.mover_transfer import MoverTransfer
from taper.flow.port import ClientOrigin, PortOrigin, header_silence
from taper.flow.resolving import addresses_of, find_callers
from taper.flow.ring import RingOrigin
from taper.flow.stored import StoredOrigin
from taper.flow.taken import HeldOrigin
from tests.core.steps import Steps
from tests.core.stocked import SteppedDevice, Tape
from tests.fakes.device import FakeDevice
from tests.fakes.mover import MoverConnection, MoverDevice, MoverServer, MoverTape, Stream
from tests.fakes.turning import Sender, Turning, turning_reactor
from tests.flow.flowing import PLAN, Flowing, make_context, null_device
from tests.plane.dumping import HEADER

HOST = "localhost"
VAULT = VaultWrite("w", "h", "SRC", "P", "L", "host", "/disk", "0", "X", SplitFields(), "0")
DATA = bytes(range(256)) * 500


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


class Client(ClientOrigin):
    """One of whom a test knows from where it connects."""

    def __init__(self, *rest: Any, find: Any = None, **options: Any) -> None:
        super().__init__(*rest, **options)
        self._find = find

    async def callers(self) -> Callers:
        if self._find is None:
            return Callers("localhost")
        found: Callers = await self._find(self._warnings.append)
        return found


def client_onto(
    turning: Turning, device: LaneDevice, patience: float = 6.0, **options: Any
) -> Flowing:
    """A client that is told where a device in a lane listens."""
    context = make_context(turning.reactor, patience)
    return Flowing(context, Client(context, "localhost", **options), device)


def mover(moments: Steps, server: MoverServer) -> MoverDevice:
    tape = MoverTape(server)
    return MoverDevice(FakeDevice(tape.medium, name="ndmp:t@d"), tape, moments, server)


def test_a_movers_transfer_is_one(turning: Turning) -> None:
    moments = Steps()
    server = MoverServer(streams=[Stream(b"")])
    transfer = MoverTransfer(
        MoverConnection("x", server, moments),
        PLAN,
        turning.reactor.seconds,
        Rest(done=UNKNOWN),
    )
    verifyObject(ITransfer, transfer)
    assert (transfer.source_crc(), transfer.dest_crc()) == (UNKNOWN, UNKNOWN)
    assert not transfer.can_retry()


@pytest.mark.parametrize(
    ("make", "onto_lane", "onto_mover"),
    [
        (lambda context: HoldingOrigin(context, "/no/such/file"), Way.PUMPED, Way.SENT),
        (lambda context: PortOrigin(context, HOST), Way.PUMPED, Way.TAKEN),
        (lambda context: ClientOrigin(context, HOST), Way.TAKEN, Way.TAKEN),
        (lambda context: HeldOrigin(ClientOrigin(context, HOST)), Way.PUMPED, Way.SENT),
        (RingOrigin, Way.PUMPED, Way.SENT),
        (lambda context: StoredOrigin(context, VAULT, None), Way.PUMPED, Way.SENT),
    ],
)
def test_the_table(
    turning: Turning, make: Callable[[FlowContext], IOrigin], onto_lane: Way, onto_mover: Way
) -> None:
    """Which way leads from where to where; a flow of each is one."""
    context = make_context(turning.reactor)
    moments = Steps()
    for device, way in (
        (null_device(turning.reactor), onto_lane),
        (mover(moments, MoverServer()), onto_mover),
    ):
        origin = make(context)
        verifyObject(IOrigin, origin)
        assert way_between(origin, device) is way
        assert Flows(context).listens(origin, device) is (way is not Way.PUMPED)
        turning.wait(Flows(context).between(origin, device, PLAN).close())
        if not isinstance(origin, StoredOrigin):
            turning.wait(origin.close())
    assert not moments.waiting


def test_a_client_and_a_device_that_does_not_listen(turning: Turning) -> None:
    """The storage side is to blame, and the device is named."""
    context = make_context(turning.reactor)
    device = SteppedDevice(FakeDevice(name="fake:1"), Tape(), Steps())
    with pytest.raises(DeviceFault, match=r"Can't dump DIRECTTCP .* \('fake:1'\) that doesn't"):
        Flows(context).between(ClientOrigin(context, HOST), device, PLAN)


def test_a_dump_that_passes_through_us_cannot_go_to_a_mover(turning: Turning) -> None:
    """Not if it can be read once only: the device is named, nothing of it is touched, and the flow
    stays as it was."""
    moments = Steps()
    context = make_context(turning.reactor)
    flows, origin = Flows(context), PortOrigin(context, HOST)
    flow = flows.between(origin, null_device(turning.reactor), PLAN)
    with pytest.raises(DeviceFault, match="'ndmp:t@d' takes data from a connection only"):
        turning.wait(flows.going_on(flow, origin, mover(moments, MoverServer()), PLAN))
    assert turning.wait(flows.going_on(flow, origin, null_device(turning.reactor), PLAN)) is flow
    assert not moments.waiting
    turning.wait(flow.close())


def test_a_socket_cannot_go_to_a_mover(turning: Turning) -> None:
    """Both devices are named."""
    moments = Steps()
    flowing = client_onto(turning, null_device(turning.reactor))
    offer = turning.wait(flowing.offer())
    assert offer is not None
    where = ("127.0.0.1", Address.parse(offer.addresses[0]).port)
    with socket.create_connection(where) as peer:
        peer.sendall(b"x")
        turning.wait(flowing.ready())
        adopting = flowing.flow.adopt(mover(moments, MoverServer()))
        moments.step()
        with pytest.raises(DeviceFault, match="'null:' made it, 'ndmp:t@d' was to use it"):
            turning.wait(adopting)
        turning.wait(flowing.close())


def test_closing_gives_all_back(turning: Turning) -> None:
    """A connection that nobody took is closed, the ports are free, the device's lane too."""
    device = null_device(turning.reactor)
    flowing = client_onto(turning, device)
    offer = turning.wait(flowing.offer())
    assert offer is not None
    with socket.create_connection(("127.0.0.1", Address.parse(offer.addresses[0]).port)) as peer:
        peer.sendall(b"x")
        turning.wait(flowing.ready())
        turning.wait(flowing.close())
        peer.settimeout(10)
        with contextlib.suppress(ConnectionResetError):  # if what he said was not read yet
            assert peer.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", offer.header_port))
    turning.wait(device.finish())


def test_a_device_that_cannot_listen(turning: Turning) -> None:
    """The device is to blame."""
    device = null_device(turning.reactor)
    device.facts.properties.set("directtcp-address", "192.0.2.99")
    flowing = client_onto(turning, device)
    with pytest.raises(DeviceFault, match=r"Error starting DirectTCP listen: .*192\.0\.2\.99"):
        turning.wait(flowing.offer())
    turning.wait(flowing.close())


def test_the_real_header_wins_over_one_being_made(turning: Turning) -> None:
    """A substitute that takes its time comes too late."""
    from twisted.internet.defer import Deferred

    making: list[Deferred[Header]] = []

    def make() -> Deferred[Header]:
        making.append(Deferred())
        return making[0]

    flowing = client_onto(turning, null_device(turning.reactor), make=make, silence=0.01)
    offer = turning.wait(flowing.offer())
    assert offer is not None
    coming = flowing.header()
    sender = Sender(Address.parse(offer.addresses[0]), b"data")
    with socket.create_connection(("127.0.0.1", offer.header_port)) as link:
        turning.until(lambda: bool(making))
        link.sendall(build_header(HEADER, 32768, None))
    assert turning.wait(coming).disk == HEADER.disk
    assert flowing.origin.remark is None
    making[0].callback(Header(type=HeaderType.DUMPFILE))
    turning.wait(flowing.close())
    sender.join(60)


def test_who_may_connect_is_found_out_meanwhile(turning: Turning) -> None:
    """Who comes before the host is resolved waits; a host that cannot be is told of."""
    from twisted.internet.defer import Deferred

    known: Deferred[Callers] = Deferred()

    async def find(warn: Callable[[str], None]) -> Callers:
        warn("host h is not known")
        return await known

    flowing = client_onto(turning, null_device(turning.reactor), find=find)
    offer = turning.wait(flowing.offer())
    assert offer is not None
    assert flowing.origin.remark == "host h is not known"
    with socket.create_connection(("127.0.0.1", Address.parse(offer.addresses[0]).port)) as peer:
        peer.sendall(b"x")
        ready = flowing.ready()
        assert not ready.called
        known.callback(Callers("h"))
        turning.wait(ready)
    turning.wait(flowing.close())


def test_closing_while_the_host_is_resolved(turning: Turning) -> None:
    """The ports are closed, and the device can be used again."""
    from twisted.internet.defer import Deferred

    async def find(_: Callable[[str], None]) -> Callers:
        return await Deferred()

    device = null_device(turning.reactor)
    flowing = client_onto(turning, device, find=find)
    offer = turning.wait(flowing.offer())
    assert offer is not None
    turning.wait(flowing.close())
    turning.wait(device.listen(True))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", Address.parse(offer.addresses[0]).port))


def test_an_empty_dump_and_a_client_that_takes_its_time(turning: Turning) -> None:
    """Who is connected is waited for; who hung up without a byte is all there is, in the end."""
    flowing = client_onto(turning, null_device(turning.reactor), patience=0.2)
    offer = turning.wait(flowing.offer())
    assert offer is not None
    ready = flowing.ready()
    turns: list[None] = []
    with socket.create_connection(("127.0.0.1", Address.parse(offer.addresses[0]).port)):
        turning.reactor.callLater(0.5, turns.append, None)
        turning.until(lambda: bool(turns))
        assert not ready.called
    turning.wait(ready)
    turning.wait(flowing.close())


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
