"""The volume in an NDMP drive: labels and headers [ndmp 3.3].

They go record by record through TAPE requests; data go through the mover only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock

from devices.base import timestamp_now
from devices.errors import (
    ConnectionBroken,
    DeviceError,
    DriveFailed,
    IncompatibleConnection,
    PeerUnreachable,
    Status,
    VolumeFailed,
)
from devices.interfaces import AccessMode, FileStart, VolumeReading
from devices.labelled import HEADER_IS_SOUND, is_header
from devices.ndmp_control import device_error
from devices.ndmp_tape import Tape, no_room
from devices.shield import shield
from devices.values import Recorded
from protocols.header import Header, HeaderError, HeaderType, build_header, parse_header
from protocols.ndmp.codes import ErrorCode, Mtio
from protocols.ndmp.errors import NdmpError, NdmpRefused

if TYPE_CHECKING:
    from devices.ndmp_control import Link
    from devices.ndmp_facts import NdmpFacts

BRIEF = 4096
"""Bytes that are asked for of a header, once the size of a volume's records is known: most headers
end there, and it is all that passes this host of a part that goes from mover to client."""

T = TypeVar("T")
Operation = Callable[[], Coroutine["Deferred[Any]", Any, T]]

_log = logging.getLogger(__name__)


class NdmpVolume:
    """A drive with a volume in it. One operation at a time.

    :ivar facts: attributes and properties.
    """

    def __init__(self, facts: NdmpFacts, link: Link) -> None:
        self.facts = facts
        self._link = link
        self._tape = Tape(link)
        self._label_size = 0
        self._header_size = 0
        self._brief = True
        self._turn = DeferredLock()

    async def _let_go(self) -> None:
        """Last thing of ``finish``, whatever went wrong before."""
        await self._link.leave()

    def _do(self, operation: Operation[T]) -> Deferred[T]:
        return Deferred.fromCoroutine(self._in_turn(operation))

    async def _in_turn(self, operation: Operation[T]) -> T:
        await self._turn.acquire()
        try:
            return await operation()
        except NdmpError as error:
            if not isinstance(error, NdmpRefused):
                await self._link.abandon()
            raise self.facts.failed(device_error(error)) from error
        except (ConnectionBroken, IncompatibleConnection, PeerUnreachable):
            raise  # the device is well
        except DeviceError as error:
            raise self.facts.failed(error) from error.__cause__
        finally:
            self._turn.release()

    # labels

    def read_label(self) -> Deferred[VolumeReading]:
        return self._do(self._read_label)

    async def _read_label(self) -> VolumeReading:
        facts = self.facts
        facts.need_mode("read_label", AccessMode.NULL)
        facts.label = facts.timestamp = None
        facts.reset()
        self._header_size = 0
        try:
            return await self._look_at_label()
        except NdmpError as error:
            if not isinstance(error, NdmpRefused):
                await self._link.abandon()
            failure = device_error(error)
            if failure.text == "IO error":
                failure.text = "IO error reading tape label"
        except DeviceError as error:
            failure = error
        facts.failed(failure)
        return VolumeReading(failure.status, error=failure.text)

    async def _look_at_label(self) -> VolumeReading:
        facts = self.facts
        await self._tape.rewind()
        record = await self._tape.read(facts.read_size)
        if record is None:
            return self._no_label("no tape label found", HeaderType.EMPTY)
        self._label_size = len(record)
        header = parse_header(record)
        if header.type is not HeaderType.TAPESTART:
            return self._no_label("No tapestart header -- unlabeled device?", header.type)
        facts.label, facts.timestamp = header.label, header.datestamp
        return VolumeReading(Status.SUCCESS, header.type, header.label, header.datestamp)

    def _no_label(self, text: str, found: HeaderType) -> VolumeReading:
        self.facts.failed(DeviceError(text, Status.VOLUME_UNLABELED))
        return VolumeReading(Status.VOLUME_UNLABELED, found, error=text)

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> Deferred[None]:
        return self._do(lambda: self._start(mode, label, timestamp))

    async def _start(self, mode: AccessMode, label: str | None, timestamp: str | None) -> None:
        facts = self.facts
        facts.need_mode("start", AccessMode.NULL)
        if mode is AccessMode.NULL:
            raise ValueError(f"start on {facts.name} in mode NULL, expected READ or WRITE")
        if mode is AccessMode.APPEND:
            raise DriveFailed("operation not supported")
        if mode is AccessMode.WRITE:
            if not label:
                raise ValueError(f"start on {facts.name} for writing without a label")
            await self._write_label(label, timestamp or timestamp_now())
        else:
            if facts.label is None:
                reading = await self._read_label()
                if reading.status is not Status.SUCCESS:
                    raise VolumeFailed(reading.error or "no label", reading.status)
            await self._tape.rewind()
        facts.begin(mode)

    async def _write_label(self, label: str, timestamp: str) -> None:
        facts = self.facts
        header = Header(type=HeaderType.TAPESTART, datestamp=timestamp, label=label)
        block = self._build(header, "Tapestart header won't fit in a single block!")
        facts.label = facts.timestamp = None
        await self._tape.rewind()
        written = await self._tape.write(block)
        if written is Recorded.NO_ROOM:
            raise no_room("volume label")
        await self._tape.write_filemark(0)
        facts.reset()
        facts.label, facts.timestamp = label, timestamp
        self._label_size = len(block)
        facts.is_eom = written is Recorded.EARLY

    def _build(self, header: Header, too_large: str) -> bytes:
        size = self.facts.block_size
        try:
            return build_header(header, size, size)
        except HeaderError as error:
            raise DriveFailed(too_large if error.too_large else str(error)) from error

    def erase(self) -> Deferred[None]:
        return self._do(self._cannot_erase)

    async def _cannot_erase(self) -> None:
        raise DriveFailed("Unimplemented method")

    def eject(self) -> Deferred[None]:
        """Unload the medium (mode NULL). Fails if the drive does not."""
        return self._do(self._eject)

    async def _eject(self) -> None:
        self.facts.need_mode("eject", AccessMode.NULL)
        await self._tape.unload()
        self.facts.label = self.facts.timestamp = None
        await self._link.close_drive()
        await self._link.leave()

    def hurry(self) -> None:
        self._link.hurry()

    def finish(self) -> Deferred[None]:
        return shield(self._do(self._finish))

    async def _finish(self) -> None:
        """End a file that is still being written; close the drive, whatever went wrong before."""
        facts = self.facts
        writing = facts.access_mode is AccessMode.WRITE
        unfinished = writing and facts.in_file
        in_error = facts.status == Status.DEVICE_ERROR
        facts.end()
        try:
            if unfinished and not in_error:
                await self._tape.write_filemark(facts.file)
            await self._link.close_drive()
        except NdmpError as error:
            if writing and not in_error:
                raise
            _log.info("closing the drive of %s: %s", facts.name, error)
        finally:
            await self._let_go()

    # files

    def start_file(self, header: Header) -> Deferred[FileStart]:
        return self._do(lambda: self._start_file(header))

    async def _start_file(self, header: Header) -> FileStart:
        facts = self.facts
        facts.need_mode("start_file", AccessMode.WRITE)
        facts.need_file("start_file", False)
        facts.is_eom = False
        block = self._build(header, "Amanda file header won't fit in a single block!")
        written = await self._tape.write(block)
        facts.is_eom = written is not Recorded.STORED
        if written is Recorded.NO_ROOM:
            facts.failed(no_room("file header"))
            return FileStart(0, True)
        told = await self._tape.file_number()
        number = facts.file + 1 if told is None else told
        if number < 1:
            raise DriveFailed(f"the server says that file {number} was begun after the label's")
        facts.begin_file(number)
        return FileStart(number, facts.is_eom)

    def finish_file(self) -> Deferred[None]:
        return self._do(self._finish_file)

    async def _finish_file(self) -> None:
        facts = self.facts
        facts.need_mode("finish_file", AccessMode.WRITE)
        facts.need_file("finish_file", True)
        facts.in_file = False
        with self._full_on_failure():
            early = await self._tape.write_filemark(facts.file)
        facts.is_eom = facts.is_eom or early

    @contextmanager
    def _full_on_failure(self) -> Iterator[None]:
        """Nobody knows where the tape stands if this fails: it takes nothing more then."""
        try:
            yield
        except BaseException:
            self.facts.is_eom = True
            raise

    def end_broken_file(self) -> Deferred[int]:
        """See :class:`devices.idirecttcp.IMoverDevice`."""
        return self._do(self._end_broken_file)

    async def _end_broken_file(self) -> int:
        facts = self.facts
        if facts.in_file:
            await self._finish_file()
        block, moved = facts.block_size, facts.file_bytes
        if not moved:
            return 0
        with self._full_on_failure():
            early = await self._tape.cut_last_record(facts.file)
        facts.is_eom = facts.is_eom or early
        # some servers do not count what they filled up
        facts.show((moved - 1) // block * block)
        return facts.file_bytes

    def read_last_record(self) -> Deferred[bytes]:
        """See :class:`devices.idirecttcp.IMoverDevice`."""
        return self._do(self._read_last_record)

    async def _read_last_record(self) -> bytes:
        facts = self.facts
        facts.need_mode("read_last_record", AccessMode.WRITE)
        facts.need_file("read_last_record", False)
        with self._full_on_failure():
            return await self._tape.read_last_record(facts.file, facts.block_size)

    def read_end(self, number: int, count: int) -> Deferred[bytes]:
        """See :class:`devices.idirecttcp.IMoverDevice`."""
        return self._do(lambda: self._read_end(number, count))

    async def _read_end(self, number: int, count: int) -> bytes:
        facts = self.facts
        facts.need_mode("read_end", AccessMode.READ)
        facts.need_file("read_end", False)
        here, facts.file = facts.file, number
        try:
            return await self._tape.read_end(number, here, count, facts.read_size)
        except (NdmpRefused, DeviceError) as error:
            _log.info("%s does not read the end of file %d: %s", facts.name, number, error)
            return b""

    def seek_file(self, number: int) -> Deferred[Header | None]:
        return self._do(lambda: self._seek_file(number))

    async def _seek_file(self, number: int) -> Header | None:
        facts = self.facts
        facts.need_mode("seek_file", AccessMode.READ)
        if number < 1:
            raise DriveFailed(f"cannot seek to file {number}")
        facts.in_file = False
        here = facts.file
        await self._tape.go_to_file(number, here)
        while True:
            facts.file = number
            record = await self._read_header(number)
            if record is None:
                return Header(type=HeaderType.TAPEEND, datestamp=facts.timestamp or "X")
            header = parse_header(record)
            if header.type is not HeaderType.NOOP:
                break
            if await self._tape.move(Mtio.FSF):
                return None
            number += 1
        if header.type in (HeaderType.TAPEEND, HeaderType.TAPESTART):
            return header
        if header.type < HeaderType.DUMPFILE:
            raise VolumeFailed(f"file {number} has no valid header", Status.VOLUME_ERROR)
        facts.begin_file(number)
        return header

    def seek_data(self, number: int) -> Deferred[int | None]:
        """See IMoverDevice. The first record is passed, whatever is in it, even if it cannot be
        read."""
        return self._do(lambda: self._seek_data(number))

    async def _seek_data(self, number: int) -> None:
        facts = self.facts
        facts.need_mode("seek_data", AccessMode.READ)
        if number < 1:
            raise DriveFailed(f"cannot seek to file {number}")
        facts.in_file = False
        here = facts.file
        await self._tape.go_to_file(number, here)
        facts.file = number
        record = await self._pass_record(number)
        if record is None:
            raise VolumeFailed(f"File {number} not found", Status.VOLUME_ERROR)
        if is_header(record):
            raise VolumeFailed(HEADER_IS_SOUND, Status.VOLUME_ERROR)
        self._header_size = self._label_size  # all of a volume have one; this one may have any
        facts.begin_file(number)

    async def _pass_record(self, number: int) -> bytes | None:
        """Go over the record at the beginning of a file, where the tape stands.

        :return: what is in it, nothing if it cannot be read; None: there is none
        """
        try:
            return await self._tape.read(self.facts.read_size)
        except NdmpRefused as error:
            if error.in_header or error.error != ErrorCode.IO:
                raise
            _log.info("file %d of %s: %s", number, self.facts.name, error)
        # where the drive stands after that nobody knows
        await self._tape.go_to_file(number, number)
        return None if await self._tape.move(Mtio.FSR) else b""

    def skip_records(self, count: int) -> Deferred[None]:
        return self._do(lambda: self._skip_records(count))

    async def _skip_records(self, count: int) -> None:
        facts = self.facts
        facts.need_mode("skip_records", AccessMode.READ)
        facts.need_file("skip_records", True)
        if await self._tape.move(Mtio.FSR, count):
            raise VolumeFailed(
                f"file {facts.file} has less than {count} records", Status.VOLUME_ERROR
            )
        facts.show(facts.file_bytes + count * facts.block_size)

    async def _read_header(self, number: int) -> bytes | None:
        """The record at the beginning of file ``number``, where the tape stands, or as much of it
        as holds the header; None at a filemark.

        A server cuts a record that is longer than what was asked for, and stands behind it
        [ndmp-server 3.6]. One that does not, or whose headers are longer, is not asked again.
        """
        if self._brief and self._header_size > BRIEF:
            record = await self._read_briefly()
            if record is None or b"\0" in record:
                return record
            self._brief = False
            await self._tape.go_to_file(number, number)
        record = await self._tape.read(self.facts.read_size)
        if record is not None:
            self._header_size = len(record)
        return record

    async def _read_briefly(self) -> bytes | None:
        """:return: the beginning of a record; no bytes: it cannot be had alone"""
        try:
            record = await self._tape.read(BRIEF)
            if record is not None and not await self._tape.is_behind_a_record():
                return b""
        except NdmpRefused as error:
            _log.info("%s reads no part of a record: %s", self.facts.name, error)
            return b""
        if record is not None and len(record) < BRIEF:
            self._header_size = len(record)
        return record
