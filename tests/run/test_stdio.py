"""Real processes on stdin and stdout: ``twistd taper`` with the driver on a pipe."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.plane.dumping import write_holding
from tests.run.sessions import HANDLE, START, WORKER, Place, make_place, write_line

DATA = bytes(range(256)) * 1000


def environment(place: Place) -> dict[str, str]:
    paths = place.paths
    return {
        **os.environ,
        "AMANDA_CONFIG_DIR": paths.config_root,
        "AMANDA_TMPDIR": paths.tmpdir,
        "AMANDA_DBGDIR": paths.dbgdir,
        "AMANDA_STATE_DIR": paths.statedir,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


@contextmanager
def twistd(place: Place, *more: str) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A process, and the driver's end of its stdin and stdout."""
    ours, theirs = socket.socketpair()
    command = [
        *(sys.executable, "-m", "twisted", "taper"),
        *("--config", "C", "--driver", "stdio", "--log-filename", str(place.log), *more),
    ]
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n"]
    command = [*twistd, "--pidfile=", f"--logfile={place.root}/twistd.log", *command[3:]]
    with (
        ours,
        subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.PIPE,
            env=environment(place),
            cwd=place.root,
        ) as process,
    ):
        theirs.close()
        ours.settimeout(20)
        try:
            yield process, ours
        finally:
            if process.poll() is None:
                process.kill()


def talk(driver: socket.socket, line: str, word: str) -> str:
    """Say a line and read until a reply begins with ``word``."""
    driver.sendall(line.encode() + b"\n")
    with driver.makefile("r", buffering=1) as file:
        for reply in file:
            if reply.startswith(word):
                return reply
    raise AssertionError(f"no {word}")


def test_a_dump_with_twistd_on_stdio(tmp_path: Path) -> None:
    """The same conversation as with ``taper``: a dump, QUIT, exit status 0, nothing strange."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    with twistd(place) as (process, driver):
        talk(driver, START, "TAPER-OK")
        talk(driver, write_line(holding), "REQUEST-NEW-TAPE")
        assert " INPUT-GOOD TAPE-GOOD " in talk(driver, f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
        driver.sendall(b"QUIT\n")
        assert driver.recv(1) == b""
        assert process.wait(60) == 0
        assert process.stderr is not None
        errors = process.stderr.read().decode().splitlines()
    assert [line.split(":")[1].split()[0] for line in errors] == ["status", "wrote"]
    assert place.logged()[-1] == "INFO taper pid-done"
    assert "Traceback" not in (tmp_path / "twistd.log").read_text()


def test_a_signal_is_a_quit(tmp_path: Path) -> None:
    """SIGTERM while a volume is in hand: it is finished, and the log says so."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), DATA, 100_000)
    with twistd(place) as (process, driver):
        talk(driver, START, "TAPER-OK")
        talk(driver, write_line(holding), "REQUEST-NEW-TAPE")
        talk(driver, f"NEW-TAPE {WORKER} {HANDLE}", "DONE")
        process.terminate()
        process.wait(60)
    assert place.logged()[-2].startswith("INFO taper tape C01 kb fm [OK]")
    assert place.logged()[-1] == "INFO taper pid-done"


def test_a_storage_that_is_not_there(tmp_path: Path) -> None:
    """The driver hears it without asking, and the process ends with status 0."""
    place = make_place(tmp_path)
    with twistd(place, "--storage-name", "nosuch") as (process, driver):
        with driver.makefile("r") as file:
            assert file.read() == "TAPE-ERROR SETUP \"Storage 'nosuch' not found\"\n"
        assert process.wait(60) == 0
