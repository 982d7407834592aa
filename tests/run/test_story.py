"""What the debug log tells: a whole night, as much of it as the configuration asks for."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from protocols.conf import load
from protocols.conf.settings import GlobalSettings
from taper.run import debug_log
from taper.run.debug_log import TOP_LOGGERS, DebugHandler, DebugLog, keep_what_is_logged, levels
from taper.run.stdio import _tell_failure
from tests.plane.dumping import write_holding
from tests.run.sessions import HANDLE, START, WORKER, Place, make_place, write_line
from tests.run.test_stdio import DATA, environment, talk, twistd

NOW = 1_780_000_000.0


def general(*overrides: str) -> GlobalSettings:
    return load("C", lambda path: b"", overrides=overrides).config.general


GENERAL = general()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Loggers are the process's."""
    loggers = [logging.getLogger(name) for name in levels(GENERAL)]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def told(place: Place) -> list[str]:
    """The texts of the only debug file, without their heads."""
    (path,) = (place.root / "dbg").rglob("taper.*.debug")
    texts = path.read_text().splitlines()
    return [re.sub(r"^.*?: thd-0x[0-9a-f]+: taper: ", "", text) for text in texts]


def a_night(place: Place) -> None:
    holding = write_holding(str(place.root), DATA, 100_000)
    with twistd(place, "-o", "dtimeout=7") as (process, driver):
        talk(driver, START, "TAPER-OK")
        talk(driver, write_line(holding), "REQUEST-NEW-TAPE")
        talk(driver, f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
        driver.sendall(b"QUIT\n")
        assert driver.recv(1) == b""
        assert process.wait(20) == 0


STORY = [
    r"pid \d+ ruid \d+ euid \d+ version \S+, twisted-taper \S+: start at ",
    r"Arguments: .*--config C",
    r"config_overrides: dtimeout 7$",
    r"reading config file .*/etc/C/amanda\.conf",
    r"taper\.run\.story: trace log .*, tapelist ",
    r"taper\.run\.story: storage C, pool C, changer chg-disk:",
    r"taper\.core\.scan\.base: scan TraditionalScan for 20260101000000 begins",
    r"taper\.core\.retention: of 1 volumes 1 are retained: 1 by retention-tapes",
    r"taper\.core\.scan\.traditional: stage 1: the oldest reusable volume is none",
    r"taper\.core\.scan\.traditional: stage 2: slot after slot",
    r"taper\.core\.scan\.base: slot 1: volume C01 may not .*: it is retained by retention-tapes",
    r"taper\.run\.story: trace log: INFO taper Slot 1 ",
    r"taper\.core\.scan\.base: slot 2: no label: ",
    r"taper\.core\.scan\.base: the scan found slot 2: C02, a new label",
    r"taper\.core\.dump: 00-00001: .* localhost /srv, level 0, from HoldingOrigin",
    r"taper\.core\.preparing: 00-00001: preparing to write, part size ",
    r"taper\.run\.story: trace log: START taper .* label C02 ",
    r"taper\.core\.parts: 00-00001: part 1 begins on C02",
    r"taper\.core\.parts: 00-00001: part 1: PartResult\(size=256000, ",
    r"taper\.run\.story: trace log: PART taper ",
    r"taper\.run\.story: trace log: DONE taper ",
    r"taper\.run\.story: trace log: INFO taper tape C02 ",
]


def test_a_night(tmp_path: Path) -> None:
    """Scan, each slot and why not, retention and its rule, label, part by part, the end."""
    place = make_place(tmp_path)
    (tmp_path / "vtapes/slot1/00000.C01").write_bytes(
        b"AMANDA: TAPESTART DATE 20250101000000 TAPE C01\n\014\n".ljust(32768, b"\0")
    )
    (tmp_path / "tapelist").write_text("20250101000000 C01 reuse POOL:C STORAGE:C CONFIG:C\n")
    a_night(place)
    lines = iter(told(place))
    for wanted in STORY:
        assert any(re.match(wanted, line) for line in lines), f"{wanted} is not there, or too early"


def test_how_much_is_for_the_configuration_to_say() -> None:
    """debug-taper asks for what we do, debug-protocol for what is said to tape servers."""
    few = levels(GENERAL)
    assert set(few) >= set(TOP_LOGGERS)
    assert {few[name] for name in ("taper", "devices", "protocols")} == {logging.INFO}
    more = levels(general("debug-taper=1"))
    assert (more["taper"], more["devices.ndmp_control"]) == (logging.DEBUG, logging.INFO)
    assert levels(general("debug-taper=2"))["devices.ndmp_control"] == logging.DEBUG
    assert levels(general("debug-holding=1")) == few | {"taper.plane.sources": logging.DEBUG}
    peers = levels(general("debug-protocol=1"))
    assert (peers["taper"], peers["protocols"]) == (logging.INFO, logging.DEBUG)
    assert {each["twisted"] for each in (few, more, peers)} == {logging.WARNING}


@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize("holding", [False, True])
def test_what_is_asked_for_beside(tmp_path: Path, event: bool, holding: bool) -> None:
    """debug-event tells the driver's commands and our replies, debug-holding each holding file."""
    place = make_place(tmp_path)
    path = tmp_path / "etc/C/amanda.conf"
    asked = f"debug-event {int(event)}\ndebug-holding {int(holding)}"
    path.write_text(path.read_text().replace("debug-taper 1", asked))
    a_night(place)
    lines = told(place)
    assert any(line.startswith("taper << FileWrite(") for line in lines) == event
    assert any(line.startswith(f"taper >> NEW-TAPE {WORKER} {HANDLE}") for line in lines) == event
    chain = r"taper\.plane\.sources: holding file .*: 56000 bytes from byte 200000 on, then no more"
    assert any(re.match(chain, line) for line in lines) == holding


def text_of(debug: DebugLog) -> str:
    assert debug.path is not None
    return Path(debug.path).read_text()


def test_what_is_logged_is_kept_and_goes_nowhere_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Warnings of ours in the debug log, and not bare in the amdump log, which is our stderr."""
    debug = DebugLog(str(tmp_path), NOW)
    keep_what_is_logged(debug, GENERAL)
    logging.getLogger("taper.run.moving").warning("after a failed part: %s", "lost")
    logging.getLogger("devices.ndmp_control").info("server: MOVER_LISTEN")  # VERBOSE
    logging.getLogger("protocols.anything").debug("too much")
    try:
        raise ValueError("unforeseen")
    except ValueError:
        logging.getLogger("twisted").critical("in a deferred", exc_info=True)
    bad = logging.LogRecord("taper", logging.INFO, __file__, 1, "%d", ("no number",), None)
    DebugHandler(debug).emit(bad)  # pytest's own handler would fail at it
    text = text_of(debug)
    assert "taper: taper.run.moving: warning: after a failed part: lost\n" in text
    assert "taper: devices.ndmp_control: server: MOVER_LISTEN\n" in text
    assert "too much" not in text
    assert "twisted: critical: in a deferred" in text
    assert "ValueError: unforeseen" in text
    assert "'%d' cannot be formatted: TypeError" in text
    assert capfd.readouterr().err == ""


def test_what_nobody_foresaw(tmp_path: Path) -> None:
    """A sentence on stderr, the whole of it in the debug log, status 1."""
    place = make_place(tmp_path)
    script = (
        "import taper.run.stdio, taper.cli\n"
        "def converse(setup): raise RuntimeError('boom')\n"
        "taper.run.stdio.converse = converse\n"
        "taper.cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "C", "--log-filename", str(place.log)],
        capture_output=True,
        text=True,
        env=environment(place),
        cwd=tmp_path,
        timeout=600,
    )
    assert done.returncode == 1
    text = r"taper: internal error: RuntimeError: boom \(.*, line 2\) \[TAPER-9000\]\n"
    assert re.fullmatch(text, done.stderr)
    lines = told(place)
    assert "Traceback (most recent call last):" in lines
    assert "RuntimeError: boom" in lines
    assert any(re.fullmatch(r"internal error: .*boom .* \[TAPER-9000\]", line) for line in lines)


def test_a_failure_that_nobody_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    """Twisted's last words are a sentence for the amdump log."""
    _tell_failure({"log_failure": Failure(ValueError("lost"))})
    _tell_failure({"log_format": "nothing wrong"})
    _tell_failure({"log_failure": Failure(ReactorNotRunning("a second signal"))})
    assert capfd.readouterr().err == "taper: internal error: lost [TAPER-9000]\n"


def test_only_the_latest_log_is_written(tmp_path: Path) -> None:
    first, second = DebugLog(str(tmp_path), NOW), DebugLog(str(tmp_path), NOW)
    keep_what_is_logged(first, GENERAL)
    keep_what_is_logged(second, GENERAL)
    logging.getLogger("taper.x").info("once")
    assert ("once" in text_of(first), text_of(second).count("once")) == (False, 1)


def test_a_disk_that_hangs_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who writes waits, what waits is bounded, and the end comes all the same."""
    debug = DebugLog(str(tmp_path), NOW)
    free, writing = threading.Event(), threading.Event()

    def hang(descriptor: int, data: bytes) -> int:
        writing.set()
        assert free.wait(60)
        return len(data)

    with monkeypatch.context() as patch:
        patch.setattr(debug_log, "MOST_WAITING", 400)
        patch.setattr(debug_log, "FLUSH_SECONDS", 0.01)
        patch.setattr(debug_log.os, "write", hang)
        debug.write_from_now_on_beside()
        debug.write("0")
        assert writing.wait(60)
        for number in range(1, 10):
            debug.write(str(number))
        debug.close(4, NOW)
        free.set()
        assert debug._writer is not None
        debug._writer.join(60)
        assert not debug._writer.is_alive()


def test_what_waits_is_written_before_the_end(tmp_path: Path) -> None:
    debug = DebugLog(str(tmp_path), NOW)
    debug.write_from_now_on_beside()
    debug.write_from_now_on_beside()
    for number in range(100):
        debug.write(f"text {number}")
    debug.close(4, NOW)
    texts = [line.rpartition(": ")[2] for line in text_of(debug).splitlines()]
    assert texts[:100] == [f"text {number}" for number in range(100)]
    assert "finish time" in text_of(debug)


def test_what_was_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debug = DebugLog(str(tmp_path), NOW)
    debug.write_from_now_on_beside()
    with monkeypatch.context() as patch:
        patch.setattr(debug_log, "MOST_WAITING", 0)
        debug.write("lost")
    debug.close(4, NOW)
    assert "lost" not in text_of(debug)
    assert "1 texts are missing above: the disk was too slow" in text_of(debug)


def test_without_a_thread_it_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debug = DebugLog(str(tmp_path), NOW)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    debug.write_from_now_on_beside()
    debug.write("at once")
    assert "no thread for the debug log: can't start new thread" in text_of(debug)
    assert text_of(debug).endswith("at once\n")
