"""While a run of records is written the next one is received, and what is written is told."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from protocols.ndmp.codes import INFINITY
from protocols.ndmp_server.interfaces import MoveEnd, Progress, TapeEnd, Window
from taper.plane.crc import RunningCrc
from taper.tapeserver import records, writer
from taper.tapeserver.channel import DataChannel
from taper.tapeserver.simulated import NO_LIMITS
from tests.fakes.medium import Limits, Medium
from tests.opened import threads
from tests.tapeserver.test_channel import crc_of

SIZE = 4096
RUN = 4 * SIZE
"""Bytes of a run here, so that little is much."""
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RUN", RUN)


class Held(Medium):
    """A tape whose writing takes until somebody lets it go on.

    :ivar held: a run is being written.
    :ivar fault: what becomes of it then; None: it is written.
    """

    def __init__(self, limits: Limits = NO_LIMITS) -> None:
        super().__init__(limits)
        self.held = threading.Event()
        self.free = threading.Event()
        self.fault: OSError | None = None
        self.runs: list[int] = []

    def write_run(self, data: memoryview, size: int) -> tuple[int, TapeEnd | None]:
        self.held.set()
        assert self.free.wait(PATIENCE)
        if self.fault is not None:
            raise self.fault
        self.runs.append(len(data))
        return super().write_run(data, size)


class Storing:
    """A channel that stores in a thread, as a drive's lane does, and the peer that sends."""

    def __init__(
        self, tape: Any, data: bytes = b"", patience: float | None = None, **about: Any
    ) -> None:
        ours, self.peer = socket.socketpair()
        self.channel = DataChannel(ours, patience)
        self.progress = Progress(SIZE, **about)
        self.sent = 0
        self.end: MoveEnd | None = None
        self.fault: BaseException | None = None
        self.channel.begin()
        self._tape = tape
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.send(data)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.end = self.channel.store(self._tape, self.progress)
        except OSError as fault:
            self.fault = fault

    def send(self, data: bytes) -> None:
        self.peer.sendall(data)
        self.sent += len(data)

    @property
    def received(self) -> int:
        """Bytes that the channel has taken from the socket."""
        left = fcntl.ioctl(self.channel.link, termios.FIONREAD, struct.pack("i", 0))
        return self.sent - int(struct.unpack("i", left)[0])

    def comes_to(self, condition: Callable[[], bool]) -> None:
        until(lambda: condition() or not self._thread.is_alive())
        assert condition(), (self.end, self.fault)

    @property
    def storing(self) -> bool:
        return self._thread.is_alive()

    def over(self) -> MoveEnd | None:
        self._thread.join(PATIENCE)
        assert not self.storing
        return self.end

    def close(self) -> None:
        self.peer.close()
        self.channel.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def stream(size: int) -> bytes:
    """Bytes of which no two records are equal."""
    return b"".join(number.to_bytes(4, "big") for number in range(-(-size // 4)))[:size]


def contents(tape: Medium) -> bytes:
    return b"".join(record for file in tape.files() for record in file)


def test_the_next_run_comes_while_one_is_written() -> None:
    """As much as there is memory for, and no more; it is written in its order then."""
    tape, data = Held(), stream(5 * RUN)
    storing = Storing(tape, data)
    assert tape.held.wait(PATIENCE)
    storing.comes_to(lambda: storing.received == records.RUNS * RUN)
    assert storing.progress.position == storing.progress.moved == 0
    tape.free.set()
    storing.peer.close()
    assert storing.over() is MoveEnd.CLOSED
    assert contents(tape) == data
    assert max(tape.runs) == RUN
    assert storing.progress.position == storing.progress.moved == len(data)
    assert storing.channel.account() == f"{len(data)} bytes went by, CRC-32C {crc_of(data)}"
    until(lambda: not threads(writer.NAME))
    storing.close()


@pytest.mark.parametrize("fault", [errno.EIO, errno.ENOSPC])
def test_a_held_write_fails(fault: int) -> None:
    """What came meanwhile is not written any more, and not counted; nobody writes on."""
    tape, data = Held(), stream(2 * RUN)
    tape.fault = OSError(fault, os.strerror(fault))
    storing = Storing(tape, data)
    assert tape.held.wait(PATIENCE)
    storing.comes_to(lambda: storing.received == len(data))
    tape.free.set()
    assert storing.over() is None
    assert storing.fault is tape.fault
    assert (storing.progress.position, storing.progress.moved) == (0, 0)
    assert storing.channel.account() == "0 bytes went by, CRC-32C 00000000:0"
    assert contents(tape) == b""
    until(lambda: not threads(writer.NAME))
    storing.close()


def test_an_early_warning_after_a_held_write() -> None:
    """The records that came meanwhile are kept for the next tape, behind those refused."""
    tape, data = Held(Limits(early_records=3)), stream(3 * RUN)
    storing = Storing(tape, data)
    storing.comes_to(lambda: storing.received == records.RUNS * RUN)
    tape.free.set()
    assert storing.over() is MoveEnd.EARLY
    assert storing.progress.position == 3 * SIZE
    assert contents(tape) == data[: 3 * SIZE]
    second = Medium()
    storing.peer.close()
    storing.channel.begin()
    assert storing.channel.store(second, storing.progress) is MoveEnd.CLOSED
    assert contents(second) == data[3 * SIZE :]
    storing.close()


@pytest.mark.parametrize("records_early", [None, 2])
def test_it_is_told_to_stop_in_the_middle_of_a_write(records_early: int | None) -> None:
    """It comes back when that is over, and nothing is written afterwards."""
    tape, data = Held(Limits(early_records=records_early)), stream(2 * RUN)
    storing = Storing(tape, data)
    storing.comes_to(lambda: storing.received == len(data))
    storing.channel.interrupt()
    storing.peer.close()
    assert storing.storing  # the run is still on its way
    tape.free.set()
    end = MoveEnd.INTERRUPTED if records_early is None else MoveEnd.EARLY
    assert storing.over() is end
    assert tape.runs == [RUN]
    written = RUN if records_early is None else records_early * SIZE
    assert contents(tape) == data[:written]
    assert storing.progress.position == written
    until(lambda: not threads(writer.NAME))
    storing.close()


def test_who_closes_a_writer_waits_for_it() -> None:
    """Whatever the reason: nothing is written when that has returned."""
    tape, progress, kept = Held(), Progress(SIZE), records.Records()
    kept.fit(SIZE)
    kept.came(SIZE)
    closed = writer.RunWriter(tape, progress, kept, RunningCrc(), lambda: None)
    closed.write(INFINITY, behind=True)
    closing = threading.Thread(target=closed.close)
    closing.start()
    assert tape.held.wait(PATIENCE)
    assert closing.is_alive()
    tape.free.set()
    closing.join(PATIENCE)
    assert (tape.runs, progress.position, kept.count) == ([SIZE], SIZE, 0)


def test_the_window_ends_with_a_run_that_is_written() -> None:
    """What came behind it waits for the next window."""
    tape, data = Held(), stream(2 * RUN)
    storing = Storing(tape, data, window=Window(0, 2 * SIZE))
    storing.comes_to(lambda: storing.received == len(data))
    tape.free.set()
    assert storing.over() is MoveEnd.WINDOW
    assert contents(tape) == data[: 2 * SIZE]
    storing.progress.window = Window(2 * SIZE)
    storing.peer.close()
    storing.channel.begin()
    assert storing.channel.store(tape, storing.progress) is MoveEnd.CLOSED
    assert contents(tape) == data
    storing.close()


def test_a_peer_that_is_silent_during_a_write_is_waited_for_afterwards() -> None:
    """Its time begins when all that it has sent is written."""
    tape = Held()
    storing = Storing(tape, stream(SIZE), 0.05)
    assert tape.held.wait(PATIENCE)
    time.sleep(0.15)
    storing.send(stream(SIZE))
    tape.free.set()
    assert storing.over() is MoveEnd.SILENT
    assert contents(tape) == 2 * stream(SIZE)
    assert storing.progress.position == 2 * SIZE
    storing.close()


class Timed(Medium):
    """A tape whose writing takes a second, in a time of its own.

    :ivar works: it is the processor's time.
    :ivar by: names of the threads that have written.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.works = False
        self.by: list[str] = []
        self._now = self._worked = 0.0
        patch.setattr(writer, "monotonic", lambda: self._now)
        patch.setattr(writer, "thread_time", lambda: self._worked)

    def write_run(self, data: memoryview, size: int) -> tuple[int, TapeEnd | None]:
        self.by.append(threading.current_thread().name)
        self._now += 1
        self._worked += 1 if self.works else 0.1
        return super().write_run(data, size)


@pytest.mark.parametrize("works", [True, False])
def test_a_thread_writes_where_writing_waits(monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    """What takes the processor's time alone is done at once: to hand it over would cost more."""
    tape, data = Timed(monkeypatch), stream(5 * RUN)
    tape.works = works
    storing = Storing(tape, data)
    storing.comes_to(lambda: storing.progress.position == len(data))
    storing.peer.close()
    assert storing.over() is MoveEnd.CLOSED
    behind = [name.startswith(writer.NAME) for name in tape.by]
    assert behind == [True, *[not works] * 4]
    assert contents(tape) == data
    storing.close()


def test_without_a_thread_it_writes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    data, tape = stream(3 * RUN), Medium()
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    channel, progress = DataChannel(ours, None), Progress(SIZE)
    channel.begin()
    assert channel.store(tape, progress) is MoveEnd.CLOSED
    assert contents(tape) == data
    channel.close()
