"""How long a dump's source stands still while its volumes change, beyond what the mount takes.

The volumes are in devices that share no connection: a drive of one NDMP server, one of another, a
directory, by turns. Each drive takes :data:`MOUNT` seconds to be opened, a directory none. Tapes
are in memory, so that none is given back by way of the disk that directories and logs are on. Two
sources are watched: an application of the rendezvous, which notes when its socket has taken more,
and a holding file, by what the taper has read of files. The driver's answers come at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocols.rendezvous.frames import Outcome
from tests.bench.cases import KIB, MIB, Case, Way
from tests.bench.figures import OURS, Figures, Round
from tests.conformance.harness import Options, Program, World
from tests.conformance.harness_rendezvous import Story
from tests.conformance.harness_talk import DEADLINE, HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import split_line
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_runs import BLOCK, begin, by_turns, close_volume

MOUNT = 0.3
"""Seconds."""
VOLUMES = 6
RECORDS = 1024
"""Of a volume before it ends: more than sockets and what is kept hold altogether."""
PART = 4 * MIB
SHORT = 0.002
"""Seconds; less is no standstill."""
MEMORY = "/dev/shm"
LITTLE = 256 * KIB
"""Bytes; less is read of labels and the like."""


@dataclass
class Watch:
    """When a source got on.

    :ivar pauses: begin and end of each standstill, by the monotonic clock.
    """

    pauses: list[tuple[float, float]] = field(default_factory=list)
    _last: float | None = None

    def moved(self) -> None:
        """It has, just now."""
        now = time.monotonic()
        if self._last is not None and now - self._last > SHORT:
            self.pauses.append((self._last, now))
        self._last = now

    def longest(self, begin: float, end: float) -> float:
        """Seconds of the longest standstill of which a part is between these moments."""
        found = (last - first for first, last in self.pauses if first <= end and last >= begin)
        return max(found, default=0.0)


@dataclass(frozen=True)
class Change:
    """:ivar asked: when another volume was asked for; :ivar label: of the one that came, when."""

    asked: float
    came: float
    label: str


def round_of(program: Program, case: Case) -> Round:
    """One dump over all volumes."""
    with ExitStack() as stack:
        world = World(program)
        stack.callback(world.close)
        servers = [stack.enter_context(_server(kind)) for kind in ("lenient", "strict")]
        watch = Watch()
        run = _met if case.way is Way.CHANGE_MET else _held
        changes = run(world, by_turns(servers, VOLUMES, RECORDS * BLOCK), watch)
    excess = [
        watch.longest(change.asked, change.came) - _mount(change.label) for change in changes[1:]
    ]
    assert len(excess) >= VOLUMES - 2, changes
    return {OURS: Figures(stall=max(0.0, *excess))}


def _server(kind: str) -> NdmpProcess:
    tapes = {f"t{number}": f"{RECORDS}r" for number in range(VOLUMES // 3 + 1)}
    return NdmpProcess(
        tapes,
        arguments=[f"--{kind}", "--fault", f"reply:TAPE_OPEN:1+:delay={MOUNT}"],
        where=MEMORY if os.path.isdir(MEMORY) else None,
    )


def _mount(label: str) -> float:
    """Of the volume with this label: they are labelled in the order of the slots."""
    return MOUNT if int(label[-2:]) % 3 else 0.0


def _knobs(changer: str) -> dict[str, Any]:
    """Of the configuration."""
    return {
        "slots": VOLUMES,
        "usage_kib": None,
        "leom": None,
        "changer": changer,
        "tapecycle": 60,
        "properties": "runtapes 40",
    }


# the two sources


def _dump() -> bytes:
    """It fills three quarters of the last volume: else the source is read to its end before the
    last change, and stands still whatever the taper does."""
    return os.urandom((4 * VOLUMES - 1) * RECORDS * BLOCK // 4)


def _met(world: World, changer: str, watch: Watch) -> list[Change]:
    story = Story(world, **_knobs(changer))
    try:
        story.begin(PART)
        application = story.send(_dump(), on_sent=watch.moved)
        changes = _follow(story.talk, lambda: application.thread.join(DEADLINE))
        assert application.result is not None
        assert application.result.result == Outcome.GOOD
        close_volume(story.talk)
    finally:
        story.close()
    return changes


def _held(world: World, changer: str, watch: Watch) -> list[Change]:
    talk = begin(world, Options(**_knobs(changer)))
    path = world.holding(_dump())
    with _watched(talk.process.pid, watch):
        talk.file_write(path, split_by(PART))
        changes = _follow(talk, lambda: None)
    close_volume(talk)
    return changes


@contextmanager
def _watched(pid: int, watch: Watch) -> Iterator[None]:
    """See when a process reads from files: what comes from sockets is not counted there."""
    over = threading.Event()
    watching = threading.Thread(target=_look, args=(pid, watch, over))
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _look(pid: int, watch: Watch, over: threading.Event) -> None:
    before = _bytes_read(pid)
    while not over.wait(SHORT / 4):
        now = _bytes_read(pid)
        if now - before > LITTLE:
            before = now
            watch.moved()


def _bytes_read(pid: int) -> int:
    """Of a process so far, all threads."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


# the driver's part


def _follow(talk: Conversation, tell: Callable[[], object]) -> list[Change]:
    """Give volumes as they are asked for, until all is there.

    :param tell: the dumper is asked how it fared
    """
    changes: list[Change] = []
    asked = 0.0
    while True:
        line = talk.read_line()
        assert line is not None, "the taper ended"
        words = split_line(line)
        if words[0] == "REQUEST-NEW-TAPE":
            asked = time.monotonic()
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        elif words[0] == "NEW-TAPE":
            changes.append(Change(asked, time.monotonic(), words[3]))
        elif words[0] == "DUMPER-STATUS":
            tell()
            talk.send(f"DONE {WORKER} {HANDLE} 64 00000000:0 00000000:0 00000000:0")
        elif words[0] == "DONE":
            return changes
        else:
            assert words[0] in ("READY", "PARTDONE"), line
