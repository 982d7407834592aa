"""What breaks, or is meant to, where a daemon serves the taper that Amanda starts."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from protocols.greeting import parse
from taper.daemon_client import _connect
from tests.plane.dumping import write_holding
from tests.run.serving_daemon import DOOR, by_daemon, daemon, driver
from tests.run.sessions import HANDLE, PATIENCE, START, WORKER, Place, make_place, write_line

DATA = bytes(range(256)) * 1000
_HELD = re.compile(r"'slot' => '(slot[0-9]+)'")


def held(place: Place) -> list[str]:
    """Slots that somebody holds, by the state that all programs go by."""
    return _HELD.findall((place.root / "vtapes/state").read_text())


def until(true: Callable[[], bool]) -> None:
    """Wait for what comes from another process."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def hung_up(caller: socket.socket) -> None:
    """Wait until the other end hangs up, which says nothing."""
    try:
        assert caller.recv(4096) == b""
    except ConnectionResetError:
        return


def test_a_kept_volume_is_let_go_for_whom_it_does_not_serve(tmp_path: Path) -> None:
    """He does the work himself, and needs the drive until he ends, whenever that is."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    with daemon(place, "--keep-volume") as house:
        with driver(place, *by_daemon(place)) as amanda:
            amanda.ask(START, "TAPER-OK")
            amanda.ask(write_line(holding), "REQUEST-NEW-TAPE")
            amanda.ask(f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
            amanda.say("QUIT")
            assert amanda.wait() == 0
        house.hear("keeping volume C01")
        with driver(place, *by_daemon(place), TZ="Asia/Tokyo") as alone:
            alone.ask(START.replace("20260101", "20260102"), "TAPER-OK")
            house.hear("STATUS=waiting")
            assert held(place) in ([], ["slot2"])
            alone.say("QUIT")
            assert alone.wait() == 0
        assert "another time zone" in (tmp_path / "errors").read_text()
        assert house.end() == -signal.SIGTERM
    assert held(place) == []


def test_a_kept_volume_is_let_go_for_another_release(tmp_path: Path) -> None:
    """One whose greeting the daemon does not even understand."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    with daemon(place, "--keep-volume") as house:
        with driver(place, *by_daemon(place)) as amanda:
            amanda.ask(START, "TAPER-OK")
            amanda.ask(write_line(holding), "REQUEST-NEW-TAPE")
            amanda.ask(f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
            amanda.say("QUIT")
            assert amanda.wait() == 0
        house.hear("keeping volume C01")
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(PATIENCE)
            caller.connect(str(tmp_path / DOOR))
            caller.sendall(b"TAPER-CLIENT 2 3\nnew")
            hung_up(caller)
        until(lambda: held(place) == [])


def full_pipe() -> tuple[int, int]:
    """A pipe whose writer would have to wait."""
    end, full = os.pipe()
    os.set_blocking(full, False)
    for piece in (select.PIPE_BUF, 1):  # pages, and the rest of the last one
        with suppress(BlockingIOError):
            while True:
                os.write(full, bytes(piece))
    os.set_blocking(full, True)
    return end, full


def test_an_error_output_that_nobody_reads(tmp_path: Path) -> None:
    """The night goes on without it, and the next one is served; nobody waits for ever."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    end, full = full_pipe()
    try:
        with daemon(place) as house, driver(place, *by_daemon(place), errors=full) as amanda:
            amanda.ask(START, "TAPER-OK")
            amanda.ask(write_line(holding), "REQUEST-NEW-TAPE")
            assert " INPUT-GOOD TAPE-GOOD " in amanda.ask(f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
            amanda.say("QUIT")
            assert amanda.wait() == 0
            house.hear("STATUS=waiting")
    finally:
        os.close(end)
        os.close(full)


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is missing")
def test_a_command_that_may_hardly_open_anything(tmp_path: Path) -> None:
    """It ends with a sentence of why, and not with a traceback; nor has the daemon begun then,
    which would cost the run its taper."""
    place = make_place(tmp_path)
    with daemon(place) as house:
        for most_open in (5, 6):
            with driver(place, *by_daemon(place), most_open=most_open) as amanda:
                assert amanda.rest() == []
                assert amanda.wait() == 1
            said = (tmp_path / "errors").read_text()
            assert "so we go on without: " in said
            assert "Traceback" not in said
            (tmp_path / "errors").unlink()
        assert house.end() == -signal.SIGTERM
    assert not place.log.exists()


def test_descriptors_that_a_driver_sends_along(tmp_path: Path) -> None:
    """They are of no use to us, so they are closed, and not kept for the life of the daemon."""
    place = make_place(tmp_path)
    end, sent = os.pipe()
    with daemon(place), socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(PATIENCE)
        caller.connect(str(tmp_path / DOOR))
        socket.send_fds(caller, [f"{START}\n".encode()], [sent])
        os.close(sent)
        caller.recv(4096)
        with os.fdopen(end, "rb") as pipe:
            assert pipe.read() == b""  # nobody has the other end


def test_a_crowd_at_the_door(tmp_path: Path) -> None:
    """A taper waits until it is received, and does not go on beside the daemon."""
    path = str(tmp_path / DOOR)
    with socket.socket(socket.AF_UNIX) as door, socket.socket(socket.AF_UNIX) as link:
        door.bind(path)
        door.listen(0)
        crowd = []
        with suppress(BlockingIOError):
            while True:
                crowd.append(socket.socket(socket.AF_UNIX))
                crowd[-1].setblocking(False)
                crowd[-1].connect(path)
        link.settimeout(PATIENCE)
        later = threading.Timer(0.1, lambda: door.accept()[0].close())
        later.start()
        _connect(link, path)
        later.join()
        for each in crowd:
            each.close()
        assert link.getpeername() == path


def test_a_driver_that_is_gone_before_its_turn(tmp_path: Path) -> None:
    """Its taper ends with it, and does not begin hours later, when the log of its run is put away
    and it would make a new one."""
    place = make_place(tmp_path)
    with daemon(place, "--waiting", "1") as house, driver(place, *by_daemon(place)) as first:
        first.ask(START, "TAPER-OK")
        with driver(place, *by_daemon(place)) as second:
            second.say(START)
            house.hear("1 more wait")
            second.hang_up()
            assert second.wait() == 0
        assert "the driver has hung up" in (tmp_path / "errors").read_text()
        first.say("QUIT")
        assert first.wait() == 0
        house.hear("STATUS=waiting")


SAY = """
import sys
from taper.daemon_client import _greeting
sys.stdout.buffer.write(_greeting(sys.argv[1:]))
"""


@pytest.mark.skipif(not shutil.which("localedef"), reason="localedef is missing")
def test_a_command_of_another_encoding(tmp_path: Path) -> None:
    """The daemon gets the very bytes, which name the file; not another file's."""
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US.iso88591")],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip(f"localedef: {made.stderr.decode()}")
    words = [b"/log/\xe9", "/log/\u00e9\u20ac".encode()]
    command = [sys.executable, "-c", SAY, *words]
    settings = {**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": "en_US.iso88591"}
    settings.pop("PYTHONUTF8", None)
    settings["PYTHONPATH"] = str(Path(__file__).parents[2])
    said = subprocess.run(command, env=settings, capture_output=True, check=True).stdout
    found = parse(said)
    assert found is not None
    assert [os.fsencode(word) for word in found.words] == words
