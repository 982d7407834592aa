"""The device ``tape:``: a cartridge in a drive of this host [volumes 5.4].

On the medium: label, filemark, {header, blocks, filemark}*. Headers are records of BLOCK_SIZE bytes
as the blocks are; the last block of a file is padded with zeros.
"""

from __future__ import annotations

import contextlib
import errno
import logging

from zope.interface import implementer

from devices.errors import DeviceError, DriveFailed, Status, VolumeFailed
from devices.interfaces import (
    AccessMode,
    FileStart,
    IDevice,
    IFindsData,
    VolumeReading,
    WriteEnd,
    Written,
)
from devices.labelled import BAD_VOLUME, DUMPS, INVALID_HEADER, TOO_LARGE
from devices.mtio import Op
from devices.tape_drive import TapeDrive
from devices.tape_position import EndOfData
from devices.tape_reading import ReadableTape, TooLong
from devices.values import Recorded
from protocols.header import Header, HeaderType, parse_header

_log = logging.getLogger(__name__)

_NO_SPACE = "No space left on device"


@implementer(IDevice, IFindsData)
class TapeDevice(ReadableTape):
    """A tape drive; see :class:`devices.tape_reading.ReadableTape` for what it is made of."""

    # labels

    def read_label(self) -> VolumeReading:
        self._need_mode("read_label", AccessMode.NULL)
        self.label = self.timestamp = None
        self.reset()
        self._longest = 0
        found: HeaderType | None = None
        try:
            self._rewind()
            header = self._read_label_record()
            found = header.type
            if found is not HeaderType.TAPESTART:
                self._rewind()
                text = "No tapestart header -- unlabeled device?"
                if found is HeaderType.EMPTY:
                    text = "Error reading Amanda header: no data"
                    status = Status.VOLUME_UNLABELED | Status.VOLUME_ERROR
                    raise self._fail(text, status, VolumeFailed)
                raise self._fail(text, Status.VOLUME_UNLABELED, VolumeFailed)
        except DeviceError as error:
            if found is None:
                self._abandon()  # the next one opens it anew, and sees what is in it then
            return VolumeReading(error.status, found, error=error.text)
        self.label, self.timestamp = header.label, header.datestamp
        return VolumeReading(Status.SUCCESS, header.type, header.label, header.datestamp)

    def _read_label_record(self) -> Header:
        """The header in the first record.

        :raise DeviceError: the record cannot be read, or is too short to be one of Amanda's
        """
        while True:
            try:
                record = self._read_record()
            except TooLong as error:
                self._grow(error)
                self._rewind()
            except OSError as error:
                if error.errno == errno.EIO and self._place.is_blank(self._opened()):
                    return Header(type=HeaderType.EMPTY)
                text = f"Error reading Amanda header: {self._read_trouble(error)}"
                with contextlib.suppress(DeviceError):
                    self._rewind()  # the first error is the one to tell
                raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
            else:
                break
        if record is None:
            return Header(type=HeaderType.EMPTY)
        self._need_size(record)
        return parse_header(record)

    def _start_write(self, label: str, timestamp: str) -> None:
        block = self._build_label(label, timestamp)
        tape = self._opened()
        self._check_writable(tape)
        self._rewind()
        self.reset()
        self.label = self.timestamp = None  # whatever happens now, it is not what it was
        try:
            written, error = tape.write(block, self.leom)
            if written is Recorded.NO_ROOM:
                text = "Error writing tapestart header: out of space"
                raise self._fail(self._with(text, error), BAD_VOLUME, VolumeFailed)
            self._write_filemark(tape)
        except OSError as error:
            self._broken = True
            text = f"Error writing tapestart header: {tape.text(error, 'write')}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        self.label, self.timestamp = label, timestamp
        self.file, self.is_eom = 0, written is Recorded.EARLY

    def _check_writable(self, tape: TapeDrive) -> None:
        """:raise VolumeFailed: the medium is protected, or the drive was opened for reading"""
        if tape.write_error is not None:
            why = tape.text(tape.write_error, "open")
            text = f"Can't open tape device {tape.node} for writing: {why}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed)
        state = tape.try_state()
        if state is not None and state.write_protected:
            text = f"Device '{self.name}' is write protected: move the cartridge's tab"
            raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed)

    def _start_labelled(self, mode: AccessMode) -> None:
        super()._start_labelled(mode)
        if mode is not AccessMode.APPEND:
            return
        self._check_writable(self._opened())
        try:
            self.file = self._place.go_to_end(self._opened()) - 1
        except OSError as error:
            text = f"Error seeking to the end of the data: {self._opened().text(error, 'spacing')}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        except EndOfData as error:
            text = f"Error seeking to the end of the data: {self._node} contradicts itself"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        except DeviceError as error:
            self._note(error.text, error.status)
            raise
        self.is_eom = False

    def erase(self) -> None:
        """Tapes are not erased, with stock neither: a new label does it."""
        self._need_mode("erase", AccessMode.NULL)
        raise self._fail("Unimplemented method", Status.DEVICE_ERROR)

    def eject(self) -> None:
        self._need_mode("eject", AccessMode.NULL)
        tape = self._opened()
        try:
            self._rewind()
            tape.operate(Op.OFFL)
        except OSError as error:
            text = f"Error ejecting from {tape.node}: {tape.text(error, 'MTOFFL')}"
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed) from error
        finally:
            self.label = self.timestamp = None
            self._abandon()

    # files

    def start_file(self, header: Header) -> FileStart:
        """See IDevice. Where the tape stands is checked before anything is written there."""
        self._need_writable("start_file", False)
        self.is_eom = False
        block = self._build(header)
        tape = self._opened()
        number = self.file + 1
        self._check_place(tape, number)
        try:
            written, error = tape.write(block, self.leom)
        except OSError as fault:
            self._broken = True
            text = f"Error writing file header: {tape.text(fault, 'write')}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from fault
        self.is_eom = written is not Recorded.STORED
        if written is Recorded.NO_ROOM:
            text = self._with("Error writing file header: out of space", error)
            self._note(text, Status.DEVICE_ERROR)
            return FileStart(0, True)
        self._begin_file(number)
        return FileStart(number, self.is_eom)

    def _check_place(self, tape: TapeDrive, number: int) -> None:
        """:raise VolumeFailed: it is known that the tape is not at the beginning of a file"""
        try:
            state = tape.state()
        except OSError as error:
            text = f"Cannot see where {tape.node} stands: {tape.text(error, 'MTIOCGET')}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        if state.file in (None, number) and state.block in (None, 0):
            return
        text = (
            f"Tape device {tape.node} stands at file {state.file}, block {state.block}, "
            f"but file {number} is to be written: something else has moved the tape"
        )
        raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed)

    def write_blocks(self, data: memoryview) -> Written:
        """See IDevice. Each block is one record; a short last one is padded.

        Once the drive has warned, block by block, as each may be the last that fits.
        """
        self._check_offer(len(data))
        tape, size, leom = self._opened(), self.block_size, self.leom
        accepted = 0
        while accepted < len(data):
            run = _records(data[accepted:], size, one=self.is_eom)
            stored, error = tape.write_run(run, size)
            accepted += self._stored(stored, len(data) - accepted)
            if error is not None:
                try:
                    record = tape.settle(run[stored : stored + size], error, leom)
                except OSError as fault:
                    self._broken = True
                    text = f"Error writing block: {tape.text(fault, 'write')}"
                    self._note(text, Status.DEVICE_ERROR)
                    return Written(accepted, WriteEnd.FAILED)
                self.is_eom = True
                if record is Recorded.NO_ROOM:
                    self._note(self._with(_NO_SPACE, error), Status.VOLUME_ERROR)
                    return Written(accepted, WriteEnd.FAILED)
                accepted += self._stored(size, len(data) - accepted)
            if self.is_eom:
                return Written(accepted, WriteEnd.EARLY)
        return Written(accepted, WriteEnd.NONE)

    def _stored(self, size: int, left: int) -> int:
        """Count what was written. :return: bytes of it that are no padding"""
        payload = min(size, left)
        if payload:
            self._count(payload)
        return payload

    def finish_file(self) -> None:
        """See IDevice. The filemark makes the drive write what it had buffered: only then is
        the file on the medium."""
        self._need_writable("finish_file", True)
        self.in_file = False
        self._write_filemark(self._opened())

    def _write_filemark(self, tape: TapeDrive) -> None:
        try:
            tape.operate(Op.WEOF)
        except OSError as error:
            self.is_eom = True
            text = f"Error writing filemark: {tape.text(error, 'MTWEOF')}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error

    def _with(self, text: str, error: OSError | None) -> str:
        """Say why a medium is taken for full where the driver did not say so."""
        if error is None or error.errno == errno.ENOSPC:
            return text
        why = self._opened().text(error, "write")
        _log.warning("Got EIO on %s, assuming end of tape: %s", self.name, why)
        return f"{text}, as it seems: {why}"

    def seek_file(self, number: int) -> Header | None:
        if number < 0:
            raise ValueError(f"seek_file on {self.name}: no file has number {number}")
        self._need_mode("seek_file", AccessMode.READ)
        self.in_file = False
        self._forget_rest()
        if not number:
            return self._read_label_again()
        try:
            return self._seek(number)
        except EndOfData:
            self._rewind()
            self._note("Attempt to read past tape-end file", Status.SUCCESS)
            return None

    def _read_label_again(self) -> Header:
        self._rewind()
        header = self._read_label_record()
        if header.type is not HeaderType.TAPESTART:
            raise self._fail(INVALID_HEADER, Status.VOLUME_ERROR, VolumeFailed)
        self.file = 0
        return header

    def _seek(self, number: int) -> Header:
        """:raise EndOfData: there is no such file, nor is it one past the last"""
        tape = self._opened()
        while True:
            self._go_to_file(tape, number)
            record = self._read_header_record(number)
            self.file = number
            if record is None:
                self._rewind()
                return Header(type=HeaderType.TAPEEND, datestamp=self.timestamp or "X")
            header = parse_header(record)
            if header.type is not HeaderType.NOOP:
                break
            number += 1
        if header.type is HeaderType.TAPEEND:
            return header
        if header.type not in DUMPS:
            raise self._fail(INVALID_HEADER, Status.VOLUME_ERROR, VolumeFailed)
        self._begin_file(number)
        return header

    def seek_data(self, number: int) -> None:
        """See IFindsData. The first record is passed, whatever is in it, even if it cannot be
        read."""
        self._begin_seek_data(number)
        self._forget_rest()
        try:
            self._go_to_file(self._opened(), number)
            record = self._pass_record(number)
        except EndOfData:
            raise self._no_file(number) from None
        if record is not None:
            self._need_damaged(record)
        self._begin_file(number)

    # the end

    def finish(self) -> None:
        """See IDevice. A file still open is ended by a filemark, though it is not whole."""
        mode, unfinished = self.access_mode, self.in_file
        self.access_mode, self.in_file = AccessMode.NULL, False
        self._forget_rest()
        tape = self._tape
        if tape is None:
            return
        writing = mode in (AccessMode.WRITE, AccessMode.APPEND)
        try:
            if mode is AccessMode.NULL or self._broken:
                return
            if writing:
                self._end_writing(tape, unfinished)
            self._rewind()
        finally:
            self._close()

    def _end_writing(self, tape: TapeDrive, unfinished: bool) -> None:
        try:
            if unfinished:
                tape.operate(Op.WEOF)
            if self.properties.number("final_filemarks") == 1:
                tape.write(self._build(Header(type=HeaderType.NOOP)), self.leom)
        except OSError as error:
            # all files that count were ended before
            _log.warning("ending the writing on %s: %s", self.name, tape.text(error, "write"))

    def _build(self, header: Header) -> bytes:
        label = header.type is HeaderType.TAPESTART
        text = "Tapestart header won't fit in a single block!" if label else TOO_LARGE
        return self._build_block(header, self.block_size, text)


def _records(data: memoryview, size: int, *, one: bool) -> memoryview:
    """The whole records at the beginning of ``data``; if there is none, its rest, padded.

    :param one: one record at most
    """
    whole = len(data) - len(data) % size
    if not whole:
        return memoryview(bytes(data).ljust(size, b"\0"))
    return data[: size if one else whole]
