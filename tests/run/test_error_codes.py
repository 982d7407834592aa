"""Codes of errors are where people read, and nowhere else."""

from __future__ import annotations

import errno
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devices.errors import (
    ChangerError,
    ChangerReason,
    DeviceBusy,
    DeviceError,
    Status,
    VolumeFailed,
)
from protocols.errorcode import INTERNAL, code_of, coded, known_code
from protocols.ndmp.errors import NdmpTimeout
from taper.core.errors import DeviceFault, SourceFault, TapeTrouble
from taper.last_words import CannotStart
from taper.plane.interfaces import ShortOfRoom, SourceError
from taper.run.debug_log import DebugHandler, DebugLog
from tests.plane.dumping import write_holding
from tests.run.sessions import HANDLE, STAMP, START, WORKER, make_place, write_line
from tests.run.test_stdio import DATA, environment, talk, twistd
from tests.run.test_story import told

CODE = re.compile(r"\[TAPER-[0-9]{4}\]")


def caused(fault: BaseException, cause: BaseException | None) -> BaseException:
    fault.__cause__ = cause
    return fault


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (SourceFault("x"), 4000),
        (DeviceFault("x"), 2000),
        (SourceError("x", code=4003), 4003),
        (ShortOfRoom("x"), 4006),
        (DeviceBusy("x", Status.DEVICE_BUSY), 2002),
        (DeviceError("x", Status.VOLUME_MISSING), 2003),
        (VolumeFailed("x", Status.VOLUME_UNLABELED), 2004),
        (VolumeFailed("x", Status.VOLUME_ERROR), 2100),
        (ChangerError("x"), 3000),
        (ChangerError("x", ChangerReason.EMPTY), 3006),
        (ChangerError("x", ChangerReason.EMPTY, code=1005), 1005),
        # the particular one of a cause, where the error itself tells no more than the area
        (caused(VolumeFailed("x", Status.VOLUME_ERROR), FULL), 8002),
        (caused(SourceFault("x"), caused(DeviceError("x"), NdmpTimeout("x"))), 5012),
        (caused(SourceFault("x"), ValueError("x")), 4000),
        (caused(CannotStart("x", code=1001), FULL), 1001),
        (caused(TapeTrouble("x"), OSError("odd")), 2200),
        (OSError(errno.EIO, "x"), 8000),
        (MemoryError(), 8004),
        (ValueError("x"), INTERNAL),
    ],
)
def test_what_an_error_is(fault: BaseException, code: int) -> None:
    assert code_of(fault) == code
    assert (known_code(fault) is None) is (type(fault) is ValueError)


def test_errors_that_cause_each_other_have_an_end() -> None:
    first, second = SourceFault("x"), DeviceFault("x")
    assert code_of(caused(first, caused(second, first))) == 4000


def test_a_code_stands_at_the_end_of_the_first_line() -> None:
    assert coded("full\nUSAGE: none", 8002) == "full [TAPER-8002]\nUSAGE: none"
    assert coded("full", FULL) == "full [TAPER-8002]"


def test_what_is_logged_of_an_error_has_its_code(tmp_path: Path) -> None:
    debug = DebugLog(str(tmp_path), 1_780_000_000.0)
    log = logging.Logger("taper.x")
    log.addHandler(DebugHandler(debug))
    log.info("part %d: %s", 1, SourceError("gone", code=4003))
    log.info("the property is %s", ValueError("no number"))
    try:
        raise KeyError("what")
    except KeyError:
        log.exception("unforeseen")
    assert debug.path is not None
    text = Path(debug.path).read_text()
    assert "taper.x: part 1: gone [TAPER-4003]\n" in text
    assert "the property is no number\n" in text
    assert "unforeseen [TAPER-9000]\n" in text


def test_a_dump_that_fails(tmp_path: Path) -> None:
    """The debug log has the code; what driver and trace log are told is as it always was."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    gone = f"{holding}.1"
    os.unlink(gone)
    with twistd(place) as (process, driver):
        talk(driver, START, "TAPER-OK")
        asked = talk(driver, write_line(holding), "REQUEST-NEW-TAPE")
        said = talk(driver, f"NEW-TAPE {WORKER} {HANDLE}", "PARTIAL")
        driver.sendall(b"QUIT\n")
        assert driver.recv(1) == b""
        assert process.wait(20) == 0
        assert process.stderr is not None
        stderr = process.stderr.read().decode()
    why = f"while opening holding file '{gone}': No such file or directory"
    stats = r"\[sec [0-9.]+ bytes [0-9]+ kps [0-9.]+( orig-kb 1)?\]"
    assert re.fullmatch(
        rf'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD \S+ "{stats}" "{re.escape(why)}" ""',
        said.rstrip(),
    ), said
    log = place.log.read_text()
    (end,) = [line for line in log.splitlines() if line.startswith("PARTIAL taper ")]
    names = 'PARTIAL taper "ST:C" "POOL:C" localhost /srv 20261123000000 1 0 '
    assert end.startswith(names)
    assert re.search(rf' {stats} "{re.escape(why)}"$', end), end
    assert not CODE.search(asked + said + log + stderr)
    assert STAMP in log
    lines = told(place)
    assert f"taper.plane.intake: the source has ended: {why} [TAPER-8003]" in lines
    assert any(line.endswith(f"{why} [TAPER-4000]") for line in lines)
    assert not any(CODE.search(line) for line in lines if "trace log: " in line or " >> " in line)


def test_a_taper_that_cannot_start(tmp_path: Path) -> None:
    """Stderr and debug log have the same sentence, with the code."""
    place = make_place(tmp_path, user="nobody-knows-me")
    command = [sys.executable, "-m", "taper.cli", "C", "--log-filename", str(place.log)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(place), cwd=tmp_path, timeout=600
    )
    text = 'cannot look up dumpuser "nobody-knows-me" [TAPER-1013]'
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"taper: {text}\n"
    assert text in told(place)
