"""A driver that does not read its replies: they take little memory, and none is lost."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.run.sessions import Place, make_place
from tests.run.test_clock import taper
from tests.run.test_stdio import environment

PAYLOAD = 60_000
"""Bytes of one reply."""
REPLIES = 2500
MOST = 100_000
"""KiB that a process may need; the replies are some 150 000."""


@contextmanager
def daemon(place: Place) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """``twistd taper`` on a socket, and a driver who has connected."""
    path = place.root / "socket"
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n"]
    options = ["--config", "C", "--driver", f"unix:{path}", "--log-filename", str(place.log)]
    with subprocess.Popen(
        [*twistd, "--pidfile=", f"--logfile={place.root}/twistd.log", "taper", *options],
        env=environment(place),
        cwd=place.root,
    ) as process:
        try:
            with socket.socket(socket.AF_UNIX) as ours:
                while ours.connect_ex(str(path)):
                    assert process.poll() is None
                    time.sleep(0.05)
                ours.settimeout(120)
                yield process, ours
        finally:
            process.kill()


def command(number: int) -> bytes:
    """One whose answer is long."""
    return b"CLOSE-VOLUME %d-%s\n" % (number, b"x" * PAYLOAD)


def flood(driver: socket.socket) -> threading.Thread:
    """Say everything, as fast as the taper takes it."""

    def say() -> None:
        try:
            for number in range(REPLIES):
                driver.sendall(command(number))
        except OSError:
            return  # we have hung up ourselves

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    return thread


def until_nothing_moves(process: subprocess.Popen[bytes], flooding: threading.Thread) -> None:
    """Give the taper the time to take all that it will take. Too short a time harms nothing."""
    still, before = 0, ""
    while flooding.is_alive() and still < 10:
        time.sleep(0.1)
        now = Path(f"/proc/{process.pid}/io").read_text()
        still = still + 1 if now == before else 0
        before = now


def peak(process: subprocess.Popen[bytes]) -> int:
    """KiB that the process has needed at most."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("the kernel tells no VmHWM")


WAYS = pytest.mark.parametrize("begun", [taper, daemon])


@WAYS
def test_unread_replies_wait_in_order_and_take_little_room(tmp_path: Path, begun: object) -> None:
    with begun(make_place(tmp_path)) as (process, driver):  # type: ignore[operator]
        flooding = flood(driver)
        until_nothing_moves(process, flooding)
        with driver.makefile("rb") as replies:
            for number in range(REPLIES):
                reply = replies.readline()
                assert reply.startswith(b"BAD-COMMAND \"unknown worker '%d-xxx" % number), number
                assert len(reply) > PAYLOAD
        flooding.join()
        assert peak(process) < MOST
        driver.sendall(b"QUIT\n")
        assert driver.recv(1) == b""


@pytest.mark.parametrize("begun", [taper])
def test_a_driver_that_dies_unread_is_noticed(tmp_path: Path, begun: object) -> None:
    """The process ends as after QUIT."""
    place = make_place(tmp_path)
    with begun(place) as (process, driver):  # type: ignore[operator]
        until_nothing_moves(process, flood(driver))
        driver.shutdown(socket.SHUT_RDWR)
        assert process.wait(60) == 0
    assert place.logged()[-1] == "INFO taper pid-done"
