"""The benchmark itself works; its figures are judged by ``make bench``, never here."""

from __future__ import annotations

import re

import pytest

from tests.bench.__main__ import main, obstacle, parse
from tests.bench.runs import CASES, Figures
from tests.bench.table import CPU, MEMORY, RATE, SHARE, judge, render

LEFT_OUT = ("ndmp-64", "ndmp-128")
"""Cases that only differ in the size of blocks from others."""
ARGUMENTS = ["--pairs", "1", "--size", "8", "--many", "5"]
ARGUMENTS += [f"--only={case.name}" for case in CASES if case.name not in LEFT_OUT]


def figures(rate: float, cpu: float, memory: float) -> Figures:
    return Figures(start=0.2, rate=rate, cpu=cpu, dump_cpu=0.0, memory=memory, crc="")


def test_the_bounds_are_those_promised() -> None:
    """Ratios are judged by their median, memory by our worst run."""
    stock = figures(100.0, 1.0, 50.0)
    pairs = [(figures(rate, 1.2, 70.0), stock) for rate in (10.0, 80.0, 90.0)]
    assert judge(RATE, pairs).holds
    assert judge(CPU, pairs).holds
    assert judge(MEMORY, pairs).holds
    slow = [(figures(79.0, 1.21, 70.0), stock), (figures(79.0, 1.21, 80.1), stock)]
    assert [judge(row, slow).holds for row in (RATE, CPU, MEMORY)] == [False, False, False]


def test_a_taper_beside_a_direct_dump_must_idle() -> None:
    """At most 2 percent of a core, in the worst of our runs."""
    idle, busy = (
        Figures(start=0.2, rate=1.0, cpu=1.0, dump_cpu=0.0, memory=1.0, crc="", share=share)
        for share in (2.0, 2.1)
    )
    assert judge(SHARE, [(idle, busy)]).holds
    assert judge(SHARE, [(idle, busy), (busy, idle)]).holds is False


def test_the_table_shows_who_breaks_a_bound() -> None:
    stock = figures(2000.0, 1.0, 50.0)
    pairs = [(figures(rate, 1.0, 70.0), stock) for rate in (1000.0, 1500.0, 1234.0)]
    lines = render("title", [judge(RATE, pairs)]).splitlines()
    assert lines[0] == "title"
    assert lines[2].split() == [
        *("rate,", "MB/s", "1234", "(1000", "1500)", "2000", "(2000", "2000)"),
        *("0.62", "(0.50", "0.75)", ">=", "0.8", "BROKEN"),
    ]


@pytest.mark.parametrize("argument", ["--pairs=0", "--size=0", "--many=1", "--only=nothing"])
def test_nonsense_is_refused(argument: str) -> None:
    with pytest.raises(SystemExit):
        parse([argument])


def test_real_tapers_can_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """One small pair of each case: a table with plausible figures comes out."""
    reason = obstacle(parse(ARGUMENTS))
    if reason:
        pytest.skip(reason)
    assert main(ARGUMENTS) in (0, 1)  # so short a dump says nothing about the bounds
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 100 for line in lines), lines
    assert sum(", 8 MiB, 1 pair" in line for line in lines) == 8
    assert sum(", 5 " in line and "1 pair" in line for line in lines) == 4
    for name, count in (("rate, MB/s", 9), ("CPU, process, s", 13), ("peak memory, MiB", 13)):
        rows = [line for line in lines if line.startswith(name)]
        assert len(rows) == count, name
        for row in rows:
            numbers = [float(text) for text in re.findall(r"\d+\.?\d*", row[18:])]
            assert all(0 < number < 1e6 for number in numbers), row
