"""How a run went, as the driver tells it while it goes [protocol 1]: what amplot draws.

Pure: lines of an ``amdump.<datestamp>`` file go in, values come out. All of it comes from dumpers
and tapers of other hosts and versions, so whatever is not understood is passed over, and all of it
is bounded.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

from attrs import define, field, frozen

from protocols.quoting import split_line, unquote

MOST_BARS = 4000
MOST_ROWS = 64
MOST_POINTS = 600
_MOST_LETTERS = 300
"""Of one text."""

_TIMED = re.compile(r"driver: ([A-Za-z-]+) time ([0-9]{1,9}(?:\.[0-9]{1,9})?)(?: (.*))?")
_TO = re.compile(r"(?:to|from) (\S{1,100}): (.*)")
_SPACE = re.compile(r" space: ([0-9]{1,18}) ")
_DISKSPACE = re.compile(r" diskspace ([0-9]{1,18}) ")

_ENDS = ("DONE", "FAILED", "PARTIAL", "TRY-AGAIN", "ABORT-FINISHED")
_WRITES = {
    # command of the taper: where host, disk and level stand
    "FILE-WRITE": (4, 5, 6),
    "PORT-WRITE": (3, 4, 5),
    "SHM-WRITE": (3, 4, 5),
    "VAULT-WRITE": (6, 7, 8),
}
_DUMPS = (5, 7, 9)
"""Where host, disk and level stand in a command of the dumper."""


class What(enum.Enum):
    """Kinds of bars."""

    DUMP = "dumped"
    WRITE = "written"
    PART = "part"
    WAIT = "waiting for a volume"
    VOLUME = "volume"


class How(enum.Enum):
    """How it ended."""

    WELL = "well"
    BADLY = "failed"
    PARTLY = "in part"
    OPEN = "not told"


@frozen(kw_only=True)
class Bar:
    """Something that took its time.

    :ivar row: who did it: a dumper, or a worker of a taper.
    :ivar begin: seconds since the run began.
    :ivar end: likewise.
    :ivar text: of which disk, or volume.
    :ivar why: what was said when it failed.
    """

    what: What
    row: str
    begin: float
    end: float
    text: str
    how: How = How.WELL
    why: str = ""


@frozen(kw_only=True)
class Timeline:
    """One run.

    :ivar seconds: that it took, or has taken so far.
    :ivar rows: in the order in which they are drawn.
    :ivar held: seconds, and bytes that were on holding disks from then on, or reserved there.
    :ivar room: bytes of all holding disks.
    :ivar finished: the driver came to its end.
    :ivar left_out: bars and rows that were too many.
    """

    seconds: float
    rows: tuple[str, ...]
    bars: tuple[Bar, ...]
    held: tuple[tuple[float, int], ...]
    room: int
    finished: bool
    left_out: int = 0


def read_timeline(lines: Iterable[str]) -> Timeline | None:
    """Read what the driver has told; None: no driver has.

    :param lines: with or without their ends
    """
    reader = _Reader()
    for line in lines:
        if line.startswith("driver: "):
            reader.take(line.rstrip("\r\n"))
    return reader.timeline()


@define
class _Begun:
    """A bar that has not ended.

    :ivar mark: where its next part begins.
    """

    what: What
    begin: float
    text: str
    mark: float = 0.0


@define
class _Reader:
    now: float = 0.0
    is_driver: bool = False
    finished: bool = False
    room: int = 0
    left_out: int = 0
    rows: dict[str, dict[What, _Begun]] = field(factory=dict)
    bars: list[Bar] = field(factory=list)
    held: list[tuple[float, int]] = field(factory=list)

    def take(self, line: str) -> None:
        found = _TIMED.match(line)
        if found is None:
            return
        word, rest = found[1], found[3] or ""
        self.is_driver = True
        self.now = max(self.now, float(found[2]))
        if word == "send-cmd" or word == "result":
            told = _TO.match(rest)
            if told is not None:
                words = [unquote(one)[:_MOST_LETTERS] for one in split_line(told[2])]
                (self._sent if word == "send-cmd" else self._heard)(told[1], words)
        elif word == "state":
            self._state(rest)
        elif word == "start":
            space = _DISKSPACE.search(rest)
            self.room = int(space[1]) * 1024 if space is not None else 0
        elif word == "FINISHED":
            self.finished = True

    def _state(self, rest: str) -> None:
        space = _SPACE.search(f" {rest}")
        if space is None:
            return
        used = max(self.room - int(space[1]) * 1024, 0)
        if not self.held or self.held[-1][1] != used:
            self.held.append((self.now, used))
            if len(self.held) > 2 * MOST_POINTS:
                self.held = _fewer(self.held)

    # commands

    def _sent(self, who: str, words: list[str]) -> None:
        command = words[0]
        if who.startswith("dumper") and command.endswith("-DUMP"):
            self._begin(who, What.DUMP, _name(words, _DUMPS))
        elif who.startswith("taper") and len(words) > 1:
            row = f"{who} {words[1]}"
            if command in _WRITES:
                self._begin(row, What.WRITE, _name(words, _WRITES[command]))
            elif command == "CLOSE-VOLUME":
                self._end(row, What.VOLUME)

    # replies

    def _heard(self, who: str, words: list[str]) -> None:
        reply = words[0]
        if who.startswith("dumper"):
            if reply in _ENDS:
                self._end(who, What.DUMP, _how(reply), _why(reply, words[2:]))
            return
        if not who.startswith("taper") or len(words) < 2:
            return
        row = f"{who} {words[1]}"
        if reply == "REQUEST-NEW-TAPE":
            self._end(row, What.VOLUME)
            self._begin(row, What.WAIT, "")
        elif reply == "NEW-TAPE":
            self._end(row, What.WAIT)
            self._begin(row, What.VOLUME, words[3] if len(words) > 3 else "")
            self._mark(row)
        elif reply == "NO-NEW-TAPE":
            self._end(row, What.WAIT, How.BADLY, " ".join(words[3:])[:_MOST_LETTERS])
        elif reply == "READY":
            self._mark(row)
        elif reply == "PARTDONE":
            self._part(row, words)
        elif reply in _ENDS:
            self._end(row, What.WAIT, How.OPEN)
            self._end(row, What.WRITE, _how(reply), _why(reply, words[5:]))

    def _mark(self, row: str) -> None:
        begun = self.rows.get(row, {}).get(What.WRITE)
        if begun is not None:
            begun.mark = self.now

    def _part(self, row: str, words: list[str]) -> None:
        begun = self.rows.get(row, {}).get(What.WRITE)
        if begun is None:
            return
        where = f", {words[3]} file {words[4]}" if len(words) > 4 else ""
        self._add(
            Bar(
                what=What.PART,
                row=row,
                begin=begun.mark,
                end=self.now,
                text=f"{begun.text}{where}",
            )
        )
        begun.mark = self.now

    # bars

    def _begin(self, row: str, what: What, text: str) -> None:
        if row not in self.rows and len(self.rows) >= MOST_ROWS:
            self.left_out += 1
            return
        self._end(row, what, How.OPEN)
        begun = _Begun(what, self.now, text, self.now)
        self.rows.setdefault(row, {})[what] = begun

    def _end(self, row: str, what: What, how: How = How.WELL, why: str = "") -> None:
        begun = self.rows.get(row, {}).pop(what, None)
        if begun is None:
            return
        self._add(
            Bar(
                what=what,
                row=row,
                begin=begun.begin,
                end=self.now,
                text=begun.text,
                how=how,
                why=why,
            )
        )

    def _add(self, bar: Bar) -> None:
        if len(self.bars) >= MOST_BARS:
            self.left_out += 1
        else:
            self.bars.append(bar)

    def timeline(self) -> Timeline | None:
        if not self.is_driver:
            return None
        for row, open_ones in self.rows.items():
            for what in tuple(open_ones):
                self._end(row, what, How.WELL if what is What.VOLUME else How.OPEN)
        return Timeline(
            seconds=self.now,
            rows=tuple(sorted(self.rows, key=_rank)),
            bars=tuple(sorted(self.bars, key=lambda bar: (bar.begin, bar.row))),
            held=tuple(_fewer(self.held) if len(self.held) > MOST_POINTS else self.held),
            room=self.room,
            finished=self.finished,
            left_out=self.left_out,
        )


def _name(words: list[str], places: tuple[int, int, int]) -> str:
    host, disk, level = (words[place] if place < len(words) else "?" for place in places)
    return f"{host}:{disk} level {level}"[:_MOST_LETTERS]


def _how(reply: str) -> How:
    if reply == "DONE":
        return How.WELL
    return How.PARTLY if reply == "PARTIAL" else How.BADLY


def _why(reply: str, words: list[str]) -> str:
    return "" if reply == "DONE" else " ".join(filter(None, words))[:_MOST_LETTERS]


def _fewer(points: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """Half as many; of two neighbours the one with more."""
    pairs = zip(points[::2], [*points[1::2], points[-1]], strict=False)
    return [max(pair, key=lambda point: point[1]) for pair in pairs]


def _rank(row: str) -> tuple[bool, int, str]:
    """Dumpers stand before tapers, and ``dumper2`` before ``dumper10``."""
    return row.startswith("taper"), len(row), row
