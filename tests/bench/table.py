"""From figures to a table of at most 100 columns, and to a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from tests.bench.runs import Figures


@dataclass(frozen=True)
class Row:
    """One figure: what it is called, how it is shown, what must hold.

    :ivar low: the median of the ratios ours/stock must not be below; None: no such bound.
    :ivar high: nor above.
    :ivar most: none of our values may be above.
    """

    name: str
    unit: str
    places: int
    get: Callable[[Figures], float]
    low: float | None = None
    high: float | None = None
    most: float | None = None


START = Row("TAPER-OK after", "s", 3, lambda figures: figures.start, high=1.2)
CPU = Row("CPU, process", "s", 3, lambda figures: figures.cpu, high=1.2)
DUMP_CPU = Row("CPU, dump only", "s", 2, lambda figures: figures.dump_cpu)
RATE = Row("rate", "MB/s", 0, lambda figures: figures.rate, low=0.8)
STRAIGHT_RATE = replace(RATE, low=0.95)
SHARE = Row("CPU in flow", "%", 1, lambda figures: figures.share, most=2.0)
MEMORY = Row("peak memory", "MiB", 1, lambda figures: figures.memory, most=80.0)

DUMP_ROWS = (RATE, CPU, DUMP_CPU, MEMORY)
STRAIGHT_ROWS = (STRAIGHT_RATE, replace(CPU, high=None), SHARE, MEMORY)
GROWN_ROWS = (START, CPU, MEMORY)
SMALL_ROWS = (replace(RATE, places=2), *DUMP_ROWS[1:])
START_ROWS = (START, replace(CPU, high=None), MEMORY)

Pair = tuple[Figures, Figures]
"""Ours, stock."""


@dataclass(frozen=True)
class Verdict:
    """A row of a case, judged.

    :ivar ratio: median of the pairwise ratios ours/stock.
    :ivar holds: None: nothing was demanded.
    """

    row: Row
    ours: tuple[float, float, float]
    stock: tuple[float, float, float]
    ratio: float
    ratios: tuple[float, float]
    bound: str
    holds: bool | None


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and greatest."""
    return median(values), min(values), max(values)


def judge(row: Row, pairs: Sequence[Pair]) -> Verdict:
    """Compare one figure over all pairs."""
    ours = [row.get(pair[0]) for pair in pairs]
    stock = [row.get(pair[1]) for pair in pairs]
    # a dump of no length takes no tick of CPU
    ratios = [a / b if b else 1.0 for a, b in zip(ours, stock, strict=True)]
    ratio = median(ratios)
    bound, holds = "", None
    if row.low is not None:
        bound, holds = f">= {row.low}", ratio >= row.low
    if row.high is not None:
        bound, holds = f"<= {row.high}", ratio <= row.high
    if row.most is not None:
        bound, holds = f"<= {row.most:.0f} {row.unit}", max(ours) <= row.most
    return Verdict(
        row, spread(ours), spread(stock), ratio, (min(ratios), max(ratios)), bound, holds
    )


def _three(values: tuple[float, float, float], places: int) -> str:
    middle, least, most = (f"{value:.{places}f}" for value in values)
    return f"{middle} ({least} {most})"


def render(title: str, verdicts: Sequence[Verdict]) -> str:
    """The table of one case: medians, in brackets least and greatest."""
    form = "{:<18}{:<22}{:<22}{:<18}{:<11}{}"
    lines = [title, form.format("", "ours", "stock", "ours/stock", "must be", "").rstrip()]
    for verdict in verdicts:
        row = verdict.row
        word = {True: "holds", False: "BROKEN", None: ""}[verdict.holds]
        lines.append(
            form.format(
                f"{row.name}, {row.unit}",
                _three(verdict.ours, row.places),
                _three(verdict.stock, row.places),
                _three((verdict.ratio, *verdict.ratios), 2),
                verdict.bound,
                word,
            ).rstrip()
        )
    return "\n".join(lines)
