"""The TAPE requests [ndmp 4.6], [ndmp-server 3]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.ndmp import messages as m
from protocols.ndmp.codes import (
    UNKNOWN,
    ErrorCode,
    MoverState,
    Mtio,
    TapeFlags,
    TapeMask,
    TapeMode,
)
from protocols.ndmp_server import commands
from protocols.ndmp_server.interfaces import CheckCondition, Drive, Refused, Tape, TapeEnd

if TYPE_CHECKING:
    from protocols.ndmp_server.session import Session

UNKNOWN_SPACE = 2**64 - 1
MOST_FILEMARKS = 1000
"""At a time."""
_SPACES = TapeMask.TOTAL_SPACE | TapeMask.SPACE_REMAIN
_NOTHING_KNOWN = dict.fromkeys(("file_num", "soft_errors", "block_size", "blockno"), UNKNOWN) | {
    "total_space": UNKNOWN_SPACE,
    "space_remain": UNKNOWN_SPACE,
    "unsupported": TapeMask(0x3F),
}
_LOAD = 1


class TapeAgent:
    """The drive of a session.

    :ivar wrote: something was written, and no filemark behind it.
    :ivar before_filemark: a read has met one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._profile = session.profile
        self.drive: Drive | None = None
        self.mode = TapeMode.READ
        self.wrote = False
        self.before_filemark = False

    # for the mover

    @property
    def writable(self) -> bool:
        return self.mode is not TapeMode.READ

    def opened(self) -> Drive:
        """The drive. :raise Refused: none is open"""
        if self.drive is None:
            raise Refused(ErrorCode.DEV_NOT_OPEN)
        return self.drive

    def end_of_writing(self, tape: Tape) -> None:
        """Moving the tape after a write adds a filemark, on some servers."""
        if self.wrote and self._profile.filemark_after_write:
            tape.write_filemark()
        self.wrote = False

    def cross(self, tape: Tape, found: object) -> None:
        """A read has met this; versions 2 and 3 cross a filemark that they meet."""
        self.before_filemark = found is TapeEnd.FILEMARK
        if self.before_filemark and self._session.version < 4:
            tape.forward_filemarks(1)

    # requests

    async def tape_open(self, request: m.TapeOpen) -> m.ErrorReply:
        if self.drive is not None or self._session.scsi.is_open:
            raise Refused(ErrorCode.DEVICE_OPENED)
        known = tuple(TapeMode) if self._session.version >= 4 else (TapeMode.READ, TapeMode.RDWR)
        if request.mode not in known:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        drive = self._session.house.drives.get(request.device)
        if drive is None:
            raise Refused(ErrorCode.NO_DEVICE)
        if drive.user is not None:
            raise Refused(ErrorCode.DEVICE_BUSY)
        drive.user = self._session
        try:
            await self._open(drive, TapeMode(request.mode))
        except BaseException:
            try:
                await drive.let_go()
            finally:
                drive.user = None
            raise
        self.drive, self.mode = drive, TapeMode(request.mode)
        self.wrote = self.before_filemark = False
        return m.ErrorReply()

    async def _open(self, drive: Drive, mode: TapeMode) -> None:
        await drive.claim()
        if not drive.loaded:
            if mode is TapeMode.RAW:
                return
            raise Refused(ErrorCode.NO_TAPE_LOADED)
        await drive.do(lambda tape: tape.opened())
        readable = mode is TapeMode.READ or (
            mode is TapeMode.RAW and self._profile.raw_opens_protected
        )
        if drive.place.write_protected and not readable:
            raise Refused(ErrorCode.WRITE_PROTECT)

    async def tape_close(self, request: m.TapeClose) -> m.ErrorReply:
        self._refuse_while_moving()
        await self.release()
        if self._profile.forgets_on_tape_close:
            self._session.mover.forget_record_size()
        return m.ErrorReply()

    async def release(self) -> None:
        """Close the drive, if one is open.

        :raise Refused: what was written is not on the disk; closed it is nevertheless
        """
        drive, self.drive = self.drive, None
        if drive is None:
            return
        try:
            if drive.loaded:
                await drive.do(self._leave)
        finally:
            try:
                await drive.let_go()
            finally:
                drive.user = None

    def _leave(self, tape: Tape) -> None:
        self.before_filemark = False
        self.end_of_writing(tape)
        tape.flush()

    def tape_get_state(self, request: m.TapeGetState) -> m.TapeGetStateReply:
        drive = self.drive
        if drive is None:
            return m.TapeGetStateReply(error=ErrorCode.DEV_NOT_OPEN, **_NOTHING_KNOWN)
        if not drive.loaded:
            return m.TapeGetStateReply(**_NOTHING_KNOWN)
        place = drive.place
        total, remain = place.space or (UNKNOWN_SPACE, UNKNOWN_SPACE)
        reply = m.TapeGetStateReply(
            unsupported=0 if place.space else _SPACES,
            flags=TapeFlags.WRITE_PROTECTED if place.write_protected or not self.writable else 0,
            file_num=place.file_num,
            block_size=drive.block_size,
            blockno=place.blockno,
            total_space=total,
            space_remain=remain,
        )
        if self.before_filemark and self._session.version >= 4:
            return reply.evolve(unsupported=reply.unsupported | TapeMask.BLOCKNO, blockno=UNKNOWN)
        return reply

    async def tape_write(self, request: m.TapeWrite) -> m.TapeWriteReply:
        self.opened()
        if not self.writable:
            raise Refused(ErrorCode.PERMISSION)
        if not request.data:
            return m.TapeWriteReply()
        self._refuse_while_moving(data=True)
        self._refuse_empty()
        self._refuse_protected()
        if len(request.data) > self._profile.max_record_size:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._session.mover.lose_place()
        end = await self.opened().do(lambda tape: tape.write(request.data))
        self.before_filemark = False
        if end is TapeEnd.EARLY:
            raise Refused(ErrorCode.EOM)
        if end is not None:
            raise Refused(ErrorCode.IO)
        self.wrote = True
        return m.TapeWriteReply(count=len(request.data))

    async def tape_read(self, request: m.TapeRead) -> m.TapeReadReply:
        self.opened()
        if not request.count:
            return m.TapeReadReply()
        self._refuse_while_moving(data=True)
        self._refuse_empty()
        if request.count > self._profile.max_record_size:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._session.mover.lose_place()
        found = await self.opened().do(self._read)
        if isinstance(found, bytes):
            return m.TapeReadReply(data=found[: request.count])
        eom = found is TapeEnd.NOTHING and self._profile.eom_at_end and self._session.version >= 4
        raise Refused(ErrorCode.EOM if eom else ErrorCode.EOF)

    def _read(self, tape: Tape) -> bytes | TapeEnd:
        self.end_of_writing(tape)
        found = tape.read()
        self.cross(tape, found)
        return found

    async def tape_mtio(self, request: m.TapeMtio) -> m.TapeMtioReply:
        self._refuse_while_moving()
        drive, op, count = self.opened(), request.op, request.count
        self._session.mover.lose_place()
        if op == Mtio.EOF:
            if not self.writable:
                raise Refused(ErrorCode.PERMISSION)
            self._refuse_protected()
            if count > MOST_FILEMARKS:
                raise Refused(ErrorCode.ILLEGAL_ARGS)
            return await drive.do(lambda tape: self._write_filemarks(tape, count))
        if op not in tuple(Mtio) or (op == Mtio.TUR and not self._profile.unloads):
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._refuse_empty()
        if op == Mtio.TUR:
            return m.TapeMtioReply()
        if op == Mtio.OFF:
            return await self._unload(drive, count)
        return m.TapeMtioReply(resid=await drive.do(lambda tape: self._move(tape, op, count)))

    def _move(self, tape: Tape, op: int, count: int) -> int:
        self.before_filemark = False
        self.end_of_writing(tape)
        crosses = self._session.version < 4
        if op == Mtio.REW:
            tape.rewind()
            return 0
        if op == Mtio.FSF:
            return tape.forward_filemarks(count)
        if op == Mtio.BSF:
            return tape.back_filemarks(count)
        if op == Mtio.FSR:
            rest = tape.forward_records(count)
            if rest and crosses:
                tape.forward_filemarks(int(tape.at_filemark))
            return rest
        rest = tape.back_records(count)
        if rest and crosses:
            tape.back_filemarks(int(tape.behind_filemark))
        return rest

    def _write_filemarks(self, tape: Tape, count: int) -> m.TapeMtioReply:
        for done in range(count):
            self.wrote = self.before_filemark = False
            if tape.write_filemark() is TapeEnd.EARLY:
                return m.TapeMtioReply(error=ErrorCode.EOM, resid=count - done - 1)
        return m.TapeMtioReply()

    async def _unload(self, drive: Drive, count: int) -> m.TapeMtioReply:
        await drive.do(self._leave)
        if not self._profile.unloads:
            return m.TapeMtioReply(resid=count)
        await drive.unload()
        return m.TapeMtioReply()

    async def tape_execute_cdb(self, request: m.TapeExecuteCdb) -> m.ExecuteCdbReply:
        self._refuse_while_moving()
        drive = self.opened()
        self._session.mover.lose_place()
        return await commands.executed(request, self._profile, lambda cdb: self._run(drive, cdb))

    async def _run(self, drive: Drive, cdb: bytes) -> bytes:
        """A SCSI command, by what the drive can do itself [ndmp-server 3.7]."""
        if len(cdb) != 6:
            raise CheckCondition(commands.BAD_COMMAND)
        match cdb[0]:
            case commands.INQUIRY:
                own = self._session.house.identity
                return commands.inquiry(commands.TAPE, own.vendor, own.product, cdb)
            case commands.REQUEST_SENSE:
                return commands.no_sense(cdb)
            case commands.READ_BLOCK_LIMITS:
                return b"\0" + self._profile.max_record_size.to_bytes(3, "big") + b"\0\x01"
            case commands.LOAD_UNLOAD if cdb[4] & _LOAD:
                await self._load(drive)
                return b""
        if cdb[0] not in (commands.TEST_UNIT_READY, commands.REWIND, commands.LOAD_UNLOAD):
            raise CheckCondition(commands.BAD_COMMAND)
        if not drive.loaded:
            raise CheckCondition(commands.NOT_PRESENT)
        if cdb[0] == commands.REWIND:
            await drive.do(lambda tape: self._move(tape, Mtio.REW, 1))
        elif cdb[0] == commands.LOAD_UNLOAD:
            await drive.do(self._leave)
            await drive.unload()
        return b""

    async def _load(self, drive: Drive) -> None:
        if not drive.loaded:
            try:
                await drive.load()
            except Refused:
                raise CheckCondition(commands.NOT_PRESENT) from None
        await drive.do(lambda tape: self._move(tape, Mtio.REW, 1))

    # checks

    def _refuse_empty(self) -> None:
        if not self.opened().loaded:
            raise Refused(ErrorCode.NO_TAPE_LOADED)

    def _refuse_protected(self) -> None:
        drive = self.opened()
        if drive.loaded and drive.place.write_protected:
            raise Refused(ErrorCode.WRITE_PROTECT)

    def _refuse_while_moving(self, *, data: bool = False) -> None:
        """A closed drive, or a mover that has the tape for itself, is an error.

        :param data: for reading and writing of records
        """
        self.opened()
        state = self._session.mover.state
        listening = state is MoverState.LISTEN and not self._profile.tape_while_listening
        if state is not MoverState.ACTIVE and not listening:
            return
        told = self._profile.busy_error if data else self._profile.busy_motion
        if told and self._session.version >= 4:
            raise Refused(ErrorCode.DEVICE_BUSY)
        raise Refused(ErrorCode.ILLEGAL_STATE)
