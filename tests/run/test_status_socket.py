"""The status socket of a real taper: what is told there, and what no client can do."""

from __future__ import annotations

import getpass
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest
from attrs import define
from twisted.internet.task import Clock

from taper.core.watch import Watch
from taper.run import status_door
from taper.run.status_door import MOST_CLIENTS, MOST_UNSENT, NO_ROOM, PATIENCE, Client, StatusDoor
from taper.run.status_sockets import folder_of, open_socket
from tests.docs.status_schema import EVENTS, check_line
from tests.plane.dumping import write_holding
from tests.run.sessions import HANDLE, START, WORKER, Place, make_place
from tests.run.sessions import PATIENCE as PATIENT
from tests.run.test_stdio import environment

SIZE = 2_000_000
PARTS = 20
SPLIT = f'"" "" "" "" {SIZE // PARTS} "" "" ""'


@define
class Talk:
    """A taper, as its driver has it."""

    process: subprocess.Popen[str]
    place: Place

    def say(self, line: str, word: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        for reply in self.process.stdout:
            if reply.startswith(word):
                return reply
        raise AssertionError(f"no {word}")

    def write(self, holding: str) -> str:
        command = f"FILE-WRITE {WORKER} {HANDLE} {holding} localhost /srv 0 20261123000000 "
        self.say(f"{command}{SPLIT} 1", "REQUEST-NEW-TAPE")
        return self.say(f"NEW-TAPE {WORKER} {HANDLE}", "DONE")

    def quit(self) -> None:
        _, errors = self.process.communicate("QUIT\n")
        assert self.process.returncode == 0, errors

    def socket(self) -> Path:
        folder = Path(folder_of(self.place.paths.tmpdir))
        while True:
            found = list(folder.glob("*")) if folder.is_dir() else []
            if found and found[0].is_socket():
                return found[0]
            assert self.process.poll() is None
            time.sleep(0.01)


@contextmanager
def taper(place: Place) -> Iterator[Talk]:
    command = [sys.executable, "-m", "taper.cli", "C", "--storage", "C"]
    with subprocess.Popen(
        [*command, "--log-filename", str(place.log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(place),
        cwd=place.root,
    ) as process:
        patience = Timer(PATIENT, process.kill)
        patience.start()
        try:
            yield Talk(process, place)
        finally:
            patience.cancel()
            process.kill()


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    """A connection, by whatever way is short enough."""
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENT)
        try:
            client.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        yield client


class Hearing(Thread):
    """Takes all that a client hears, as it comes."""

    def __init__(self, client: socket.socket) -> None:
        super().__init__()
        self._client = client
        self._lines: list[dict[str, Any]] = []
        self.start()

    def run(self) -> None:
        with self._client.makefile("rb") as file:
            self._lines += [json.loads(line) for line in file]

    def lines(self) -> list[dict[str, Any]]:
        """To the end."""
        self.join()
        return self._lines


def debug_of(place: Place) -> str:
    return "".join(path.read_text() for path in Path(place.paths.dbgdir).rglob("taper.*.debug"))


LOUD = "a status client is let go: a status client has nothing to say"


def test_a_dump_is_watched_and_costs_no_more_whoever_watches(tmp_path: Path) -> None:
    """One hears all of it, as documented. Beside it there are those who never read, who say
    megabytes, who close half of it, and who connect again and again; the dump is as without."""
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), bytes(SIZE), SIZE)
    over = Event()

    def connect_again_and_again() -> None:
        for _ in range(1000):
            if over.is_set():
                return
            with suppress(OSError), connected(path):
                pass

    def say_megabytes() -> None:
        with suppress(OSError):
            loud.sendall(bytes(4_000_000))

    with taper(place) as talk:
        talk.say(START, "TAPER-OK")
        path = talk.socket()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with (
            connected(path) as good,
            connected(path) as deaf,
            connected(path) as half,
            connected(path) as loud,  # before those who come so often that others have to wait
        ):
            half.shutdown(socket.SHUT_WR)
            hearing, half_hearing = Hearing(good), Hearing(half)
            hostile = [Thread(target=say_megabytes), Thread(target=connect_again_and_again)]
            for thread in hostile:
                thread.start()
            result = talk.write(holding)
            over.set()
            while LOUD not in debug_of(place):
                time.sleep(0.01)
            talk.quit()
            heard, heard_by_half = hearing.lines(), half_hearing.lines()
            for thread in hostile:
                thread.join()
            del deaf
    assert " INPUT-GOOD TAPE-GOOD " in result
    assert not path.exists()
    for line in heard:
        check_line(line)
    kept = [
        [line for line in both if line.get("event") != "progress"]
        for both in (heard, heard_by_half)
    ]
    assert kept[1][1:] == kept[0][1 - len(kept[1]) :]
    assert heard[0]["snapshot"]["pid"] == talk.process.pid
    assert heard[-1]["event"] == "end"
    notes = [note["text"] for note in heard[0]["snapshot"]["notes"]]
    assert [note for note in notes if note.startswith("scan: slot 1: no label")]
    parts = [line["part"] for line in heard if line.get("event") == "part"]
    assert sum(part["bytes"] for part in parts if part["good"]) == SIZE
    (dump,) = [line["dump"] for line in heard if line.get("event") == "dump"]
    assert (dump["result"], dump["parts"], dump["stored"]) == ("DONE", len(parts), SIZE)
    told = debug_of(place)
    assert told.count("of these the device waited") == len(parts) + 1
    assert LOUD in told
    assert "Traceback" not in told


@pytest.mark.parametrize("trouble", ["a file", "open to others"])
def test_a_socket_that_cannot_be_made_is_one_line(tmp_path: Path, trouble: str) -> None:
    place = make_place(tmp_path)
    folder = Path(folder_of(place.paths.tmpdir))
    if trouble == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o750)
    with taper(place) as talk:
        talk.say(START, "TAPER-OK")
        while "no status socket: " not in debug_of(place):
            time.sleep(0.01)
        talk.quit()
    told = [line for line in debug_of(place).splitlines() if "status" in line]
    assert len(told) == 1
    assert list(folder.glob("*")) == []


# In this process


class Transport:
    """The end of a connection that takes as much as it is let."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.producer: Any = None
        self.said: list[str] = []

    def write(self, data: bytes) -> None:
        self.sent += [json.loads(line) for line in data.splitlines()]

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def __getattr__(self, name: str) -> Any:
        return lambda: self.said.append(name)


class Hall:
    """A door in this process, and whoever comes to it."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(status_door, "_Listening", lambda *_: None)
        self.clock = Clock()
        self.watch = Watch(
            {"pid": 1, "version": "0", "service": "stdio", "config": "C", "started": 1.0},
            self.clock.seconds,
        )
        self.noted: list[str] = []
        self.door = StatusDoor(self.clock, self.watch, None, self.noted.append)  # type: ignore[arg-type]

    def client(self) -> Transport:
        transport = Transport()
        client = Client(self.door)
        client.transport = transport  # type: ignore[assignment]
        client.connectionMade()
        transport.client = client
        return transport


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hall:
    return Hall(tmp_path, monkeypatch)


def test_who_is_behind_gets_no_progress_and_then_is_let_go(hall: Hall) -> None:
    slow, quick = hall.client(), hall.client()
    slow.producer.pauseProducing()
    hall.watch.note("first")
    hall.clock.advance(0)
    assert [line.get("event") for line in slow.sent] == [None]
    slow.producer.resumeProducing()
    assert slow.sent == quick.sent
    slow.producer.pauseProducing()
    while not slow.said:
        hall.watch.note("x" * 900)
        hall.clock.advance(0)
    assert slow.said[-1] == "loseConnection"
    assert slow.sent[-1]["event"] == "dropped"
    assert str(MOST_UNSENT) in slow.sent[-1]["reason"]
    check_line(slow.sent[-1])
    hall.watch.note("last")
    hall.clock.advance(0)
    assert slow.sent[-1]["event"] == "dropped"
    assert quick.sent[-1]["text"] == "last"
    hall.clock.advance(status_door.GOODBYE)
    assert slow.said[-1] == "abortConnection"
    assert len(hall.noted) == 1


def test_who_reads_nothing_for_long_is_let_go(hall: Hall) -> None:
    slow = hall.client()
    slow.producer.pauseProducing()
    hall.clock.pump([status_door.TICK] * int(PATIENCE / status_door.TICK + 2))
    assert slow.sent[-1]["event"] == "dropped"


def test_who_speaks_is_let_go(hall: Hall) -> None:
    loud = hall.client()
    loud.producer.dataReceived(b"GET / HTTP/1.1\r\n")
    assert loud.sent[-1]["event"] == "dropped"
    assert "pauseProducing" in loud.said


def test_silence_is_told_now_and_then(hall: Hall) -> None:
    client = hall.client()
    hall.clock.pump([status_door.TICK] * (2 * status_door.TICKS_ALIVE))
    alive = [line for line in client.sent if line.get("event") == "alive"]
    assert len(alive) == 2
    check_line(alive[0])


def test_nothing_ticks_when_nobody_is_there(hall: Hall) -> None:
    client = hall.client()
    hall.watch.note("x")
    client.producer.connectionLost()
    assert hall.clock.getDelayedCalls() == []
    hall.watch.note("y")
    assert hall.watch.news() == []


def test_one_too_many_is_refused(hall: Hall) -> None:
    for _ in range(MOST_CLIENTS):
        hall.client()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hall.door.take(theirs)
        (line,) = ours.recv(1000).splitlines()
    check_line(json.loads(line))
    assert json.loads(line)["refused"] == NO_ROOM


def test_the_end_is_told(hall: Hall) -> None:
    client = hall.client()
    hall.door._listening = Transport()  # type: ignore[assignment]
    hall.door.close("the taper ends")
    assert client.sent[-1]["event"] == "end"
    check_line(client.sent[-1])
    assert EVENTS.keys() >= {"end", "dropped", "alive"}


def test_a_socket_with_a_long_path(tmp_path: Path) -> None:
    """Longer than a unix socket's address may be."""
    tmpdir = tmp_path / ("x" * 100)
    made, path = open_socket(str(tmpdir), getpass.getuser())
    with made, connected(Path(path)):
        assert Path(path).is_socket()
