"""The data connection of a mover: one raw TCP stream, moved in large pieces [ndmp-server 4].

It belongs to the drive's lane while it moves, and to the reactor otherwise; only ``interrupt`` and
``wake`` are called across. No record is handled by itself: what has come is written in one run of
records, while the next one comes; and read in one.
"""

from __future__ import annotations

import os
import select
import socket
import struct

from protocols.directtcp import Address
from protocols.ndmp_server.interfaces import MoveEnd, Progress, Tape, TapeEnd
from taper.plane.crc import RunningCrc
from taper.plane.memory import allocate
from taper.tapeserver.records import Records, run_size
from taper.tapeserver.writer import RunWriter

GATHERING = 0.01
"""Seconds that what comes may keep us waiting until a run is whole; then it is written as it is:
the sender may be waiting for that."""
_NO_MORE_THAN = struct.pack("ll", 0, int(GATHERING * 1e6))
_WORDS = 65536
_NO_LINGER = struct.pack("ii", 1, 0)
_ENDS = {TapeEnd.FILEMARK: MoveEnd.FILEMARK, TapeEnd.NOTHING: MoveEnd.NOTHING}
_FULL = {TapeEnd.EARLY: MoveEnd.EARLY, TapeEnd.FULL: MoveEnd.FULL}


class DataChannel:
    """A connected socket.

    :param patience: seconds that the peer may say or take nothing; None: for ever
    """

    def __init__(self, link: socket.socket, patience: float | None) -> None:
        link.setblocking(True)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _NO_MORE_THAN)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.link = link
        self._patience = patience
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._stopped = False
        self.ended: MoveEnd | None = None
        self._records = Records()  # that came and are not on tape
        self._buffer = memoryview(b"")  # for those that are read
        self._unsent = memoryview(b"")
        self._crc = RunningCrc()

    @property
    def peer(self) -> Address:
        try:
            return Address(*self.link.getpeername()[:2])
        except OSError:  # it has come, and gone
            return Address("::" if self.link.family == socket.AF_INET6 else "0.0.0.0", 0)

    def begin(self) -> None:
        self._stopped = False

    def interrupt(self) -> None:
        self._stopped = True
        self.wake()

    def wake(self) -> None:
        os.eventfd_write(self._wake, 1)

    def account(self) -> str:
        total = self._crc.value()
        return f"{total.size} bytes went by, CRC-32C {total}"

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.link.close()
        os.close(self._wake)

    # stream to tape

    def store(self, tape: Tape, progress: Progress) -> MoveEnd:
        self._records.fit(progress.record_size)
        writer = RunWriter(tape, progress, self._records, self._crc, self.wake)
        try:
            while not self._stopped:
                if writer.over:
                    refused = writer.settle()
                    if refused is not None:
                        return _FULL[refused]
                    if self._whole(pads_broken=progress.pads_broken):
                        if not progress.window.has(progress.position):
                            return MoveEnd.WINDOW
                        room = progress.window.end - progress.position
                        # nothing is to be done meanwhile once all has come
                        writer.write(room, behind=self.ended is None)
                        continue
                    if self.ended is not None:
                        return self.ended
                space = self._records.room() if self.ended is None else None
                if not space:
                    self._wait(0, for_ever=True)  # the end of the run wakes us
                elif not self._receive(space) and writer.idle:
                    return MoveEnd.SILENT
            refused = writer.settle()
            return MoveEnd.INTERRUPTED if refused is None else _FULL[refused]
        finally:
            writer.close()

    def _whole(self, *, pads_broken: bool) -> int:
        """Bytes of whole records that are here; the last one of all is filled up. What is left of
        a connection that broke is not: nobody could tell it from data."""
        records = self._records
        if self.ended is MoveEnd.CLOSED or (pads_broken and self.ended is not None):
            records.pad()
        return records.whole

    def _receive(self, space: memoryview) -> bool:
        """Take what comes, and wait for it. :return: False: in vain, for too long"""
        try:
            got = self.link.recv_into(space, len(space), socket.MSG_WAITALL)
        except BlockingIOError:
            return self._wait(select.POLLIN)
        except OSError:
            self.ended = MoveEnd.RESET
            return True
        if not got:
            self.ended = MoveEnd.CLOSED
        self._records.came(got)
        return True

    # tape to stream

    def serve(self, tape: Tape, progress: Progress, *, watch: bool) -> MoveEnd:
        wanted = run_size(progress.record_size)
        if len(self._buffer) != wanted:
            self._buffer = allocate(wanted)
        while not self._stopped:
            if self.ended is not None:
                if watch:
                    return self.ended
                self._wait(0, for_ever=True)  # some servers do not mind
            elif self._unsent:
                if not self._send():
                    return MoveEnd.SILENT
            elif not progress.left:
                self._wait_for_wish()
            else:
                end = self._read(tape, progress)
                if end is not None:
                    return end
        return MoveEnd.INTERRUPTED

    def _read(self, tape: Tape, progress: Progress) -> MoveEnd | None:
        if not progress.window.has(progress.position):
            return MoveEnd.WINDOW
        size = progress.record_size
        inside = _align(tape, progress)
        limit = min(progress.left, progress.window.end - progress.position)
        room = min(len(self._buffer), limit) // size * size
        found: int | TapeEnd
        if inside or not room:
            record = tape.read()
            if isinstance(record, TapeEnd):
                return _ENDS[record]
            data = record[:size][inside : inside + limit]
            whole = inside + len(data) >= len(record)
            self._unsent = memoryview(data)
        else:
            found = tape.read_run(self._buffer[:room], size)
            if isinstance(found, TapeEnd):
                return _ENDS[found]
            whole = True
            self._unsent = self._buffer[:found]
        if not self._unsent:
            return MoveEnd.WINDOW  # the record that should have the position is shorter
        sent = len(self._unsent)
        self._crc.update(self._unsent)
        progress.position += sent
        progress.moved += sent
        progress.aligned_at = progress.position if whole else None
        progress.left -= sent
        return None

    def _send(self) -> bool:
        """Send, and wait until that can be. :return: False: in vain, for too long"""
        try:
            sent = self.link.send(self._unsent, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self._wait(select.POLLOUT)
        except OSError:
            self.ended = MoveEnd.RESET
            return True
        self._unsent = self._unsent[sent:]
        return True

    def _wait_for_wish(self) -> None:
        """Wait for MOVER_READ; meanwhile see whether the peer goes away."""
        self._wait(select.POLLIN, for_ever=True)
        try:
            # what a reader says has no meaning
            if not self.link.recv(_WORDS, socket.MSG_DONTWAIT):
                self.ended = MoveEnd.CLOSED
        except BlockingIOError:
            return
        except OSError:
            self.ended = MoveEnd.RESET

    # both

    def _wait(self, events: int, *, for_ever: bool = False) -> bool:
        """Wait until the socket is ready or somebody wakes us. :return: False: it took too long"""
        if events:
            self._poll.register(self.link, events)
        try:
            patience = None if for_ever or self._patience is None else self._patience * 1000
            ready = self._poll.poll(patience)
        finally:
            if events:
                self._poll.unregister(self.link)
        if any(fd == self._wake for fd, _ in ready):
            os.eventfd_read(self._wake)
        return bool(ready)


def _align(tape: Tape, progress: Progress) -> int:
    """Go to the record that has the position, counted from where the window was set.

    :return: the position's offset in that record
    """
    if progress.aligned_at == progress.position:
        return 0
    window = progress.window
    records, inside = divmod(progress.position - window.offset, progress.record_size)
    steps = window.block + records - tape.blockno
    if steps >= 0:
        tape.forward_records(steps)
    else:
        tape.back_records(-steps)
    return inside
