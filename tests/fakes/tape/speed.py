"""How fast a tape runs: its buffer, its speeds, and the times it had to stop and go back.

All in the time of a clock that the test turns. While the tape runs it empties the buffer, at one of
the speeds between the lowest and the native one: slower when the buffer is less than half full.
When the buffer is empty the tape stops behind where it was to go on, and has to go back before it
can: a *back-hitch*. It begins to run when the buffer is half full, or at a filemark, which waits
until all is written.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field


@define
class Speed:
    """The mechanics of a drive, by the laws above.

    :ivar native: bytes per second of the tape at its fastest.
    :ivar lowest: at its slowest.
    :ivar buffer: bytes.
    :ivar clock: seconds.
    :ivar wait: lets so many seconds pass.
    :ivar hitches: times that the tape stopped for want of data.
    :ivar filemarks: times that it stopped because a filemark wanted all written.
    """

    native: float
    lowest: float
    buffer: int
    clock: Callable[[], float]
    wait: Callable[[float], None]
    hitches: int = field(default=0, init=False)
    filemarks: int = field(default=0, init=False)
    _level: float = field(default=0.0, init=False)
    _running: bool = field(default=False, init=False)
    _since: float = field(default=0.0, init=False)

    def wrote(self, size: int) -> None:
        """A record comes; waits while the buffer has no room for it."""
        self._run()
        if self._level + size > self.buffer:
            self._running = True
            self.wait((self._level + size - self.buffer) / self._speed())
            self._run()
        self._level += size
        if self._level >= self.buffer / 2:
            self._running = True

    def flushed(self) -> None:
        """A filemark comes: waits until everything is on the tape, which then stops."""
        self._run()
        self.wait(self._level / self.native)
        self._since = self.clock()
        self._level, self._running = 0.0, False
        self.filemarks += 1

    def _speed(self) -> float:
        return self.native if self._level >= self.buffer / 2 else self.lowest

    def _run(self) -> None:
        """Let the tape run from when this was last asked until now."""
        now = self.clock()
        left, self._since = now - self._since, now
        while self._running and left > 0:
            speed = self._speed()
            floor = self.buffer / 2 if speed == self.native and speed > self.lowest else 0.0
            taken = min(left, (self._level - floor) / speed)
            self._level -= taken * speed
            left -= taken
            if floor:
                if left > 0:  # slower from here on
                    self._level = min(self._level, floor * (1 - 1e-12))
            elif left > 0:
                self._level, self._running = 0.0, False
                self.hitches += 1
