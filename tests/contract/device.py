"""What every device must do [volumes 2].

A device joins by a test class that inherits :class:`DeviceContract`, and of the classes below it
and of :mod:`tests.contract.device_end` those for what it can do, and that says how the device is
opened.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import pytest
from attrs import evolve
from zope.interface.verify import verifyObject

from devices.errors import DeviceError, PropertyRefused, Status, VolumeFailed
from devices.interfaces import AccessMode, IDevice, IStoresBehind, WriteEnd, Written
from protocols.header import Header, HeaderType
from tests.opened import descriptors

BLOCK = 1024
STAMP = "20240102030405"
PART = Header(
    type=HeaderType.SPLIT_DUMPFILE,
    datestamp=STAMP,
    host="client.example.com",
    disk="/home",
    partnum=1,
    totalparts=-1,
    program="/bin/tar",
)


def some_bytes(size: int) -> memoryview:
    return memoryview(os.urandom(size))


def write_part(device: IDevice, data: memoryview, header: Header = PART) -> int:
    """Write one whole part. :return: the file's number"""
    start = device.start_file(header)
    assert not start.eom
    if data:
        assert device.write_blocks(data) == Written(len(data), WriteEnd.NONE)
    device.finish_file()
    return start.number


def read_rest(device: IDevice, size: int = 0) -> bytes:
    """All data from here to the end of the file.

    :param size: of the buffer; 0: of eight blocks
    """
    buffer = memoryview(bytearray(size or 8 * device.block_size))
    data = b""
    while got := device.read_blocks(buffer):
        data += buffer[:got]
    assert not device.in_file
    return data


class DeviceContract:
    """What all devices do. Inherit, and override ``open_device``."""

    block = BLOCK
    """Bytes of a block."""

    files = 3
    """How many files a volume can hold; 3 stands for any number."""

    @pytest.fixture
    def open_device(self) -> Callable[..., IDevice]:
        """A function that opens a new device object on always the same volume, at first blank.

        Its parameters, all optional: ``limit`` in bytes (0: none) and ``leom``; blocks are of
        ``self.block`` bytes.
        """
        raise NotImplementedError

    @pytest.fixture
    def device(self, open_device: Callable[..., IDevice]) -> IDevice:
        return open_device()

    @pytest.fixture
    def started(self, device: IDevice) -> IDevice:
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        return device

    # -- life -----------------------------------------------------------------------------------

    def test_provides_the_interface(self, device: IDevice) -> None:
        """Everything IDevice names is there."""
        verifyObject(IDevice, device)

    def test_fresh(self, device: IDevice) -> None:
        """A device just opened has done nothing yet."""
        assert device.status is Status.SUCCESS
        assert device.error is None
        assert device.access_mode is AccessMode.NULL
        assert (device.file, device.in_file, device.is_eom) == (-1, False, False)
        assert (device.label, device.timestamp, device.bytes_written) == (None, None, 0)
        assert device.block_size == self.block

    def test_calls_out_of_order(self, device: IDevice) -> None:
        """A call at the wrong moment is the caller's mistake, and says so before doing harm."""
        block = some_bytes(self.block)
        for call in (
            lambda: device.start(AccessMode.NULL, "TAPE-01", STAMP),
            lambda: device.start(AccessMode.WRITE, None, STAMP),
            lambda: device.start_file(PART),
            lambda: device.write_blocks(block),
            device.finish_file,
        ):
            with pytest.raises(ValueError, match=r"."):
                call()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        for call in (
            lambda: device.start(AccessMode.WRITE, "TAPE-01", STAMP),
            device.read_label,
            device.eject,
            lambda: device.write_blocks(block),
            device.finish_file,
        ):
            with pytest.raises(ValueError, match=r"."):
                call()
        device.start_file(PART)
        for call in (
            lambda: device.start_file(PART),
            lambda: device.write_blocks(memoryview(b"")),
        ):
            with pytest.raises(ValueError, match=r"."):
                call()
        device.write_blocks(block[:10])
        with pytest.raises(ValueError, match=r"."):
            device.write_blocks(block)
        device.finish_file()
        assert device.status is Status.SUCCESS

    def test_finish(self, started: IDevice) -> None:
        """A device finishes more than once, inside a file too, and can be started again."""
        started.start_file(PART)
        started.finish()
        assert started.access_mode is AccessMode.NULL
        assert (started.in_file, started.bytes_written) == (False, 0)
        started.finish()
        started.start(AccessMode.WRITE, "TAPE-02", STAMP)
        assert started.label == "TAPE-02"
        assert write_part(started, some_bytes(self.block)) == 1

    def test_bytes_written(self, started: IDevice) -> None:
        """Payload of the file being written is counted, header excluded, and only inside it."""
        started.start_file(PART)
        assert started.bytes_written == 0
        started.write_blocks(some_bytes(3 * self.block))
        started.write_blocks(some_bytes(10))
        assert started.bytes_written == 3 * self.block + 10
        started.finish_file()
        assert started.bytes_written == 0
        if self.files > 1:
            started.start_file(PART)
            assert started.bytes_written == 0

    def test_bad_header_is_refused(self, started: IDevice) -> None:
        """A header that cannot be written is an error, not the end of the volume."""
        with pytest.raises(DeviceError) as caught:
            started.start_file(evolve(PART, host=""))
        assert not started.is_eom
        assert not started.in_file
        assert started.error == caught.value.text
        assert started.start_file(PART).number == 1

    def test_errors_stay(self, started: IDevice) -> None:
        """Text and status of a failure stay until reset."""
        with pytest.raises(DeviceError) as caught:
            started.start_file(evolve(PART, host=""))
        text, status = started.error, started.status
        assert (text, status) == (caught.value.text, caught.value.status)
        assert text
        assert status
        started.finish()
        assert (started.error, started.status) == (text, status)
        started.reset()
        assert (started.error, started.status, started.is_eom) == (None, Status.SUCCESS, False)

    # -- labels ---------------------------------------------------------------------------------

    def test_blank_volume(self, device: IDevice) -> None:
        """A volume without a label says so, and raises nothing."""
        reading = device.read_label()
        assert reading.status & Status.VOLUME_UNLABELED
        assert reading.label is reading.timestamp is None
        assert (reading.status, reading.error) == (device.status, device.error)

    @pytest.mark.parametrize("stamp", [STAMP, "20240102", "X"])
    def test_label(self, open_device: Callable[..., IDevice], stamp: str) -> None:
        """A volume started for writing bears the label and timestamp it was given."""
        device = open_device()
        device.start(AccessMode.WRITE, "TAPE-01", stamp)
        assert (device.label, device.timestamp) == ("TAPE-01", stamp)
        assert (device.status, device.error) == (Status.SUCCESS, None)
        device.finish()

    def test_timestamp_is_now_by_default(self, device: IDevice) -> None:
        """A volume started without a timestamp gets one of 14 digits."""
        device.start(AccessMode.WRITE, "TAPE-01")
        assert device.timestamp is not None
        assert len(device.timestamp) == 14
        assert device.timestamp.isdecimal()

    def test_reading_a_blank_volume(self, device: IDevice) -> None:
        """Neither reading nor appending starts on a volume without a label."""
        for mode in (AccessMode.READ, AccessMode.APPEND):
            with pytest.raises(DeviceError) as caught:
                device.start(mode)
            assert caught.value.status & Status.VOLUME_UNLABELED
            device.finish()
            device.reset()

    # -- parts ----------------------------------------------------------------------------------

    def test_numbers(self, started: IDevice) -> None:
        """Files are numbered from 1."""
        numbers = list(range(1, self.files + 1))
        assert [write_part(started, some_bytes(self.block)) for _ in numbers] == numbers
        assert started.file == self.files

    # -- properties -----------------------------------------------------------------------------

    def test_unknown_properties(self, device: IDevice) -> None:
        """A property nobody knows, and one that is a name only, are refused with their words."""
        for name, text in (
            ("nosuch-prop", "No such device-property"),
            ("COMPRESSION-RATE", "unknwon device-property"),
        ):
            with pytest.raises(PropertyRefused) as caught:
                device.properties.set(name, "1")
            assert caught.value.text == text

    def test_comment(self, started: IDevice) -> None:
        """The comment can be set at any time."""
        started.properties.set("Comment", "a b")
        started.start_file(PART)
        started.properties.set("COMMENT", "c")
        assert started.properties["comment"].value == "c"


class ReadContract(DeviceContract):
    """Devices whose volumes can be read back, and erased."""

    @pytest.mark.parametrize("stamp", [STAMP, "20240102", "X"])
    def test_label_is_read(self, open_device: Callable[..., IDevice], stamp: str) -> None:
        """Label and timestamp written by one are read by another."""
        device = open_device()
        device.start(AccessMode.WRITE, "TAPE-01", stamp)
        device.finish()
        other = open_device()
        reading = other.read_label()
        assert (reading.status, reading.header_type) == (Status.SUCCESS, HeaderType.TAPESTART)
        assert (reading.label, reading.timestamp, reading.error) == ("TAPE-01", stamp, None)
        assert (other.label, other.timestamp) == ("TAPE-01", stamp)

    def test_relabelling_destroys(self, open_device: Callable[..., IDevice]) -> None:
        """A new label leaves nothing of what was on the volume."""
        device = open_device()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        for _ in range(min(self.files, 2)):
            write_part(device, some_bytes(self.block))
        device.finish()
        device.start(AccessMode.WRITE, "TAPE-02", "X")
        device.finish()
        other = open_device()
        assert other.read_label().label == "TAPE-02"
        other.start(AccessMode.READ)
        tail = other.seek_file(1)
        assert tail is not None
        assert tail.type is HeaderType.TAPEEND

    def test_erase(self, open_device: Callable[..., IDevice]) -> None:
        """An erased volume is blank, and erasing it again is no error."""
        device = open_device()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        write_part(device, some_bytes(self.block))
        with pytest.raises(ValueError, match=r"."):
            device.erase()
        device.finish()
        for _ in range(2):
            device.erase()
            assert device.label is device.timestamp is None
            assert device.status & Status.VOLUME_UNLABELED
        assert open_device().read_label().status & Status.VOLUME_UNLABELED

    @pytest.mark.parametrize("blocks", [(0, 0), (0, 1), (1, 0), (5, 0), (37, 11)])
    @pytest.mark.parametrize("reading", [1.0, 8.0, 4.9])
    def test_read_back(
        self, open_device: Callable[..., IDevice], blocks: tuple[int, int], reading: float
    ) -> None:
        """What comes back is what was written, whatever the buffers were.

        ``blocks`` and bytes more are written; ``reading`` blocks is the size of the buffer.
        """
        size = blocks[0] * self.block + blocks[1]
        data = some_bytes(size)
        device = open_device()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        device.start_file(PART)
        step = 3 * self.block
        for at in range(0, size, step):
            piece = data[at : at + step]
            assert device.write_blocks(piece) == Written(len(piece), WriteEnd.NONE)
        device.finish_file()
        device.finish()
        other = open_device()
        other.start(AccessMode.READ)
        header = other.seek_file(1)
        assert header is not None
        assert (header.host, header.disk, header.partnum) == (PART.host, PART.disk, 1)
        assert (other.file, other.in_file) == (1, True)
        assert read_rest(other, int(reading * self.block))[:size] == data

    def test_seek(self, open_device: Callable[..., IDevice]) -> None:
        """Any file can be reached in any order; the end is told; beyond it is nothing."""
        parts = [some_bytes(4 * self.block) for _ in range(self.files)]
        device = open_device()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        for number, data in enumerate(parts, 1):
            write_part(device, data, evolve(PART, partnum=number))
        device.finish()
        device.start(AccessMode.READ)
        for number in [number for number in (2, 1, 3, 3, 1) if number <= self.files]:
            header = device.seek_file(number)
            assert header is not None
            assert header.partnum == number
            assert read_rest(device) == parts[number - 1]
        label = device.seek_file(0)
        assert label is not None
        assert (label.type, label.label) == (HeaderType.TAPESTART, "TAPE-01")
        assert not device.in_file
        end = device.seek_file(self.files + 1)
        assert end is not None
        assert end.type is HeaderType.TAPEEND
        assert not device.in_file
        assert device.seek_file(self.files + 2) is None
        assert device.status is Status.SUCCESS
        with pytest.raises(ValueError, match=r"."):
            device.read_blocks(some_bytes(self.block))


class AppendContract(DeviceContract):
    """Devices that append to a volume."""

    def test_append(self, open_device: Callable[..., IDevice]) -> None:
        """Appending goes on behind the last file and leaves the others alone."""
        old, new = some_bytes(2 * self.block), some_bytes(self.block)
        device = open_device()
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        write_part(device, old)
        device.finish()
        other = open_device()
        other.start(AccessMode.APPEND)
        assert other.label == "TAPE-01"
        assert write_part(other, new) == 2
        other.finish()
        other.start(AccessMode.READ)
        for number, data in ((1, old), (2, new)):
            other.seek_file(number)
            assert read_rest(other) == data


class StoringBehindContract(DeviceContract):
    """Devices that can go on while the disk takes a file (IStoresBehind)."""

    def test_it_says_so(self, device: IDevice) -> None:
        verifyObject(IStoresBehind, device)

    def test_a_file_is_ended_before_it_is_stored(
        self, open_device: Callable[..., IDevice], started: IStoresBehind
    ) -> None:
        """What follows may begin, up to the end of the volume; the file is as any other."""
        files: list[memoryview] = []
        stores: list[Callable[[], None]] = []
        for _ in range(self.files):
            files.append(some_bytes(3 * BLOCK + 10))
            started.start_file(PART)
            started.write_blocks(files[-1])
            stores.append(started.end_file())
            assert not started.in_file
        for store in stores:
            store()
        assert started.status is Status.SUCCESS
        started.finish()
        reader = open_device()
        reader.start(AccessMode.READ)
        for number, data in enumerate(files, 1):
            assert reader.seek_file(number) is not None
            assert read_rest(reader) == data

    def test_it_is_ended_once(self, started: IStoresBehind) -> None:
        with pytest.raises(ValueError, match="outside a file"):
            started.end_file()
        started.start_file(PART)
        store = started.end_file()
        with pytest.raises(ValueError, match="outside a file"):
            started.end_file()
        store()

    def test_it_can_be_stored_after_the_device_was_finished(self, started: IStoresBehind) -> None:
        """By any thread, as the device is not touched for it."""
        started.start_file(PART)
        started.write_blocks(some_bytes(BLOCK))
        store = started.end_file()
        started.finish()
        thread = threading.Thread(target=store)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()

    def test_what_the_disk_does_not_take_is_told_where_it_is_asked(
        self, started: IStoresBehind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The device is as it was; what the file held is let go."""

        def broken(descriptor: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        before = descriptors()
        started.start_file(PART)
        started.write_blocks(some_bytes(BLOCK))
        store = started.end_file()
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", broken)
            with pytest.raises(VolumeFailed, match="Input/output error"):
                store()
        assert (started.status, started.error) == (Status.SUCCESS, None)
        assert descriptors() <= before

    def test_it_waits_for_the_file_and_then_for_its_name(
        self, started: IStoresBehind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the descriptor that wrote it, which is told what went wrong meanwhile."""
        synced: list[int] = []
        started.start_file(PART)
        started.write_blocks(some_bytes(BLOCK))
        opened = {number for number, _ in descriptors()}
        monkeypatch.setattr(os, "fdatasync", synced.append)
        monkeypatch.setattr(os, "fsync", synced.append)
        store = started.end_file()
        assert synced == []
        store()
        assert len(synced) == 2
        assert synced[0] in opened
