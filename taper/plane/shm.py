"""The shared-memory ring of SHM-WRITE, seen from its consumer's end (data-plane 4.3).

We make the ring's objects, a dumper's producer fills it. Both sides sleep on semaphores. Counters
are plain aligned stores and loads with one writer each, in an order that x86-64 keeps: the
producer stores data before ``written``, and ``written`` before ``eof_flag``.
"""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from mmap import MAP_SHARED, PROT_READ, mmap
from typing import TYPE_CHECKING

from zope.interface import implementer

from protocols import shmring
from protocols.shmring import RingNames, Sizes
from taper.plane.interfaces import ISource, SourceError, reason

if TYPE_CHECKING:
    from posix_ipc import Semaphore

LOOK_EVERY = 1.0
"""Seconds without a post after which we look whether the others are still alive."""
ATTACH_WITHIN = 300.0
"""Seconds that a producer may take to attach, once its header is here; a stock one is attached
before it sends the header."""

NOT_SET = "failed to set shm-ring"
CANCELLED = "shm-ring cancelled"

Lost = Callable[[Sequence[int]], int | None]
"""Given the processes attached to a ring, one that is no more, or None."""

_numbers = itertools.count(0, 6)
_made: set[RingNames] = set()


def remove(names: RingNames) -> None:
    """Unlink all objects of a ring; one that is missing is no error."""
    import posix_ipc

    unlinks = [(posix_ipc.unlink_semaphore, name) for name in names.semaphores]
    unlinks += [(posix_ipc.unlink_shared_memory, name) for name in (names.data, names.control)]
    for unlink, name in unlinks:
        try:
            unlink(name)
        except posix_ipc.ExistentialError:
            continue
    _made.discard(names)


@atexit.register
def _remove_all() -> None:
    """Leave nothing in shared memory, however the process comes to its end."""
    for names in list(_made):
        remove(names)


class Control:
    """The fields of a mapped control block. Any thread; each access is one load or store."""

    def __init__(self, fd: int) -> None:
        self._map = mmap(fd, shmring.CONTROL_SIZE)
        self._bytes = memoryview(self._map)
        self._longs = self._bytes.cast("Q")
        self._ints = self._bytes.cast("i")

    def count(self, offset: int) -> int:
        return self._longs[offset >> 3]

    def set_count(self, offset: int, value: int) -> None:
        self._longs[offset >> 3] = value

    def flag(self, offset: int) -> int:
        return self._ints[offset >> 2]

    def set_flag(self, offset: int, value: int) -> None:
        self._ints[offset >> 2] = value

    def fill(self, block: bytes) -> None:
        """Store a whole block, before anybody knows of it."""
        self._bytes[:] = block

    def pids(self) -> tuple[int, ...]:
        """The processes attached, the creator first."""
        return shmring.parse_pids(bytes(self._bytes))

    def close(self) -> None:
        for view in (self._longs, self._ints, self._bytes):
            view.release()
        self._map.close()


@implementer(ISource)
class ShmSource:
    """The bytes that a producer puts into a ring of ours.

    One thread reads; :meth:`create` comes first, :meth:`close` last.

    :ivar names: of the ring's objects.
    """

    def __init__(
        self, sizes: Sizes, lost: Lost, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """:param sizes: what is announced to the producer.
        :param lost: looks after the processes attached.
        """
        self.names = RingNames.make(os.getpid(), next(_numbers))
        self._sizes = sizes
        self._lost = lost
        self._clock = clock
        self._lock = threading.Lock()
        self._control: Control | None = None
        self._semaphores: dict[str, Semaphore] = {}
        self._data_fd = -1
        self._map: mmap | None = None
        self._data = memoryview(b"")
        self._size = 0
        self._readx = 0
        self._halted = False
        self._ended = False
        self._closed = False

    def create(self) -> None:
        """Make the ring's objects and announce our sizes (data-plane 4.3, size negotiation).

        :raise SourceError: the system refuses one; nothing is left of the others
        """
        import posix_ipc  # only these dumps need it

        _made.add(self.names)
        try:
            self._make()
        except (posix_ipc.Error, OSError, ValueError) as error:
            self.close()
            raise SourceError(f"cannot make the shm-ring {self.names.control}: {error}") from error
        assert self._control is not None
        self._control.set_count(shmring.CONSUMER_RING_SIZE, self._sizes.ring)
        self._control.set_count(shmring.CONSUMER_BLOCK_SIZE, self._sizes.block)
        self._semaphores["write"].release()

    def _make(self) -> None:
        import posix_ipc

        names, flags = self.names, posix_ipc.O_CREX
        remove(names)  # what an earlier process of our number has left
        _made.add(names)
        control = posix_ipc.SharedMemory(names.control, flags, mode=0o600)
        try:
            os.ftruncate(control.fd, shmring.CONTROL_SIZE)
            self._control = Control(control.fd)
        finally:
            control.close_fd()
        self._control.fill(shmring.build_control(names, os.getpid()))
        for kind, name in zip(("write", "read", "ready", "start"), names.semaphores, strict=True):
            self._semaphores[kind] = posix_ipc.Semaphore(name, flags, mode=0o600)
        self._data_fd = posix_ipc.SharedMemory(names.data, flags, mode=0o600).fd

    def read_into(self, buffer: memoryview) -> int:
        control = self._control
        assert control is not None, "create() comes first"
        if self._map is None and not self._attach(control):
            return 0
        lost = None
        while not self._halted:
            # in this order: what is written before the end is seen when the end is
            cancelled = control.flag(shmring.CANCELLED)
            ended = control.flag(shmring.EOF_FLAG)
            usable = control.count(shmring.WRITTEN) - self._readx
            if usable:
                return self._take(control, buffer, usable)
            if cancelled:
                raise SourceError(CANCELLED)
            if ended:
                self._ended = True
                return 0
            if lost is not None:
                raise self._blame(lost)
            lost = self._sleep(control)
        return 0

    def _take(self, control: Control, buffer: memoryview, usable: int) -> int:
        """Copy what is there, across the ring's end too, and make room for the producer."""
        ring = self._size
        if not 0 < usable <= ring:
            self._cancel()
            raise SourceError(f"shm-ring of {ring} bytes claims to hold {usable}")
        size = min(usable, len(buffer))
        start = self._readx % ring
        first = min(size, ring - start)
        buffer[:first] = self._data[start : start + first]
        if first < size:
            buffer[first:size] = self._data[: size - first]
        self._readx += size
        control.set_count(shmring.READX, self._readx)
        control.set_count(shmring.READ_OFFSET, self._readx % ring)
        self._semaphores["write"].release()
        return size

    def _attach(self, control: Control) -> bool:
        """Wait until the producer has made the data segment, and map it. False: cancelled."""
        deadline = self._clock() + ATTACH_WITHIN
        while not self._halted:
            cancelled = control.flag(shmring.CANCELLED)
            size = control.count(shmring.RING_SIZE)
            if size:
                self._map_data(size)
                return True
            if cancelled:
                raise SourceError(NOT_SET)
            lost = self._sleep(control)
            if lost is not None and not control.count(shmring.RING_SIZE):
                raise self._blame(lost)
            if self._clock() > deadline and len(control.pids()) < 2:
                self._cancel()
                raise SourceError(f"{NOT_SET}: no producer in {ATTACH_WITHIN:.0f} s")
        return False

    def _map_data(self, size: int) -> None:
        try:
            there = os.fstat(self._data_fd).st_size
            if size > there:
                # reading past the segment's end would end this process
                raise SourceError(f"{NOT_SET}: {size} bytes in a segment of {there}")
            self._map = mmap(self._data_fd, size, MAP_SHARED, PROT_READ)
        except SourceError:
            self._cancel()
            raise
        except (OSError, ValueError) as error:
            self._cancel()
            text = reason(error) if isinstance(error, OSError) else str(error)
            raise SourceError(f"{NOT_SET}: cannot map {size} bytes: {text}") from error
        self._size = size
        self._data = memoryview(self._map)

    def _sleep(self, control: Control) -> int | None:
        """Wait for the producer, but not for long. :return: an attached process that is no more"""
        import posix_ipc

        try:
            self._semaphores["read"].acquire(LOOK_EVERY)
        except posix_ipc.BusyError:
            return self._lost(control.pids())
        except posix_ipc.SignalError:
            return None
        return None

    def _blame(self, pid: int) -> SourceError:
        self._cancel()
        return SourceError(f"shm-ring: process {pid} ended before its data did")

    def cancel(self) -> None:
        self._halted = True
        if not self._ended:
            self._cancel()

    def _cancel(self) -> None:
        """Tell everybody that the ring is given up. Any thread."""
        with self._lock:
            if self._control is None or self._closed:
                return
            self._control.set_flag(shmring.CANCELLED, 1)
            self._post()

    def _post(self) -> None:
        for semaphore in self._semaphores.values():
            semaphore.release()

    def close(self) -> None:
        """Let go of the ring and unlink its objects. Its data must have ended, else the producer
        is told that it is given up."""
        self.cancel()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._ended:
                self._semaphores["write"].release()  # as stock does at the end of a dump
            remove(self.names)
            for semaphore in self._semaphores.values():
                semaphore.close()
            self._data.release()
            if self._map is not None:
                self._map.close()
            if self._data_fd >= 0:
                os.close(self._data_fd)
            if self._control is not None:
                self._control.close()
