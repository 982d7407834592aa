"""Where things stand in the drawings; the templates draw them. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence

from attrs import frozen

from taper.people.telling import count, moment, size
from taper.people.web.books import Night
from taper.people.web.timeline import Bar, How, Timeline, What

# A volume

BAR_WIDTH = 1000
"""Units in which a bar is divided."""
MOST_SEGMENTS = 48


@frozen(kw_only=True)
class Segment:
    """Some parts of a volume, beside each other.

    :ivar at: where it begins, in units of the bar.
    :ivar shade: changes from dump to dump.
    :ivar broken: a part among them is not good.
    """

    at: float
    width: float
    shade: int
    broken: bool


def segments(
    parts: Sequence[tuple[int, int, bool]], capacity: int | None, most: int = MOST_SEGMENTS
) -> list[Segment]:
    """A volume as a bar.

    :param parts: in order: number of the dump, bytes, whether it is broken
    :param capacity: bytes; None: not known
    """
    used = sum(part[1] for part in parts)
    whole = max(used, capacity or 0, 1)
    step = math.ceil(len(parts) / most) or 1
    found, done = [], 0
    for first in range(0, len(parts), step):
        group = parts[first : first + step]
        length = sum(part[1] for part in group)
        found.append(
            Segment(
                at=round(done / whole * BAR_WIDTH, 1),
                width=round(length / whole * BAR_WIDTH, 1),
                shade=group[0][0] % 2,
                broken=any(part[2] for part in group),
            )
        )
        done += length
    return found


# Months

WEEKS = 53
_CELL = 14
_LEVELS = 4


@frozen(kw_only=True)
class Day:
    """One day of the heat map.

    :ivar x: of its cell.
    :ivar level: 0: nothing was written; up to 4: the most.
    :ivar stamp: of the night that it leads to; None: there was none.
    :ivar text: the same in words.
    """

    x: int
    y: int
    level: int
    well: bool
    stamp: str | None
    text: str


@frozen(kw_only=True)
class HeatMap:
    """A year of nights.

    :ivar months: where their names stand.
    """

    days: tuple[Day, ...]
    months: tuple[tuple[int, str], ...]
    width: int = WEEKS * _CELL
    height: int = 7 * _CELL


def heat_map(nights: Iterable[Night], now: float) -> HeatMap:
    """The last year.

    :param now: seconds since the epoch
    """
    by_day: dict[str, list[Night]] = {}
    for night in nights:
        by_day.setdefault(night.stamp[:8], []).append(night)
    today = time.localtime(now)
    first = (WEEKS - 1) * 7 + today.tm_wday
    days, months = [], []
    shown = list(_days_before(today, first))
    most = max((_size(by_day.get(name, ())) for name in shown), default=0)
    for number, name in enumerate(shown):
        x, y = number // 7 * _CELL, number % 7 * _CELL
        if (name.endswith("01") or number == 0) and x < (WEEKS - 3) * _CELL:
            months.append((x, f"{name[:4]}-{name[4:6]}"))
        days.append(_day(name, by_day.get(name, []), most, x, y))
    if len(months) > 1 and months[1][0] - months[0][0] < 4 * _CELL:
        del months[0]  # there is no room for both
    return HeatMap(days=tuple(days), months=tuple(months))


def _days_before(today: time.struct_time, many: int) -> Iterable[str]:
    for back in range(many, -1, -1):
        noon = (today.tm_year, today.tm_mon, today.tm_mday - back, 12, 0, 0, 0, 0, -1)
        yield time.strftime("%Y%m%d", time.localtime(time.mktime(noon)))


def _size(nights: Iterable[Night]) -> int:
    return sum(night.size for night in nights)


def _day(name: str, nights: list[Night], most: int, x: int, y: int) -> Day:
    written = _size(nights)
    level = math.ceil(written / most * _LEVELS) if most else 0
    bad = [night for night in nights if not night.is_well]
    words = "no run"
    if nights:
        dumps = count(sum(len(night.dumps) for night in nights), "dump")
        words = f"{dumps}, {size(written)}, {'something failed' if bad else 'all is well'}"
    return Day(
        x=x,
        y=y,
        level=max(level, 1) if nights else 0,
        well=not bad,
        stamp=(bad or nights)[0].stamp if nights else None,
        text=f"{moment(name)}: {words}",
    )


# A run

_LEFT = 170
_RIGHT = 20
_WIDTH = 1100
_ROW = 30
_TOP = 8
_HELD = 90
"""Height of the curve of the holding disk."""
_TICKS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_MOST_TICKS = 10


@frozen(kw_only=True)
class Box:
    """A bar as it is drawn.

    :ivar kind: its class in the style sheet.
    :ivar text: what it says to whoever points at it.
    """

    x: float
    y: float
    width: float
    height: float
    kind: str
    bad: bool
    text: str
    label: str = ""


@frozen(kw_only=True)
class Drawing:
    """A run as it is drawn.

    :ivar rows: where their names stand.
    :ivar ticks: places on the axis.
    :ivar curve: points of the holding disk's area; "": nothing was ever held.
    :ivar curve_top: where the curve's box begins.
    """

    width: int
    height: int
    left: int
    rows: tuple[tuple[float, str], ...]
    boxes: tuple[Box, ...]
    ticks: tuple[tuple[float, str], ...]
    bottom: float
    curve: str
    curve_top: float
    curve_text: str


_PLACES = {
    # what: place in its row, height
    What.DUMP: (4, 22),
    What.WRITE: (2, 12),
    What.PART: (2, 12),
    What.WAIT: (2, 12),
    What.VOLUME: (17, 9),
}


def draw(line: Timeline) -> Drawing:
    """Put a run on paper."""
    seconds = max(line.seconds, 1.0)
    scale = (_WIDTH - _LEFT - _RIGHT) / seconds
    rows = {row: _TOP + number * _ROW for number, row in enumerate(line.rows)}
    bottom = _TOP + len(rows) * _ROW
    bars = sorted(line.bars, key=lambda bar: bar.what is What.PART)  # they lie upon their dumps
    boxes = tuple(_box(bar, rows[bar.row], scale) for bar in bars)
    curve_top = bottom + 14.0
    curve, text = _curve(line, scale, curve_top)
    end = curve_top + _HELD if curve else float(bottom)
    return Drawing(
        width=_WIDTH,
        height=int(end) + 30,
        left=_LEFT,
        rows=tuple((y + _ROW / 2 + 4, row) for row, y in rows.items()),
        boxes=boxes,
        ticks=tuple((_LEFT + at * scale, clock(at)) for at in _ticks(seconds)),
        bottom=end,
        curve=curve,
        curve_top=curve_top,
        curve_text=text,
    )


def _box(bar: Bar, top: int, scale: float) -> Box:
    down, height = _PLACES[bar.what]
    width = max((bar.end - bar.begin) * scale, 1.0)
    took = f"{clock(bar.begin)} to {clock(bar.end)}"
    words = [f"{bar.what.value}: {bar.text}" if bar.text else bar.what.value, took]
    if bar.how is not How.WELL:
        words.append(f"{bar.how.value}{bar.why and f': {bar.why}'}")
    label = bar.text if bar.what in (What.DUMP, What.VOLUME) else ""
    return Box(
        x=round(_LEFT + bar.begin * scale, 1),
        y=top + down,
        width=round(width, 1),
        height=height,
        kind=bar.what.name.lower(),
        bad=bar.how in (How.BADLY, How.PARTLY),
        text=", ".join(words),
        label=label[: int(width / 7)] if width > 40 else "",
    )


def _curve(line: Timeline, scale: float, top: float) -> tuple[str, str]:
    most = max((used for _, used in line.held), default=0)
    if not most:
        return "", ""
    whole = max(line.room, most)
    floor = top + _HELD
    points, level = [(_LEFT * 1.0, floor)], floor
    for at, used in line.held:
        x = _LEFT + at * scale
        points.append((x, level))
        level = floor - used / whole * _HELD
        points.append((x, level))
    points += [(_LEFT + line.seconds * scale, level), (_LEFT + line.seconds * scale, floor)]
    text = f"holding disks: {size(most)} of {size(whole)} at most"
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points), text


def _ticks(seconds: float) -> Iterable[int]:
    step = next((one for one in _TICKS if seconds / one <= _MOST_TICKS), None)
    if step is None:
        step = math.ceil(seconds / _MOST_TICKS / _TICKS[-1]) * _TICKS[-1]
    return range(0, int(seconds) + 1, step)


def clock(seconds: float) -> str:
    """Seconds since the run began, as ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
