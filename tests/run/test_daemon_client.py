"""The taper that Amanda starts, where a daemon serves her driver."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.plane.dumping import write_holding
from tests.run.serving_daemon import by_daemon, daemon, driver, logged_pids, title
from tests.run.sessions import HANDLE, START, WORKER, make_place, write_line

DATA = bytes(range(256)) * 1000


def test_a_dump(tmp_path: Path) -> None:
    """By the daemon, with a configuration that only the command names; the log names the process
    that the driver knows, and ps shows it as a taper. Then a second night, by the same daemon."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    with daemon(place) as house:
        pids = set()
        for night in ("20260101", "20260102"):
            with driver(place, *by_daemon(place)) as amanda:
                amanda.ask(START.replace("20260101", night), "TAPER-OK")
                assert f"process {amanda.process.pid}" in house.hear("STATUS=serving")
                amanda.ask(write_line(holding), "REQUEST-NEW-TAPE")
                assert " INPUT-GOOD TAPE-GOOD " in amanda.ask(f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
                assert title(amanda.process.pid).startswith("taper C --storage C")
                amanda.say("QUIT")
                assert amanda.rest() == []
                assert amanda.wait() == 0
                pids.add(amanda.process.pid)
                assert "wrote label" in amanda.errors.read_text()
            house.hear("STATUS=waiting")
        assert house.end() == -signal.SIGTERM
    assert logged_pids(place) == pids
    assert place.logged().count("INFO taper pid-done") == 2
    # that of the daemon, and one of each
    logs = [path.read_text() for path in (tmp_path / "dbg/server").rglob("taper.*.debug")]
    assert sorted("trace log: DONE" in text for text in logs) == [False, True, True]


def test_without_a_daemon(tmp_path: Path) -> None:
    """It is not there, or serves another one, or is of another time: a sentence, and the driver is
    served all the same."""
    place = make_place(tmp_path)
    with driver(place, *by_daemon(place)) as alone:
        alone.ask(START, "TAPER-OK")
        alone.say("QUIT")
        assert alone.rest() == []
        assert alone.wait() == 0
    said = (tmp_path / "errors").read_text()
    assert f"so we go on without: {tmp_path}/door: No such file or directory" in said
    with daemon(place), driver(place, *by_daemon(place)) as first:
        first.ask(START, "TAPER-OK")
        with driver(place, *by_daemon(place)) as second:
            second.ask(START, "TAPER-OK")
            second.say("QUIT")
            assert second.wait() == 0
        with driver(place, *by_daemon(place), TZ="Asia/Tokyo") as third:
            third.ask(START, "TAPER-OK")
        first.say("QUIT")
        assert first.wait() == 0
    said = (tmp_path / "errors").read_text()
    assert "so we go on without: this taper serves another driver" in said


def test_signals_and_ends(tmp_path: Path) -> None:
    """Of the command, each is an end of the driver's words, as is that the driver says no more. The
    daemon finishes, and serves on."""
    place = make_place(tmp_path)
    nights = (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, None)
    with daemon(place) as house:
        for number, end in enumerate(nights):
            with driver(place, *by_daemon(place)) as amanda:
                amanda.ask(START.replace("20260101", f"2026010{number + 1}"), "TAPER-OK")
                house.hear("STATUS=serving")
                if end is None:
                    amanda.say_no_more()
                else:
                    os.kill(amanda.process.pid, end)
                assert amanda.rest() == []
                assert amanda.wait() == (-end if end is signal.SIGKILL else 0)
                house.hear("STATUS=waiting")
    assert place.logged().count("INFO taper pid-done") == len(nights)


def test_a_daemon_that_dies(tmp_path: Path) -> None:
    """In the middle of a dump: the driver hears an end, and people a sentence."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    with daemon(place) as house, driver(place, *by_daemon(place)) as amanda:
        amanda.ask(START, "TAPER-OK")
        amanda.ask(write_line(holding), "REQUEST-NEW-TAPE")
        house.process.kill()
        assert amanda.rest() == []
        assert amanda.wait() == 1
        assert "has died" in amanda.errors.read_text()


def test_what_it_cannot_serve(tmp_path: Path) -> None:
    """It says what a process of its own says, in the same places, and ends as that does."""
    place = make_place(tmp_path)
    (tmp_path / "vtapes").rename(tmp_path / "away")
    heard = []
    with daemon(place):
        for words in ((), by_daemon(place)):
            with driver(place, *words) as amanda:
                heard.append((amanda.rest(), amanda.wait(), place.logged()))
            place.log.unlink()
            (tmp_path / "tapelist").write_text("this is no tapelist\n")
            with driver(place, *words) as amanda:
                said = amanda.errors.read_text()
                heard.append((amanda.rest(), amanda.wait(), place.logged(), said))
            place.log.unlink()
            (tmp_path / "errors").unlink()
            (tmp_path / "tapelist").write_text("")
    assert heard[:2] == heard[2:]
    assert heard[0][0][0].startswith("TAPE-ERROR SETUP")
    assert heard[1][1] == 1
