"""What breaks, or is meant to, where a daemon serves the taper that Amanda starts."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

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
