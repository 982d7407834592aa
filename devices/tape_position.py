"""Where a tape stands, and how it comes to stand elsewhere [volumes 5.4].

Files are counted by filemarks; the label's file is 0. What a drive cannot do, as its properties
tell, is done by rewinding, spacing and reading instead.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from devices.errors import DriveFailed, Status, VolumeFailed
from devices.mtio import Gmt, Op
from devices.tape_drive import BAD_VOLUME

if TYPE_CHECKING:
    from devices.tape_drive import TapeDrive

_log = logging.getLogger(__name__)


class EndOfData(Exception):
    """There are fewer files on the medium."""


@frozen
class Skills:
    """What a drive can do, by the names of the properties."""

    fsf: bool
    bsf: bool
    eom: bool
    fsf_after_filemark: bool


class Place:
    """Where the tape in one drive stands.

    :ivar at: filemarks before the position, as far as we know.
    :ivar begins: nothing of that file was passed yet.
    :param skills: tells what the drive can do.
    :param read_any: reads one record and tells whether there was one; tells
        :meth:`passed_filemark` if not.
    :param sleep: waits so many seconds.
    """

    def __init__(
        self,
        skills: Callable[[], Skills],
        read_any: Callable[[], bool],
        sleep: Callable[[float], None],
    ) -> None:
        self.at = 0
        self.begins = False
        self._sleep = sleep
        self._skills = skills
        self._read_any = read_any

    def passed_filemark(self, tape: TapeDrive) -> None:
        """A read gave no data: a filemark was passed, or there is nothing behind."""
        state = tape.try_state()
        self.begins = False
        if state is not None and state.file is not None:
            self.begins = (state.file, state.block) == (self.at + 1, 0)
            self.at = state.file
        elif not self._skills().fsf_after_filemark:
            self.at += 1

    def rewind(self, tape: TapeDrive) -> None:
        """:raise OSError: it cannot"""
        tape.rewind(self._sleep)
        self.at, self.begins = 0, True

    def is_blank(self, tape: TapeDrive) -> bool:
        """The first record cannot be read: was none ever written?

        Many drives answer that with an error, as they do for a bad record. But a tape with a label
        has a filemark behind it; one where the drive finds the end of its data before any filemark
        has none.
        """
        try:
            self.rewind(tape)
            tape.operate(Op.FSF)
        except OSError:
            state = tape.try_state()
            return state is not None and bool(state.flags & Gmt.EOD) and state.file in (None, 0)
        return False

    def go_to_file(self, tape: TapeDrive, number: int) -> None:
        """Stand at the beginning of a file from 1 on.

        :raise EndOfData: there is no such file, nor is it one past the last
        :raise DeviceError: it failed otherwise
        :raise OSError: the drive does not tell where it stands
        """
        distance = number - self.at
        if distance > 0:
            self._forward(tape, distance, number)
        elif distance or not self.begins:
            self._back(tape, 1 - distance, number)
        self.at, self.begins = number, True
        told = tape.state().file
        if told not in (None, number):
            self.at, self.begins = told or 0, False
            text = f"Could not seek to file {number} correctly; got {told}"
            raise DriveFailed(f"{text}: look at {tape.node}", Status.DEVICE_ERROR)

    def _forward(self, tape: TapeDrive, count: int, number: int) -> None:
        if not self._skills().fsf:
            self._read_forward(count)
            return
        try:
            tape.operate(Op.FSF, count)
        except OSError as error:
            state = tape.try_state()
            if state is not None and state.flags & Gmt.EOD:
                raise EndOfData from error
            text = f"Could not seek forward to file {number}: {tape.text(error, 'MTFSF')}"
            raise VolumeFailed(text, BAD_VOLUME) from error

    def _read_forward(self, count: int) -> None:
        """Pass filemarks by reading up to them."""
        for passed in range(count):
            if not self._read_any():
                if passed:
                    raise EndOfData  # no file of Amanda's is empty
                continue
            while self._read_any():
                pass

    def _back(self, tape: TapeDrive, count: int, number: int) -> None:
        """Pass so many filemarks backwards, and the last of them forwards again."""
        if not self._skills().bsf:
            self.rewind(tape)
            self._forward(tape, number, number)
            return
        try:
            tape.operate(Op.BSF, count)
        except OSError as error:
            text = f"Could not seek backward to file {number}: {tape.text(error, 'MTBSF')}"
            raise VolumeFailed(text, BAD_VOLUME) from error
        self.at = number - 1
        self._forward(tape, 1, number)

    def go_to_end(self, tape: TapeDrive) -> int:
        """Stand behind the last file.

        What ends in no filemark, as a power failure leaves it, gets one: whatever is written
        next would become a part of it. What other systems put at the end, filemarks with nothing
        between, is written over: whoever looks for the end by reading would find it there, and
        write over what is behind.

        :return: the number of the next file
        :raise DeviceError: it failed
        :raise EndOfData: the drive contradicts itself
        :raise OSError: so did the drive
        """
        number = self._find_end(tape)
        while number > 1 and self._is_empty(tape, number - 1):
            number -= 1
        self.go_to_file(tape, number)
        if self._read_any():
            _log.warning("file %d on %s has no end; it gets a filemark", number, tape.node)
            self._leave_file(tape, number)
            tape.operate(Op.WEOF)
            self.at = number = number + 1
        elif not self._at_end_of_data(tape):
            self.go_to_file(tape, number)  # a filemark was passed, which goes
        return number

    def _is_empty(self, tape: TapeDrive, number: int) -> bool:
        self.go_to_file(tape, number)
        return not self._read_any()

    def _find_end(self, tape: TapeDrive) -> int:
        """Filemarks on the tape, up to the first file with nothing in it."""
        if self._skills().eom:
            tape.operate(Op.EOM)
            tape.operate(Op.NOP)
            told = tape.state().file
            if told is not None:
                self.at = told
                return told
            _log.info("%s does not know where its data end; they are searched", tape.node)
        self.rewind(tape)
        number = 0
        while self._read_any():
            try:
                self._forward(tape, 1, number + 1)
            except EndOfData:
                break
            self.at = number = number + 1
        self.rewind(tape)
        return number

    def _leave_file(self, tape: TapeDrive, number: int) -> None:
        """Stand behind the data of the last file, which has no filemark."""
        if self._skills().eom:
            tape.operate(Op.EOM)
            return
        self.rewind(tape)
        with contextlib.suppress(EndOfData):
            self._forward(tape, number + 1, number + 1)

    @staticmethod
    def _at_end_of_data(tape: TapeDrive) -> bool:
        return bool(tape.state().flags & Gmt.EOD)
