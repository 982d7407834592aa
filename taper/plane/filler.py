"""The thread that reads a source ahead, into a ring and into a disk cache where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from devices.threads import start_thread
from taper.plane.interfaces import CacheError

if TYPE_CHECKING:
    import threading

    from taper.plane.cache import DiskCache
    from taper.plane.intake import Intake
    from taper.plane.ring import Ring


class Filler:
    """Fills a ring from a source, to the end of either.

    :param cache: gets the same bytes; its failure is told to the one who empties the ring
    """

    def __init__(self, intake: Intake, ring: Ring, cache: DiskCache | None = None) -> None:
        self._intake = intake
        self._ring = ring
        self._cache = cache
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """:raise ThreadRefused: nothing was begun"""
        self._thread = start_thread("taper-reader", self._read)

    def join(self) -> None:
        """Wait for the thread's end: the ring was stopped, and the source cancelled."""
        if self._thread is not None:
            self._thread.join()

    def _read(self) -> None:
        try:
            self._intake.prepare()  # here, where its failure is the end of one dump
            self._read_all()
        except BaseException as error:
            # whatever it was, nobody may wait for this thread for ever
            foreseen = self._intake.note(error, halted=self._ring.halted)
            self._ring.fail()
            if not foreseen:
                raise

    def _read_all(self) -> None:
        ring, intake, cache = self._ring, self._intake, self._cache
        if cache is not None and not self._keeps(cache.open):
            cache = None
        while (space := ring.space()) is not None:
            size = intake.read_into(space)
            if not size:
                ring.end()
                return
            if cache is not None and not self._keeps(cache.append, space[:size]):
                cache = None
            ring.publish(size)
        ring.leave()

    def _keeps(self, work: Callable[..., None], *args: object) -> bool:
        """Let the disk cache work. :return: False: it failed, which the writer has been told"""
        try:
            work(*args)
        except CacheError as error:
            self._ring.lose(str(error))
            return False
        return True
