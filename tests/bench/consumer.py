"""The taper's end of a shared-memory ring, as plain as can be: for the limit of SHM-WRITE.

Facts: [data-plane 4.3]. Nothing here comes from the program under test.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import posix_ipc

from tests.conformance.producer import (
    CONSUMER_BLOCK,
    CONSUMER_RING,
    CONTROL,
    EOF_FLAG,
    KINDS,
    PATIENCE,
    PIDS,
    READX,
    RING_SIZE,
    WRITTEN,
)

RING, BLOCK = 1310720, 32768
"""What both tapers ask for."""
NAMES, NAME = 184, 50
"""Where the names of semaphores and data are in the control block, and how long each is."""
READ_OFFSET = 64


class Consumer:
    """One ring, made here. :ivar name: of its control segment"""

    def __init__(self) -> None:
        pid = os.getpid()
        create = posix_ipc.O_CREX
        self.name = f"/amanda_shm_control-{pid}-0"
        names = [f"/amanda_sem_{kind}-{pid}-{at}" for at, kind in enumerate(KINDS, 1)]
        names.append(f"/amanda_shm_data-{pid}-5")
        self._control = posix_ipc.SharedMemory(self.name, create, size=CONTROL)
        self._semaphores = [posix_ipc.Semaphore(name, create) for name in names[:-1]]
        self._write, self._read = self._semaphores[:2]
        self._segment = posix_ipc.SharedMemory(names[-1], create)
        self._map = mmap.mmap(self._control.fd, CONTROL)
        for number, name in enumerate(names):
            at = NAMES + number * NAME
            self._map[at : at + len(name)] = name.encode()
        self._longs = memoryview(self._map).cast("Q")
        self._ints = memoryview(self._map).cast("i")
        self._ints[PIDS // 4] = pid
        self._longs[CONSUMER_RING // 8] = RING
        self._longs[CONSUMER_BLOCK // 8] = BLOCK
        self._write.release()
        self._taken = 0
        self._size = 0

    def negotiate(self) -> None:
        """Wait for a producer, and for the size it chooses."""
        self._read.acquire(PATIENCE)
        self._size = self._longs[RING_SIZE // 8]

    def stretches(self) -> Iterator[memoryview]:
        """What is there, as it lies in the ring, until the end; each to be freed before the next.

        :raise posix_ipc.BusyError: the producer is silent for too long
        """
        data = memoryview(mmap.mmap(self._segment.fd, self._size))
        while True:
            ended = self._ints[EOF_FLAG // 4]
            there = self._longs[WRITTEN // 8] - self._taken
            if there:
                at = self._taken % self._size
                yield data[at : min(at + there, self._size)]
            elif ended:
                return
            else:
                self._read.acquire(PATIENCE)

    def free(self, size: int) -> None:
        """Let the producer use the room of so many bytes again."""
        self._taken += size
        self._longs[READX // 8] = self._taken
        self._longs[READ_OFFSET // 8] = self._taken % self._size
        self._write.release()

    def close(self) -> None:
        """Take all objects away. The producer has them open, and ends in its own time."""
        self._write.release()
        for thing in (*self._semaphores, self._segment, self._control):
            thing.unlink()
