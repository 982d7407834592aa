"""Reading from a tape drive, and opening it [volumes 5.4]."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable

from devices import mtio
from devices.errors import DeviceError, DriveFailed, PropertyRefused, Status, VolumeFailed
from devices.interfaces import AccessMode
from devices.labelled import BAD_VOLUME
from devices.mtio import Op, OpenDrive, open_drive
from devices.properties import Value
from devices.tape_drive import TapeDrive, check_ready, open_tape
from devices.tape_facts import LARGEST_BLOCK, SMALLEST_BLOCK, TapeFacts
from devices.tape_position import EndOfData, Place

_log = logging.getLogger(__name__)


class TooLong(Exception):
    """A record is longer than the buffer; the driver has passed it."""


class ReadableTape(TapeFacts):
    """A drive that is opened, positioned and read.

    :param node: the device file, one that does not rewind at close, such as ``/dev/nst0``.
    :param opener: opens it; tests have simulated drives.
    :param sleep: waits so many seconds.
    """

    def __init__(
        self,
        name: str,
        node: str,
        opener: OpenDrive = open_drive,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(name)
        self._node = node
        self._opener = opener
        self._tape: TapeDrive | None = None
        self._broken = False
        self._place = Place(self._skills, self._read_any, sleep)
        self._record = 0  # number in the file of the record that comes next, its header being 0
        self._longest = 0  # bytes of the longest record seen on this volume
        self._rest = memoryview(b"")
        self._read_error: DeviceError | None = None
        self._at_end = False

    @property
    def block_size(self) -> int:
        """While reading, that of the volume where it is larger than ours: whoever judges the
        padding of a last block must know it."""
        size = self.configured_block_size
        return max(size, self._longest) if self.access_mode is AccessMode.READ else size

    # opening

    def _opened(self) -> TapeDrive:
        """The drive, opened if it is not.

        :raise DeviceError: it cannot be opened, or holds nothing
        """
        if self._tape is not None:
            return self._tape
        get = self.properties.flag
        self._broken = False
        try:
            tape = open_tape(self._node, self._opener, nonblocking=get("nonblocking_open"))
            self._tape = tape
            ignore = get("broken_gmt_online")
            check_ready(tape, ignore_online=ignore, block_size=self.read_size)
            self._compress(tape)
        except DeviceError as error:
            self._note(error.text, error.status)
            self._abandon()
            raise
        return tape

    def _compress(self, tape: TapeDrive) -> None:
        """Let the drive compress or not, if a property says so."""
        wanted = self.properties["compression"].value
        if wanted is None:
            return
        try:
            tape.operate(Op.COMPRESSION, int(wanted))
        except OSError as error:
            why = tape.text(error, "MTCOMPRESSION")
            text = f"Error setting COMPRESSION property: {why}"
            raise DriveFailed(text, Status.DEVICE_ERROR) from error

    def _set_compression(self, value: Value) -> Value:
        if self._tape is None:
            return value
        try:
            self._tape.operate(Op.COMPRESSION, int(value))
        except OSError as error:
            why = self._tape.text(error, "MTCOMPRESSION")
            text = f"Error setting COMPRESSION property: {why}"
            self._note(text, Status.DEVICE_ERROR)
            raise PropertyRefused(text) from error
        return value

    def _close(self) -> None:
        """:raise DeviceError: the drive tells of trouble at its close"""
        tape, self._tape = self._tape, None
        if tape is None:
            return
        try:
            tape.close()
        except OSError as error:
            text = f"Error closing {tape.node}: {tape.text(error, 'close')}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error

    def _abandon(self) -> None:
        """Close the drive after an error, which is the one to tell."""
        tape, self._tape = self._tape, None
        if tape is not None:
            try:
                tape.close()
            except OSError as error:
                _log.info("closing %s: %s", tape.node, tape.text(error, "close"))

    # positions

    def _rewind(self) -> None:
        tape = self._opened()
        try:
            self._place.rewind(tape)
        except OSError as error:
            text = f"Error rewinding device {tape.node}: {tape.text(error, 'MTREW')}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        self._record = 0

    def _go_to_file(self, tape: TapeDrive, number: int) -> None:
        """:raise EndOfData: there is no such file"""
        try:
            self._place.go_to_file(tape, number)
        except OSError as error:
            text = f"Could not seek to file {number}: {tape.text(error, 'MTIOCGET')}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        except DeviceError as error:
            self._note(error.text, error.status)
            raise
        self._record = 0

    # records

    def _read_into(self, buffer: memoryview) -> int:
        """Read one record. :return: its bytes; 0 at the end of the file

        :raise TooLong: it is longer than the buffer
        :raise OSError: it cannot be read
        """
        tape = self._opened()
        self._place.begins = False
        try:
            got = tape.drive.read(buffer)
        except OSError as error:
            if error.errno == errno.ENOMEM:  # of a record of another size than asked for
                raise TooLong(f"more than {len(buffer)} bytes") from error
            raise
        if got:
            self._record += 1
            self._longest = max(self._longest, got)
        else:
            self._place.passed_filemark(tape)
            self._record = 0
        return got

    def _read_record(self) -> memoryview | None:
        """The next record; None at the end of the file. :raise TooLong, OSError: as above"""
        buffer = memoryview(bytearray(self.read_size))
        got = self._read_into(buffer)
        return buffer[:got] if got else None

    def _read_any(self) -> bool:
        """Read a record for nothing. :return: there was one"""
        try:
            return self._read_record() is not None
        except TooLong:
            return True

    def _read_header_record(self, number: int) -> memoryview | None:
        """The first record of a file; None: nothing is there."""
        while True:
            tape = self._opened()
            try:
                record = self._read_record()
            except TooLong as error:
                self._grow(error)
                self._go_to_file(tape, number)
                continue
            except OSError as error:
                state = tape.try_state()
                if state is not None and state.flags & mtio.Gmt.EOD:
                    return None
                text = f"Error reading Amanda header: {self._read_trouble(error)}"
                raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
            if record is not None:
                self._need_size(record)
            return record

    def _pass_record(self, number: int) -> memoryview | None:
        """Go over the first record of a file, at whose beginning the tape stands.

        :return: what is in it; None: it cannot be read
        :raise EndOfData: there is none
        """
        while True:
            try:
                record = self._read_record()
            except TooLong as error:
                self._grow(error)
                self._go_to_file(self._opened(), number)
                continue
            except OSError as error:
                self._space_over_record(number, error)
                return None
            if record is None:
                raise EndOfData
            return record

    def _space_over_record(self, number: int, why: OSError) -> None:
        """Stand behind the first record of a file, which could not be read: where the drive stands
        after that nobody knows.

        :raise EndOfData: there is no such record
        """
        tape = self._opened()
        text = f"Error reading Amanda header: {self._read_trouble(why)}"
        self._go_to_file(tape, number)
        self._place.begins = False
        try:
            if not self.properties.flag("fsr"):
                raise why
            tape.operate(Op.FSR)
            told = tape.state()
        except OSError as error:
            state = tape.try_state()
            if state is not None and state.flags & mtio.Gmt.EOD:
                raise EndOfData from error
            text += f"; it cannot be passed: {tape.text(error, 'MTFSR')}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from error
        if told.block not in (None, 1) or told.file not in (None, number):
            raise EndOfData  # there was a filemark
        self._record = 1

    def _need_size(self, record: memoryview) -> None:
        if len(record) < SMALLEST_BLOCK:
            text = f"header is too small: {len(record)} bytes, expected {SMALLEST_BLOCK} or more"
            raise self._fail(text, BAD_VOLUME, VolumeFailed)

    def _read_trouble(self, error: OSError) -> str:
        tape = self._opened()
        place = f"file {self._place.at}, record {self._record}"
        why = tape.text(error, "read")
        return f"Error reading {self.read_size} bytes from {tape.node}: {place}: {why}"

    def _grow(self, error: TooLong) -> None:
        """Expect longer records from now on.

        :raise VolumeFailed: longer ones than any drive's are not
        """
        if self.read_size >= LARGEST_BLOCK:
            text = f"Error reading Amanda header: block size too small: a record of {error}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed)
        larger = min(2 * self.read_size, LARGEST_BLOCK)
        _log.info("%s: a record of %s; READ_BLOCK_SIZE becomes %d", self.name, error, larger)
        self.properties.note("read_block_size", larger)

    # data

    def read_blocks(self, buffer: memoryview) -> int:
        """See IDevice. A record that cannot be read is never passed over: the error comes again."""
        self._check_buffer(len(buffer))
        got = self._take_rest(buffer)
        while not (got or self._at_end):
            if self._read_error is not None:
                raise self._read_error
            got = self._read_records(buffer)
        if not got:
            self.in_file = False
        return got

    def _read_records(self, buffer: memoryview) -> int:
        """Read records one behind the other, each in one call, while there is room for one.

        What ends it is kept for the next call, if something was read.
        """
        size, at = self.read_size, 0
        try:
            if len(buffer) < size:
                record = self._read_record()
                self._at_end = record is None
                self._rest = memoryview(b"") if record is None else record
                return self._take_rest(buffer)
            while len(buffer) - at >= size:
                got = self._read_into(buffer[at : at + size])
                if not got:
                    self._at_end = True
                    break
                at += got
        except TooLong as error:
            self._back_up(error)
        except OSError as error:
            self._read_error = self._fail(self._read_trouble(error), BAD_VOLUME, VolumeFailed)
        return at

    def _take_rest(self, buffer: memoryview) -> int:
        size = min(len(self._rest), len(buffer))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def _forget_rest(self) -> None:
        self._rest, self._read_error, self._at_end = memoryview(b""), None, False

    def _back_up(self, error: TooLong) -> None:
        """Go back before a record that was too long, and expect longer ones."""
        tape, record = self._opened(), self._record
        try:
            self._grow(error)
            if self.properties.flag("bsr"):
                tape.operate(Op.BSR)
            else:
                self._go_to_file(tape, self.file)
                for _ in range(record):
                    self._read_any()
            told = tape.state()
        except OSError as fault:
            text = f"Error reading from {tape.node}: a record of {error}, and going back to it "
            text += f"failed: {tape.text(fault, 'MTBSR')}"
            self._read_error = self._fail(text, BAD_VOLUME, VolumeFailed)
        except DeviceError as fault:
            self._read_error = fault
        except EndOfData:
            text = f"Error reading from {tape.node}: file {self.file} is not found again"
            self._read_error = self._fail(text, BAD_VOLUME, VolumeFailed)
        else:
            if told.block not in (None, record) or told.file not in (None, self.file):
                text = f"Error reading from {tape.node}: it stands at file {told.file}, block "
                text += f"{told.block}, expected file {self.file}, block {record}"
                self._read_error = self._fail(text, BAD_VOLUME, VolumeFailed)
