"""Deadlines follow no wall clock: it may be set by a day, and nothing ends sooner or later."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.pollreactor import PollReactor
from zope.interface.verify import verifyObject

from protocols.header import build_header
from taper.run.reactor import Resolver, settle_reactor
from tests.fakes.scarce import ScarceThreads
from tests.fakes.turning import Turning, turning_reactor
from tests.plane.dumping import HEADER
from tests.run.sessions import HANDLE, START, WORKER, Place, make_place
from tests.run.test_stdio import environment, twistd

DAY = 86400
SOURCE = Path(__file__).with_name("wall_clock.c")
SPLIT = '"" "" "" "" "" "" "" ""'
DUMPER_DONE = f"DONE {WORKER} {HANDLE} 1 11111111:1 22222222:2 00000000:0"
PORT_WRITE = f"PORT-WRITE {WORKER} {HANDLE} localhost /srv 0 20261123000000 {SPLIT} AMANDA"


class WallClock:
    """The wall clock of processes that are given :attr:`environment`."""

    def __init__(self, directory: Path) -> None:
        library = directory / "wall_clock.so"
        self._file = directory / "wrong_by"
        self.set(0)
        command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, timeout=120)
        self.environment = {"LD_PRELOAD": str(library), "JUMP_FILE": str(self._file)}

    def set(self, seconds: int) -> None:
        """Let it be wrong by so many seconds from now on."""
        with open(self._file, "r+b" if self._file.exists() else "w+b") as file:
            file.write(struct.pack("l", seconds))


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here to make a wall clock that can be set")
    clock = WallClock(tmp_path)
    script = "import time; print(time.time())"
    shown = []
    for seconds in (0, DAY):
        clock.set(seconds)
        shown.append(
            subprocess.run(
                [sys.executable, "-c", script],
                env=clock.environment,
                capture_output=True,
                check=True,
                timeout=600,
            ).stdout
        )
    assert float(shown[1]) - float(shown[0]) > DAY / 2, "the library does not set the clock"
    clock.set(0)
    return clock


@contextmanager
def taper(place: Place) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A process of the stock command line, and the driver's end of its stdin and stdout."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "taper.cli", "C", "--storage", "C"]
    with (
        ours,
        subprocess.Popen(
            [*command, "--log-filename", str(place.log)],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            env=environment(place),
            cwd=place.root,
        ) as process,
    ):
        theirs.close()
        ours.settimeout(60)
        try:
            yield process, ours
        finally:
            if process.poll() is None:
                process.kill()


def say(driver: socket.socket, heard: TextIO, line: str, word: str) -> str:
    """Say a line and read until a reply begins with ``word``."""
    driver.settimeout(60)
    driver.sendall(f"{line}\n".encode())
    for reply in heard:
        if reply.startswith(word):
            return reply
    raise AssertionError(f"no {word}")


BOTH = pytest.mark.parametrize("begun", [taper, twistd])


@BOTH
def test_set_back_by_a_day_a_deadline_comes_all_the_same(
    tmp_path: Path, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch, begun: object
) -> None:
    """Nobody brings a header: that is told after dtimeout, not tomorrow."""
    for name, value in wall_clock.environment.items():
        monkeypatch.setenv(name, value)
    place = make_place(tmp_path, dtimeout=1)
    with begun(place) as (process, driver):  # type: ignore[operator]
        heard = driver.makefile("r")
        say(driver, heard, START, "TAPER-OK")
        say(driver, heard, PORT_WRITE, "PORT")
        wall_clock.set(-DAY)
        assert "Connection timed out" in say(driver, heard, "WAKE-UP", "FAILED")
        driver.sendall(b"QUIT\n")
        process.wait(60)


@BOTH
def test_set_forward_by_a_day_a_deadline_does_not_come_yet(
    tmp_path: Path, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch, begun: object
) -> None:
    """A dumper that has half an hour still has it."""
    for name, value in wall_clock.environment.items():
        monkeypatch.setenv(name, value)
    place = make_place(tmp_path, dtimeout=1800)
    with begun(place) as (process, driver):  # type: ignore[operator]
        heard = driver.makefile("r")
        say(driver, heard, START, "TAPER-OK")
        words = say(driver, heard, PORT_WRITE, "PORT").split(" ")
        wall_clock.set(DAY)
        say(driver, heard, "WAKE-UP", "BAD-COMMAND")
        with socket.create_connection(("127.0.0.1", int(words[3])), timeout=600) as peer:
            peer.sendall(build_header(HEADER, 32768, None))
        say(driver, heard, f"START-SCAN {WORKER} {HANDLE}", "REQUEST-NEW-TAPE")
        host, port = words[4].strip('"\n').split(":")
        with socket.create_connection((host, int(port)), timeout=600) as peer:
            peer.sendall(b"data")
        say(driver, heard, f"NEW-TAPE {WORKER} {HANDLE}", "DUMPER-STATUS")
        assert "INPUT-GOOD TAPE-GOOD" in say(driver, heard, DUMPER_DONE, "DONE")
        driver.sendall(b"QUIT\n")
        process.wait(60)


def test_a_reactor_counts_by_a_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is timed with it; what was timed before would be lost, and is refused."""
    reactor = PollReactor()
    settle_reactor(reactor)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    before = time.monotonic()
    call = reactor.callLater(100, lambda: None)
    assert before + 100 <= call.getTime() <= time.monotonic() + 100
    with pytest.raises(RuntimeError, match="another clock"):
        settle_reactor(reactor)


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        turning.reactor.installNameResolver(Resolver(turning.reactor))
        yield turning


class Found:
    """What a resolver says."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.over = False

    def resolutionBegan(self, resolution: object) -> None:
        assert not self.hosts

    def addressResolved(self, address: object) -> None:
        self.hosts.append(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        self.over = True


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("localhost", ["127.0.0.1"]),
        ("a..b", []),
        ("x" * 300, []),
    ],
)
def test_names_are_looked_up(turning: Turning, name: str, hosts: list[str]) -> None:
    """An answer comes whatever the name is."""
    resolver = turning.reactor.nameResolver
    verifyObject(IHostnameResolver, resolver)
    found = Found()
    resolver.resolveHostName(found, name, 10000)
    turning.until(lambda: found.over)
    assert set(hosts) <= set(found.hosts)
    assert bool(hosts) == bool(found.hosts)


def test_an_address_is_told_at_once(turning: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no thread, and nobody waits for one."""
    scarce = ScarceThreads(monkeypatch, lambda number: True)
    scarce.begin()
    found = Found()
    turning.reactor.nameResolver.resolveHostName(found, "127.0.0.1", 10000)
    assert found.over
    assert found.hosts == ["127.0.0.1"]


def test_without_a_thread_a_name_has_no_address(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce = ScarceThreads(monkeypatch, lambda number: True)
    scarce.begin()
    found = Found()
    turning.reactor.nameResolver.resolveHostName(found, "localhost", 10000)
    turning.until(lambda: found.over)
    assert found.hosts == []


def test_a_silent_name_server_does_not_hold_the_end(tmp_path: Path) -> None:
    """A process ends while a name is still being looked up."""
    script = """
import socket, threading
import taper.run.process
taper.run.process.import_reactor()
from twisted.internet import reactor
asked = threading.Event()
def silent(*args, **kwargs):
    reactor.callFromThread(reactor.stop)
    threading.Event().wait()
socket.getaddrinfo = silent
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
reactor.callWhenRunning(lambda: HostnameEndpoint(reactor, "host.example", 1).connect(Factory()))
reactor.run()
print("ended")
"""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600, cwd=root
    )
    assert done.stdout == "ended\n", done.stderr


DEAD_PRODUCER = """
from taper.plane import shm
from taper.plane.interfaces import SourceError
from protocols.shmring import Sizes
shm.LOOK_EVERY = 0.1
source = shm.ShmSource(Sizes(131072, 32768), lambda pids: 4711)
source.create()
try:
    source.read_into(memoryview(bytearray(100)))
except SourceError as error:
    print(error)
source.close()
"""


def test_a_dead_producer_is_noticed_whatever_the_wall_clock_says(wall_clock: WallClock) -> None:
    """A wait that began when it was ahead by a day: as if it was set back meanwhile."""
    wall_clock.set(DAY)
    done = subprocess.run(
        [sys.executable, "-c", DEAD_PRODUCER],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=Path(__file__).parents[2],
        env=os.environ | wall_clock.environment,
    )
    assert done.stdout == "shm-ring: process 4711 ended before its data did\n", done.stderr
