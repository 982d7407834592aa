"""A tapelist in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred, execute
from zope.interface import implementer

from protocols.tapelist import Tapelist, TapelistEntry
from taper.core.interfaces import ITapelistStore


@implementer(ITapelistStore)
class FakeTapelistStore:
    """Answers at once.

    :ivar tapelist: the list; tests change it as another program would.
    :ivar fault: raised by the next reads and updates while set.
    :ivar reads: how often the list was read.
    """

    def __init__(self, entries: Iterable[TapelistEntry] = ()) -> None:
        self.tapelist = Tapelist()
        for entry in entries:
            self.tapelist = self.tapelist.adding(entry)
        self.fault: Exception | None = None
        self.reads = 0

    def read(self) -> Deferred[Tapelist]:
        self.reads += 1
        return execute(self._now)

    def _now(self) -> Tapelist:
        if self.fault is not None:
            raise self.fault
        return self.tapelist

    def update(self, change: Callable[[Tapelist], Tapelist]) -> Deferred[Tapelist]:
        def replace() -> Tapelist:
            self.tapelist = change(self._now())
            return self.tapelist

        return execute(replace)
