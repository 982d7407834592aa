"""Draws what was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.bench.axes import AXES, BY_NAME, Axis
from tests.bench.bounds import COST, MEMORY, RATE, Row
from tests.bench.charts import Bars, Panel, bars, growth
from tests.bench.figures import COLUMNS, LIMIT, OURS, STOCK, Measured
from tests.bench.results import Results

THROUGHPUT, CPU, GROWTH = "throughput.svg", "cpu.svg", "growth.svg"


def write_plots(results: Results, directory: Path) -> list[Path]:
    """Write all plots that there are figures for. :return: their files"""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in PLOTS.items():
        text = draw(results)
        if text:
            (directory / name).write_text(text)
            written.append(directory / name)
    return written


def _groups(results: Results, row: Row) -> list[Bars]:
    groups = []
    for measured in results.cases:
        if not BY_NAME[measured.name].large:
            continue
        values = {}
        for column in COLUMNS:
            found = [row.get(one[column]) for one in measured.rounds if column in one]
            if any(found):
                values[column] = (median(found), min(found), max(found))
        groups.append(Bars(_label(measured), values))
    return groups


def _label(measured: Measured) -> str:
    case = BY_NAME[measured.name]
    return f"{measured.name} ({case.ground.short})"


def _throughput(results: Results) -> str:
    groups = _groups(results, RATE)
    return bars("Throughput: more is better", "MB/s", groups) if groups else ""


def _cpu(results: Results) -> str:
    groups = _groups(results, COST)
    return bars("CPU of a dump: less is better", "s/GiB", groups) if groups else ""


def _growth(results: Results) -> str:
    panels = [
        _panel(axis, row, points)
        for axis in AXES
        for row in dict.fromkeys((axis.row, *([MEMORY] if axis.remembers else [])))
        if (points := [one for one in results.growth if one.name == axis.name])
    ]
    return growth("How the cost grows", panels) if panels else ""


def _panel(axis: Axis, row: Row, points: list[Measured]) -> Panel:
    series = {}
    for column in (OURS, STOCK, LIMIT):
        found = [
            (float(point.value), median([row.get(one[column]) for one in point.rounds]))
            for point in sorted(points, key=lambda point: point.value)
            if column in point.rounds[0]
        ]
        if any(value for _, value in found):
            series[column] = found
    title = f"{row.name[0].upper()}{row.name[1:]}, by {axis.what}"
    return Panel(title, axis.what, row.unit, series)


PLOTS: dict[str, Callable[[Results], str]] = {
    THROUGHPUT: _throughput,
    CPU: _cpu,
    GROWTH: _growth,
}
