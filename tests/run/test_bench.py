"""The benchmark itself works; its figures are judged by ``make bench``, never here."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench import changes, machine, pages, tapes
from tests.bench.__main__ import main, parse, sentence
from tests.bench.bounds import (
    COST,
    MEMORY,
    RATE,
    SHARE,
    START,
    Bound,
    bounds,
    judge,
    judgeable,
    rows,
)
from tests.bench.cases import CASES, GIB
from tests.bench.figures import LIMIT, OURS, STOCK, Figures, Measured, Round
from tests.bench.machine import high_water
from tests.bench.measuring import chosen, obstacle
from tests.bench.results import Results, beside, together
from tests.bench.table import render
from tests.bench.talks import cpu_seconds

MEASURED = (
    *("start", "served", "logs", "slots", "dumps", "file", "cached", "shm", "vault", "four"),
    *("disk-port", "clone", "amrestore", "restore", "restore-small", "verify", "rebuild"),
    *("ndmp-32", "ndmp-256", "change-met", "ndmp-tape-disk-128"),
)
"""One of each kind; the others differ in sizes only."""
ARGUMENTS = ["--pairs", "1", "--size", "8", "--many", "5", "--parts", "40", "--judge-anyway"]
ARGUMENTS += [f"--only={name}" for name in (*MEASURED, "by-dumps")]
ARGUMENTS += ["--to", "10"]
BUSY = {"idle": "no", "load at start": "2.00"}
IDLE = {"idle": "yes", "load at start": "0.00"}


def figures(rate: float = 100.0, cpu: float = 1.0, memory: float = 40.0) -> Figures:
    """A dump of a GiB."""
    return Figures(seconds=GIB / 1e6 / rate, rate=rate, cpu=cpu, memory=memory)


def rounds(ours: list[Figures], stock: Figures, limit: Figures | None = None) -> list[Round]:
    more = {} if limit is None else {LIMIT: limit}
    return [{OURS: one, STOCK: stock, **more} for one in ours]


def case(name: str) -> Any:
    return next(case for case in CASES if case.name == name)


# bounds


def demands(name: str) -> set[str]:
    return {bound.text for bound in bounds(case(name))}


def test_the_bounds_are_those_promised() -> None:
    """As they were written down before there was a program to keep them."""
    small = "peak memory at most 45 MiB"
    near = "rate at least 0.85 of limit"
    cheap = "CPU of the dump at most {} of stock"
    assert demands("file") == {"rate at least 1.2 of stock", cheap.format(0.7), near, small}
    assert demands("port") == {"rate at least 1.4 of stock", cheap.format(0.5), near, small}
    for name in ("shm", "vault"):
        assert demands(name) == {"rate at least 1.1 of stock", cheap.format(0.8), near, small}
    assert demands("clone") == {"rate at least 8 of stock", cheap.format(0.15), small}
    for name in ("disk-file", "disk-port"):
        assert demands(name) == {"rate at least 0.95 of stock", small}
    assert "CPU in flow at most 2 % of core" in demands("ndmp-1024")
    for size in (32, 64, 128, 256, 1024):
        moved = {"rate at least 1 of stock", "peak memory at most 64 MiB"}
        assert demands(f"ndmp-tape-{size}") == {*moved, cheap.format(1)}
        assert demands(f"ndmp-tape-disk-{size}") == {*moved, cheap.format(0.5)}
    assert demands("start") == {"TAPER-OK after at most 1 of stock", small}
    assert "TAPER-OK after usually at most 0.02 s" in demands("served")
    assert "peak memory at most 64 MiB" in demands("sixteen")
    assert "peak memory at most 109 MiB" in demands("memory")  # 64 of them are the cache


def test_a_tape_that_stops_breaks_its_bound() -> None:
    """There is no other column to compare with, and none is needed."""
    (bound,) = bounds(case("tape"))
    assert bound.text == "back-hitches at most 0 of a dump"
    found = Measured("tape", "bursts", rounds=[tapes.round_of(1)])
    assert judge(bound, found.rounds).holds
    assert not judge(bound, [{OURS: Figures(stops=1)}]).holds
    shown = render(found, rows(case("tape")), [judge(bound, found.rounds)], judged=True)
    assert "back-hitches, of a dump 0 (0 0)" in shown
    assert "PASS: back-hitches" in shown


def test_a_source_that_stands_still() -> None:
    """What counts is the longest pause that has to do with a change; 50 ms are bearable."""
    watch = changes.Watch([(1.0, 1.4), (2.0, 2.1), (2.5, 2.6), (9.0, 19.0)])
    assert watch.longest(2.05, 2.55) == pytest.approx(0.1)
    assert watch.longest(0.0, 8.0) == pytest.approx(0.4)
    assert watch.longest(3.0, 8.0) == 0.0
    watch = changes.Watch()
    watch.moved()
    time.sleep(2 * changes.SHORT)
    watch.moved()
    assert watch.pauses[0][1] - watch.pauses[0][0] >= 2 * changes.SHORT
    (bound,) = bounds(case("change-met"))
    assert bound.text == "source's stall at most 50 ms"
    assert judge(bound, [{OURS: Figures(stall=0.05)}]).holds
    assert not judge(bound, [{OURS: Figures(stall=0.051)}]).holds


def test_a_column_that_was_not_measured_then() -> None:
    """What figures that were kept lack cannot be judged; all else is."""
    wanted = bounds(case("served"))
    assert judgeable(wanted, rounds([figures()], figures(), figures())) == wanted
    left = judgeable(wanted, rounds([figures()], figures()))
    assert [bound for bound in wanted if bound not in left] == [Bound(START, LIMIT, most=2.5)]


def test_every_case_has_bounds() -> None:
    assert all(bounds(case) for case in CASES)
    assert len({case.name for case in CASES}) == len(CASES)


def test_ratios_are_judged_by_their_median() -> None:
    """One round that went wrong says nothing, whichever way."""
    stock, limit = figures(100.0), figures(200.0)
    ours = [figures(rate) for rate in (10.0, 120.0, 900.0)]
    found = rounds(ours, stock, limit)
    assert judge(Bound(RATE, least=1.2), found).value == pytest.approx(1.2)
    assert judge(Bound(RATE, least=1.2), found).holds
    assert not judge(Bound(RATE, least=1.21), found).holds
    assert judge(Bound(RATE, LIMIT, least=0.6), found).holds
    assert not judge(Bound(RATE, LIMIT, least=0.61), found).holds
    assert judge(Bound(RATE, most=1.2), found).holds
    assert not judge(Bound(RATE, most=1.19), found).holds


def test_figures_of_ours_alone_are_judged_by_the_worst() -> None:
    ours = [figures(memory=memory) for memory in (40.0, 45.0, 46.0)]
    found = rounds(ours, figures())
    assert judge(Bound(MEMORY, "", most=46.0), found).holds
    assert not judge(Bound(MEMORY, "", most=45.0), found).holds
    assert not judge(Bound(MEMORY, "", least=41.0), found).holds
    assert judge(Bound(MEMORY, "", most=45.0, usual=True), found).value == 45.0


def test_what_a_dump_costs() -> None:
    """CPU for a GiB whatever the size, and the share of a core."""
    half = Figures(seconds=2.0, rate=GIB / 2 / 2e6, cpu=0.3)
    assert half.cost == pytest.approx(0.6)
    assert half.share == pytest.approx(15.0)
    assert Figures().cost == Figures().share == 0.0
    busy = rounds([Figures(seconds=1.0, rate=1.0, cpu=0.021)], figures())
    assert not judge(Bound(SHARE, "", most=2.0), busy).holds


# the report


def measured(ours: list[Figures]) -> Measured:
    return Measured("file", "title", 0, rounds(ours, figures(2000.0), figures(3000.0)))


def test_the_table_shows_who_breaks_a_bound() -> None:
    one = measured([figures(rate) for rate in (1000.0, 1500.0, 1234.0)])
    verdicts = [judge(bound, one.rounds) for bound in bounds(case("file"))]
    lines = render(one, [RATE, COST], verdicts, judged=True).splitlines()
    assert lines[0] == "file: title, 3 rounds"
    assert lines[3].split() == [
        *("rate,", "MB/s", "1234", "(1000", "1500)", "2000", "(2000", "2000)", "3000"),
        *("0.62", "0.41"),
    ]
    assert "  FAIL: rate at least 1.2 of stock: 0.617" in lines
    assert "  PASS: peak memory at most 45 MiB: 40.000" in lines
    assert "FAIL" not in render(one, [RATE], verdicts, judged=False)


def test_a_busy_machine_is_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither good nor bad, unless one insists."""
    good = measured([figures(3000.0, 0.1)])
    bad = measured([figures(1.0)])
    assert sentence(Results(BUSY, [good]), anyway=False) == 3
    assert sentence(Results(BUSY, [bad]), anyway=False) == 3
    assert sentence(Results(BUSY, [bad]), anyway=True) == 1
    assert sentence(Results(IDLE, [good]), anyway=False) == 0
    capsys.readouterr()
    assert sentence(Results(IDLE, [good, bad]), anyway=False) == 1
    assert "file: rate at least 1.2 of stock: 0.0005" in capsys.readouterr().out


def test_figures_are_kept(tmp_path: Path) -> None:
    """Every single one."""
    about = dict.fromkeys(
        ("machine", "processor flags", "kernel", "Python", "libraries", "ours", "stock"), "x"
    )
    results = Results({**about, **IDLE}, [measured([figures(1.5, 0.25)])])
    file = tmp_path / "figures.json"
    results.save(file)
    assert Results.load(file) == results


def test_figures_of_several_runs_are_put_together() -> None:
    """What was measured again replaces; one that was busy makes all so; no two machines mix."""
    about = dict.fromkeys(
        ("machine", "processor flags", "kernel", "Python", "libraries", "ours", "stock"), "x"
    )
    old, new = measured([figures(1.0)]), measured([figures(2.0)])
    port = replace(old, name="port")
    point = replace(old, name="by-size", value=64)
    first = Results({**about, **IDLE}, [old, port], [point])
    second = Results({**about, **BUSY}, [new], [replace(point, value=256)])
    both = together([first, second])
    assert both.cases == [new, port]
    assert [one.value for one in both.growth] == [64, 256]
    assert not both.idle
    with pytest.raises(ValueError, match="not one run: kernel is 'x', and 'y'"):
        together([first, Results({**about, **IDLE, "kernel": "y"})])


def test_figures_are_put_beside_those_of_an_earlier_version() -> None:
    """What is not measured again stays, and tells of what it is; of another machine nothing is."""
    about = dict.fromkeys(
        ("machine", "processor flags", "kernel", "Python", "libraries", "ours", "stock"), "x"
    )
    kept = measured([figures(1.0)])
    port, point = replace(kept, name="port"), replace(kept, name="by-size", value=64)
    old = Results({**about, **IDLE, "measured": "then"}, [kept, port], [point])
    again = Results({**about, **IDLE, "ours": "y", "measured": "now"}, [measured([figures(2.0)])])
    both = beside(old, again)
    assert both.about == again.about
    assert [(one.name, one.at) for one in both.cases] == [("file", ""), ("port", "x; then")]
    assert both.cases[0].rounds == again.cases[0].rounds
    assert [one.at for one in both.growth] == ["x; then"]
    third = beside(both, Results({**again.about, "ours": "z"}, [replace(port, name="start")]))
    assert [(one.name, one.at) for one in third.cases] == [
        *(("start", ""), ("file", "y; now"), ("port", "x; then"))
    ]
    for other in (BUSY, {"stock": "y"}):
        with pytest.raises(ValueError, match="not one run"):
            beside(old, Results({**again.about, **other}))


NOTHING = '{"name": "x", "title": "", "value": 0, "rounds": []}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"about": {}, "cases": [{}], "growth": []}'),
        f'{{"about": {{}}, "cases": [{NOTHING}], "growth": []}}',
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other"
    file.write_text(text)
    with pytest.raises(ValueError, match="does not hold figures"):
        Results.load(file)
    assert main(["--from", str(file)]) == 2


# what is read of the machine


def test_the_processor_is_known() -> None:
    text = "processor\t: 0\nmodel name\t: A B\nflags\t\t: fpu erms sse4_2 mmx\n\nprocessor\t: 1\n"
    assert machine.processor(text) == ("A B", ["sse4_2", "erms"])
    assert machine.processor("") == ("unknown", [])


def test_memory_is_known() -> None:
    text = "MemTotal:       2048 kB\nMemAvailable:   1024 kB\nHugePages_Total:   0\n"
    assert machine.memory(text) == {"MemTotal": 2, "MemAvailable": 1}
    assert high_water("Name:\tx\nVmHWM:\t    2560 kB\n") == 2.5
    with pytest.raises(ValueError, match="VmHWM"):
        high_water("Name:\tx\n")


def test_whether_others_are_at_work() -> None:
    """By the load of the last minute, and by what is used just now; waiting is no work."""
    assert machine.used("cpu  1 2 3 400 50 6 7 8 9 10\ncpu0 ...\n") == (27, 477)
    assert machine.is_idle(0.5, 0.1)
    assert not machine.is_idle(0.51, 0.0)
    assert not machine.is_idle(0.0, 0.11)


def test_what_others_do_meanwhile() -> None:
    """What we do ourselves is not theirs; ticks and nanoseconds may differ by a little."""
    began = machine.Spent(busy=100.0, total=1000.0, ours=10.0)
    assert machine.Spent(130.0, 1200.0, 30.0).by_others(began) == pytest.approx(0.05)
    assert machine.Spent(119.9, 1200.0, 30.0).by_others(began) == 0.0
    assert began.by_others(began) == 0.0
    assert machine.Spent.now().ours <= machine.Spent.now().busy + 1


def test_the_time_of_a_process_is_that_of_the_kernel() -> None:
    """The clock says what stands in /proc, in hundredths of a second there."""
    import os

    def ticks() -> float:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    while ticks() < 0.1:
        sum(range(10_000))
    before, began = ticks(), time.process_time()
    clock = cpu_seconds(os.getpid())
    ended, after = time.process_time(), ticks()
    assert before - 0.03 <= clock <= after + 0.03
    assert began <= clock <= ended


# the command line


@pytest.mark.parametrize("argument", ["--pairs=0", "--size=0", "--many=1", "--only=nothing"])
def test_nonsense_is_refused(argument: str) -> None:
    with pytest.raises(SystemExit):
        parse([argument])


def test_what_is_chosen() -> None:
    """All cases, or those that say most, or those named; growth where it is asked for."""

    def names(*arguments: str) -> list[str]:
        return [axis.name if axis else case.name for axis, _, case in chosen(parse(arguments))]

    assert names() == [case.name for case in CASES]
    assert set(names("--quick")) < set(names())
    assert names("--only=port", "--only=file") == ["file", "port"]
    assert names("--only=by-slots", "--to=100") == ["by-slots", "by-slots"]
    assert set(names("--growth")) > set(names())


def test_real_tapers_can_be_compared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One small round of each kind: a table with plausible figures comes out."""
    monkeypatch.setattr(changes, "RECORDS", 160)
    reason = obstacle(parse(ARGUMENTS))
    if reason:
        pytest.skip(reason)
    kept = tmp_path / "figures.json"
    # so short a dump says nothing about the bounds
    assert main([*ARGUMENTS, "--json", str(kept), "--plots", str(tmp_path)]) in (0, 1)
    out = capsys.readouterr().out
    left_out = set(re.findall(r"^(\S+) left out: ", out, re.MULTILINE))
    assert left_out <= {"clone", "disk-port", "ndmp-tape-disk-128"}, out
    results = Results.load(kept)
    assert [one.name for one in results.cases] == [
        name for name in MEASURED if name not in left_out
    ]
    assert [one.value for one in results.growth] == [10]
    assert {path.name for path in tmp_path.glob("*.svg")} == {
        *("throughput.svg", "cpu.svg", "growth.svg")
    }
    tables = [line for line in out.splitlines() if line.startswith(("rate,", "peak", "CPU of"))]
    assert len(tables) > 2 * len(results.cases)
    for line in tables:
        assert len(line) <= 100
        numbers = [float(text) for text in re.findall(r"\d+\.?\d*", line[24:])]
        assert all(0 <= number < 1e6 for number in numbers), line


def test_a_page_that_keeps_people_waiting_breaks_its_bound() -> None:
    (bound,) = bounds(case("pages"))
    for seconds, holds in ((0.02, True), (0.31, False)):
        assert judge(bound, [{OURS: Figures(seconds=seconds)}]).holds is holds
    assert rows(case("pages"))[0] is bound.row


def test_pages_are_asked_for_while_the_log_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses are there, with few dumps."""
    monkeypatch.setattr(pages, "FRESH", 0.0)
    assert pages.round_of(1, dumps=60, volumes=3)[OURS].seconds > 0
