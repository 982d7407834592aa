"""Puts figures and plots into ``docs/performance.md``, between its marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from tests.bench.axes import BY_NAME
from tests.bench.bounds import (
    COST,
    LIFE,
    MEMORY,
    PAGE,
    RATE,
    SHARE,
    SHORT_TIME,
    SLOW_RATE,
    SPREAD,
    STALL,
    START,
    STOPS,
    TIME,
    Row,
    bounds,
    judge,
    judgeable,
    ratios,
)
from tests.bench.figures import COLUMNS, LIMIT, OURS, STOCK, Measured
from tests.bench.plots import write_plots
from tests.bench.results import Results
from tests.installation import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"
PLACE = ROOT / "docs" / "performance"
"""Of plots, and of the figures."""
FIGURES = PLACE / "figures.json"
FIRST, LAST = "<!-- figures -->", "<!-- end of figures -->"

Line = Sequence[str]


def write_documents(results: Results) -> None:
    """Write the figures, the plots, and the tables made from them."""
    write_plots(results, PLACE)
    results.save(FIGURES)
    DOCUMENT.write_text(with_figures(DOCUMENT.read_text(), results))


def with_figures(text: str, results: Results) -> str:
    """The document with these figures in the place of those it has.

    :raise ValueError: it has no place for them
    """
    before, _, rest = text.partition(FIRST)
    _, mark, after = rest.partition(LAST)
    if not mark:
        raise ValueError(f"the document has no {FIRST} ... {LAST}")
    tables = [
        _table(("", ""), [*results.about.items(), *_others(results)]),
        _table(_HEADS, [_line(one) for one in results.cases]),
        _table(("workload", "must hold", "is", ""), _verdicts(results)),
        _table(_GROWTH_HEADS, [_growth_line(one) for one in results.growth]),
    ]
    return "\n\n".join([before + FIRST, *filter(None, tables), LAST + after])


def _others(results: Results) -> list[Line]:
    """What was measured of other versions of ours, and of which."""
    names: dict[str, dict[str, None]] = {}
    for one in (*results.cases, *results.growth):
        if one.at:
            names.setdefault(one.at, {})[one.name] = None
    return [(f"but of {', '.join(its)}", at) for at, its in names.items()]


def _table(heads: Line, lines: Iterable[Line]) -> str:
    """In Markdown; empty if there are no lines."""
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *rows] if rows else [])


_HEADS = (
    *("workload", "", "ours", "Amanda's", "limit", "plain loop", "ours/Amanda's"),
    *("share of limit", "CPU", "ours", "Amanda's", "ours/Amanda's", "memory, MiB"),
)


def _line(one: Measured) -> Line:
    case = BY_NAME[one.name]
    speed, cost = (RATE, COST) if case.large else (START, LIFE)
    if case.grown == "dumps":
        speed, cost = SLOW_RATE, COST
    if case.read and not case.large:
        speed = TIME if case.grown else SHORT_TIME
    if case.way.name == "DIRECT":
        cost = SHARE
    if case.way.name == "TAPE":
        speed = cost = STOPS
    if case.way.changes:
        speed = cost = STALL
    if case.way.name == "PAGE":
        speed = cost = PAGE
    beside, limited = STOCK in one.rounds[0], LIMIT in one.rounds[0]
    memory = max(MEMORY.get(each[OURS]) for each in one.rounds)
    return (
        f"**{one.name}**: {one.title}",
        "s to TAPER-OK" if speed is START else speed.unit,
        *(_median(one, speed, column) for column in COLUMNS),
        f"{median(ratios(speed, one.rounds, STOCK)):.2f}" if beside else "",
        f"{median(ratios(speed, one.rounds, LIMIT)):.2f}" if limited else "",
        cost.unit,
        *(_median(one, cost, column) for column in (OURS, STOCK)),
        f"{median(ratios(cost, one.rounds, STOCK)):.2f}" if beside else "",
        f"{memory:.0f}" if memory else "",
    )


def _median(one: Measured, row: Row, column: str) -> str:
    values = [row.get(each[column]) for each in one.rounds if column in each]
    there = any(values) or (row is STOPS and values)
    return f"{median(values):.{row.places}f}" if there else ""


def _verdicts(results: Results) -> list[Line]:
    words = {True: "holds", False: "**does not hold**"}
    lines: list[Line] = []
    for one in results.cases:
        for bound in judgeable(bounds(BY_NAME[one.name]), one.rounds):
            verdict = judge(bound, one.rounds)
            word = words[verdict.holds] if results.idle else "not judged: busy"
            lines.append((one.name, bound.text, f"{verdict.value:.3g}", word))
    return lines


_GROWTH_HEADS = (
    *("ours / Amanda's", "time of a dump, s", "CPU, s/GiB", "s to TAPER-OK", "memory, MiB"),
    "slowest/fastest dump",
)
_GROWTH_ROWS = (
    Row("time", "s", 4, lambda figures: figures.seconds),
    COST,
    START,
    MEMORY,
    SPREAD,
)


def _growth_line(one: Measured) -> Line:
    cells = [one.title]
    for row in _GROWTH_ROWS:
        pair = [_median(one, row, column) for column in (OURS, STOCK)]
        cells.append(" / ".join(pair) if any(pair) else "")
    return cells
