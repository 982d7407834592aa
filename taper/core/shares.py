"""Who waited for whom while parts were written."""

from __future__ import annotations

from protocols.records import Record


class Shares(Record):
    """Who waited for whom while a part, or a dump, was written.

    :ivar seconds: that it took to write.
    :ivar empty: share of them in which the device waited for data; None: nobody here can know.
    :ivar full: share in which the source waited for the device; likewise.
    """

    seconds: float
    empty: float | None
    full: float | None

    def __str__(self) -> str:
        if self.empty is None and self.full is None:
            return f"{self.seconds:.3f} s; who waited for whom cannot be seen from here"
        waited = [f"of these the device waited {_percent(self.empty)} for data"]
        if self.full is not None:
            waited.append(f"the source {_percent(self.full)} for the device")
        return f"{self.seconds:.3f} s; {', '.join(waited)}"


NOT_WRITTEN = Shares(0.0, None, None)
"""Of what was not written."""


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0.0):.0f} %"


class Waited:
    """Seconds that add up."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.data: float | None = None
        self.room: float | None = None

    def add(self, seconds: float, data: float | None, room: float | None) -> None:
        self.seconds += seconds
        if data is not None:
            self.data = (self.data or 0.0) + data
        if room is not None:
            self.room = (self.room or 0.0) + room

    def shares(self) -> Shares:
        return Shares(
            round(self.seconds, 3),
            _share(self.data, self.seconds),
            _share(self.room, self.seconds),
        )


def _share(part: float | None, whole: float) -> float | None:
    if part is None:
        return None
    return round(min(max(part / whole, 0.0), 1.0), 3) if whole > 0 else 0.0
