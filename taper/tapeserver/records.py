"""Memory between a data connection and a tape: whole records in their order, used in a circle.

While a run of them is written, what comes next is received behind it.
"""

from __future__ import annotations

from taper.plane.memory import allocate

RUN = 4 << 20
"""Bytes that are received and written at a time, or one record if that is more. Fewer cost a tenth
more of the processor's time (docs/performance.md)."""
RUNS = 2
"""There is room for so many: one is written while another one comes."""


def run_size(size: int) -> int:
    """:data:`RUN` in whole records of this size."""
    return max(RUN // size, 1) * size


class Records:
    """What came and is not on tape. One thread uses it; another may read what :meth:`run` gives.

    :ivar count: bytes of it, padding among them.
    """

    def __init__(self) -> None:
        self.count = 0
        self._padding = 0  # zeros of ours at its end
        self._first = 0
        self._size = 1
        self._run = 0
        self._memory = memoryview(b"")

    def fit(self, size: int) -> None:
        """Have memory for records of this size; what is there stays. No run may be on its way.

        :raise taper.plane.memory.NoMemory: there is none
        """
        if self._memory and size == self._size:
            return
        self.count -= self._padding  # the last record is filled up anew
        self._padding = 0
        run = run_size(size)
        wanted = max(RUNS, -(-self.count // run)) * run
        memory = allocate(wanted, large_pages=True)  # whole pages, as disks want them
        till_end = self._memory[self._first : self._first + self.count]
        memory[: len(till_end)] = till_end
        memory[len(till_end) : self.count] = self._memory[: self.count - len(till_end)]
        self._memory, self._run, self._size, self._first = memory, run, size, 0

    def room(self) -> memoryview:
        """Where to receive next, at most to the end of a run; empty: there is no room."""
        if not self.count:
            self._first = 0  # as little memory as will do is often in the processor's cache
        behind = (self._first + self.count) % len(self._memory)
        free = len(self._memory) - self.count
        return self._memory[behind : behind + min(free, self._run - behind % self._run)]

    def came(self, size: int) -> None:
        """The first bytes of the room are filled."""
        self.count += size

    def pad(self) -> None:
        """No more comes: fill up the last record with zeros."""
        missing = -self.count % self._size
        self.room()[:missing] = bytes(missing)  # no record lies across the end of a run
        self.count += missing
        self._padding += missing

    @property
    def whole(self) -> int:
        """Bytes of whole records."""
        return self.count - self.count % self._size

    def run(self, most: int) -> memoryview:
        """The first records, which stay until :meth:`written`.

        :param most: bytes, whole records
        """
        size = min(self.whole, most, self._run)
        return self._memory[self._first : self._first + size]  # to the end of the memory at most

    def real(self, size: int) -> int:
        """How many of the first ``size`` bytes came; the others are padding."""
        return size - max(self._padding - (self.count - size), 0)

    def written(self, size: int) -> None:
        """The first bytes are on tape: whole records."""
        self._padding -= size - self.real(size)
        self._first = (self._first + size) % len(self._memory)
        self.count -= size
