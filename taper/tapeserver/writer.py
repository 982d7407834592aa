"""Writes what a data connection brought, run after run, in a thread of its own if that is of use.

A disk that is written to past the page cache keeps whoever writes waiting, and so may a tape drive.
Meanwhile the drive's lane receives the next run. Only one of the two is at the tape at a time: the
lane looks at it no more until the run is over, and the run is over before the lane does anything
else. A tape that takes a run at once, as one in memory does, is written to in the lane: to hand
runs over would only cost processor's time.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, thread_time

from devices.crew import Crew
from devices.threads import ThreadRefused
from protocols.ndmp_server.interfaces import Progress, Tape, TapeEnd
from taper.plane.crc import RunningCrc
from taper.tapeserver.records import Records

NAME = "taper-tape-writer"
_Result = tuple[int, TapeEnd | None]


class RunWriter:
    """Used by one thread, which ends it by :meth:`close`.

    :ivar over: nothing is being written; :meth:`settle` need not wait.
    :param crc: of what is on tape
    :param told: called in the other thread when a run is over
    """

    def __init__(
        self,
        tape: Tape,
        progress: Progress,
        records: Records,
        crc: RunningCrc,
        told: Callable[[], None],
    ) -> None:
        self.over = True
        self._waits = True  # the last run has kept its thread waiting
        self._tape = tape
        self._progress = progress
        self._records = records
        self._crc = crc
        self._told = told
        self._crew = Crew(NAME)
        self._outcome: Callable[[], _Result] | None = None
        self._run = memoryview(b"")
        self._before = crc.snapshot()

    @property
    def idle(self) -> bool:
        """No run was begun that is not settled."""
        return self._outcome is None

    def write(self, room: int, *, behind: bool) -> None:
        """Write the first records, and sum them; :meth:`settle` tells what became of it.

        :param room: bytes that may be written; one record may
        :param behind: another thread may do it; else it is done by :meth:`settle`
        """
        size = self._progress.record_size
        self._run = run = self._records.run(max(room // size, 1) * size)
        self._before = self._crc.snapshot()
        if not (behind and self._waits and self._begin(run, size)):
            self._outcome = lambda: self._store(run, size)
        self._crc.update(run[: self._records.real(len(run))])

    def _store(self, run: memoryview, size: int) -> _Result:
        """Write a run, and see whether this thread had anything to do most of the time."""
        began, spent = monotonic(), thread_time()
        try:
            return self._tape.write_run(run, size)
        finally:
            self._waits = thread_time() - spent < (monotonic() - began) / 2

    def _begin(self, run: memoryview, size: int) -> bool:
        """:return: False: there is no thread to be had"""

        def work() -> _Result:
            try:
                return self._store(run, size)
            finally:
                self.over = True
                self._told()

        self.over = False
        try:
            results = self._crew.begin({0: work})
        except ThreadRefused:
            self.over = True
            return False

        def outcome() -> _Result:
            (result,) = results().values()
            if isinstance(result, Exception):
                raise result
            return result

        self._outcome = outcome
        return True

    def settle(self) -> TapeEnd | None:
        """Wait for the run, if there is one, and count what is on tape.

        :return: why not all of it is
        :raise OSError: or whatever else the tape raised; nothing of the run is counted
        """
        outcome, self._outcome = self._outcome, None
        if outcome is None:
            return None
        wrote = 0
        try:
            wrote, end = outcome()
        finally:
            if wrote < len(self._run):
                self._crc.restore(self._before)
                self._crc.update(self._run[: self._records.real(wrote)])
            self._count(wrote)
        return end

    def _count(self, size: int) -> None:
        real, progress = self._records.real(size), self._progress
        progress.position += size
        progress.moved += size if progress.counts_padding else real
        self._records.written(size)

    def close(self) -> None:
        """Nothing is written any more when this has returned."""
        try:
            self.settle()
        finally:
            self._crew.rest()
