"""Two kinds of charts: bars beside each other, and how something grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.figures import COLUMNS, LIMIT, LOOP, OURS, STOCK
from tests.bench.svg import Drawing

NAMES = {
    OURS: "ours",
    STOCK: "Amanda's",
    LIMIT: "limit: the kernel alone, no checksum",
    LOOP: "a plain loop in Python",
}
WIDTH = 860
MARGIN = 16
TOP = 74
"""Below the title and the legend."""
TICKS = 5
BAR = 7
LABELS = 150
"""Pixels for the names of bars."""
PANEL_HEIGHT = 190
LOGARITHMIC = 40
"""Where the greatest value is so many times the least, only their ratios can be seen."""

Spread = tuple[float, float, float]
"""Median, least, greatest."""


def ticks(most: float, count: int = TICKS) -> list[float]:
    """Round numbers from 0 to the first that is not below ``most``."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(times * power for times in (1, 2, 2.5, 5, 10) if times * power >= rough * 0.999)
    return [step * number for number in range(math.ceil(most / step * 0.999) + 1)]


def decades(least: float, most: float) -> list[float]:
    """Powers of ten from below ``least`` to above ``most``."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def short(value: float) -> str:
    """A number for an axis."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.6g}"


@dataclass(frozen=True)
class Bars:
    """One workload. :ivar values: by column; what was not measured is not there"""

    label: str
    values: dict[str, Spread]


@dataclass(frozen=True)
class Panel:
    """One thing that grows. :ivar series: by column, points from left to right"""

    title: str
    across: str
    up: str
    series: dict[str, list[tuple[float, float]]]


def _legend(drawing: Drawing, columns: Sequence[str]) -> None:
    x = float(MARGIN)
    for column in columns:
        drawing.rect(x, 42, 12, 12, column)
        drawing.text(x + 18, 52, NAMES[column])
        x += 44 + 6.2 * len(NAMES[column])


def bars(title: str, unit: str, groups: Sequence[Bars]) -> str:
    """Horizontal bars, a group for each workload; a thin line goes from least to greatest."""
    used = [column for column in COLUMNS if any(column in group.values for group in groups)]
    height = TOP + 44 + sum(12 + (BAR + 1) * len(group.values) for group in groups)
    drawing = Drawing(WIDTH, height, title)
    _legend(drawing, used)
    marks = ticks(max(spread[0] for group in groups for spread in group.values.values()))
    scale = (WIDTH - LABELS - 2 * MARGIN - 30) / marks[-1]
    bottom = height - 38
    for mark in marks:
        x = LABELS + mark * scale
        drawing.line(x, TOP - 8, x, bottom, "grid")
        drawing.text(x, bottom + 16, short(mark), "small", "soft", "middle")
    drawing.text(WIDTH - MARGIN, bottom + 32, unit, "small", "soft", "end")
    y = float(TOP)
    for group in groups:
        tall = (BAR + 1) * len(group.values)
        drawing.text(LABELS - 10, y + tall / 2 + 4, group.label, at="end")
        for column, (middle, least, most) in group.values.items():
            said = f"{NAMES[column]}: {middle:.4g} {unit} ({least:.4g} to {most:.4g})"
            drawing.rect(LABELS, y, middle * scale, BAR, column, said)
            reach = min(most, marks[-1]) * scale
            drawing.line(LABELS + least * scale, y + BAR / 2, LABELS + reach, y + BAR / 2, "ink")
            y += BAR + 1
        y += 12
    drawing.line(LABELS, TOP - 8, LABELS, bottom, "soft")
    return drawing.finish()


def growth(title: str, panels: Sequence[Panel]) -> str:
    """Panels, two beside each other; across goes by ratios, up from 0 or, if it must, by ratios."""
    height = TOP + (PANEL_HEIGHT + 84) * math.ceil(len(panels) / 2)
    drawing = Drawing(WIDTH, height, title)
    _legend(drawing, [name for name in COLUMNS if any(name in panel.series for panel in panels)])
    for number, panel in enumerate(panels):
        left = MARGIN + 56 + (number % 2) * WIDTH / 2
        _panel(drawing, panel, left, TOP + 26 + (number // 2) * (PANEL_HEIGHT + 84))
    return drawing.finish()


def _panel(drawing: Drawing, panel: Panel, left: float, top: float) -> None:
    wide, bottom = WIDTH / 2 - 64 - 2 * MARGIN, top + PANEL_HEIGHT
    points = [point for series in panel.series.values() for point in series]
    across = sorted({x for x, _ in points})
    least, most = min(y for _, y in points), max(y for _, y in points)
    by_ratio = least > 0 and most / least > LOGARITHMIC
    marks = decades(least, most) if by_ratio else ticks(most, 4)
    span = math.log(across[-1] / across[0]) or 1.0

    def at_x(x: float) -> float:
        return left + wide * math.log(x / across[0]) / span

    def at_y(y: float) -> float:
        if by_ratio:
            return bottom - PANEL_HEIGHT * math.log(y / marks[0]) / math.log(marks[-1] / marks[0])
        return bottom - PANEL_HEIGHT * y / marks[-1]

    drawing.text(left - 46, top - 16, panel.title, "head")
    for mark in marks:
        drawing.line(left, at_y(mark), left + wide, at_y(mark), "grid")
        drawing.text(left - 8, at_y(mark) + 4, short(mark), "small", "soft", "end")
    for x in across:
        drawing.line(at_x(x), bottom, at_x(x), bottom + 4, "soft")
        drawing.text(at_x(x), bottom + 18, short(x), "small", "soft", "middle")
    drawing.line(left, bottom, left + wide, bottom, "soft")
    drawing.text(left + wide, bottom + 34, panel.across, "small", "soft", "end")
    drawing.text(left + wide, top - 16, panel.up, "small", "soft", "end")
    for column, series in panel.series.items():
        drawing.lines([(at_x(x), at_y(y)) for x, y in series], column)
        for x, y in series:
            said = f"{NAMES[column]}, {short(x)} {panel.across}: {y:.4g} {panel.up}"
            drawing.dot(at_x(x), at_y(y), column, said)
