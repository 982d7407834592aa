"""Who sends a dump into a mover's data connection: a thread of ours, or another mover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import Deferred, succeed

if TYPE_CHECKING:
    from devices.interfaces import ILane
    from protocols.crc import Crc
    from taper.plane.pusher import Pusher


class ISender(Protocol):
    """The other end of a data connection, as far as we know of it."""

    @property
    def finished(self) -> bool:
        """All was sent, and the connection is ended in good order."""

    @property
    def size(self) -> int:
        """Bytes sent."""

    @property
    def broken(self) -> str | None:
        """The connection broke and the sender knows no reason; the other end may be to blame."""

    def crc(self) -> Crc:
        """Of what was sent, if somebody counted."""

    def take_errors(self) -> list[str]:
        """What went wrong at the source since this was last asked."""

    def settled(self) -> Deferred[None]:
        """Fires once the sender knows how it ended: it finished, it failed, or it broke."""

    def cancel(self) -> None:
        """Stop soon; safe to repeat."""

    def close(self) -> Deferred[None]:
        """Release everything."""


class ThreadSender:
    """A thread of ours that sends.

    :param lane: where closing blocks
    """

    def __init__(self, pusher: Pusher, lane: ILane) -> None:
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

    def cancel(self) -> None:
        self._pusher.cancel()

    def close(self) -> Deferred[None]:
        return self._lane.call_surely(self._pusher.close)
