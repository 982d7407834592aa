"""``taperctl monitor``: what a monitoring system is told, and by which convention."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred

from taper.last_words import CannotStart
from taper.people.exits import State
from taper.people.last_night import Fate, Run, last_of, read_run
from taper.people.plugin import Parser, PluginScreen
from taper.people.plugin_text import Datum, Finding, label_of, report, worst
from taper.people.reading import log_names
from taper.people.restore.plan import Restorable
from taper.people.screen import Style
from taper.people.telling import Answer
from taper.people.watching import (
    KnownDisk,
    Left,
    Limits,
    judge_disk,
    judge_volumes,
    parse_age,
    seconds_of,
)
from tests.people.nights import Dump, Nights

OLD, FULL, LAST = "20260101000000", "20260107000000", "20260108210000"
HOUR, DAY = 3600, 86400
NAMES = st.text(st.sampled_from("'|=;\n\r\\ a:/\x00\x1b\udcffß\u2028"), max_size=12)
LIMITS = Limits(warning=36 * HOUR, critical=60 * HOUR)

# The convention

_VALUE = re.compile(r"[0-9]+(s|B)?")
_RANGE = re.compile(r"([0-9]+:?)?")


def read_data(text: str) -> dict[str, list[str]]:
    """Performance data, as the convention has them: by label, value and thresholds."""
    found = {}
    while text:
        assert text[0] == "'"
        label, quote, rest = text[1:].partition("'")
        assert quote
        assert rest[0] == "="
        words, _, text = rest[1:].partition(" ")
        value, *thresholds = words.split(";")
        assert _VALUE.fullmatch(value)
        assert len(thresholds) <= 4
        assert all(_RANGE.fullmatch(threshold) for threshold in thresholds)
        assert label not in found
        found[label] = [value, *thresholds]
    return found


def read_report(lines: list[str]) -> tuple[str, dict[str, list[str]]]:
    """State and performance data of an output; every line is one, and only the first has data."""
    assert all(line.isprintable() for line in lines)
    first, *others = lines
    assert not any("|" in line for line in others)
    told, bar, data = first.partition(" | ")
    assert "|" not in told
    found = re.fullmatch(r"TAPER ([A-Z]+): .*", told)
    assert found is not None
    return found[1], read_data(data) if bar else {}


@given(
    st.lists(
        st.tuples(st.sampled_from(State), NAMES, st.lists(NAMES, max_size=3)),
        max_size=6,
    )
)
@settings(deadline=None)
def test_no_name_breaks_the_format(told: list[tuple[State, str, list[str]]]) -> None:
    labels: set[str] = set()
    findings = []
    for state, text, names in told:
        fresh = [name for name in dict.fromkeys(names) if name not in labels]
        labels |= set(fresh)
        data = [Datum(label=name, value=7, unit="B", warning="2:", most="9") for name in fresh]
        findings.append(Finding(state=state, text=text, data=tuple(data)))
    state_told, data = read_report(report(findings, ["all is well"]))
    assert state_told == worst(findings).name
    assert set(data) == {label_of(label) for label in labels}
    assert all(values == ["7B", "2:", "", "0", "9"] for values in data.values())


@given(NAMES, NAMES)
def test_no_two_names_have_one_label(one: str, other: str) -> None:
    assert (label_of(one) == label_of(other)) is (one == other)


def test_the_first_line_names_the_worst() -> None:
    states = (State.OK, State.WARNING, State.UNKNOWN, State.CRITICAL, State.WARNING)
    findings = [Finding(state=state, text=f"no. {number}") for number, state in enumerate(states)]
    first, *rest = report(findings, ["well"])
    assert first == "TAPER CRITICAL: no. 3; no. 1; no. 4; and 1 more"
    assert [line.partition(" ")[0] for line in rest] == [
        *("[CRITICAL]", "[WARNING]", "[WARNING]", "[UNKNOWN]", "[OK]")
    ]
    assert report(findings[:1], ["well", "fine"])[0] == "TAPER OK: well; fine"
    assert worst([]) is State.OK


def test_a_wrong_command_line() -> None:
    parser = Parser(prog="p")
    parser.add_argument("x")
    with pytest.raises(CannotStart, match=r"arguments are required: x; see p --help"):
        parser.parse_args([])


def test_what_was_told_meanwhile_comes_last(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is on stderr, which such systems read as if it were stdout."""
    screen = PluginScreen(Style.PLAIN)
    screen.warn("a | bar")

    def work() -> int:
        sys.stderr.write("line 1: old\n")
        return 5

    def fail() -> None:
        sys.stderr.write("line 2: wrong\nline 3: wrong\n")
        raise CannotStart("errors")

    assert screen.quietly(work) == 5
    with pytest.raises(CannotStart, match=r"^errors: line 2: wrong; line 3: wrong$"):
        screen.quietly(fail)
    screen.answer(Answer(record={}, shown=["TAPER OK: well"], exit=State.OK))
    out, err = capsys.readouterr()
    assert (out.splitlines(), err) == (["TAPER OK: well", "a \\x7c bar", "line 1: old"], "")


# Limits


def test_ages() -> None:
    assert [parse_age(text) for text in ("90", "5s", "2m", "36h", "2d", "1w")] == [
        *(90, 5, 120, 36 * HOUR, 2 * DAY, 7 * DAY)
    ]
    for text in ("", "h", "0h", "-1h", "1.5h", "2 d", "1y", "²h", "9" * 10):
        with pytest.raises(ValueError, match="is no age"):
            parse_age(text)


def test_limits_that_contradict() -> None:
    assert LIMITS.complaint() is None
    for limits in (
        Limits(warning=2, critical=1),
        Limits(warning=1, critical=2, volumes_warning=1, volumes_critical=2),
        Limits(warning=1, critical=2, volumes_warning=-1),
    ):
        assert limits.complaint() is not None


# Disks


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 3), st.booleans()),
        unique_by=lambda one: one[0],
    )
)
def test_the_last_dump_that_can_be_restored(dumps: list[tuple[int, int, bool]]) -> None:
    """All that it builds on is there; of no newer one it is."""
    ordered = sorted(dumps)

    def restorable(place: int) -> bool:
        _, level, there = ordered[place]
        while there and level > 0:
            below = [at for at in range(place) if ordered[at][1] < level]
            if not below:
                return False
            place = below[-1]
            _, level, there = ordered[place]
        return there

    disk = KnownDisk(
        host="h",
        disk="/",
        dumps=tuple(Restorable(datestamp=str(day), level=level, size=1) for day, level, _ in dumps),
        there=frozenset((str(day), level) for day, level, there in dumps if there),
    )
    good = [place for place in range(len(ordered)) if restorable(place)]
    last, wanted = disk.last(), str(ordered[good[-1]][0]) if good else None
    assert (None if last is None else last.datestamp) == wanted


@given(st.integers(-10 * DAY, 10 * DAY))
def test_ages_are_judged(age: int) -> None:
    begun = seconds_of(LAST)
    assert begun is not None
    disk = KnownDisk(host="h", disk="/", dumps=(), there=frozenset())
    last = Restorable(datestamp=LAST, level=1, size=5)
    finding = judge_disk(disk, last, LIMITS, begun + age)
    wanted = State.OK
    if age > LIMITS.critical:
        wanted = State.CRITICAL
    elif age > LIMITS.warning or age < -HOUR:
        wanted = State.WARNING
    assert finding.state is wanted
    if age >= -HOUR:
        assert str(finding.data[0]) == f"'h:/ age'={max(age, 0)}s;129600;216000;0"
        assert str(finding.data[1]) == "'h:/ size'=5B;;;0"
    assert judge_disk(disk, None, LIMITS, begun).state is State.CRITICAL


@pytest.mark.parametrize("stamp", ["", "20269999000000", "2026", "²0260108210000", "x" * 14])
def test_datestamps_that_are_none(stamp: str) -> None:
    assert seconds_of(stamp) is None


# Volumes


@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 4), st.integers(0, 4))
def test_volumes_are_counted(usable: int, unknown: int, critical: int, more: int) -> None:
    """Slots of unknown content may change the state, and then nobody knows it."""
    limits = Limits(
        warning=1, critical=1, volumes_warning=critical + more, volumes_critical=critical
    )

    def state(usable: int, unknown: int = 0) -> State:
        left = Left(storage="C", usable=usable, unknown=unknown, slots=9)
        return judge_volumes(left, limits).state

    possible = {state(number) for number in range(usable, usable + unknown + 1)}
    wanted = possible.pop() if len(possible) == 1 else State.UNKNOWN
    assert state(usable, unknown) is wanted
    assert (state(usable) is State.CRITICAL) is (usable < critical)
    assert (state(usable) is State.OK) is (usable >= critical + more)


def test_volumes_that_are_refused_or_not_known() -> None:
    left = Left(storage="C", usable=3, slots=4, refused="it is active")
    assert judge_volumes(left, LIMITS).state is State.CRITICAL
    finding = judge_volumes(Left(storage="C", trouble="no such changer"), LIMITS)
    assert (finding.state, finding.data) == (State.UNKNOWN, ())


# Runs

STATS = "[sec 0.1 bytes 1024 kps 10.0 orig-kb 1]"
CRC = "6689cf21:1024"


def log(*lines: str, disks: str = "abcdefg", finished: bool = True) -> Run:
    planned = [f"DISK planner h /{disk}" for disk in disks]
    end = [f"FINISH driver date {LAST} time 5", "INFO amdump pid-done 7"] if finished else []
    run = read_run(["INFO amdump amdump pid 7", *planned, *lines, *end], LAST)
    assert run is not None
    return run


def taper(type_: str, disk: str, stamp: str, rest: str) -> str:
    return f'{type_} taper "ST:C" "POOL:C" h {disk} {stamp} {rest}'


DONE = f"1 0 {CRC} {CRC} {CRC} {STATS}"


def test_what_became_of_each_disk() -> None:
    run = log(
        taper("DONE", "/a", LAST, DONE),
        f"SUCCESS dumper h /a {LAST} 0 {STATS}",
        f'FAIL dumper h /b {LAST} 0 [data timeout "x"]',
        taper("PARTIAL", "/c", LAST, f'{DONE} "no | room"'),
        f"SUCCESS dumper h /d {LAST} 0 {STATS}",
        f"SUCCESS chunker h /d {LAST} 0 {CRC} {STATS}",
        f"STRANGE dumper h /e 0 {STATS}",
        f"SUCCESS planner h /f {LAST} 1 [skipped: skip-incr]",
        taper("FAIL", "/f", FULL, "0 config x"),
    )
    assert [(one.disk, one.fate, one.text) for one in run.failures] == [
        ("/b", Fate.FAILED, "dumper: data timeout x"),
        ("/c", Fate.PARTIAL, "taper: no | room"),
        ("/e", Fate.MISSING, "it was dumped, and no word tells where to"),
        ("/f", Fate.FAILED, "taper: x"),
        ("/g", Fate.MISSING, "no word tells what became of it"),
    ]
    assert (run.finished, run.pid, len(run.disks)) == (True, None, 7)


def test_what_was_tried_again_and_did_well() -> None:
    again = [
        f"FAIL dumper h /a {LAST} 0 [timeout]",
        f"PARTIAL chunker h /a {LAST} 0 {STATS}",
        taper("PARTIAL", "/a", LAST, f"{DONE} x"),
        f"RETRY dumper h /a {LAST} 0 delay 1 level 0 message x",
    ]
    assert [one.fate for one in log(*again, disks="a").failures] == [Fate.FAILED]
    assert log(*again, taper("DONE", "/a", LAST, DONE), disks="a").failures == ()
    older = taper("DONE", "/a", FULL, DONE)  # of a dump that was held
    assert [one.fate for one in log(older, disks="a").failures] == [Fate.MISSING]


def test_a_run_that_died() -> None:
    run = log(finished=False, disks="a")
    assert (run.finished, run.pid) == (False, "7")
    assert read_run([taper("DONE", "/a", LAST, DONE)], LAST) is None


WORDS = st.sampled_from(
    [
        *("INFO", "DISK", "FINISH", "SUCCESS", "FAIL", "PARTIAL", "DONE", "RETRY", "amdump"),
        *("planner", "driver", "taper", "dumper", "pid", "pid-done", "7", "h", "/a", '"', LAST),
        *('"ST:C"', '"POOL:C"', "VAULT", "0", CRC, STATS, "\\", "[", "]", "", "\t", "\udcff"),
    ]
)


@given(st.lists(st.lists(WORDS, max_size=14).map(" ".join), max_size=12))
def test_no_log_is_too_strange(lines: list[str]) -> None:
    run = read_run(lines, LAST)
    if run is not None:
        assert {one.fate for one in run.failures} <= set(Fate)


def test_a_disk_is_judged_by_its_last_run() -> None:
    """One disk that is dumped again by hand does not hide what failed in the night."""
    night = log(f"FAIL dumper h /a {LAST} 0 [x]", f"FAIL dumper h /b {LAST} 0 [y]", disks="ab")
    morning = log(taper("DONE", "/a", LAST, DONE), disks="a")
    judged = last_of([morning, night])
    assert judged["h", "/a"].failure is None
    failure = judged["h", "/b"].failure
    assert failure is not None
    assert failure.text == "dumper: y"


def test_names_of_logs() -> None:
    names = ["log.20260101.0", "log.20260102000000.9", "log.20260102000000.10", "log", "amdump.1"]
    assert [name for name, _ in log_names([*names, "log.2.3", "log.²0260101.0", "log.1.2.3"])] == [
        *("log.20260102000000.10", "log.20260102000000.9", "log.20260101.0")
    ]


# All together, over vtapes that our taper has written


async def three_disks(tmp_path: Path) -> Nights:
    nights = Nights(tmp_path).make(slots=6)
    nights.configure(tapecycle=3, runtapes=1, more='define dumptype plain {\n  program "GNUTAR"\n}')
    (tmp_path / "etc/C/disklist").write_text(
        'localhost /home plain\nlocalhost /old plain\nlocalhost "/a|b" plain\n'
    )
    await nights.hold(OLD, Dump("/home", 1000), Dump("/old", 2000))
    await nights.hold(FULL, Dump("/home", 3000))
    await nights.hold(LAST, Dump("/home", 4000, level=1))
    return nights


def of_amdump(nights: Nights, *lines: str, end: str = "FINISH driver date X time 5\n") -> None:
    """Let a log be that of a run of amdump."""
    path = nights.log(LAST)
    planned = [f"DISK planner localhost {disk}" for disk in ("/home", "/old", '"/a|b"')]
    text = "\n".join(["INFO amdump amdump pid 999999999", *planned, *lines, ""])
    path.write_text(text + path.read_text() + end)


async def told(nights: Nights, *words: str) -> tuple[int, list[str]]:
    status, said = await nights.run("monitor", *words)
    lines = said.splitlines()
    assert read_report(lines)[0] == State(status).name
    return status, lines


@ensureDeferred
async def test_end_to_end(tmp_path: Path) -> None:
    nights = await three_disks(tmp_path)
    of_amdump(nights, f"FAIL planner localhost /old {LAST} 0 [no estimate]")
    before = nights.snapshot()
    status, lines = await told(nights)
    assert status == State.CRITICAL
    first, data = lines[0].split(" | ")
    assert first == (
        "TAPER CRITICAL: localhost:/old: the last dump is 8 days old "
        "(level 0 of 2026-01-01, 2.0 KiB); localhost:/a\\x7cb has no dump that can be restored; "
        "localhost:/old: failed in the run of 2026-01-08 21:00:00: planner: no estimate; and 1 more"
    )
    numbers = read_data(data)
    assert numbers["localhost:/home size"] == ["4000B", "", "", "0"]
    assert numbers["localhost:/home age"][1:] == ["129600", "216000", "0"]
    assert numbers["C volumes"] == ["4", "1:", "1:", "0", "6"]
    counted = [numbers[name][0] for name in ("failed", "partial", "missing")]
    assert counted == ["1", "0", "1"]
    assert lines[-1].startswith("[OK] the last run, of 2026-01-08 21:00:00, ended")
    assert "[WARNING] localhost:/a\\x7cb: missing in the run of 2026-01-08" in "\n".join(lines)
    assert nights.snapshot() == before

    status, lines = await told(nights, "--disk", "LOCALHOST:/home")
    assert (status, len(lines)) == (State.OK, 4)
    assert lines[0].startswith("TAPER OK: 1 disk, the oldest last dump is ")
    assert "; storage C: 4 volumes left; the last run, of " in lines[0]
    few = ("--disk", "localhost:/home", "--volumes-warning")
    assert (await told(nights, *few, "5"))[0] == State.WARNING
    assert (await told(nights, *few, "5", "--volumes-critical", "5"))[0] == State.CRITICAL
    status, lines = await told(nights, *few, "0", "--volumes-critical", "0")
    assert (status, "volumes" in lines[0]) == (State.OK, False)
    home = ("--disk", "localhost:/home")
    assert (await told(nights, *home, "--warning", "1s"))[0] == State.WARNING
    status, _ = await told(nights, *home, "--warning", "1s", "--critical", "1h")
    assert status == State.CRITICAL


@ensureDeferred
async def test_a_level_whose_full_dump_is_gone(tmp_path: Path) -> None:
    """The dump itself is there, and cannot be restored."""
    nights = await three_disks(tmp_path)
    tapelist = tmp_path / "tapelist"
    assert (await record_of(nights))["disks"][0]["datestamp"] == LAST
    (line,) = [line for line in tapelist.read_text().splitlines(True) if line.startswith(LAST)]
    tapelist.write_text(line)
    record = await record_of(nights)
    assert (record["state"], record["disks"][0]["datestamp"]) == ("CRITICAL", None)


async def record_of(nights: Nights) -> Any:
    _, said = await nights.run("monitor", "--disk", "localhost:/home", style=Style.JSON)
    return nights.read(said)


@ensureDeferred
async def test_a_run_that_died_and_one_that_goes_on(tmp_path: Path) -> None:
    nights = await three_disks(tmp_path)
    of_amdump(nights, end="")
    _, lines = await told(nights, "--disk", "localhost:/home")
    assert lines[0].startswith("TAPER WARNING: the last run, of 2026-01-08 21:00:00, died before")
    path = nights.log(LAST)
    path.write_text(path.read_text().replace("pid 999999999", f"pid {os.getpid()}"))
    status, lines = await told(nights, "--disk", "localhost:/home")
    assert status == State.OK
    assert "no log tells of a run that is over; another one is going on" in lines[0]


@ensureDeferred
async def test_what_goes_wrong_is_unknown(tmp_path: Path) -> None:
    """With its sentence on stdout."""
    nights = await three_disks(tmp_path)

    async def unknown(*words: str) -> str:
        status, lines = await told(nights, *words)
        assert (status, len(lines)) == (State.UNKNOWN, 2)
        return lines[0]

    assert "'soon' is no age" in await unknown("--warning", "soon")
    assert "--warning 864000s is more than --critical" in await unknown("--warning", "10d")
    assert "--disk localhost:/x: " in await unknown("--disk", "localhost:/x")
    assert "no such disk" in await unknown("--disk", "localhost:")
    (tmp_path / "vtapes").rename(tmp_path / "elsewhere")
    status, lines = await told(nights, "--disk", "localhost:/home")
    assert status == State.UNKNOWN
    assert "what volumes are left is not known: directory '" in lines[0]
    (tmp_path / "tapelist").write_text("rubbish\n")
    assert "tapelist" in await unknown()
    (tmp_path / "etc/C/disklist").unlink()
    assert f"{tmp_path}/etc/C/disklist: No such file" in await unknown()


def test_the_program(tmp_path: Path) -> None:
    """What goes wrong before anything is known."""
    environment = {**os.environ, "AMANDA_CONFIG_DIR": str(tmp_path)}
    for words, text in ((["--volumes-warning", "few"], "invalid int value"), ([], "nowhere")):
        done = subprocess.run(
            [sys.executable, "-m", "taper.ctl", "monitor", "nowhere", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (State.UNKNOWN, ""), done
        (line,) = done.stdout.splitlines()
        assert line.startswith("TAPER UNKNOWN: ")
        assert text in line
