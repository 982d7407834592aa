"""The tape behind an ``ndmp:`` device: records, filemarks, positions [ndmp 3.3]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.errors import DeviceError, DriveFailed, Status, VolumeFailed
from devices.ndmp_control import TAPE_PATIENCE
from devices.values import Recorded
from protocols.ndmp.codes import UNKNOWN, ErrorCode, Mtio, TapeMask
from protocols.ndmp.errors import NdmpRefused
from protocols.ndmp.messages import TapeGetState, TapeMtio, TapeMtioReply, TapeRead, TapeWrite

if TYPE_CHECKING:
    from devices.ndmp_control import Link
    from protocols.ndmp.base import Opaque

NO_SPACE = "No space left on device"

_WARNINGS = 3
"""Times that a server may warn of the end for one record; then the volume counts as full."""


class Tape:
    """Tape requests on one drive."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def move(self, op: Mtio, count: int = 1) -> int:
        """Move the tape. :return: how much of the movement was not done"""
        return (await self._link.ask(TapeMtio(op, count), TAPE_PATIENCE)).resid

    async def _move_all(self, op: Mtio, count: int = 1) -> None:
        if await self.move(op, count):
            raise DriveFailed(f"NDMP MTIO operation {int(op)} did not complete")

    async def rewind(self) -> None:
        await self._move_all(Mtio.REW)

    async def write_filemark(self, ended: int) -> bool:
        """Write one filemark; one that met the early warning unwritten is offered again.

        :param ended: number of the file that it ends
        :return: the logical end of the medium is reached
        """
        for attempt in range(_WARNINGS + 1):
            try:
                await self._move_all(Mtio.EOF)
            except NdmpRefused as error:
                if error.error != ErrorCode.EOM or not isinstance(error.reply, TapeMtioReply):
                    raise
                told = await self.file_number()
                if not error.reply.resid if told is None else told > ended:
                    return True
            else:
                return attempt > 0
        raise no_room("filemark")

    async def cut_last_record(self, ended: int) -> bool:
        """Take the last record off the file that a filemark has just ended.

        The filemark comes first, and the way back leads over it: many a drive writes one by itself
        before it goes back after writing [ndmp-server 3.4].

        :param ended: number of that file, which has a record
        :return: the logical end of the medium is reached
        :raise DeviceError: the tape is not where it should be: the record may still be there
        """
        await self._see_that_ended(ended)
        await self._move_all(Mtio.BSF)
        await self._move_all(Mtio.BSR)
        early = await self.write_filemark(ended)
        await self._see_that_ended(ended)
        return early

    async def read_last_record(self, ended: int, size: int) -> bytes:
        """Read the last record of the file that a filemark has just ended, and stand behind that
        filemark again.

        :param ended: number of that file, which has a record
        :param size: bytes of a record
        :raise DeviceError: nobody knows where the tape stands
        """
        await self._see_that_ended(ended)
        await self._move_all(Mtio.BSF)
        await self._move_all(Mtio.BSR)
        record = await self.read(size)
        await self._move_all(Mtio.FSF)
        await self._see_that_ended(ended)
        if record is None:
            raise DriveFailed(f"the last record of file {ended} is not where it was written")
        return record

    async def _see_that_ended(self, ended: int) -> None:
        told = await self.file_number()
        if told not in (None, ended + 1):
            raise DriveFailed(f"the server says that file {ended} was followed by file {told}")

    async def read_end(self, number: int, here: int, count: int, size: int) -> bytes:
        """Read the last records of a file, of which the last one was read, or of an earlier one.

        :param here: the current file, where the server cannot tell. One that can may have crossed
            the filemark [ndmp-server 3.6].
        :param size: bytes of a record
        :raise DeviceError: there are not so many
        """
        told = await self.file_number()
        current = here if told is None else told
        if current != number:
            await self._move_all(Mtio.BSF, current - number)
        await self._move_all(Mtio.BSR, count)
        records = [await self.read(size) for _ in range(count)]
        if None in records:
            raise DriveFailed(f"file {number} ends before {count} records are read")
        return b"".join(record for record in records if record is not None)

    async def unload(self) -> None:
        await self._move_all(Mtio.OFF)

    async def write(self, record: Opaque) -> Recorded:
        """Write one record; a record that met the early warning is offered again."""
        for attempt in range(_WARNINGS + 1):
            try:
                reply = await self._link.ask(TapeWrite(record), TAPE_PATIENCE)
            except NdmpRefused as error:
                if error.in_header or error.error not in (ErrorCode.EOM, ErrorCode.IO):
                    raise
                if error.error == ErrorCode.IO:
                    return Recorded.NO_ROOM
                continue
            if reply.count != len(record):
                raise DriveFailed(
                    f"the server wrote {reply.count} bytes of a record of {len(record)}",
                )
            return Recorded.EARLY if attempt else Recorded.STORED
        return Recorded.NO_ROOM

    async def read(self, size: int) -> bytes | None:
        """One record; None at a filemark or at the end of the data."""
        try:
            reply = await self._link.ask(TapeRead(size), TAPE_PATIENCE)
        except NdmpRefused as error:
            if not error.in_header and error.error in (ErrorCode.EOF, ErrorCode.EOM):
                return None
            raise
        return bytes(reply.data)

    async def file_number(self) -> int | None:
        """Where the tape stands; None if the server cannot tell."""
        state = await self._link.ask(TapeGetState())
        if state.unsupported & TapeMask.FILE_NUM or state.file_num == UNKNOWN:
            return None
        return state.file_num

    async def is_behind_a_record(self) -> bool:
        """The tape stands behind the first record of a file, as whole as it may be: the drive
        takes records of any size, and the server can tell."""
        state = await self._link.ask(TapeGetState())
        if state.unsupported & (TapeMask.BLOCK_SIZE | TapeMask.BLOCKNO):
            return False
        return state.block_size == 0 and state.blockno == 1

    async def go_to_file(self, number: int, here: int) -> None:
        """Stand at the beginning of file ``number``.

        :param here: the current file, where the server cannot tell
        :raise DeviceError: there is no such file
        """
        told = await self.file_number()
        current = here if told is None else told
        if number > current:
            if await self.move(Mtio.FSF, number - current):
                raise VolumeFailed(f"Could not seek forward to file {number}", Status.VOLUME_ERROR)
            return
        back = current - number + 1
        left = await self.move(Mtio.BSF, back)
        left = left or await self.move(Mtio.FSF)
        if left:
            raise DriveFailed(f"BSF operation failed to seek by {back} files")


def no_room(what: str) -> DeviceError:
    """The physical end of the medium, where a record had to be written whole."""
    return VolumeFailed(f"{NO_SPACE} ({what})", Status.VOLUME_ERROR)
