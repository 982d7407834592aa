"""How far a dump is: a line for each volume, a live line between, a total."""

from __future__ import annotations

import time
from collections.abc import Callable

from protocols.driver import replies
from protocols.driver.messages import Message
from protocols.stats import parse_stats
from taper.demo.screen import Screen, count, mib, rate

_QUIET_SECONDS = 5.0
_BAR = 20


def row(name: str, what: str, size: int, seconds: float) -> str:
    """One line of a dump, also in 80 columns."""
    return f"  {name:<9} {what:<14} {mib(size):>12} {seconds:>8.2f} s {rate(size, seconds):>14}"


def bar(place: str, size: int, total: int, seconds: float) -> str:
    """The live line: where it is, how far, how fast."""
    done = "#" * int(min(size / max(total, 1), 1.0) * _BAR)
    speed = rate(size, seconds)
    return f"  {place:<18} [{done:<{_BAR}}] {mib(size):>9} of {mib(total):<9} {speed:>11}"


class Progress:
    """Watches one dump by what the taper says.

    :param total: bytes expected, about
    :param stored: asks how many bytes are on the volumes
    """

    def __init__(self, screen: Screen, total: int, stored: Callable[[], int]) -> None:
        self._screen = screen
        self._total = total
        self._stored = stored
        self._before = stored()
        self._began = time.monotonic()
        self._spoke = self._began
        self._size = 0
        self._parts = 0
        self._label = ""
        self._first_part = 1
        self._volume_size = 0
        self._volume_seconds = 0.0

    def heard(self, reply: Message) -> None:
        """Take in a reply of the taper."""
        if not isinstance(reply, replies.NewTape | replies.PartDone):
            return
        if reply.label != self._label:
            self.volume_over()
            self._label = reply.label
        if isinstance(reply, replies.PartDone):
            self._part_done(reply)

    def _part_done(self, reply: replies.PartDone) -> None:
        stats = parse_stats(reply.stats)
        self._parts += 1
        if stats is not None:
            self._size += stats.size
            self._volume_size += stats.size
            self._volume_seconds += stats.seconds
        now = time.monotonic()
        if not self._screen.live and now - self._spoke > _QUIET_SECONDS:
            self._spoke = now
            self._screen.line(self._so_far(self._size))

    def tick(self) -> None:
        """Show the live line."""
        if self._screen.live:
            self._screen.update(self._so_far(self._stored() - self._before))

    def _so_far(self, size: int) -> str:
        place = f"{self._label:<9} part {self._parts + 1}" if self._label else "finding a volume"
        return bar(place, size, self._total, time.monotonic() - self._began)

    def volume_over(self) -> None:
        """Say what this dump put on the volume it leaves."""
        if self._parts >= self._first_part:
            numbers = f"{self._first_part}-{self._parts}"
            what = f"part {self._parts}" if self._first_part == self._parts else f"parts {numbers}"
            self._screen.line(row(self._label, what, self._volume_size, self._volume_seconds))
            self._spoke = time.monotonic()
        self._first_part = self._parts + 1
        self._volume_size, self._volume_seconds = 0, 0.0

    def over(self, size: int) -> None:
        """Say how much it was in all, and the time that it really took."""
        seconds = time.monotonic() - self._began
        self._screen.line(row("all", count(self._parts, "part"), size, seconds))
