"""Why a mover stopped, as its posts and its state tell it [ndmp 4.7]."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from attrs import frozen

from devices.errors import ConnectionBroken, DeviceError, DriveFailed
from protocols.ndmp.codes import HaltReason, MoverState, PauseReason
from protocols.ndmp.messages import NotifyMoverPaused

if TYPE_CHECKING:
    from protocols.ndmp.messages import MoverGetStateReply

_ROOM_REACHED = (PauseReason.EOW, PauseReason.SEEK)


@frozen
class Stop:
    """Why the mover stopped: ``pause`` or ``halt`` is not None."""

    pause: int | None = None
    halt: int | None = None

    @property
    def is_closed(self) -> bool:
        """The peer closed the connection."""
        return self.halt == HaltReason.CONNECT_CLOSED

    @property
    def is_room_reached(self) -> bool:
        """The window is at its end."""
        return self.pause in _ROOM_REACHED


def stop_of(post: Any) -> Stop:
    """As a post of the mover's tells it."""
    if isinstance(post, NotifyMoverPaused):
        return Stop(pause=int(post.reason))
    return Stop(halt=int(post.reason))


def stop_of_state(state: MoverGetStateReply) -> Stop:
    """As the state tells it, where the post was forgotten."""
    if state.state == MoverState.PAUSED:
        return Stop(pause=int(state.pause_reason))
    # what is IDLE again is at least no longer connected
    return Stop(halt=int(state.halt_reason or HaltReason.ABORTED))


def unexpected(stop: Stop, what: str = "waiting for accept") -> DeviceError:
    """The run ended badly; a peer that broke off says nothing about the volume.

    :param what: what was waited for, in stock's words
    """
    text = f"{what}: {describe(stop)}"
    broken = stop.halt == HaltReason.CONNECT_ERROR
    return ConnectionBroken(text) if broken else DriveFailed(text)


def describe(stop: Stop) -> str:
    """In stock's words, and with the reason."""
    if stop.pause is not None:
        reason = name_of(PauseReason, stop.pause)
        return f"got NOTIFY_MOVER_PAUSED, but not because of EOW or SEEK ({reason})"
    return f"unexpected NDMP_NOTIFY_MOVER_HALTED ({name_of(HaltReason, stop.halt or 0)})"


def name_of(kind: type[enum.IntEnum], value: int) -> str:
    """The name of a code, or its number if it has none."""
    return kind(value).name if value in set(kind) else str(value)
