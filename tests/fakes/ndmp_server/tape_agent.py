"""The TAPE requests [ndmp 4.6, 5.2, 5.5]."""

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
from tests.fakes.medium import Medium, TapeEnd
from tests.fakes.ndmp_server.drives import Drive, Refused

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.session import Session

MAX_RECORD = 2**20
UNKNOWN_SPACE = 2**64 - 1


class TapeAgent:
    """The drive of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._profile = session.profile
        self.drive: Drive | None = None
        self.mode = TapeMode.READ
        self._wrote = False
        self._before_filemark = False

    # for the mover

    @property
    def writable(self) -> bool:
        return self.mode is not TapeMode.READ

    def medium(self) -> Medium:
        """The tape to work on.

        :raise Refused: none is open, or loaded
        """
        if self.drive is None:
            raise Refused(ErrorCode.DEV_NOT_OPEN)
        return self.drive.loaded()

    def write_record(self, record: bytes | memoryview) -> TapeEnd | None:
        """Write one record. :return: why it was not written"""
        end = self.medium().write(record)
        self._wrote |= end is None
        self._before_filemark = False
        return end

    def read_record(self) -> bytes | TapeEnd:
        """Read one record; versions 2 and 3 cross a filemark that they meet."""
        medium = self.medium()
        self._end_of_writing()
        found = medium.read()
        self._before_filemark = found is TapeEnd.FILEMARK
        if found is TapeEnd.FILEMARK and self._session.version < 4:
            medium.forward_filemarks(1)
        return found

    def mark_end(self) -> None:
        """Leave a marker file behind what is written [ndmp 5.5.14]."""
        medium = self.medium()
        limits, medium.limits = medium.limits, type(medium.limits)()
        medium.write_filemark()
        medium.write(b"end of medium".ljust(1024, b"\0"))
        medium.write_filemark()
        medium.back_filemarks(2)
        medium.limits = limits

    def _end_of_writing(self) -> None:
        """Moving the tape after a write adds a filemark, on some servers."""
        if self._wrote and self._profile.filemark_after_write:
            self.medium().write_filemark()
        self._wrote = False

    # requests

    def tape_open(self, request: m.TapeOpen) -> m.ErrorReply:
        if self.drive is not None or self._session.scsi.is_open:
            raise Refused(ErrorCode.DEVICE_OPENED)
        known = tuple(TapeMode) if self._session.version >= 4 else (TapeMode.READ, TapeMode.RDWR)
        if request.mode not in known:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        drive = self._session.server.drives.get(request.device)
        if drive is None:
            raise Refused(ErrorCode.NO_DEVICE)
        if drive.user is not None:
            raise Refused(ErrorCode.DEVICE_BUSY)
        if request.mode != TapeMode.RAW:
            drive.loaded()
        medium = drive.medium
        if medium is not None:
            if medium.write_protected and request.mode != TapeMode.READ:
                raise Refused(ErrorCode.WRITE_PROTECT)
            medium.opened()
        drive.user = self._session
        self.drive, self.mode, self._wrote = drive, TapeMode(request.mode), False
        return m.ErrorReply()

    def tape_close(self, request: m.TapeClose) -> m.ErrorReply:
        self._refuse_while_moving()
        assert self.drive is not None
        self.release()
        if self._profile.forgets_on_tape_close:
            self._session.mover.forget_record_size()
        return m.ErrorReply()

    def release(self) -> None:
        """Close the drive, if one is open."""
        if self.drive is not None:
            if self.drive.medium is not None:
                self._end_of_writing()
            self.drive.user = None
        self.drive = None

    def tape_get_state(self, request: m.TapeGetState) -> m.TapeGetStateReply:
        if self.drive is None:
            every = TapeMask(0x3F)
            unknown = dict.fromkeys(("file_num", "soft_errors", "block_size", "blockno"), UNKNOWN)
            spaces = {"total_space": UNKNOWN_SPACE, "space_remain": UNKNOWN_SPACE}
            error = ErrorCode.DEV_NOT_OPEN
            return m.TapeGetStateReply(unsupported=every, error=error, **unknown, **spaces)
        medium = self.drive.loaded()
        protected = medium.write_protected or not self.writable
        reply = m.TapeGetStateReply(
            unsupported=TapeMask.TOTAL_SPACE | TapeMask.SPACE_REMAIN,
            flags=TapeFlags.WRITE_PROTECTED if protected else 0,
            file_num=medium.file_num,
            block_size=self.drive.block_size,
            blockno=medium.blockno,
            total_space=UNKNOWN_SPACE,
            space_remain=UNKNOWN_SPACE,
        )
        if self._before_filemark and self._session.version >= 4:
            reply = reply.evolve(unsupported=reply.unsupported | TapeMask.BLOCKNO, blockno=UNKNOWN)
        if medium.limits.end is None:
            return reply
        remain = max(medium.limits.end - medium.position, 0)
        return reply.evolve(unsupported=0, total_space=medium.limits.end, space_remain=remain)

    def tape_write(self, request: m.TapeWrite) -> m.TapeWriteReply:
        if not request.data and self.drive is not None and self.writable:
            return m.TapeWriteReply()
        self._refuse_while_moving(data=True)
        self._refuse_unless_writable()
        if len(request.data) > MAX_RECORD:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._session.mover.aligned_at = None
        end = self.write_record(request.data)
        if end is TapeEnd.EARLY:
            raise Refused(ErrorCode.EOM)
        if end is TapeEnd.FULL:
            raise Refused(ErrorCode.IO)
        return m.TapeWriteReply(count=len(request.data))

    def tape_read(self, request: m.TapeRead) -> m.TapeReadReply:
        if not request.count and self.drive is not None:
            return m.TapeReadReply()
        self._refuse_while_moving(data=True)
        if request.count > MAX_RECORD:
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        self._session.mover.aligned_at = None
        found = self.read_record()
        if isinstance(found, bytes):
            return m.TapeReadReply(data=found[: request.count])
        eom = found is TapeEnd.NOTHING and self._profile.eom_at_end and self._session.version >= 4
        raise Refused(ErrorCode.EOM if eom else ErrorCode.EOF)

    def tape_mtio(self, request: m.TapeMtio) -> m.TapeMtioReply:
        self._refuse_while_moving()
        medium = self.medium()
        self._session.mover.aligned_at = None
        op, count = request.op, request.count
        if op == Mtio.EOF:
            self._refuse_unless_writable()
            return self._write_filemarks(medium, count)
        if op not in tuple(Mtio) or (op == Mtio.TUR and not self._profile.unloads):
            raise Refused(ErrorCode.ILLEGAL_ARGS)
        if op == Mtio.TUR:
            return m.TapeMtioReply()
        self._end_of_writing()
        self._before_filemark = False
        if op == Mtio.OFF:
            return self._unload(count)
        return m.TapeMtioReply(resid=self._move(medium, Mtio(op), count))

    def tape_execute_cdb(self, request: m.TapeExecuteCdb) -> m.ExecuteCdbReply:
        raise Refused(ErrorCode.NOT_SUPPORTED, in_header=True)

    def _move(self, medium: Medium, op: Mtio, count: int) -> int:
        crosses = self._session.version < 4
        if op is Mtio.REW:
            medium.rewind()
            return 0
        if op is Mtio.FSF:
            return medium.forward_filemarks(count)
        if op is Mtio.BSF:
            return medium.back_filemarks(count)
        if op is Mtio.FSR:
            rest = medium.forward_records(count)
            if rest and crosses:
                medium.forward_filemarks(int(medium.at_filemark))
            return rest
        rest = medium.back_records(count)
        if rest and crosses:
            medium.back_filemarks(int(medium.behind_filemark))
        return rest

    def _write_filemarks(self, medium: Medium, count: int) -> m.TapeMtioReply:
        self._wrote = self._before_filemark = False
        for done in range(count):
            if medium.write_filemark() is TapeEnd.EARLY:
                return m.TapeMtioReply(error=ErrorCode.EOM, resid=count - done - 1)
        return m.TapeMtioReply()

    def _unload(self, count: int) -> m.TapeMtioReply:
        if not self._profile.unloads:
            return m.TapeMtioReply(resid=count)
        assert self.drive is not None
        self._session.server.unload(self.drive)
        return m.TapeMtioReply()

    def _refuse_unless_writable(self) -> None:
        if not self.writable:
            raise Refused(ErrorCode.PERMISSION)

    def _refuse_while_moving(self, *, data: bool = False) -> None:
        """A closed drive, or a mover that has the tape for itself, is an error.

        :param data: for reading and writing of records
        """
        if self.drive is None:
            raise Refused(ErrorCode.DEV_NOT_OPEN)
        state = self._session.mover.state
        listening = state is MoverState.LISTEN and not self._profile.tape_while_listening
        if state is not MoverState.ACTIVE and not listening:
            return
        if data and self._profile.busy_error and self._session.version >= 4:
            raise Refused(ErrorCode.DEVICE_BUSY)
        raise Refused(ErrorCode.ILLEGAL_STATE)
