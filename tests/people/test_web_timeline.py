"""How a run went, as the driver tells it, and how it is drawn."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.stored import DumpName, End, ToldDump
from taper.people.last_night import Failure, Fate, Run
from taper.people.web.books import Night
from taper.people.web.charts import BAR_WIDTH, WEEKS, draw, heat_map, segments
from taper.people.web.timeline import (
    MOST_BARS,
    MOST_POINTS,
    MOST_ROWS,
    Bar,
    How,
    What,
    read_timeline,
)
from tests.people.nights import NOW
from tests.people.written import AMDUMP

STAMP = "20260108210000"


def test_a_run() -> None:
    run = read_timeline(AMDUMP.splitlines(keepends=True))
    assert run is not None
    assert (run.seconds, run.finished, run.left_out) == (15.0, True, 0)
    assert run.rows == ("dumper0", "dumper1", "taper0 worker0-0")
    assert (run.room, run.held) == (1024 * 1024, ((0.044, 0), (1.6, 512 * 1024)))
    worker, home = "taper0 worker0-0", "localhost:/home level 0"
    assert run.bars == (
        Bar(what=What.DUMP, row="dumper0", begin=1.5, end=4.0, text=home),
        Bar(what=What.WRITE, row=worker, begin=5.0, end=12.5, text=home),
        Bar(what=What.WAIT, row=worker, begin=5.1, end=9.5, text=""),
        Bar(what=What.VOLUME, row=worker, begin=9.5, end=15.0, text="C03"),
        Bar(what=What.PART, row=worker, begin=9.6, end=11.0, text=f"{home}, C03 file 1"),
        Bar(
            what=What.DUMP,
            row="dumper1",
            begin=13.0,
            end=14.0,
            text="localhost:/lost level 1",
            how=How.BADLY,
            why='[no such "thing"]',
        ),
    )


def test_a_run_that_goes_on() -> None:
    lines = AMDUMP.splitlines()[:8]
    run = read_timeline(lines)
    assert run is not None
    assert not run.finished
    assert [(bar.what, bar.how) for bar in run.bars] == [
        (What.DUMP, How.WELL),
        (What.WRITE, How.OPEN),
        (What.WAIT, How.OPEN),
    ]
    assert read_timeline(["amvault: start at x", "driver: pid 7"]) is None


def test_endless_runs_are_bounded() -> None:
    lines = ["driver: start time 0 diskspace 9 "]
    for number in range(3 * MOST_BARS):
        space = number % 7
        lines += [
            f"driver: state time {number} space: {space} x",
            f"driver: send-cmd time {number} to dumper{number % 200}: PORT-DUMP 1 2 3 4 h f /d - 0",
            f"driver: result time {number} from dumper{number % 200}: DONE 1",
        ]
    run = read_timeline(lines)
    assert run is not None
    assert len(run.bars) <= MOST_BARS
    assert len(run.rows) == MOST_ROWS
    assert 0 < len(run.held) <= MOST_POINTS + 1
    assert run.left_out > 0


WORDS = st.sampled_from(
    (
        *(
            "driver:",
            "state",
            "send-cmd",
            "result",
            "start",
            "time",
            "0.5",
            "7",
            "99999999999",
            "to",
        ),
        *("from", "dumper0:", "taper0:", "taper:", "DONE", "FAILED", "PARTIAL", "PORT-DUMP", "-1"),
        *("FILE-WRITE", "VAULT-WRITE", "NEW-TAPE", "REQUEST-NEW-TAPE", "NO-NEW-TAPE", "PARTDONE"),
        *(
            "READY",
            "w",
            "00-1",
            '"',
            '"a b"',
            "\\",
            "space:",
            "diskspace",
            "",
            "\udcff",
            "CLOSE-VOLUME",
        ),
    )
)
LINES = st.lists(
    st.one_of(
        st.lists(WORDS, max_size=9).map(" ".join),
        st.tuples(
            st.sampled_from(("send-cmd", "result")),
            st.floats(0, 1e6).map("{:.3f}".format),
            st.sampled_from(("to", "from")),
            st.sampled_from(("dumper0", "dumper1", "taper0", "chunker0")),
            st.lists(WORDS, min_size=1, max_size=9).map(" ".join),
        ).map(lambda one: f"driver: {one[0]} time {one[1]} {one[2]} {one[3]}: {one[4]}"),
    ),
    max_size=30,
)


@given(LINES)
@settings(deadline=None)
def test_whatever_it_says(lines: list[str]) -> None:
    run = read_timeline(lines)
    if run is None:
        return
    for bar in run.bars:
        assert 0 <= bar.begin <= bar.end <= run.seconds
        assert bar.row in run.rows
    drawing = draw(run)
    for box in drawing.boxes:
        assert drawing.left <= box.x <= drawing.width
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height
    assert 1 <= len(drawing.ticks) <= 12


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1 << 50), st.booleans()), max_size=200),
    st.one_of(st.none(), st.integers(0, 1 << 50)),
)
def test_segments_fill_no_more_than_the_volume(
    parts: list[tuple[int, int, bool]], capacity: int | None
) -> None:
    found = segments(parts, capacity)
    assert len(found) <= 48
    assert any(one.broken for one in found) is any(part[2] for part in parts)
    assert sum(one.width for one in found) <= BAR_WIDTH + len(found) * 0.1
    assert [one.at for one in found] == sorted(one.at for one in found)


def night(stamp: str, *, fails: bool = False, size: int = 1) -> Night:
    failure = Failure(host="h", disk="d", fate=Fate.FAILED, text="x")
    name = DumpName(storage="C", host="h", disk="d", datestamp=stamp, level="0")
    dump = ToldDump(name=name, pool="C", written=stamp, end=End.DONE, parts=(), count=size)
    run = Run(stamp=stamp, pid=None, finished=True, disks=(), failures=(failure,) if fails else ())
    return Night(stamp=stamp, run=run, under_way=False, dumps=(dump,), labels=())


def test_a_year_of_days() -> None:
    nights = [night(STAMP, fails=True), night("20260108090000"), night("20250115000000")]
    found = heat_map(nights, NOW)
    assert (WEEKS - 1) * 7 < len(found.days) <= WEEKS * 7
    there = [day for day in found.days if day.stamp]
    assert [(day.stamp, day.well) for day in there] == [("20250115000000", True), (STAMP, False)]
    assert there[1].text == "2026-01-08: 2 dumps, 0 B, something failed"
    assert len({(day.x, day.y) for day in found.days}) == len(found.days)
    assert all(day.x < found.width and day.y < found.height for day in found.days)
