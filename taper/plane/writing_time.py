"""How long the parts of a dump are written, and who waits for whom meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from taper.plane.interfaces import Waits


@frozen
class Spent:
    """Seconds of writing; as :class:`taper.plane.interfaces.Measured` has them."""

    seconds: float = 0.0
    without_data: float = 0.0
    without_room: float | None = 0.0


class WritingTime:
    """Counts while parts are written, and rests between them. Any thread."""

    def __init__(self, clock: Callable[[], float], waits: Callable[[], Waits]) -> None:
        """:param clock: monotonic seconds
        :param waits: of the stream
        """
        self._clock = clock
        self._waits = waits
        self._lock = threading.Lock()
        self._spent = Spent()
        self._began: tuple[float, Waits] | None = None

    def begin(self) -> None:
        """A part is written."""
        with self._lock:
            self._began = self._clock(), self._waits()

    def rest(self) -> None:
        """It is not, for now."""
        with self._lock:
            self._spent = self._so_far()
            self._began = None

    def spent(self) -> Spent:
        """Until this moment."""
        with self._lock:
            return self._so_far()

    def _so_far(self) -> Spent:
        if self._began is None:
            return self._spent
        began, (data_then, room_then) = self._began
        data, room = self._waits()
        spent = self._spent
        return Spent(
            spent.seconds + max(self._clock() - began, 0.0),
            spent.without_data + max(data - data_then, 0.0),
            None
            if room is None or room_then is None or spent.without_room is None
            else spent.without_room + max(room - room_then, 0.0),
        )
