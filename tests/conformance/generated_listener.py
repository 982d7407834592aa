"""How the driver of generated conversations listens: to whom a reply is, and when all is said."""

import contextlib
import socket
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.generated_plan import CACHE, Plan
from tests.conformance.harness import TAPELIST, VTAPES, World
from tests.conformance.harness_talk import Conversation
from tests.conformance.harness_text import split_line

PROBE = "TAPER-OK probe probe"
PROBED = "BAD-COMMAND \"unhandled command 'TAPER-OK'\""
SOURCE_WORDS = ("OPENED-SOURCE-VOLUME", "CLOSED-SOURCE-VOLUME")
HARMLESS = {
    "ring",
    "taken",
    "own-scan",
    "early-scan",
    "vault",
    "own-source",
    "close-source",
    "direct",
}
"""Tags of steps at which stock answers as late as ever."""


@dataclass
class Mark:
    """Where a step ended: how many lines of transcript and log there were."""

    name: str
    said: int
    logged: int
    tags: frozenset[str]


class Ended(Exception):
    """The conversation is over before the plan is: ``died``, ``hung`` or ``quit``."""


@dataclass
class Listener:
    """Hears a taper out.

    :ivar states: of the workers: ``idle``, ``writing``, ``error``; none: not there
    :ivar tags: what makes this step special
    """

    world: World
    plan: Plan
    talk: Conversation = field(init=False)
    marks: list[Mark] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    kept: dict[str, deque[list[str]]] = field(default_factory=lambda: defaultdict(deque))

    def mark(self, name: str) -> None:
        """Note where the step ended."""
        said, logged = len(self.talk.transcript), len(self.world.log())
        self.marks.append(Mark(name, said, logged, frozenset(self.tags)))
        self.tags = {f"after:{tag}" for tag in self.tags if not tag.startswith("after:")}

    def read(self) -> str:
        """Read a line; the end of the taper, or its silence, ends the conversation.

        A taper that still has work to do is not called silent: the machine may be slow.
        """
        hopeless = {tag.removeprefix("after:") for tag in self.tags} - HARMLESS
        self.talk.deadline = 3 if hopeless and self.world.program.stock else 12
        limit = time.monotonic() + 60
        while True:
            try:
                line = self.talk.read_line()
                break
            except AssertionError as error:
                if self.at_work() and time.monotonic() < limit:
                    continue
                self.talk.transcript.append(f"! {error}")
                raise Ended("hung") from None
        if line is None:
            self.talk.process.wait(60)
            raise Ended("died")
        return line

    def at_work(self) -> bool:
        """Some thread of the taper runs, or would if it were let."""
        for stat in Path(f"/proc/{self.talk.process.pid}/task").glob("*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if stat.read_text().rpartition(")")[2].split()[0] in ("R", "D"):
                    return True
        return False

    def hear(self, worker: str) -> list[str]:
        """The next reply to a worker's command; what others are told meanwhile is kept for them.

        Source volumes come and go as data are read, between any two replies.
        """
        if self.kept[worker]:
            return self.kept[worker].popleft()
        while True:
            words = split_line(self.read())
            if words[0] == "BAD-COMMAND" or (words[0] not in SOURCE_WORDS and words[1] == worker):
                return words
            self.keep(words)

    def keep(self, words: list[str]) -> None:
        """Keep a reply for the worker that waits for one."""
        if (
            words[0] not in (*SOURCE_WORDS, "BAD-COMMAND")
            and self.states.get(words[1]) == "writing"
        ):
            self.kept[words[1]].append(words)

    def settle(self, seconds: float = 0.3) -> None:
        """Wait until nothing has changed on disk for a while; nobody tells of what we wait for."""
        seen, since = self.footprint(), time.monotonic()
        limit = since + 5
        while time.monotonic() < min(since + seconds, limit):
            time.sleep(0.02)
            now = self.footprint()
            if now != seen:
                seen, since = now, time.monotonic()

    def footprint(self) -> list[tuple[str, int]]:
        """Names and sizes of all that a taper may be writing."""
        places = [self.world.path(place) for place in (VTAPES, CACHE, "/var/log/amanda")]
        files = [path for place in places for path in place.glob("**/*")]
        found = []
        for path in [*files, self.world.path(TAPELIST)]:
            with contextlib.suppress(FileNotFoundError):
                found.append((str(path), path.stat().st_size))
        return sorted(found)

    def finish(self, end: str = "QUIT") -> None:
        """Send QUIT, or the end of file, and read to the end."""
        if end == "QUIT":
            self.talk.send("QUIT")
        else:
            self.talk.socket.shutdown(socket.SHUT_WR)
        try:
            while True:
                self.read()
        except Ended as ended:
            raise Ended("quit" if str(ended) == "died" else "hung") from None

    def probe(self) -> None:
        """Read all that is under way."""
        self.talk.send(PROBE)
        while (line := self.read()) != PROBED:
            self.keep(split_line(line))
