"""The ``ndmp:`` device on the real ndmjob: labels, parts, ends, hand-over, reading back."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from devices.context import DeviceContext
from devices.errors import (
    ConnectionBroken,
    DeviceBusy,
    DeviceError,
    DriveFailed,
    IncompatibleConnection,
    Status,
    VolumeFailed,
)
from devices.idirecttcp import IMoverDevice, Moved
from devices.indirect import IndirectTCP
from devices.interfaces import AccessMode, IAsyncDevice, IDeviceFacts, IPumpedDevice
from devices.ndmp import open_ndmp
from protocols.directtcp import INDIRECT_HOST, Address
from protocols.header import HeaderType
from tests.fakes.medium import Medium
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.turning import Sender, Turning
from tests.system.ndmp_drives import (
    BLOCK,
    KIB,
    STAMP,
    Accepting,
    Resolving,
    blank,
    connected,
    header,
    large,
    opened,
    padded,
    payload,
    read_back,
    small,
    turning,
    write_parts,
)

__all__ = ["large", "small", "turning"]

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob())),
]


def test_it_provides_what_an_asynchronous_device_provides(turning: Turning, large: NdmJob) -> None:
    """The device, its attributes and its connection keep to the interfaces."""
    device = blank(turning, large, "interfaces")
    assert verifyObject(IAsyncDevice, device)
    assert verifyObject(IMoverDevice, device)
    assert verifyObject(IDeviceFacts, device.facts)
    assert not IPumpedDevice.providedBy(device)


def test_a_label_is_written_and_read(turning: Turning, large: NdmJob) -> None:
    """A blank tape has no label; after start it has ours; the drive is free again each time."""

    async def story() -> None:
        device = blank(turning, large, "label")
        reading = await device.read_label()
        assert reading.status is Status.VOLUME_UNLABELED
        assert reading.header_type is HeaderType.EMPTY
        assert reading.error == "no tape label found"
        await device.start(AccessMode.WRITE, "NDMP-01", STAMP)
        await device.finish()
        again = opened(turning, large, "label")
        reading = await again.read_label()
        assert (reading.status, reading.label, reading.timestamp) == (0, "NDMP-01", STAMP)
        await again.finish()

    turning.run(story())
    assert not large.locked("label")


@pytest.mark.parametrize("indirect", [False, True])
@pytest.mark.parametrize("size", [0, 1, BLOCK, 10 * BLOCK, 10 * BLOCK + 5, 16 * BLOCK])
def test_parts_are_written_and_read_back(
    turning: Turning, large: NdmJob, size: int, indirect: bool
) -> None:
    """A stream of any length becomes parts of whole blocks and comes back byte for byte."""
    data = payload(size)

    async def story() -> None:
        device = blank(turning, large, "parts", indirect=indirect)
        addresses = await device.listen(True)
        if indirect:
            assert [address.host for address in addresses] == [INDIRECT_HOST]
            asking = Resolving(turning, addresses, data)
        else:
            asking = None
            sender = Sender(addresses[0], data)
        connection = await device.accept()
        await device.start(AccessMode.WRITE, "NDMP-02", STAMP)
        numbers, parts = await write_parts(device, 4 * BLOCK)
        assert numbers == list(range(1, len(parts) + 1))
        assert sum(part.size for part in parts) == len(padded(data))
        assert all(part.size == 4 * BLOCK for part in parts[:-1])
        assert parts[-1].eof
        assert len(parts) == max(1, -(-size // (4 * BLOCK)))
        await connection.close()
        await device.finish()
        if asking is not None:
            sender = await asking.sender
        sender.join(60)
        assert sender.failure is None
        again = opened(turning, large, "parts")
        assert await read_back(again, numbers) == padded(data)

    turning.run(story())
    assert not large.locked("parts")


@pytest.mark.parametrize("indirect", [False, True])
def test_a_dump_spans_volumes_of_one_server(
    turning: Turning, small: NdmJob, indirect: bool
) -> None:
    """At the end of a volume the connection goes on to the next drive; no byte is lost."""
    data = payload(1230 * KIB * 2 + 77)

    async def story() -> None:
        first = blank(turning, small, "span0", indirect=indirect)
        addresses = await first.listen(True)
        if indirect:
            asking = Resolving(turning, addresses, data)
        else:
            Sender(addresses[0], data)
        connection = await first.accept()
        device, volumes, number = first, [], 1
        await device.start(AccessMode.WRITE, "SPAN-0", STAMP)
        while True:
            numbers, parts = await write_parts(device, 384 * KIB, number)
            number += sum(1 for part in parts if part.size)
            volumes.append((numbers, parts))
            await device.finish()
            if parts[-1].eof:
                break
            assert parts[-1].eom
            device = blank(turning, small, f"span{len(volumes)}", indirect=indirect)
            await device.read_label()
            await device.use_connection(connection)
            await device.start(AccessMode.WRITE, f"SPAN-{len(volumes)}", STAMP)
        await connection.close()
        if indirect:
            await asking.sender
        assert len(volumes) >= 3
        found = b""
        for volume, (numbers, parts) in enumerate(volumes):
            files = [number for number, part in zip(numbers, parts, strict=True) if part.size]
            reader = opened(turning, small, f"span{volume}")
            found += await read_back(reader, files)
        assert found == padded(data)

    turning.run(story())


@pytest.mark.parametrize("blocks", [2, 3, 5, 7, 14, 29])
def test_the_end_of_a_volume_may_come_anywhere(
    turning: Turning, small: NdmJob, blocks: int
) -> None:
    """Whether the early warning meets a header, a first or a last block: no byte is lost."""
    data = payload(40 * BLOCK)

    async def story() -> None:
        device = blank(turning, small, "anywhere0")
        connection, sender = await connected(device, data)
        await device.start(AccessMode.WRITE, "ANY-0", STAMP)
        numbers, parts = await write_parts(device, blocks * BLOCK)
        await device.finish()
        volumes = [(numbers, parts)]
        while not parts[-1].eof:
            drive = f"anywhere{len(volumes)}"
            device = blank(turning, small, drive)
            await device.use_connection(connection)
            await device.start(AccessMode.WRITE, drive, STAMP)
            numbers, parts = await write_parts(device, blocks * BLOCK)
            await device.finish()
            volumes.append((numbers, parts))
        await connection.close()
        sender.join(60)
        found = b""
        for volume, (numbers, parts) in enumerate(volumes):
            files = [number for number, part in zip(numbers, parts, strict=True) if part.size]
            if files:
                reader = opened(turning, small, f"anywhere{volume}")
                found += await read_back(reader, files)
        assert found == data

    turning.run(story())


def test_another_server_is_refused_by_name(turning: Turning, small: NdmJob, large: NdmJob) -> None:
    """A connection made at one server cannot go on at another; both devices are named."""

    async def story() -> None:
        device = blank(turning, small, "other")
        connection, _ = await connected(device, payload(BLOCK))
        other = blank(turning, large, "other")
        await other.read_label()
        with pytest.raises(IncompatibleConnection) as caught:
            await other.use_connection(connection)
        assert small.url("other") in caught.value.text
        assert large.url("other") in caught.value.text
        await other.finish()
        await connection.close()
        await device.finish()

    turning.run(story())
    assert not small.locked("other")
    assert not large.locked("other")


def test_errors_are_worded_as_stock_does(turning: Turning, large: NdmJob) -> None:
    """No server, a wrong password, no such drive, a busy drive."""

    def attempt(device: IndirectTCP) -> DeviceError:
        reading = turning.wait(device.read_label())
        with pytest.raises(DeviceError) as caught:
            turning.wait(device.start(AccessMode.WRITE, "L", STAMP))
        assert caught.value.text.replace("IO error", "") in (reading.error or "")
        turning.wait(device.finish())
        return caught.value

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        gone = open_ndmp(
            "gone", f"127.0.0.1:{port}@/x", DeviceContext(turning.reactor, pytest.fail, 5)
        )
        text = attempt(gone).text
    assert text.startswith(f"could not connect to ndmp-server '127.0.0.1:{port}': connect failed: ")
    wrong = blank(turning, large, "errors")
    wrong.facts.properties.set("ndmp_password", "guess")
    assert attempt(wrong).text.endswith(": connect-auth-md5-failed")
    none = open_ndmp("none", large.url("none")[5:], DeviceContext(turning.reactor, pytest.fail, 5))
    error = attempt(none)
    assert error.text == "Error from NDMP server: NDMP9_NO_DEVICE_ERR"
    assert isinstance(error, DriveFailed)

    async def busy() -> None:
        holder = opened(turning, large, "errors")
        await holder.read_label()
        second = opened(turning, large, "errors")
        reading = await second.read_label()
        assert (reading.status, reading.error) == (Status.DEVICE_BUSY, "device busy")
        with pytest.raises(DeviceBusy):
            await second.start(AccessMode.WRITE, "L", STAMP)
        await second.finish()
        await holder.finish()

    turning.run(busy())


@pytest.mark.parametrize("indirect", [False, True])
def test_a_cancelled_wait_leaves_drive_and_mover_free(
    turning: Turning, large: NdmJob, indirect: bool
) -> None:
    """Nobody connects: the wait can be given up, and the next dump begins as if nothing was."""

    async def story() -> None:
        device = blank(turning, large, "cancel", indirect=indirect)
        await device.listen(True)
        accepting = device.accept()
        if indirect:
            connection = await accepting
            await device.start(AccessMode.WRITE, "CANCEL", STAMP)
            await device.start_file(header())
            waiting: Deferred[Any] = device.write_from_connection(0)
        else:
            waiting = accepting
        turning.reactor.callLater(0.2, waiting.cancel)
        with pytest.raises(CancelledError):
            await waiting
        if indirect:
            await connection.close()
        await device.finish()
        device = opened(turning, large, "cancel")
        connection, _ = await connected(device, payload(3 * BLOCK))
        await device.start(AccessMode.WRITE, "CANCEL", STAMP)
        _, parts = await write_parts(device, 0)
        assert parts == [Moved(size=3 * BLOCK, eof=True, eom=False)]
        await connection.close()
        await device.finish()

    turning.run(story())
    assert not large.locked("cancel")


def test_a_broken_connection_is_no_end_of_file(turning: Turning, large: NdmJob) -> None:
    """A sender that is reset makes the part fail; a cancelled part stops the mover."""

    async def story() -> None:
        device = blank(turning, large, "reset")
        addresses = await device.listen(True)
        link = socket.create_connection((addresses[0].host, addresses[0].port))
        link.sendall(payload(5 * BLOCK))
        connection = await device.accept()
        await device.start(AccessMode.WRITE, "RESET", STAMP)
        await device.start_file(header())
        writing = device.write_from_connection(0)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        turning.reactor.callLater(0.3, link.close)
        with pytest.raises(ConnectionBroken, match="CONNECT_ERROR"):
            await writing
        await device.finish_file()
        await connection.close()
        await device.finish()

    turning.run(story())


def test_a_mover_connects_both_ways(turning: Turning, large: NdmJob) -> None:
    """Instead of listening the mover may connect, trying address after address."""
    data = payload(6 * BLOCK)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            addresses = tuple(
                Address("127.0.0.1", place.getsockname()[1]) for place in (closed, server)
            )
            device = blank(turning, large, "connect")
            connecting = device.connect(True, addresses)
            accepted = Accepting(server, data)
            connection = await connecting
            await device.start(AccessMode.WRITE, "CONNECT", STAMP)
            _, parts = await write_parts(device, 0)
            assert parts[-1].size == len(data)
            await connection.close()
            await device.finish()
            accepted.join(60)
            reader = opened(turning, large, "connect")
            await reader.start(AccessMode.READ)
            await reader.seek_file(1)
            fetched = Accepting(server)
            connection = await reader.connect(False, addresses[1:])
            assert (await reader.read_to_connection(0)).eof
            await connection.close()
            await reader.finish()
            fetched.join(60)
            assert bytes(fetched.data) == data

    turning.run(story())


def test_a_mover_begins_in_the_middle_of_a_file(turning: Turning, large: NdmJob) -> None:
    """Also after it was stopped while nobody took what it read."""
    data = payload(40 * BLOCK)

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = Address("127.0.0.1", server.getsockname()[1])
            device = blank(turning, large, "middle")
            connecting = device.connect(True, (address,))
            accepted = Accepting(server, data)
            connection = await connecting
            await device.start(AccessMode.WRITE, "MIDDLE", STAMP)
            await write_parts(device, 0)
            await connection.close()
            await device.finish()
            accepted.join(60)
            reader = opened(turning, large, "middle")
            await reader.start(AccessMode.READ)
            await reader.seek_file(1)
            connection = await reader.connect(False, (address,))
            stuck = server.accept()[0]
            reading = reader.read_to_connection(0)
            reading.addErrback(lambda failure: failure.trap(CancelledError) and None)
            assert stuck.recv(BLOCK)
            reading.cancel()
            await connection.close()
            stuck.close()
            await reader.seek_file(1)
            await reader.skip_records(13)
            fetched = Accepting(server)
            connection = await reader.connect(False, (address,))
            assert (await reader.read_to_connection(0)).eof
            await connection.close()
            await reader.finish()
            fetched.join(60)
            assert bytes(fetched.data) == data[13 * BLOCK :]

    turning.run(story())


@pytest.mark.parametrize("record", [bytes(BLOCK), b"x" * 100], ids=["zeros", "short"])
def test_the_data_behind_a_damaged_header(turning: Turning, large: NdmJob, record: bytes) -> None:
    """The mover reads them to their end, whatever stands before them."""
    data = payload(7 * BLOCK)

    async def story() -> None:
        device = blank(turning, large, "headless")
        connection, _ = await connected(device, data)
        await device.start(AccessMode.WRITE, "HEADLESS", STAMP)
        await write_parts(device, 4 * BLOCK)
        await connection.close()
        await device.finish()
        medium = Medium.in_file(large.directory / "headless")
        medium.replace(1, 0, record)
        medium.close()
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = Address("127.0.0.1", server.getsockname()[1])
            await device.start(AccessMode.READ)
            with pytest.raises(VolumeFailed, match="has no valid header"):
                await device.seek_file(1)
            await device.seek_data(1)
            fetched = Accepting(server)
            connection = await device.connect(False, (address,))
            assert (await device.read_to_connection(0)).eof
            with pytest.raises(VolumeFailed, match="header can be read"):
                await device.seek_data(2)
            assert await device.seek_file(2) is not None
            assert (await device.read_to_connection(0)).eof
            await connection.close()
            await device.finish()
            fetched.join(60)
            assert bytes(fetched.data) == data

    turning.run(story())


def test_a_missing_file_and_the_end_of_the_tape(turning: Turning, large: NdmJob) -> None:
    """One past the last file is the end of the tape; beyond is an error; 0 cannot be sought."""

    async def story() -> None:
        device = blank(turning, large, "seek")
        connection, _ = await connected(device, payload(3 * BLOCK))
        await device.start(AccessMode.WRITE, "SEEK", STAMP)
        await write_parts(device, BLOCK)
        await connection.close()
        await device.finish()
        await device.start(AccessMode.READ)
        for number in (3, 1, 2):
            found = await device.seek_file(number)
            assert found is not None
            assert found.partnum == number
        end = await device.seek_file(4)
        assert end is not None
        assert end.type is HeaderType.TAPEEND
        with pytest.raises(VolumeFailed, match="Could not seek forward to file 9"):
            await device.seek_file(9)
        with pytest.raises(DriveFailed, match="cannot seek to file 0"):
            await device.seek_file(0)
        await device.finish()

    turning.run(story())
