"""The shared-memory ring of SHM-WRITE, seen from its consumer's end [data-plane 4.3].

We make the ring's objects, a dumper's producer fills it. Both sides sleep on semaphores. Counters
are plain aligned stores and loads with one writer each, in an order that x86-64 keeps: the
producer stores data before ``written``, and ``written`` before ``eof_flag``.
"""

from __future__ import annotations

import atexit
import errno
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
from taper.plane.interfaces import IStreamSource, ShortOfRoom, SourceError, reason
from taper.plane.native import load
from taper.plane.shm_stream import ShmStream

if TYPE_CHECKING:
    from posix_ipc import Semaphore

    from taper.plane.monotonic_wait import MonotonicWait

LOOK_EVERY = 1.0
"""Seconds without a post after which we look whether the others are still alive."""
LINGER = 0.01
"""Seconds that a piece may lie in the ring while it grows. No longer: a producer may need more
room than we leave it meanwhile."""
ATTACH_WITHIN = 300.0
"""Seconds that a producer may take to attach, once its header is here; a stock one is attached
before it sends the header."""

MOST_TAKEN = 1000
"""Sets of names tried before a ring cannot be made."""

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


def _next_names() -> RingNames:
    return RingNames.make(os.getpid(), next(_numbers))


def _claim(names: RingNames) -> RingNames:
    """These names, or the next of which none is in use; what an earlier process of our number
    has left goes.

    They can be foreseen, so a stranger may have made one before us: then others will do.
    """
    import posix_ipc

    for tried in range(1, MOST_TAKEN + 1):
        try:
            remove(names)
            break
        except (posix_ipc.PermissionsError, OSError):
            if tried == MOST_TAKEN:
                raise
            names = _next_names()
    _made.add(names)
    return names


def reserve(fd: int, size: int) -> None:
    """Give an object the memory for ``size`` bytes, which it then has for as long as it lives.

    One that only has the size would end a process that touches it when there is no memory left.

    :raise OSError: there is no room for them in shared memory
    """
    os.posix_fallocate(fd, 0, size)


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


def _monotonic_wait(name: str) -> MonotonicWait | None:
    """None where the C library has none: then the wall clock must do."""
    from taper.plane.monotonic_wait import MonotonicWait  # only these dumps need ctypes

    try:
        return MonotonicWait(name)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return None


@implementer(IStreamSource)
class ShmSource:
    """The bytes that a producer puts into a ring of ours.

    One thread reads; :meth:`create` comes first, :meth:`close` last.

    :ivar names: of the ring's objects; :meth:`create` settles them.
    """

    def __init__(
        self, sizes: Sizes, lost: Lost, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """:param sizes: what is announced to the producer.
        :param lost: looks after the processes attached.
        """
        self.names = _next_names()
        self._sizes = sizes
        self._lost = lost
        self._clock = clock
        self._lock = threading.Lock()
        self._control: Control | None = None
        self._semaphores: dict[str, Semaphore] = {}
        self._wait: MonotonicWait | None = None
        self._data_fd = -1
        self._map: mmap | None = None
        self._data = memoryview(b"")
        self._size = 0
        self._readx = 0
        self._halted = False
        self._ended = False
        self._closed = False

    def create(self) -> None:
        """Make the ring's objects and announce our sizes ([data-plane 4.3], size negotiation).

        :raise ShortOfRoom: the system refuses one; nothing is left of the others
        """
        posix_ipc = load("posix_ipc")  # only these dumps need it
        try:
            self.names = _claim(self.names)
            self._make()
        except (posix_ipc.Error, OSError, ValueError, MemoryError, ImportError) as error:
            self.close()
            text = reason(error) if isinstance(error, OSError) else str(error) or "no memory"
            raise ShortOfRoom(f"cannot make the shm-ring {self.names.control}: {text}") from error
        assert self._control is not None
        self._control.set_count(shmring.CONSUMER_RING_SIZE, self._sizes.ring)
        self._control.set_count(shmring.CONSUMER_BLOCK_SIZE, self._sizes.block)
        self._semaphores["write"].release()

    def _make(self) -> None:
        import posix_ipc

        names, flags = self.names, posix_ipc.O_CREX
        control = posix_ipc.SharedMemory(names.control, flags, mode=0o600)
        try:
            reserve(control.fd, shmring.CONTROL_SIZE)
            self._control = Control(control.fd)
        finally:
            control.close_fd()
        self._control.fill(shmring.build_control(names, os.getpid()))
        for kind, name in zip(("write", "read", "ready", "start"), names.semaphores, strict=True):
            self._semaphores[kind] = posix_ipc.Semaphore(name, flags, mode=0o600)
        self._wait = _monotonic_wait(names.semaphores[1])
        self._data_fd = posix_ipc.SharedMemory(names.data, flags, mode=0o600).fd
        reserve(self._data_fd, self._sizes.ring)  # the producer may make it larger

    def read_into(self, buffer: memoryview) -> int:
        if self._map is None and not self.attach():
            return 0
        size = min(self.wait_for(1, len(buffer)) or 0, len(buffer))
        if size:
            self.copy(buffer[:size])
            self.free(size)
        return size

    def wait_for(self, wanted: int, better: int = 0) -> int | None:
        """Sleep until ``wanted`` bytes are there, or the end of the data.

        :param better: bytes that are worth waiting for a moment longer; a few large pieces cost
            less than many small ones
        :return: bytes there; fewer only at the end, and 0 after it; None: cancelled by us
        :raise SourceError: they will never come
        """
        control = self._control
        assert control is not None, "create() comes first"
        if wanted > self._size:
            raise SourceError(f"shm-ring of {self._size} bytes for blocks of {wanted}", code=4005)
        lost = None
        enough = max(wanted, min(better, self._size // 4))
        patience: float | None = None
        while not self._halted:
            # in this order: what is written before the end is seen when the end is
            cancelled = control.flag(shmring.CANCELLED)
            ended = control.flag(shmring.EOF_FLAG)
            usable = control.count(shmring.WRITTEN) - self._readx
            if not 0 <= usable <= self._size:
                self._cancel()
                raise SourceError(
                    f"shm-ring of {self._size} bytes claims to hold {usable}", code=4005
                )
            if usable >= enough or (usable >= wanted and (cancelled or ended)):
                return usable
            if usable >= wanted:
                now = self._clock()
                patience = patience or now + LINGER
                if now >= patience or not self._posted(patience - now):
                    return usable
                continue
            if cancelled:
                raise SourceError(CANCELLED, code=4011)
            if ended:
                self._ended = not usable
                return usable
            if lost is not None:
                raise self._blame(lost)
            lost = self._sleep(control)
        return None

    def view(self, size: int) -> memoryview:
        """At most the next ``size`` bytes, as they lie in the ring: to its end and no further.
        Good until :meth:`free`."""
        at = self._readx % self._size
        return self._data[at : min(at + size, self._size)]

    def copy(self, buffer: memoryview) -> None:
        """The next bytes, across the ring's end."""
        at = self._readx % self._size
        first = min(len(buffer), self._size - at)
        buffer[:first] = self._data[at : at + first]
        buffer[first:] = self._data[: len(buffer) - first]

    def free(self, size: int) -> None:
        """Make room for the producer: the next ``size`` bytes are not needed any more."""
        assert self._control is not None
        self._readx += size
        self._control.set_count(shmring.READX, self._readx)
        self._control.set_count(shmring.READ_OFFSET, self._readx % self._size)
        self._semaphores["write"].release()

    @property
    def size(self) -> int:
        """Bytes of the ring; 0 before :meth:`attach`."""
        return self._size

    def stream(self, block_size: int, failed: Callable[[str], None]) -> ShmStream | None:
        if self._sizes.block != block_size:
            return None  # the ring knows nothing of such blocks
        return ShmStream(self, block_size, failed)

    def attach(self) -> bool:
        """Wait until the producer has made the data segment, and map it. False: cancelled by us.

        :raise SourceError: there is none to be had
        """
        control = self._control
        assert control is not None, "create() comes first"
        deadline = self._clock() + ATTACH_WITHIN
        while not self._halted:
            cancelled = control.flag(shmring.CANCELLED)
            size = control.count(shmring.RING_SIZE)
            if size:
                self._map_data(size)
                return True
            if cancelled:
                raise SourceError(NOT_SET, code=4005)
            lost = self._sleep(control)
            if lost is not None and not control.count(shmring.RING_SIZE):
                raise self._blame(lost)
            if self._clock() > deadline and len(control.pids()) < 2:
                self._cancel()
                raise SourceError(f"{NOT_SET}: no producer in {ATTACH_WITHIN:.0f} s", code=4005)
        return False

    def _map_data(self, size: int) -> None:
        try:
            there = os.fstat(self._data_fd).st_size
            if size > there:
                # reading past the segment's end would end this process
                raise SourceError(f"{NOT_SET}: {size} bytes in a segment of {there}", code=4005)
            reserve(self._data_fd, size)
            self._map = mmap(self._data_fd, size, MAP_SHARED, PROT_READ)
        except SourceError:
            self._cancel()
            raise
        except (OSError, ValueError) as error:
            self._cancel()
            text = reason(error) if isinstance(error, OSError) else str(error)
            raise ShortOfRoom(f"{NOT_SET}: cannot map {size} bytes: {text}") from error
        self._size = size
        self._data = memoryview(self._map)

    def _sleep(self, control: Control) -> int | None:
        """Wait for the producer, but not for long. :return: an attached process that is no more"""
        return None if self._posted(LOOK_EVERY) else self._lost(control.pids())

    def _posted(self, seconds: float) -> bool:
        """Wait for a post of the producer, or a signal."""
        if self._wait is not None:
            return self._wait.acquire(seconds)
        import posix_ipc

        try:
            self._semaphores["read"].acquire(seconds)
        except posix_ipc.BusyError:
            return False
        except posix_ipc.SignalError:
            return True
        return True

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
            if self.names in _made:
                remove(self.names)
            for semaphore in self._semaphores.values():
                semaphore.close()
            if self._wait is not None:
                self._wait.close()
            # who still looks at some of it keeps the rest mapped
            self._data = memoryview(b"")
            self._map = None
            if self._data_fd >= 0:
                os.close(self._data_fd)
            if self._control is not None:
                self._control.close()
