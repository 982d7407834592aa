"""An open simulated drive: what the kernel's driver ``st`` does, call by call.

Source: ``Documentation/scsi/st.rst`` of the kernel, and the man page ``st(4)``. What matters here:
a written tape that is moved backwards or closed gets a filemark first; a read that meets a filemark
gives 0 and stands behind it; at the end of the data a read gives 0 once after a filemark, then
fails; behind the early warning every other write fails with ENOSPC, until the real end.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from zope.interface import implementer

from devices import mtio
from devices.mtio import Gmt, IDrive, Op
from tests.fakes.medium import Medium, TapeEnd
from tests.fakes.tape.cartridge import CartridgeFacts
from tests.fakes.tape.faults import Faults, oserror

if TYPE_CHECKING:
    from tests.fakes.tape.drive import SimulatedDrive

_BACKWARDS = (Op.REW, Op.OFFL, Op.BSF)


@implementer(IDrive)
class Handle:
    """See :class:`devices.mtio.IDrive`."""

    def __init__(self, drive: SimulatedDrive, lock: int, flags: int) -> None:
        self._drive = drive
        self._lock = lock
        self._facts = drive.facts
        self._state = drive.state()
        self._faults = Faults(self._facts.faults, dict(self._state.calls))
        self._writable = flags & os.O_ACCMODE != os.O_RDONLY
        self._medium: Medium | None = None
        self._cartridge = CartridgeFacts()
        self._used = 0
        self._wrote = self._refuse_next = self._behind_mark = False
        self._end_of_data = 0
        self._block_known = True
        try:
            self._fail_if("open")
            self._look(drive.medium())
            if not flags & os.O_NONBLOCK:
                self._need_ready()
            if self._ready() and self._writable and self._cartridge.write_protected:
                raise oserror(errno.EROFS)
        except OSError:
            self._leave()
            raise

    # life

    def _look(self, loaded: tuple[Medium, CartridgeFacts] | None) -> None:
        if loaded is not None:
            self._medium, self._cartridge = loaded
            self._medium.go_to(self._state.at)
            self._used = self._medium.bytes_before

    def _leave(self) -> None:
        if self._medium is not None:
            self._state.at = self._medium.index
            self._medium.close()
        self._state.calls = self._faults.calls
        self._drive.keep(self._state)

    def close(self) -> None:
        self._log("close")
        try:
            self._fail_if("close")
            self._end_writing()
        finally:
            self._leave()
            os.close(self._lock)

    def set_blocking(self) -> None:
        """Nothing changes by it once the drive is open."""

    def _log(self, call: str, count: int = 0) -> None:
        self._drive.history.append((call, count))

    def _fail_if(self, call: str) -> None:
        fault = self._faults.check(call)
        if fault is not None:
            raise fault.error()

    # readiness

    def _ready(self) -> bool:
        return self._medium is not None and not self._cartridge.cleaning and not self._state.polls

    def _need_ready(self) -> Medium:
        if self._medium is None:
            raise oserror(errno.ENOMEDIUM)
        if self._state.polls:
            self._state.polls -= 1
            raise oserror(errno.EIO)
        if self._cartridge.cleaning:
            raise oserror(errno.EIO)
        return self._medium

    # records

    def read(self, buffer: memoryview) -> int:
        self._log("read", len(buffer))
        medium = self._need_ready()
        self._fail_if("read")
        self._wrote = self._refuse_next = False
        fixed = self._facts.block_size
        if fixed and len(buffer) % fixed:
            raise oserror(errno.EINVAL)
        if self._end_of_data:
            return self._read_behind_everything()
        place = (medium.file_num, medium.blockno)
        record = medium.read()
        if place in self._cartridge.unreadable:
            self._block_known = False
            raise oserror(errno.EIO)
        if record is TapeEnd.FILEMARK:
            medium.forward_filemarks(1)
            self._behind_mark, self._block_known = True, True
            return 0
        if isinstance(record, TapeEnd):
            self._block_known = False
            if not self._behind_mark:
                raise oserror(errno.EIO)
            self._end_of_data = 2
            return 0
        self._behind_mark = False
        self._used += len(record)
        if fixed and len(record) != fixed:
            raise oserror(errno.EIO)
        if len(record) > len(buffer):
            raise oserror(errno.ENOMEM)
        buffer[: len(record)] = record
        return len(record)

    def _read_behind_everything(self) -> int:
        if self._end_of_data < 2:
            self._end_of_data += 1
            return 0
        raise oserror(errno.EIO)

    def write(self, record: bytes | memoryview) -> int:
        self._log("write", len(record))
        if not self._writable:
            raise oserror(errno.EBADF)
        medium = self._need_ready()
        fault = self._faults.check("write")
        if fault is not None and fault.code != "SHORT":
            raise fault.error()
        if self._facts.block_size and len(record) % self._facts.block_size:
            raise oserror(errno.EINVAL)
        if self._refuse_next:
            self._refuse_next = False
            raise oserror(errno.ENOSPC)
        facts = self._cartridge
        if facts.capacity is not None and self._used + len(record) > facts.capacity:
            raise oserror(errno.ENOSPC)
        if fault is not None:
            record = record[: len(record) // 2]
        if self._drive.speed is not None:
            self._drive.speed.wrote(len(record))
        medium.write(record)
        self._used += len(record)
        self._forget_place()
        self._wrote = True
        self._refuse_next = facts.early is not None and self._used > facts.early
        return len(record)

    def _end_writing(self) -> None:
        """What was written is ended by a filemark before the tape goes elsewhere."""
        if self._wrote and self._medium is not None:
            self._write_filemarks(self._medium, 1)
        self._wrote = False

    def _write_filemarks(self, medium: Medium, count: int) -> None:
        if self._drive.speed is not None:
            self._drive.speed.flushed()
        for _ in range(count):
            medium.write_filemark()

    def _forget_place(self) -> None:
        self._behind_mark, self._end_of_data, self._block_known = False, 0, True

    # ioctl

    def ioctl(self, request: int, argument: bytearray) -> None:
        if request == mtio.MTIOCTOP:
            self._operate(*mtio.MTOP.unpack(argument))
        elif request == mtio.MTIOCGET:
            self._log("GET")
            self._fail_if("GET")
            argument[:] = self._told()
        elif request == mtio.MTIOCPOS:
            self._log("POS")
            self._fail_if("POS")
            argument[:] = mtio.MTPOS.pack(self._need_ready().index)
        else:
            raise oserror(errno.ENOTTY)

    def _told(self) -> bytes:
        flags, file, block = Gmt(0), -1, -1
        medium = self._medium
        if medium is None:
            flags |= Gmt.DR_OPEN
        elif self._ready():
            flags |= Gmt.ONLINE if self._facts.online else Gmt(0)
            if self._facts.knows_place:
                file, block = medium.file_num, medium.blockno if self._block_known else -1
                if not block:
                    flags |= Gmt.EOF if file else Gmt.BOT
        if self._end_of_data:
            flags |= Gmt.EOD
        if self._refuse_next:
            flags |= Gmt.EOT
        if self._cartridge.write_protected:
            flags |= Gmt.WR_PROT
        if self._cartridge.cleaning:
            flags |= Gmt.CLN
        return mtio.MTGET.pack(0x72, 0, self._facts.block_size, int(flags), 0, file, block)

    def _operate(self, number: int, count: int) -> None:
        op = Op(number)
        self._log(op.name, count)
        self._fail_if(op.name)
        medium = self._need_ready()
        if op.name in self._facts.lacks:
            raise oserror(errno.EIO)
        if op is Op.NOP:
            return
        if op is Op.COMPRESSION:
            return
        if op in _BACKWARDS:
            count += op is Op.BSF and self._wrote
            self._end_writing()
        try:
            self._move(medium, op, count)
        finally:
            self._used = medium.bytes_before
            self._wrote = False

    def _move(self, medium: Medium, op: Op, count: int) -> None:
        if op is Op.WEOF:
            if not self._writable:
                raise oserror(errno.EBADF)
            self._write_filemarks(medium, count)
            self._forget_place()
            return
        self._forget_place()
        self._refuse_next = False
        if op is Op.REW:
            medium.rewind()
        elif op is Op.OFFL:
            medium.rewind()
            self._state.at, self._state.ejected = 0, True
            medium.close()
            self._medium = None
        elif op is Op.EOM:
            while not medium.at_end:
                medium.forward_filemarks(1)
            self._end_of_data, self._block_known = 1, False
        elif not self._space(medium, op, count):
            raise oserror(errno.EIO)

    def _space(self, medium: Medium, op: Op, count: int) -> bool:
        """:return: all of it was done"""
        if op is Op.FSF:
            left = medium.forward_filemarks(count)
            self._behind_mark = not left
            self._end_of_data = 1 if left else 0
            self._block_known = not left
        elif op is Op.BSF:
            left = medium.back_filemarks(count)
            self._block_known = False
        elif op is Op.FSR:
            left = medium.forward_records(count)
            if left and medium.at_filemark:
                medium.forward_filemarks(1)
                self._behind_mark = True
            elif left:
                self._end_of_data = 1
        else:
            left = medium.back_records(count)
            if left and medium.behind_filemark:
                medium.back_filemarks(1)
                self._block_known = False
        return not left
