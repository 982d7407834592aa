"""Whether the volume of a part counts, where that is known only while the part is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class Standing:
    """Of the volume that parts are written on, one part at a time.

    :ivar unknown: nobody knows it yet: the sender must be told nothing, so that it keeps all.
    :ivar taken_back: it does not count, and the running part is to end soon.
    """

    def __init__(self) -> None:
        self.unknown = self.taken_back = False
        self._counts = True
        self._waiting: Deferred[bool] | None = None

    def begin(self, stands: Deferred[bool] | None, known: Callable[[], None]) -> None:
        """A part begins.

        :param stands: fires when it is known; None: the volume counts
        :param known: called if the volume turns out to count
        """
        self._counts = True
        if stands is None:
            return
        self.unknown = True

        def know(counts: bool) -> bool:
            if counts:
                self.unknown = False
                known()
            return counts

        self._waiting = stands.addCallback(know)

    async def counts(self) -> bool:
        """Wait until it is known, once; ask as often as you like."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._counts = await waiting
        return self._counts

    def end(self) -> None:
        """The part is over."""
        self._waiting = None
        self.unknown = self.taken_back = False
