"""A device in memory, with volumes that end where a test says and faults when it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, evolve, field
from zope.interface import alsoProvides, implementer

from devices.errors import DeviceError, DriveFailed, Status, VolumeFailed
from devices.interfaces import (
    AccessMode,
    FileStart,
    IDevice,
    IStoresBehind,
    Streaming,
    VolumeReading,
    WriteEnd,
    Written,
)
from devices.properties import READ_ONLY, SET_ANY_TIME, Kind, Phase, Properties, Property
from protocols.header import Header, HeaderType

FULL_TEXT = "No space left on device: more than MAX_VOLUME_USAGE bytes written"
SPACE_TEXT = "No space left on device"


@define
class FakeFile:
    """A file on a volume: its header, and the bytes the device was given."""

    header: Header
    data: bytearray = field(factory=bytearray)
    complete: bool = False


@define
class FakeVolume:
    """A medium.

    :ivar capacity: bytes for headers and data together; None: without end.
    :ivar shared: it ends because a shared file system is full, not by its own limit.
    """

    capacity: int | None = None
    shared: bool = False
    label: str | None = None
    timestamp: str | None = None
    files: dict[int, FakeFile] = field(factory=dict)

    def used(self, header_size: int) -> int:
        return header_size + sum(header_size + len(file.data) for file in self.files.values())


def no_faults(what: str) -> bool:
    return False


@implementer(IDevice)
class FakeDevice:
    """Behaves as ``file:`` does [volumes 4.5], judging block by block.

    :param faults: asked ``start``, ``labelled`` (the label is on the medium), ``start_file``,
        ``write`` (once a block), ``finish_file`` and ``store``; True makes that call fail.
    :param behind: it stores files behind (IStoresBehind).
    :param warning: blocks before the end at which ``leom`` warns.
    :param header_size: bytes of room a header takes.
    """

    allow_take_scribe_from = True
    remark: str | None = None

    def __init__(
        self,
        volume: FakeVolume | None = None,
        *,
        name: str = "fake:",
        block_size: int = 32768,
        leom: bool = True,
        streaming: Streaming = Streaming.NONE,
        warning: int = 4,
        header_size: int = 32768,
        behind: bool = False,
        faults: Callable[[str], bool] = no_faults,
    ) -> None:
        self.name = name
        self.volume = volume
        self.block_size = block_size
        self.leom = leom
        self.streaming = streaming
        self.status = Status.SUCCESS
        self.error: str | None = None
        self.access_mode = AccessMode.NULL
        self.file = -1
        self.in_file = False
        self.is_eom = False
        self.label: str | None = None
        self.timestamp: str | None = None
        self.properties = Properties(self._phase, lambda: self.status == Status.DEVICE_ERROR)
        self.properties.declare(Property("comment", Kind.STRING, SET_ANY_TIME))
        self.properties.declare(Property("leom", Kind.BOOL, READ_ONLY, leom))
        self.properties.declare(Property("full_deletion", Kind.BOOL, READ_ONLY, True))
        self._warning = warning
        self._header_size = header_size
        self._faults = faults
        self._read_at = 0
        if behind:
            alsoProvides(self, IStoresBehind)

    @property
    def bytes_written(self) -> int:
        writing = self.in_file and self.access_mode in (AccessMode.WRITE, AccessMode.APPEND)
        return len(self._current.data) if writing else 0

    def read_label(self) -> VolumeReading:
        self._need(self.access_mode is AccessMode.NULL, "read_label on a started device")
        volume = self.volume
        if volume is None:
            status = Status.DEVICE_ERROR | Status.VOLUME_MISSING
            self._note("no volume in the fake drive", status)
            return VolumeReading(status, error=self.error)
        if volume.label is None:
            self._note("no label", Status.VOLUME_UNLABELED)
            return VolumeReading(Status.VOLUME_UNLABELED, HeaderType.EMPTY, error=self.error)
        self.status, self.error = Status.SUCCESS, None
        self.label, self.timestamp = volume.label, volume.timestamp
        return VolumeReading(Status.SUCCESS, HeaderType.TAPESTART, self.label, self.timestamp)

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> None:
        self._need(mode is not AccessMode.NULL, "start with mode NULL")
        self._need(self.access_mode is AccessMode.NULL, "start on a started device")
        volume = self.volume
        if volume is None or self._faults("start"):
            raise self._fail(DriveFailed, "the fake drive does not start", Status.DEVICE_ERROR)
        if mode is AccessMode.WRITE:
            self._need(label is not None and timestamp is not None, "WRITE without label")
            volume.label, volume.timestamp = label, timestamp
            volume.files.clear()
            if self._faults("labelled"):
                raise self._fail(VolumeFailed, "the fake label is not synced", Status.VOLUME_ERROR)
        elif volume.label is None:
            raise self._fail(VolumeFailed, "no label", Status.VOLUME_UNLABELED)
        self.status, self.error, self.is_eom = Status.SUCCESS, None, False
        self.access_mode, self.in_file = mode, False
        self.label, self.timestamp = volume.label, volume.timestamp
        self.file = -1 if mode is AccessMode.WRITE else 0

    def start_file(self, header: Header) -> FileStart:
        self._need_writing(in_file=False)
        self.is_eom = False
        if self._faults("start_file"):
            raise self._fail(DriveFailed, "the fake header fails", Status.DEVICE_ERROR)
        volume = self._loaded
        self._warn(self._header_size)
        if not self._fits(self._header_size):
            self.is_eom = True
            self._note(SPACE_TEXT if volume.shared else FULL_TEXT, Status.VOLUME_ERROR)
            return FileStart(0, True, space=volume.shared)
        self.file = max(volume.files, default=0) + 1
        self.in_file = True
        volume.files[self.file] = FakeFile(evolve(header))
        return FileStart(self.file, self.is_eom)

    def write_blocks(self, data: memoryview) -> Written:
        self._need_writing(in_file=True)
        stored = self._current.data
        self._need(len(data) > 0, "write_blocks without data")
        self._need(len(stored) % self.block_size == 0, "a block after a short one")
        accepted = 0
        while accepted < len(data):
            block = data[accepted : accepted + self.block_size]
            end = self._write_block(block)
            if end is not WriteEnd.NONE and end is not WriteEnd.EARLY:
                return Written(accepted, end)
            stored += block
            accepted += len(block)
            if end is WriteEnd.EARLY:
                return Written(accepted, end)
        return Written(accepted, WriteEnd.NONE)

    def _write_block(self, block: memoryview) -> WriteEnd:
        if self._faults("write"):
            self._note("the fake block fails", Status.VOLUME_ERROR)
            return WriteEnd.FAILED
        self._warn(len(block))
        if not self._fits(len(block)):
            shared = self._loaded.shared
            self.is_eom = not shared
            self._note(SPACE_TEXT if shared else FULL_TEXT, Status.VOLUME_ERROR)
            if not self.leom:
                return WriteEnd.FAILED
            return WriteEnd.SPACE if shared else WriteEnd.FULL
        return WriteEnd.EARLY if self.is_eom else WriteEnd.NONE

    def next_run(self, offered: int) -> int:
        return min(offered, self.block_size)

    def finish_file(self) -> None:
        self._need_writing(in_file=True)
        self.in_file = False
        if self._faults("finish_file"):
            raise self._fail(DriveFailed, "the fake filemark fails", Status.DEVICE_ERROR)
        self._current.complete = True

    def end_file(self) -> Callable[[], None]:
        self._need_writing(in_file=True)
        self.in_file = False
        number, current = self.file, self._current

        def store() -> None:
            if self._faults("store"):
                raise VolumeFailed(f"the fake disk lost file {number}", Status.VOLUME_ERROR)
            current.complete = True

        return store

    def seek_file(self, number: int) -> Header | None:
        self._need(self.access_mode is AccessMode.READ, "seek_file on a device not reading")
        files = self._loaded.files
        last = max(files, default=0)
        if number == last + 1:
            self.in_file = False
            return Header(type=HeaderType.TAPEEND, datestamp=self.timestamp or "")
        if number == 0:
            self.file, self.in_file = 0, False
            label = Header(type=HeaderType.TAPESTART, label=self.label or "")
            return evolve(label, datestamp=self.timestamp or "")
        later = [found for found in files if found >= number]
        if not later:
            return None
        self.file, self.in_file, self._read_at = min(later), True, 0
        return self._current.header

    def read_blocks(self, buffer: memoryview) -> int:
        self._need(self.in_file and self.access_mode is AccessMode.READ, "read outside a file")
        self._need(len(buffer) >= self.block_size, "a buffer shorter than a block")
        size = len(buffer) - len(buffer) % self.block_size
        data = self._current.data[self._read_at : self._read_at + size]
        buffer[: len(data)] = data
        self._read_at += len(data)
        self.in_file = bool(data)
        return len(data)

    def erase(self) -> None:
        self._need(self.access_mode is AccessMode.NULL, "erase on a started device")
        volume = self._loaded
        volume.label = volume.timestamp = self.label = self.timestamp = None
        volume.files.clear()
        self._note("no label", Status.VOLUME_UNLABELED)

    def eject(self) -> None:
        self._need(self.access_mode is AccessMode.NULL, "eject on a started device")
        self.volume = None

    def reset(self) -> None:
        self.status, self.error, self.is_eom = Status.SUCCESS, None, False

    def finish(self) -> None:
        self.access_mode, self.in_file = AccessMode.NULL, False

    @property
    def _loaded(self) -> FakeVolume:
        if self.volume is None:
            raise self._fail(DriveFailed, "no volume in the fake drive", Status.DEVICE_ERROR)
        return self.volume

    @property
    def _current(self) -> FakeFile:
        return self._loaded.files[self.file]

    def _phase(self) -> Phase:
        if self.access_mode is AccessMode.NULL:
            return Phase.BEFORE_START
        if self.access_mode is AccessMode.READ:
            return Phase.INSIDE_FILE_READ if self.in_file else Phase.BETWEEN_FILE_READ
        return Phase.INSIDE_FILE_WRITE if self.in_file else Phase.BETWEEN_FILE_WRITE

    def _fits(self, size: int) -> bool:
        capacity = self._loaded.capacity
        return capacity is None or self._loaded.used(self._header_size) + size <= capacity

    def _warn(self, size: int) -> None:
        if self.leom and not self._fits(size + self._warning * self.block_size):
            self.is_eom = True

    def _note(self, text: str, status: Status) -> None:
        self.error, self.status = text, status

    def _fail(self, kind: type[DeviceError], text: str, status: Status) -> DeviceError:
        self._note(text, status)
        return kind(text, status)

    def _need_writing(self, *, in_file: bool) -> None:
        writing = self.access_mode in (AccessMode.WRITE, AccessMode.APPEND)
        self._need(writing and self.in_file is in_file, "a write call out of order")

    def _need(self, condition: Any, text: str) -> None:
        if not condition:
            raise ValueError(f"{self.name}: {text}")
