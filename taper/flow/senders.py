"""A thread of ours that sends a dump into a mover's data connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from taper.core.interfaces import Rest
from taper.flow.verdict import Waiting

if TYPE_CHECKING:
    from devices.interfaces import ILane
    from protocols.crc import Crc
    from taper.plane.pusher import Pusher


VERDICT_PATIENCE = 10.0
"""Seconds behind the mover's end of a data connection for that end to come here."""


def nobody() -> None:
    """Nobody has asked to be told yet."""


class ThreadSender:
    """A thread of ours that sends. See :class:`taper.flow.interfaces.ISender`.

    :param pusher: not started yet
    :param lane: where closing blocks
    :param again: what was sent and is not stored comes from what the pusher keeps; False: whoever
        goes on reads it from the dump's origin
    """

    def __init__(self, reactor: Any, pusher: Pusher, lane: ILane, *, again: bool) -> None:
        self.wants_progress: Callable[[], None] = nobody
        self.tells_broken: Callable[[], None] = nobody
        self.tail = None  # we have seen the peer take all of it
        self._pusher = pusher
        self._lane = lane
        self._again = again
        self._over = False
        self._late: str | None = None
        self._waiting = Waiting(reactor, self._too_late)
        pusher.kept.wants_progress = lambda: reactor.callFromThread(self._want_progress)
        pusher.tells_broken = lambda: reactor.callFromThread(self._tell_broken)
        pusher.tells_over = lambda: reactor.callFromThread(self._settle)

    def _want_progress(self) -> None:
        self._pusher.look()
        self.wants_progress()

    def _tell_broken(self) -> None:
        self.tells_broken()

    @property
    def finished(self) -> bool:
        return self._pusher.finished

    @property
    def delivered(self) -> bool:
        return self._pusher.delivered

    @property
    def size(self) -> int:
        return self._pusher.size

    @property
    def broken(self) -> str | None:
        return self._pusher.broken or self._late

    def crc(self) -> Crc:
        return self._pusher.crc()

    def take_errors(self) -> list[str]:
        return self._pusher.take_errors()

    def settled(self) -> Deferred[None]:
        if self._over or self._late is not None or not self.finished:
            return succeed(None)  # it says why before it lets the connection end
        return self._waiting.wait(VERDICT_PATIENCE)

    def _too_late(self) -> None:
        self._late = "the device has not ended the data connection that all was sent on"
        self._waiting.tell()

    def _settle(self) -> None:
        self._over = True
        self._waiting.tell()

    @property
    def goes_on(self) -> bool:
        return self._pusher.goes_on

    def acknowledge(self, stored: int, written: int, counted: int) -> None:
        self._pusher.kept.acknowledge(stored, written)

    def leave(self, stored: int) -> Deferred[Rest | None]:
        def left(done: Crc | None) -> Rest | None:
            if done is None:
                return None
            return Rest(done=done, source=self._pusher.kept.reader() if self._again else None)

        return self._lane.call(self._pusher.leave, stored, again=self._again).addCallback(left)

    def cancel(self) -> None:
        self._pusher.cancel()
        self._waiting.tell()

    def close(self) -> Deferred[None]:
        return self._lane.call_surely(self._pusher.close)
