"""The driver's part while dumps are written, and when what happened."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench import straight
from tests.bench.cases import MIB, Case, Way
from tests.bench.grounds import Task
from tests.conformance.harness import HOLDING, STAMP, World
from tests.conformance.harness_files import quote
from tests.conformance.harness_talk import PLAIN, Conversation, split_by
from tests.conformance.harness_text import split_line
from tests.conformance.vaulting import vault
from tests.installation import ROOT

PATIENCE = 600.0
"""Seconds without a line from the taper after which a run has failed."""
HARMLESS = ("READY", "PARTDONE", "NEW-TAPE", "OPENED-SOURCE-VOLUME", "CLOSED-SOURCE-VOLUME")


def cpu_seconds(pid: int) -> float:
    """Time that a process has been running so far, user and system, ended threads included.

    It is the sum that ``/proc/PID/stat`` has in hundredths of a second, in nanoseconds. The clock
    of another process has no name in Python; its number is the kernel's ABI
    (``clock_getcpuclockid(3)``; posix-timers.h: ``~pid << 3 | CPUCLOCK_SCHED``).
    """
    return time.clock_gettime(~pid << 3 | 2)


@dataclass(frozen=True)
class Moment:
    """:ivar time: seconds of the clock; :ivar cpu: seconds of the taper's CPU, so far."""

    time: float
    cpu: float

    @classmethod
    def of(cls, talk: Conversation) -> Moment:
        """Now."""
        return cls(time.monotonic(), cpu_seconds(talk.process.pid))


@dataclass(frozen=True)
class Flow:
    """What was seen while some dumps were written at once.

    :ivar began: the command was sent.
    :ivar ready: the first was READY.
    :ivar done: DONE of each, in order of time.
    :ivar crc: of the first worker's dump.
    """

    began: Moment
    ready: Moment
    done: list[Moment]
    crc: str

    @property
    def spread(self) -> float:
        """Seconds of the slowest, divided by those of the fastest."""
        first, last = (at.time - self.began.time for at in (self.done[0], self.done[-1]))
        return last / first


def split(case: Case) -> str:
    """The eight splitting fields of a command."""
    if not case.part:
        return PLAIN
    if not case.cache:
        return split_by(case.part * MIB)
    directory = quote(HOLDING) if case.cache == "disk" else '""'
    return split_by(case.part * MIB, case.cache, directory)


def follow(talk: Conversation, wanted: Sequence[Task], began: Moment) -> Flow:
    """Answer the taper until all these dumps are DONE, and good."""
    waiting = {task.handle for task in wanted}
    ready = began
    done: list[Moment] = []
    crcs: dict[str, str] = {}
    while waiting:
        line = talk.read_line()
        words = split_line(line or "")
        assert len(words) > 2, f"expected DONE, got {line or 'the end'}"
        name, worker, handle, *rest = words
        if name == "DONE":
            assert rest[:2] == ["INPUT-GOOD", "TAPE-GOOD"], line
            done.append(Moment.of(talk))
            crcs[handle] = rest[2]
            waiting.remove(handle)
        elif name == "REQUEST-NEW-TAPE":
            talk.send(f"START-SCAN {worker} {handle}", f"NEW-TAPE {worker} {handle}")
        elif name == "DUMPER-STATUS":
            talk.send(f"DONE {worker} {handle} 64 aaaaaaaa:1 bbbbbbbb:2 00000000:0")
        else:
            assert name in HARMLESS, f"expected DONE, got {line}"
            if name == "READY" and ready is began:
                ready = Moment.of(talk)
    return Flow(began, ready, done, crcs[wanted[0].handle])


@contextmanager
def sender(path: str) -> Iterator[Any]:
    """A dumper that has a holding file ready. :return: to be told where to send it"""
    command = [sys.executable, "-m", "tests.bench.sender", path]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def tell(header_port: int, target: object) -> None:
            assert process.stdin is not None
            process.stdin.write(f"{header_port} {target}\n")
            process.stdin.flush()

        yield tell
    assert process.returncode == 0, f"the sender ended with {process.returncode}"


def write(world: World, talk: Conversation, case: Case, wanted: Sequence[Task]) -> Flow:
    """Let dumps be written by workers that have started; one at once but for FILE-WRITE."""
    task, eight = wanted[0], split(case)
    if case.way is Way.FILE:
        began = Moment.of(talk)
        for task in wanted:
            talk.file_write(task.path, eight, task.handle, task.worker, task.dump)
        return follow(talk, wanted, began)
    if case.way is Way.VAULT:
        began = Moment.of(talk)
        vault(talk, task.dump, eight, task.handle, task.worker)
        return follow(talk, wanted, began)
    with sender(str(world.path(task.path))) as tell:
        began = Moment.of(talk)
        if case.way is Way.SHM:
            ring, name = talk.shm_write(eight, task.handle, task.worker, task.dump)
            tell(ring.header_port, name)
        elif case.way is Way.PORT:
            dumper = talk.port_write(eight, task.handle, task.worker, task.dump)
            tell(dumper.header_port, dumper.data_port)
        else:
            tell(*straight.ports(talk, eight, STAMP))
        return follow(talk, wanted, began)


def write_many(talk: Conversation, task: Task, count: int) -> Flow:
    """The same dump onto the same volume so many times, one after the other."""
    began = Moment.of(talk)
    for number in range(1, count + 1):
        again = Task(task.worker, f"01-{number:05d}", task.dump, task.path, task.size)
        talk.file_write(again.path, PLAIN, again.handle, again.worker, again.dump)
        last = follow(talk, [again], began)
    return Flow(began, began, last.done, last.crc)
