"""DirectTCP onto devices that this process feeds: real sockets, real lanes."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devices import addresses as host_addresses
from devices.directtcp import SocketConnection, Wait, connect_one, wait_in_lane
from devices.errors import DeviceError, IncompatibleConnection, PropertyRefused
from devices.file import FileDevice
from devices.idirecttcp import (
    IDirectTCPConnection,
    IDirectTCPDevice,
    ISocketConnection,
)
from devices.interfaces import AccessMode
from devices.lane import Lane, LaneDevice
from devices.null import NullDevice
from protocols.directtcp import Address
from protocols.header import Header, HeaderType
from tests.fakes.scarce import ScarceDescriptors
from tests.fakes.stranger import Stranger, needs_root
from tests.fakes.turning import Turning, turning_reactor
from tests.opened import threads

HEADER = Header(
    type=HeaderType.SPLIT_DUMPFILE,
    datestamp="20260101000000",
    host="h",
    disk="/d",
    partnum=1,
    totalparts=-1,
    program="GNUTAR",
)
DATA = bytes(range(256)) * 1300
BLOCK = 32768


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


def laned(turning: Turning, device: Any, hosts: str = "127.0.0.1") -> LaneDevice:
    device.properties.set("directtcp-address", hosts)
    return LaneDevice(device, Lane(turning.reactor, device.name))


def vtape(tmp_path: Path, name: str, limit: int | None = None) -> FileDevice:
    (tmp_path / name).mkdir()
    device = FileDevice(f"file:{tmp_path}/{name}", f"{tmp_path}/{name}")
    if limit is not None:
        device.properties.set("max_volume_usage", limit)
        device.properties.set("leom", True)
    return device


def test_the_interfaces(turning: Turning) -> None:
    """A device in a lane has the whole DirectTCP face, and its connection is a socket's."""
    verifyObject(IDirectTCPDevice, laned(turning, NullDevice("null:", "")))
    mine, _ = socket.socketpair()
    verifyObject(ISocketConnection, SocketConnection("null:", mine))


def test_the_first_address_that_answers_is_used(turning: Turning) -> None:
    """Connecting tries one after the other; if none answers, all are named."""
    device = laned(turning, NullDevice("null:", ""))
    with socket.create_server(("127.0.0.1", 0)) as dead:
        gone = Address("127.0.0.1", dead.getsockname()[1])
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = Address("127.0.0.1", server.getsockname()[1])
        connection = turning.wait(device.connect(True, (gone, there)))
        server.accept()[0].close()
        turning.wait(connection.close())
    with pytest.raises(DeviceError, match=f"{gone}: Connection refused"):
        turning.wait(device.connect(True, (gone,)))
    with pytest.raises(DeviceError, match="no address"):
        turning.wait(device.connect(True, ()))


@pytest.mark.parametrize("how", ["connect", "accept"])
def test_the_peer_is_named_in_the_debug_log(
    turning: Turning, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Where the data of a dump came from can be told afterwards."""
    caplog.set_level("INFO", "devices.directtcp")
    device = laned(turning, NullDevice("null:", ""))
    if how == "connect":
        with socket.create_server(("127.0.0.1", 0)) as server:
            where = server.getsockname()
            connection = turning.wait(device.connect(True, (Address(*where),)))
    else:
        (address,) = turning.wait(device.listen(True))
        with socket.create_connection((address.host, address.port)) as peer:
            where = peer.getsockname()
            peer.sendall(b"x")
            connection = turning.wait(device.accept())
    turning.wait(connection.close())
    assert caplog.messages == [f"null:: the data connection is with {where}"]


def test_only_one_peer_is_taken(turning: Turning) -> None:
    """The port closes behind the first one."""
    device = laned(turning, NullDevice("null:", ""), "127.0.0.1 ::1")
    addresses = turning.wait(device.listen(True))
    assert [address.host for address in addresses] == ["127.0.0.1", "::1"]
    with socket.create_connection((addresses[1].host, addresses[1].port)) as peer:
        peer.sendall(b"x")
        turning.wait(device.accept())
        for address in addresses:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address.host, address.port))


def taken(turning: Turning, accepting: Any) -> bytes:
    """The first bytes of the connection that is accepted."""
    connection = turning.wait(accepting)
    said: bytes = connection.socket.recv(9)
    turning.wait(connection.close())
    return said


@needs_root
def test_a_stranger_of_this_host_is_not_the_peer(turning: Turning) -> None:
    """He is sent away, and the one who may is taken after him."""
    device = laned(turning, NullDevice("null:", ""))
    (address,) = turning.wait(device.listen(True))
    accepting = device.accept()
    with Stranger(address.port, "evil") as stranger:
        assert stranger.heard() == b""
    assert not accepting.called
    with socket.create_connection((address.host, address.port)) as peer:
        peer.sendall(b"good")
        assert taken(turning, accepting) == b"good"


@needs_root
def test_a_peer_that_the_configuration_names(turning: Turning) -> None:
    """A proxy or another user of this host, by DIRECTTCP-PEER-ADDRESS."""
    device = laned(turning, NullDevice("null:", ""))
    device.facts.properties.set("directtcp-peer-address", "192.0.2.0/24, 127.0.0.1")
    (address,) = turning.wait(device.listen(True))
    accepting = device.accept()
    with Stranger(address.port, "tunnel"):
        assert taken(turning, accepting) == b"tunnel"


def test_networks_are_checked() -> None:
    """DIRECTTCP-PEER-ADDRESS takes addresses and networks only."""
    device = NullDevice("null:", "")
    for value, what in (("natbox", "natbox"), ("10.0.0.0/99", "10.0.0.0/99"), ("1.2.3", "1.2.3")):
        with pytest.raises(PropertyRefused, match=f"'{what}' does not appear to be"):
            device.properties.set("DIRECTTCP-PEER-ADDRESS", value)


@pytest.mark.parametrize("way", ["silent", "gone", "reset"])
def test_who_says_nothing_is_not_the_peer(turning: Turning, way: str) -> None:
    device = laned(turning, NullDevice("null:", ""))
    (address,) = turning.wait(device.listen(True))
    accepting = device.accept()
    first = socket.create_connection((address.host, address.port))
    turning.until(lambda: device.being_called)
    if way != "silent":
        if way == "reset":
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()
        turning.until(lambda: not device.being_called)
    assert device.was_called == (way == "gone")
    with socket.create_connection((address.host, address.port)) as peer:
        peer.sendall(b"good")
        assert taken(turning, accepting) == b"good"
    first.close()


def test_who_said_nothing_can_be_taken(turning: Turning) -> None:
    """When nobody better is to be expected: all of an empty dump."""
    device = laned(turning, NullDevice("null:", ""))
    (address,) = turning.wait(device.listen(True))
    accepting = device.accept()
    with socket.create_connection((address.host, address.port)):
        turning.until(lambda: device.being_called)
    turning.until(lambda: device.was_called)
    assert not accepting.called
    device.take_silent()
    assert taken(turning, accepting) == b""


def test_who_cannot_be_identified_is_taken_in_the_end(turning: Turning) -> None:
    """A quick peer has hung up before anybody looks; he is held for a moment."""
    device = laned(turning, NullDevice("null:", ""))
    (address,) = turning.wait(device.listen(True))
    with socket.create_connection((address.host, address.port)) as peer:
        peer.sendall(b"quick")
    assert taken(turning, device.accept()) == b"quick"


def test_a_wait_for_a_peer_can_be_given_up(turning: Turning) -> None:
    """Cancelling frees the device's lane and closes the ports; the device goes on."""
    device = laned(turning, NullDevice("null:", ""))
    (address,) = turning.wait(device.listen(True))
    accepting = device.accept()
    accepting.cancel()
    assert turning.settle(accepting).check(CancelledError)
    turning.wait(device.start(AccessMode.WRITE, "V1", "20260101000000"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))


@contextmanager
def silent_address() -> Iterator[Address]:
    """Where nobody answers a connection, and nobody refuses it: the queue of the port is full."""
    with ExitStack() as held:
        server = held.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        place = server.getsockname()
        while True:
            client = held.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(place)
            poll = select.poll()
            poll.register(client, select.POLLOUT)
            if not poll.poll(500):
                break
        yield Address(*place)


def test_connecting_can_be_given_up(turning: Turning) -> None:
    """Cancelling frees the lane at once, though the address may have a minute to answer."""
    lane = Lane(turning.reactor, "connecting")
    with silent_address() as address:
        waits: list[Wait] = []

        def connect(wait: Wait) -> socket.socket:
            waits.append(wait)
            return connect_one((address,), wait)

        connecting = wait_in_lane(lane, connect)
        turning.until(lambda: bool(waits))
        connecting.cancel()
        assert turning.settle(connecting).check(CancelledError)
        assert turning.wait(lane.call(lambda: "free")) == "free"
    turning.wait(lane.stop())


def test_without_a_pipe_nobody_is_waited_for(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ports are closed, and the device goes on."""
    device = laned(turning, NullDevice("null:", ""))
    (address,) = turning.wait(device.listen(True))
    with monkeypatch.context() as patch:
        scarce = ScarceDescriptors(patch, lambda number: True)
        scarce.begin()
        with pytest.raises(DeviceError, match="Too many open files"):
            turning.wait(device.accept())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))
    turning.wait(device.start(AccessMode.WRITE, "V1", "20260101000000"))


@implementer(IDirectTCPConnection)
class MoverConnection:
    device_name = "ndmp:tapes@nst0"

    def close(self) -> Any:
        raise AssertionError("nobody asked for it")


def test_a_movers_connection_is_refused(turning: Turning) -> None:
    """What this process does not hold it cannot feed from: both devices are named."""
    device = laned(turning, NullDevice("null:", ""))
    with pytest.raises(IncompatibleConnection) as caught:
        device.use_connection(MoverConnection())
    assert "'ndmp:tapes@nst0'" in caught.value.text
    assert "'null:'" in caught.value.text


def test_addresses_are_checked() -> None:
    """DIRECTTCP-ADDRESS takes IP addresses only."""
    device = NullDevice("null:", "")
    device.properties.set("DIRECTTCP-ADDRESS", "10.0.0.1, ::1; 10.0.0.2")
    with pytest.raises(PropertyRefused, match="'tapehost' is not an IP address"):
        device.properties.set("DIRECTTCP-ADDRESS", "tapehost")


def test_an_address_that_is_not_ours(turning: Turning) -> None:
    """A wrong DIRECTTCP-ADDRESS fails the listening, and says which."""
    device = laned(turning, NullDevice("null:", ""), "127.0.0.1 192.0.2.77")
    with pytest.raises(DeviceError, match=r"192\.0\.2\.77"):
        turning.wait(device.listen(True))


def test_this_hosts_addresses() -> None:
    """IPv4 comes first, nothing that holds only on one link, and always something."""
    hosts = host_addresses.reachable_hosts()
    assert hosts
    families = [":" in host for host in hosts]
    assert families == sorted(families)
    assert not [host for host in hosts if host.startswith(("fe80", "169.254."))]


def test_loopback_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without a network can still dump onto itself."""
    monkeypatch.setattr(host_addresses, "_all_hosts", lambda: ["127.0.0.1"])
    assert host_addresses.reachable_hosts() == ("127.0.0.1",)


def test_the_usual_address_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stock client uses the first one only: it is the one that others see us by."""
    monkeypatch.setattr(
        host_addresses, "_all_hosts", lambda: ["2001:db8::1", "10.9.9.9", "10.1.1.1"]
    )
    monkeypatch.setattr(host_addresses, "_usual_source", lambda: "10.1.1.1")
    assert host_addresses.reachable_hosts() == ("10.1.1.1", "10.9.9.9", "2001:db8::1")


def test_no_thread_is_left(turning: Turning) -> None:
    """A lane that waited for a peer ends when it is stopped."""
    device = laned(turning, NullDevice("null:gone", ""))
    turning.wait(device.listen(True))
    accepting = device.accept()
    accepting.addErrback(lambda _: None)
    accepting.cancel()
    turning.wait(device.lane.stop())
    turning.until(lambda: not threads("null:gone"))
