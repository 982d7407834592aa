"""From figures to a table of at most 100 columns."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.bench.bounds import Row, Verdict, ratios
from tests.bench.figures import COLUMNS, LIMIT, OURS, STOCK, Measured, Round

_FORM = "{:<24}{:<21}{:<21}{:<9}{:<9}{:<9}{}"
_HEADS = ("ours", "stock", "limit", "loop", "ours/", "share")
_MORE = ("", "", "", "", "stock", "of limit")


def _three(values: Sequence[float], places: int) -> str:
    middle, least, most = (
        f"{value:.{places}f}" for value in (median(values), min(values), max(values))
    )
    return f"{middle} ({least} {most})"


def _line(row: Row, rounds: Sequence[Round]) -> str:
    cells = [f"{row.name}, {row.unit}"]
    for column in COLUMNS:
        values = [row.get(one[column]) for one in rounds if column in one]
        if not any(values) and not (values and row.places == 0):
            cells.append("")
        elif column in (OURS, STOCK):
            cells.append(_three(values, row.places))
        else:
            cells.append(f"{median(values):.{row.places}f}")
    cells.append(f"{median(ratios(row, rounds, STOCK)):.2f}" if STOCK in rounds[0] else "")
    limited = LIMIT in rounds[0] and row.get(rounds[0][LIMIT])
    cells.append(f"{median(ratios(row, rounds, LIMIT)):.2f}" if limited else "")
    return _FORM.format(*cells).rstrip()


def heading(measured: Measured) -> str:
    """What was measured, and how often."""
    count = len(measured.rounds)
    return f"{measured.name}: {measured.title}, {count} round{'s' if count > 1 else ''}"


def render(
    measured: Measured, rows: Sequence[Row], verdicts: Sequence[Verdict], *, judged: bool
) -> str:
    """A case: medians, in brackets least and greatest; below, what must hold.

    The ratios are medians of the rounds' ratios.
    """
    lines = [heading(measured)]
    lines += [_FORM.format("", *words).rstrip() for words in (_HEADS, _MORE)]
    lines += [_line(row, measured.rounds) for row in rows]
    for verdict in verdicts:
        word = ("PASS" if verdict.holds else "FAIL") if judged else "not judged"
        lines.append(f"  {word}: {verdict.bound.text}: {verdict.value:.3f}")
    return "\n".join(lines)
