"""What happens while volumes are read for people, to restore or to verify, for whoever watches.

It is told as a taper tells what it does, by the same socket; docs/status.md has what. Nobody waits
for that, and nothing is counted for it that is not counted anyhow.
"""

from __future__ import annotations

import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.task import LoopingCall

from protocols.status import clipped
from taper.core.watch import Watch
from taper.run.watched import WatchedProcess

if TYPE_CHECKING:
    from protocols.status import Event, Snapshot
    from protocols.stored import DumpName
    from taper.people.site import Site

_log = logging.getLogger(__name__)

RATE_SECONDS = 5.0
"""The rate is that of so many seconds, about."""
SAMPLED = 1.0
"""Seconds between two looks at how far it is; so whoever comes knows at once how fast it is."""
STUCK_SECONDS = 1.0
"""So long nothing comes, and it is told who is waited for."""


def facts_of(name: DumpName) -> dict[str, Any]:
    """A dump, as whoever watches is told of it."""
    return {
        "host": clipped(name.host),
        "disk": clipped(name.disk),
        "datestamp": clipped(name.datestamp),
        "level": clipped(name.level),
    }


@frozen(kw_only=True)
class Place:
    """Where on a volume it is read.

    :ivar dump: of :func:`facts_of`.
    :ivar part: from 1 on; of ``parts``.
    :ivar file: number of the file on the volume.
    :ivar read: bytes of this volume.
    """

    dump: Mapping[str, Any] | None = None
    part: int | None = None
    parts: int | None = None
    file: int | None = None
    read: int = 0

    def record(self) -> dict[str, Any]:
        return {
            "dump": None if self.dump is None else dict(self.dump),
            "part": self.part,
            "parts": self.parts,
            "file": self.file,
            "read": self.read,
        }


NOWHERE = Place()


class DriveWatch:
    """What is done with one drive.

    :ivar where: tells where it is read; any thread may change what it tells of.
    """

    def __init__(self, watch: ReadWatch) -> None:
        self._watch = watch
        self._state = "empty"
        self._since = watch.now()
        self._label: str | None = None
        self._slot: str | None = None
        self._total: int | None = None
        self.where: Callable[[], Place] = lambda: NOWHERE

    def be(self, state: str, label: str | None = None, slot: str | None = None) -> None:
        """Its state is another one, or its volume is.

        :param state: one of those of docs/status.md
        """
        self._state, self._since = state, self._watch.now()
        self._label, self._slot, self._total = label, slot, None
        if state != "reading":
            self.where = lambda: NOWHERE
        self._watch.changed()

    def reads(
        self, label: str, slot: str | None, total: int | None, where: Callable[[], Place]
    ) -> None:
        """A volume is being read.

        :param total: bytes that are wanted of it; None: not known
        """
        self.be("reading", label, slot)
        self._total, self.where = total, where

    def record(self) -> dict[str, Any]:
        return {
            "state": self._state,
            "since": self._since,
            "label": None if self._label is None else clipped(self._label),
            "slot": None if self._slot is None else clipped(self._slot),
            "total": self._total,
            "place": self.place(),
        }

    def place(self) -> dict[str, Any]:
        return self.where().record()


class ReadWatch(Watch):
    """What one such process tells. In the reactor's thread.

    :ivar done: tells how many bytes have been read in all; it does not block.
    :ivar waited_for: tells who it is that nothing comes from, if nothing comes: one of the waits of
        docs/status.md, and a clause for people; None: nobody can say.
    """

    def __init__(
        self,
        kind: str,
        process: Mapping[str, Any] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """:param kind: ``restore``, ``verify`` or ``rebuild``"""
        super().__init__(process, now)
        self._kind = kind
        self._facts: dict[str, Any] = {
            **dict.fromkeys(("host", "disk", "to", "log", "dump", "total")),
            "step": 0,
            "steps": 0,
        }
        self._waits: list[dict[str, Any]] = []
        self._stuck: dict[str, Any] | None = None
        self._drives: dict[str, DriveWatch] = {}
        self._has_changed = False
        self._samples: deque[tuple[float, int]] = deque()
        self._moved = (self.now(), 0)
        self._told: dict[str, Any] = {}
        self.done: Callable[[], int] = lambda: 0
        self.waited_for: Callable[[], tuple[str, str] | None] = lambda: None

    # what is told to it

    def know(self, **facts: Any) -> None:
        """Some of what ``reading`` has in docs/status.md, as it is from now on."""
        for name, fact in facts.items():
            assert name in self._facts, name
            self._facts[name] = clipped(fact) if isinstance(fact, str) else fact
        self.changed()

    @property
    def dump(self) -> Mapping[str, Any] | None:
        """The dump that was told of last."""
        found: Mapping[str, Any] | None = self._facts["dump"]
        return found

    @property
    def log(self) -> str | None:
        """Where all is said besides."""
        found: str | None = self._facts["log"]
        return found

    def drive(self, number: int) -> DriveWatch:
        """A drive that volumes are read with.

        :param number: from 1 on
        """
        name = f"drive{number}"
        if name not in self._drives:
            self._drives[name] = DriveWatch(self)
            self.changed()
        return self._drives[name]

    @contextmanager
    def waiting(self, what: str, reason: str) -> Iterator[None]:
        """Something is waited for.

        :param what: one of the waits of docs/status.md
        :param reason: a clause for people
        """
        wait = self._wait(what, reason)
        self._waits.append(wait)
        self.changed()
        try:
            yield
        finally:
            self._waits.remove(wait)
            self.changed()

    def _wait(self, what: str, reason: str) -> dict[str, Any]:
        return {"for": what, "reason": clipped(reason), "since": self.now()}

    def changed(self) -> None:
        """Something of it is not as it was."""
        if self._wake is not None:
            self._has_changed = True
            self._awake()

    # what it tells

    def attend(self, wake: Callable[[], object] | None) -> None:
        super().attend(wake)
        self._has_changed, self._told = False, {}

    def news(self) -> list[Event]:
        news = super().news()
        if self._has_changed:
            self._has_changed = False
            news.append({"event": "reading", "at": self.now(), "reading": self._record()})
        return news

    def snapshot(self) -> Snapshot:
        return {**super().snapshot(), "kind": self._kind, "reading": self._record()}

    def progress(self) -> list[Event]:
        self.sample()
        places = {name: drive.place() for name, drive in self._drives.items()}
        told = {"progress": self._progress(), "places": places}
        if told == self._told:
            return []
        self._told = told
        return [{"event": "read", "at": self.now(), **told}]

    def _record(self) -> dict[str, Any]:
        return {
            **self._facts,
            "wait": self._waits[-1] if self._waits else self._stuck,
            "drives": {name: drive.record() for name, drive in self._drives.items()},
            "progress": self._progress(),
        }

    def _progress(self) -> dict[str, Any]:
        done, rate = self.done(), self._rate()
        total, left = self._facts["total"], None
        if rate and total is not None:
            left = round(max(total - done, 0) / rate)
        return {"done": done, "rate": rate, "left": left}

    def sample(self) -> None:
        """Take note of how far it is: for the rate, and for who is waited for."""
        now, done, samples = self.now(), self.done(), self._samples
        if not samples or now > samples[-1][0]:
            while len(samples) > 1 and samples[1][0] < now - RATE_SECONDS:
                samples.popleft()
            samples.append((now, done))
        if done != self._moved[1]:
            self._moved = (now, done)
            self._be_stuck(None)
        elif now - self._moved[0] >= STUCK_SECONDS:
            self._be_stuck(self.waited_for())

    def _be_stuck(self, why: tuple[str, str] | None) -> None:
        before = self._stuck
        if why is None:
            self._stuck = None
        elif before is None or (before["for"], before["reason"]) != (why[0], clipped(why[1])):
            self._stuck = {**self._wait(*why), "since": self._moved[0]}
        if self._stuck is not before:
            self.changed()

    def _rate(self) -> int | None:
        if len(self._samples) < 2:
            return None
        (began, then), (now, done) = self._samples[0], self._samples[-1]
        return round(max(done - then, 0) / (now - began))


class Telling:
    """Lets whoever watches find this process, from in a moment on. Nothing waits for it.

    :ivar watch: to be told what happens.
    """

    def __init__(self, site: Site, kind: str) -> None:
        """:param kind: as for :class:`ReadWatch`"""
        make = functools.partial(ReadWatch, kind)
        self._process = WatchedProcess(
            site.reactor, "command", site.paths, site.config, _log.info, make
        )
        watch = self._process.watch
        assert isinstance(watch, ReadWatch), "it was made so"
        self.watch = watch
        self._process.begin()
        self._ticking: Any = LoopingCall(watch.sample)
        self._ticking.clock = site.reactor
        self._ticking.start(SAMPLED)

    async def settled(self) -> None:
        """Wait until no thread makes a file of the dump user's."""
        await self._process.settled()

    async def close(self, reason: str) -> None:
        """Tell who watches that it is over, and why."""
        if self._ticking.running:
            self._ticking.stop()
        await self._process.close(reason)
