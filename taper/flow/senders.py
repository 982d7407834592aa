"""A thread of ours that sends a dump into a mover's data connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.interfaces import ILane
    from protocols.crc import Crc
    from taper.core.interfaces import Rest
    from taper.plane.pusher import Pusher


def _nobody() -> None:
    """Nobody has asked to be told yet."""


class ThreadSender:
    """A thread of ours that sends.

    :param lane: where closing blocks
    """

    def __init__(self, pusher: Pusher, lane: ILane) -> None:
        self.wants_progress: Callable[[], None] = _nobody
        self.tells_broken: Callable[[], None] = _nobody
        self._pusher = pusher
        self._lane = lane

    @property
    def finished(self) -> bool:
        return self._pusher.finished

    @property
    def size(self) -> int:
        return self._pusher.crc().size

    @property
    def broken(self) -> str | None:
        return self._pusher.broken

    def crc(self) -> Crc:
        return self._pusher.crc()

    def take_errors(self) -> list[str]:
        return self._pusher.take_errors()

    def settled(self) -> Deferred[None]:
        return succeed(None)  # it says why before it lets the connection end

    @property
    def goes_on(self) -> bool:
        return False

    def acknowledge(self, stored: int, written: int) -> None:
        """Nothing is kept."""

    def leave(self, stored: int) -> Deferred[Rest | None]:
        return succeed(None)

    def cancel(self) -> None:
        self._pusher.cancel()

    def close(self) -> Deferred[None]:
        return self._lane.call_surely(self._pusher.close)
