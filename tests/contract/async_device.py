"""What every device must do by its asynchronous face [volumes 2], [ndmp 1].

A device joins by a test class that inherits :class:`AsyncDeviceContract`, and of the classes below
it those for what it can do, and that says how the device is opened.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devices.errors import DeviceError, IncompatibleConnection, PeerUnreachable, Status
from devices.idirecttcp import IDirectTCPConnection, IDirectTCPDevice, IMoverDevice
from devices.interfaces import (
    AccessMode,
    IAsyncDevice,
    IDevice,
    IDeviceFacts,
    IPumpedDevice,
    VolumeReading,
)
from protocols.directtcp import Address
from protocols.header import Header, HeaderType
from tests.fakes.turning import Receiver, Sender, Turning, turning_reactor

STAMP = "20240102030405"


@pytest.fixture
def turning() -> Any:
    with turning_reactor() as turning:
        yield turning


def cancelled(deferred: Deferred[Any]) -> None:
    """Cancel it, whatever it says to that."""
    deferred.addErrback(lambda failure: failure.trap(CancelledError, DeviceError) and None)
    deferred.cancel()


class AsyncDeviceContract:
    """What all devices do. Inherit, and override ``open_device``."""

    keeps = True
    """What is written can be read again."""

    erases = True
    """It can make a volume unlabelled, as not even every real one can."""

    @pytest.fixture
    def open_device(self, turning: Turning) -> Callable[[], Any]:
        """A function that opens a new device on always the same volume, at first blank, as a
        :class:`tests.fakes.changers.Waited`."""
        raise NotImplementedError

    @pytest.fixture
    def device(self, open_device: Callable[[], Any]) -> Any:
        return open_device()

    def test_provides_the_interfaces(self, device: Any) -> None:
        """It is a device, and its facts can be looked at."""
        assert verifyObject(IAsyncDevice, device.thing)
        assert verifyObject(IDeviceFacts, device.thing.facts)

    def test_fresh(self, device: Any) -> None:
        """A device just opened has done nothing yet."""
        facts = device.thing.facts
        assert (facts.status, facts.error) == (Status.SUCCESS, None)
        assert facts.access_mode is AccessMode.NULL
        assert (facts.file, facts.in_file, facts.is_eom) == (-1, False, False)
        assert (facts.label, facts.timestamp, facts.bytes_written) == (None, None, 0)

    def test_a_blank_volume(self, device: Any) -> None:
        """Its reading says that there is no label, and so do the facts."""
        reading = device.read_label()
        assert isinstance(reading, VolumeReading)
        assert reading.status & Status.VOLUME_UNLABELED
        assert (reading.label, reading.timestamp) == (None, None)
        facts = device.thing.facts
        assert (facts.status, facts.error, facts.label) == (reading.status, reading.error, None)

    def test_label(self, device: Any, open_device: Callable[[], Any]) -> None:
        """A volume is labelled, finished, and knows its label when it comes again."""
        device.read_label()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        facts = device.thing.facts
        assert (facts.access_mode, facts.label) == (AccessMode.WRITE, "TAPE-01")
        assert not facts.in_file
        device.finish()
        assert facts.access_mode is AccessMode.NULL
        device.close()
        if self.keeps:
            reading = open_device().read_label()
            assert (reading.status, reading.label) == (Status.SUCCESS, "TAPE-01")
            assert reading.timestamp == STAMP

    def test_operations_keep_their_order(self, device: Any) -> None:
        """What is asked for without waiting is done one after another."""
        over: list[str] = []
        thing = device.thing
        asked = [
            thing.read_label(),
            thing.start(AccessMode.WRITE, "TAPE-01", STAMP),
            thing.finish(),
            thing.start(AccessMode.WRITE, "TAPE-02", STAMP),
            thing.finish(),
        ]
        for number, asking in enumerate(asked):
            asking.addCallback(lambda _, number=number: over.append(str(number)))
        device.wait(asked[-1])
        assert over == list("01234")
        assert thing.facts.access_mode is AccessMode.NULL

    def test_calls_out_of_order(self, device: Any) -> None:
        """A call at the wrong moment is the caller's mistake."""
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        for call in (
            device.read_label,
            lambda: device.start(AccessMode.WRITE, "TAPE-01", STAMP),
        ):
            with pytest.raises(ValueError, match=r"."):
                call()
        assert device.thing.facts.access_mode is AccessMode.WRITE
        device.finish()

    def test_a_finished_device(self, device: Any) -> None:
        """It finishes again, gives its medium out and can be let go of."""
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        device.finish()
        device.finish()
        device.eject()
        device.close()

    def test_nothing_to_read(self, device: Any) -> None:
        """Reading a blank volume does not begin; the device is labelled after it all the same."""
        if not self.keeps:
            return
        device.read_label()
        with pytest.raises(DeviceError) as caught:
            device.start(AccessMode.READ)
        assert device.thing.facts.error == caught.value.text
        assert device.thing.facts.access_mode is AccessMode.NULL
        device.finish()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        device.finish()

    def test_erase(self, device: Any, open_device: Callable[[], Any]) -> None:
        """An erased volume has no label."""
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        device.finish()
        if not self.erases:
            with pytest.raises(DeviceError):
                device.erase()
            return
        device.erase()
        assert device.thing.facts.label is None
        device.finish()
        device.close()
        assert open_device().read_label().status & Status.VOLUME_UNLABELED

    def test_cancelled_reading(self, device: Any) -> None:
        """A device whose reading was given up is finished, and reads again."""
        cancelled(device.thing.read_label())
        device.finish()
        assert device.read_label().status & Status.VOLUME_UNLABELED
        device.finish()

    def test_finish_is_never_given_up(self, device: Any) -> None:
        """Cancelling it gives up waiting, not finishing."""
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        cancelled(device.thing.finish())
        device.finish()
        assert device.thing.facts.access_mode is AccessMode.NULL

    def test_hurry(self, device: Any) -> None:
        """It harms nothing that is answered, at any moment."""
        device.thing.hurry()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        finishing = device.thing.finish()
        device.thing.hurry()
        device.wait(finishing)
        assert device.thing.facts.access_mode is AccessMode.NULL


class PumpedDeviceContract(AsyncDeviceContract):
    """Devices that this process writes to."""

    def test_run(self, device: Any) -> None:
        """Functions run in turn, and what they return or raise arrives."""
        thing = device.thing
        assert verifyObject(IPumpedDevice, thing)
        assert verifyObject(IDevice, thing.blocking)
        thing.start(AccessMode.WRITE, "TAPE-01", STAMP)
        label = device.run(
            lambda blocking, more: (blocking is thing.blocking, blocking.label, more), 7
        )
        assert label == (True, "TAPE-01", 7)

        def fail(blocking: Any) -> None:
            raise DeviceError("broken belt")

        with pytest.raises(DeviceError, match="broken belt"):
            device.run(fail)
        device.finish()


@implementer(IDirectTCPConnection)
class ForeignConnection:
    """A connection of a device of quite another kind."""

    device_name = "foreign:"

    def close(self) -> Deferred[None]:
        return succeed(None)


class DirectTCPContract(AsyncDeviceContract):
    """Devices that listen for a data connection, or make one."""

    def test_a_peer_comes(self, device: Any) -> None:
        """Where it listens a peer may connect, and that is the connection."""
        assert verifyObject(IDirectTCPDevice, device.thing)
        addresses = device.listen(True)
        assert addresses
        assert all(isinstance(address, Address) for address in addresses)
        Sender(addresses[0], b"x" * 1024)
        connection = device.accept()
        assert verifyObject(IDirectTCPConnection, connection)
        assert connection.device_name == device.thing.facts.name
        device.wait(connection.close())
        device.finish()

    def test_nobody_comes(self, device: Any) -> None:
        """A wait is given up, and the device is finished and listens again."""
        device.listen(True)
        cancelled(device.thing.accept())
        device.finish()
        addresses = device.listen(True)
        Sender(addresses[0], b"x" * 1024)
        device.wait(device.accept().close())
        device.finish()

    def test_accept_before_listen(self, device: Any) -> None:
        """The caller's mistake."""
        with pytest.raises(ValueError, match="listen"):
            device.accept()
        device.finish()

    def test_nobody_answers(self, device: Any) -> None:
        """Whoever cannot connect may be asked to listen instead."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            gone = Address("127.0.0.1", server.getsockname()[1])
        self.before_connecting(device)
        with pytest.raises(PeerUnreachable):
            device.connect(False, (gone,))
        assert device.listen(False)
        device.finish()

    def before_connecting(self, device: Any) -> None:
        """Bring the device to where it may connect."""

    def test_the_connection_of_another(self, device: Any) -> None:
        """One that it cannot use is refused; the error names both devices."""
        name = device.thing.facts.name
        with pytest.raises(IncompatibleConnection) as caught:
            device.use_connection(ForeignConnection())
        assert name in caught.value.text
        assert "foreign:" in caught.value.text
        device.finish()


class MoverDeviceContract(DirectTCPContract):
    """Devices whose own mover moves the data."""

    def before_connecting(self, device: Any) -> None:
        self.write_volume(device, b"x" * device.thing.facts.block_size)
        device.start(AccessMode.READ)
        assert device.seek_file(1)

    def header(self, part: int) -> Header:
        return Header(
            type=HeaderType.SPLIT_DUMPFILE,
            datestamp=STAMP,
            host="client.example.com",
            disk="/home",
            partnum=part,
            totalparts=-1,
            program="/bin/tar",
        )

    def write_volume(self, device: Any, data: bytes, part_size: int = 0) -> list[int]:
        """Label the volume, and store ``data`` in parts. :return: their sizes"""
        addresses = device.listen(True)
        Sender(addresses[0], data)
        connection = device.accept()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        sizes: list[int] = []
        while True:
            start = device.start_file(self.header(len(sizes) + 1))
            assert (start.number, start.eom) == (len(sizes) + 1, False)
            assert device.thing.facts.in_file
            moved = device.write_from_connection(part_size)
            assert not moved.eom
            assert device.thing.facts.bytes_written == moved.size
            device.finish_file()
            assert not device.thing.facts.in_file
            sizes.append(moved.size)
            if moved.eof:
                break
        device.finish()
        device.wait(connection.close())
        return sizes

    def read_file(self, device: Any, number: int) -> bytes:
        """All data of a file."""
        header = device.seek_file(number)
        assert (header.type, header.partnum) == (HeaderType.SPLIT_DUMPFILE, number)
        receiver = Receiver(device.listen(False)[0])
        connection = device.accept()
        moved = device.read_to_connection(0)
        assert moved.eof
        device.wait(connection.close())
        receiver.join(60)
        assert len(receiver.data) == moved.size
        return bytes(receiver.data)

    def test_provides_the_interface(self, device: Any) -> None:
        """It takes data by its mover, and in no other way."""
        assert verifyObject(IMoverDevice, device.thing)
        assert not IPumpedDevice.providedBy(device.thing)

    def test_parts_of_a_stream(self, device: Any, open_device: Callable[[], Any]) -> None:
        """A stream is written in parts of the size asked for, and read again; at most the last
        record is padded with zeros."""
        block = device.thing.facts.block_size
        data = bytes(range(256)) * (5 * block // 256) + b"rest"
        sizes = self.write_volume(device, data, 2 * block)
        assert sizes[:2] == [2 * block] * 2
        other = open_device()
        assert other.read_label().label == "TAPE-01"
        other.start(AccessMode.READ)
        stored = b"".join(self.read_file(other, number + 1) for number in range(len(sizes)))
        assert stored[: len(data)] == data
        assert not stored[len(data) :].strip(b"\0")
        assert len(stored) - len(data) < block
        other.finish()

    def test_after_the_last_file(self, device: Any, open_device: Callable[[], Any]) -> None:
        """One past the last file is the end of the tape."""
        sizes = self.write_volume(device, b"x" * device.thing.facts.block_size)
        other = open_device()
        other.start(AccessMode.READ)
        end = other.seek_file(len(sizes) + 1)
        assert end is None or end.type is HeaderType.TAPEEND
        assert other.seek_file(1).partnum == 1
        other.finish()

    def test_a_transfer_can_be_cancelled(self, device: Any) -> None:
        """The device can then only be finished, and is used again."""
        addresses = device.listen(True)
        with socket.create_connection((addresses[0].host, addresses[0].port), 30) as peer:
            peer.sendall(b"x" * device.thing.facts.block_size)
            connection = device.accept()
            device.start(AccessMode.WRITE, "TAPE-01", STAMP)
            device.start_file(self.header(1))
            cancelled(device.thing.write_from_connection(0))
            device.finish()
            device.wait(connection.close())
        assert device.thing.facts.access_mode is AccessMode.NULL
        device.start(AccessMode.WRITE, "TAPE-02", STAMP)
        device.finish()
