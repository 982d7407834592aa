"""The alarm complains of turns that we make long, and of no others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.reactor_alarm import LIMIT, Alarm, Starvation, peak_memory


class Fake:
    """A clock and a measure of starvation, both set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.starved = 0.0
        self.faulted = False
        self.vanished = 0.0
        self.complaints: list[str] = []
        self.alarm = Alarm(self.complaints.append, self, self.clock)

    def clock(self) -> float:
        return self.now

    def begin(self) -> None:
        self.starved = 0.0

    def since(self) -> float:
        return self.starved

    def paged(self) -> bool:
        return self.faulted

    def ended(self) -> float:
        return self.vanished

    def evidence(self) -> str:
        return "  all threads slept\n"

    def turn(self, seconds: float, starved: float = 0.0, look_at: float | None = None) -> None:
        self.alarm.begin_turn()
        start = self.now
        if look_at is not None:
            self.now = start + look_at
            self.alarm.look()
        self.now = start + seconds
        self.starved = starved
        self.alarm.end_turn()


def test_short_turns_pass() -> None:
    """A turn of exactly the limit is no complaint, and waiting between turns never is."""
    fake = Fake()
    fake.turn(LIMIT)
    fake.now += 60
    fake.turn(0.001)
    fake.alarm.end_turn()
    assert fake.complaints == []
    assert (fake.alarm.turns, fake.alarm.longest) == (2, LIMIT)


def test_a_long_turn_is_told_with_its_stack() -> None:
    """The complaint says how long, and where the thread was when the turn got long."""
    fake = Fake()
    fake.turn(0.1, look_at=0.04)
    (text,) = fake.complaints
    assert text.startswith("reactor blocked for 0.100 s (turn of 0.100 s, from 0.000):\n")
    assert "in turn" in text
    assert "test_reactor_alarm.py" in text
    assert text.endswith("all threads slept\n")


def test_a_stack_belongs_to_one_turn_only() -> None:
    """A long turn nobody could look into does not show the stack of an earlier one."""
    fake = Fake()
    fake.turn(0.1, look_at=0.04)
    fake.turn(0.1)
    assert "interpreter lock" in fake.complaints[1]
    assert "in turn" not in fake.complaints[1]


def test_a_starved_machine_is_an_excuse() -> None:
    """Only what remains after the time without a processor counts."""
    fake = Fake()
    fake.turn(0.3, starved=0.26)
    fake.turn(0.3, starved=9.0)
    assert fake.complaints == []
    fake.turn(0.3, starved=0.2)
    assert fake.complaints[0].startswith("reactor blocked for 0.100 s (turn of 0.300 s,")


def test_a_page_from_the_disk_is_an_excuse() -> None:
    """Only where nobody could look: what the reactor's own thread does is seen."""
    fake = Fake()
    fake.faulted = True
    fake.turn(1.2)
    assert fake.complaints == []
    assert fake.alarm.longest == 0.0
    fake.turn(1.2, look_at=0.04)
    assert "in turn" in fake.complaints[0]


def test_a_thread_that_is_no_more_is_an_excuse() -> None:
    """What it starved cannot be known; where the reactor's own thread was seen, that counts."""
    fake = Fake()
    fake.vanished = 0.02
    fake.turn(0.2)
    assert fake.complaints == []
    fake.turn(0.2, look_at=0.04)
    assert "in turn" in fake.complaints[0]


def test_threads_that_are_no_more() -> None:
    """Their time is what the process ran and no living thread did."""
    starvation = Starvation()
    thread = threading.Thread(target=lambda: sum(range(6_000_000)))
    thread.start()
    thread.join()
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        time.sleep(0.001)  # the system's part of it ends a little later
    assert starvation.ended() > 0.010


def test_a_thread_that_has_told_its_end() -> None:
    """What it ran and starved is known, though it is no more."""
    starvation = Starvation()
    thread = threading.Thread(target=lambda: (sum(range(6_000_000)), starvation.note_end()))
    thread.start()
    thread.join()
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        time.sleep(0.001)
    assert starvation.ended() < 0.010
    assert f"  {thread.native_id}: ran " in starvation.evidence()
    starvation.begin()
    assert f"  {thread.native_id}: ran " not in starvation.evidence()


def test_who_is_stopped_is_excused() -> None:
    """For as long as that was, and no longer."""
    fake = Fake()
    alarm = fake.alarm
    alarm.begin_turn()
    fake.now += 0.01
    alarm.look()
    fake.now += 0.3
    alarm.look()
    alarm.stops += 1
    fake.now += 0.02
    alarm.end_turn()
    assert fake.complaints == []
    alarm.stops += 1
    fake.now += 5
    alarm.begin_turn()
    for _ in range(7):
        fake.now += 0.01
        alarm.look()
    fake.now += 0.3
    alarm.stops += 1
    alarm.end_turn()
    assert fake.complaints[0].startswith("reactor blocked for 0.070 s (turn of 0.370 s,")


def test_the_kernel_is_asked() -> None:
    """The real measures give plausible figures."""
    starvation = Starvation()
    assert 0.0 <= starvation.since() < 60
    lines = starvation.evidence().splitlines()
    assert lines[0].startswith("  major faults ")
    assert any(re.match(r"  MainThread: ran \d+\.\d{3} s, starved \d", line) for line in lines)
    assert 1000 < peak_memory() < 10_000_000


RUN = """
import sys, time
from twisted.internet import reactor
if sys.argv[1] == "watched":
    from tests.reactor_alarm import watch
    watch(reactor, sys.argv[2])
def block_here():
    time.sleep(0.4)
reactor.callLater(0.05, block_here)  # not before the first wait
reactor.callInThread(len, "")
reactor.callLater(0.3, reactor.stop)
reactor.run()
"""


def test_a_real_reactor_that_sleeps_is_caught(tmp_path: Path) -> None:
    """A sleeping turn is in the file with its stack; the summary tells turns and memory."""
    path = tmp_path / "alarm"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", RUN, "watched", str(path)]
    subprocess.run(command, cwd=root, check=True, timeout=600, env={**os.environ, "LC_ALL": "C"})
    text = path.read_text()
    assert text.count("reactor blocked for ") == 1
    assert "block_here" in text
    words = (tmp_path / "alarm.seen").read_text().split()
    assert words[1::2] == ["turns", "longest", "kib"]
    assert int(words[2]) >= 2
