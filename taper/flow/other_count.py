"""How far the mover is that stores what another one sends, by its own count."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

MOST_ALIKE = 30
"""Answers with the same count, one a second at the end, of a mover that is waited for to have all,
or to see the end: nothing comes to it any more. Unless it never counts while it works: then it may
have all."""


class OtherCount:
    """What one connection's mover has counted.

    :param done: bytes of the dump that it had before
    :ivar bytes: that it has counted, those before included.
    :ivar awaited: somebody waits in :meth:`reach`.
    """

    def __init__(self, done: int) -> None:
        self.bytes = done
        self._alike = 0
        self._counts = False
        self._waiter: Deferred[None] | None = None

    @property
    def awaited(self) -> bool:
        return self._waiter is not None

    @property
    def stands_still(self) -> bool:
        """It is the same since many answers."""
        return self._alike >= MOST_ALIKE

    def look_again(self) -> None:
        """From now on it may stand still for as long as before."""
        self._alike = 0

    async def reach(self, size: int, ask: Callable[[], object]) -> bool:
        """Wait until so many bytes are counted.

        :param ask: lets the mover be asked, after which :meth:`hear` follows
        :return: they are, or nobody can tell, as it never counts while it works; False: it gets no
            more
        """
        self.look_again()
        while self.bytes < size:
            if self.stands_still:
                return not self._counts
            waiter = self._waiter = Deferred[None]()
            ask()
            try:
                await waiter
            finally:
                self._waiter = None
        return True

    def hear(self, stored: int, counted: int) -> bool:
        """An answer of the mover.

        :param stored: bytes of whole parts
        :return: somebody has waited for it
        """
        self._alike = self._alike + 1 if counted == self.bytes else 0
        self._counts = self._counts or counted > stored
        self.bytes = counted
        if self._waiter is None:
            return False
        self._waiter.callback(None)
        return True
