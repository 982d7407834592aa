"""What is told of a dump that a worker writes, and of the part that is being written."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from protocols.status import clipped
from taper.core.shares import Waited

if TYPE_CHECKING:
    from protocols.driver.commands import WriteCommand
    from taper.core.interfaces import IMeasured

RATE_SECONDS = 5.0
"""Rates are those of so many seconds, about."""


class PartWatch:
    """The part that is being written."""

    def __init__(self, number: int, label: str, now: float, before: IMeasured | None) -> None:
        self.number = number
        self.label = label
        self.begun = now
        self.before = before


class DumpWatch:
    """The dump that a worker has.

    :ivar measure: how far it is; None: its data do not flow yet.
    """

    def __init__(self, command: WriteCommand, now: float) -> None:
        self.facts: Mapping[str, Any] = {
            "handle": clipped(command.handle),
            "host": clipped(command.hostname),
            "disk": clipped(command.diskname),
            "datestamp": clipped(command.datestamp),
            "level": clipped(command.level),
            "command": command.name,
            "begun": now,
        }
        self.measure: Callable[[], IMeasured] | None = None
        self.part: PartWatch | None = None
        self.waited = Waited()
        self.stored = 0
        self.parts = 0
        self._samples: deque[tuple[float, int | None, int]] = deque()

    def record(self, now: float) -> dict[str, Any]:
        return {**self.facts, "progress": self.progress(now)}

    def progress(self, now: float) -> dict[str, Any]:
        measured = None if self.measure is None else self.measure()
        written = 0 if measured is None else measured.written
        read = None if measured is None else measured.read
        return {
            "read": read,
            "written": written,
            "stored": self.stored,
            "parts": self.parts,
            "rates": self._rates(),
            "part": None if self.part is None else self._part_now(self.part, measured, now),
        }

    def sample(self, now: float) -> None:
        """Take note of how far it is, for the rates."""
        if self.measure is None:
            return
        measured, samples = self.measure(), self._samples
        if samples and now <= samples[-1][0]:
            return  # the clock was set back, or nothing can be told so soon
        while len(samples) > 1 and samples[1][0] < now - RATE_SECONDS:
            samples.popleft()
        samples.append((now, measured.read, measured.written))

    def _rates(self) -> dict[str, int | None] | None:
        if len(self._samples) < 2:
            return None
        (began, read_then, then), (now, read_now, written) = self._samples[0], self._samples[-1]
        seconds = now - began
        source: int | None = None
        if read_then is not None and read_now is not None:
            source = round(max(read_now - read_then, 0) / seconds)
        return {"source": source, "device": round(max(written - then, 0) / seconds)}

    def _part_now(self, part: PartWatch, measured: IMeasured | None, now: float) -> dict[str, Any]:
        shares = waited_since(part, measured, now).shares()
        written = 0
        if measured is not None:
            written = max(measured.written - (part.before.written if part.before else 0), 0)
        return {
            "number": part.number,
            "label": clipped(part.label),
            "begun": part.begun,
            "written": written,
            "seconds": shares.seconds,
            "empty": shares.empty,
            "full": shares.full,
        }


def waited_since(part: PartWatch, measured: IMeasured | None, now: float) -> Waited:
    """What was waited from the part's begin until now."""
    waited, before = Waited(), part.before
    if measured is None or before is None or measured.seconds is None or before.seconds is None:
        waited.add(max(now - part.begun, 0.0), None, None)
        return waited
    waited.add(
        max(measured.seconds - before.seconds, 0.0),
        _less(measured.without_data, before.without_data),
        _less(measured.without_room, before.without_room),
    )
    return waited


def _less(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else max(now - before, 0.0)
