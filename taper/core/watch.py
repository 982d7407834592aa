"""What happens in a taper, for whoever watches: a snapshot of how things are, and events.

The core tells a :class:`Watch` what it does. Nobody waits for that, and nothing depends on it. What
it tells of is in docs/status.md; :func:`protocols.status.fold` makes the next snapshot of an event.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from protocols.status import MOST_NOTES, NOTHING_YET, clipped
from taper.core.dump_watch import DumpWatch, PartWatch, waited_since
from taper.core.shares import NOT_WRITTEN, Shares

if TYPE_CHECKING:
    from protocols.driver.commands import WriteCommand
    from protocols.status import Event, Snapshot
    from taper.core.interfaces import IMeasured
    from taper.core.scribe import Volume


class WorkerWatch:
    """What one worker tells."""

    def __init__(self, watch: Watch, name: str) -> None:
        self._watch = watch
        self._name = name
        self._state = "starting"
        self._since = watch.now()
        self._waits: list[dict[str, Any]] = []
        self._volume: dict[str, Any] | None = None
        self._dump: DumpWatch | None = None
        self._last: dict[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        """It, as it is now."""
        return {
            "state": self._state,
            "since": self._since,
            "wait": self._waits[-1] if self._waits else None,
            "volume": self._volume,
            "dump": None if self._dump is None else self._dump.record(self._watch.now()),
            "last": self._last,
        }

    def _changed(self) -> None:
        self._watch.worker_changed(self._name)

    def be(self, state: str) -> None:
        """Its state is another one; from quitting no way leads back."""
        if state != self._state != "quitting":
            self._state, self._since = state, self._watch.now()
            self._changed()

    @contextmanager
    def waiting(self, what: str, reason: str) -> Iterator[None]:
        """Something is waited for.

        :param what: one of those of docs/status.md
        :param reason: a clause for people
        """
        wait = {"for": what, "reason": clipped(reason), "since": self._watch.now()}
        self._waits.append(wait)
        self._changed()
        try:
            yield
        finally:
            self._waits.remove(wait)
            self._changed()

    def hold(self, volume: Volume | None) -> None:
        """This is the volume in hand, as it is now."""
        held = None
        if volume is not None:
            held = {
                "label": clipped(volume.label),
                "slot": clipped(volume.reservation.slot),
                "bytes": volume.payload,
                "parts": volume.good_parts,
                "full": volume.full,
            }
        if held != self._volume:
            self._volume = held
            self._changed()

    # Its dump

    def dump_begins(self, command: WriteCommand) -> None:
        self.be("preparing")
        self._dump = DumpWatch(command, self._watch.now())
        self._changed()

    def flows(self, measure: Callable[[], IMeasured]) -> None:
        """The data flow from now on, and it can be seen how far they are."""
        if self._dump is not None:
            self._dump.measure = measure

    def part_begins(self, number: int, label: str) -> None:
        dump, now = self._dump, self._watch.now()
        if dump is None:
            return
        before = None if dump.measure is None else dump.measure()
        dump.part = PartWatch(number, label, now, before)
        dump.sample(now)
        self._changed()

    def part_written(self) -> Shares:
        """The part's end, good or bad; stored or not. :return: who waited for whom"""
        dump = self._dump
        if dump is None or dump.part is None:
            return NOT_WRITTEN
        measured = None if dump.measure is None else dump.measure()
        waited = waited_since(dump.part, measured, self._watch.now())
        dump.waited.add(waited.seconds, waited.data, waited.room)
        dump.part = None
        dump.sample(self._watch.now())
        return waited.shares()

    def part_over(
        self,
        *,
        number: int,
        label: str,
        file: int,
        size: int,
        error: str | None,
        shares: Shares,
    ) -> None:
        """It is known what became of a part.

        :param error: why it is not good; None: it is good, and stored
        """
        dump = self._dump
        if dump is None:
            return
        good = error is None
        if good:
            dump.stored += size
            dump.parts += 1
        part = {
            "handle": dump.facts["handle"],
            "number": number,
            "label": clipped(label),
            "file": file,
            "bytes": size,
            "good": good,
            "error": None if error is None else clipped(error),
            "seconds": shares.seconds,
            "empty": shares.empty,
            "full": shares.full,
        }
        self._watch.part_over(self._name, part)
        self._changed()

    def dump_over(self, result: str, message: str) -> Shares:
        """The result is about to be told.

        :param result: DONE, PARTIAL or FAILED
        :return: who waited for whom, over all its parts
        """
        dump = self._dump
        if dump is None:
            return NOT_WRITTEN
        shares = dump.waited.shares()
        over = {
            **dump.facts,
            "ended": self._watch.now(),
            "result": result,
            "message": clipped(message),
            "stored": dump.stored,
            "parts": dump.parts,
            "seconds": shares.seconds,
            "empty": shares.empty,
            "full": shares.full,
        }
        self._dump, self._last = None, over
        self.be("idle")
        self._watch.dump_over(self._name, over)
        self._changed()
        return shares

    def progress(self) -> dict[str, Any] | None:
        """How far the dump is; to be asked now and then, as the rates are those since. None: there
        is none, or its data do not flow yet."""
        dump = self._dump
        if dump is None or (dump.measure is None and dump.part is None):
            return None
        now = self._watch.now()
        dump.sample(now)
        return dump.progress(now)


class Watch:
    """What one process tells. In the reactor's thread.

    :param process: what never changes: see docs/status.md
    :param now: seconds since the epoch
    """

    def __init__(
        self, process: Mapping[str, Any] | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._process = dict(process or {})
        self._clock = now
        self._wake: Callable[[], object] | None = None
        self._woken = False
        self._news: list[Event] = []
        self._changed: dict[str, None] = {}
        self._conversation: dict[str, Any] | None = None
        self._question: dict[str, Any] | None = None
        self._totals: dict[str, int] = dict(NOTHING_YET)
        self._notes: deque[dict[str, Any]] = deque(maxlen=MOST_NOTES)
        self._workers: dict[str, WorkerWatch] = {}

    def now(self) -> float:
        """Seconds since the epoch, in whole milliseconds."""
        return round(self._clock(), 3)

    def attend(self, wake: Callable[[], object] | None) -> None:
        """Keep news from now on, or keep none.

        :param wake: called when there is the first of them; it must not fail, and ask for
            :meth:`news` soon
        """
        self._wake, self._woken = wake, False
        self._news, self._changed = [], {}

    def news(self) -> list[Event]:
        """What has happened since this was last asked: with all of it folded in, a snapshot of then
        is one of now."""
        self._woken = False
        news, self._news = self._news, []
        changed, self._changed = self._changed, {}
        for name in changed:
            worker = self._workers.get(name)
            record = None if worker is None else worker.record()
            news.append({"event": "worker", "at": self.now(), "name": name, "worker": record})
        return news

    def snapshot(self) -> Snapshot:
        """How things are now."""
        return {
            **self._process,
            "kind": "taper",
            "at": self.now(),
            "conversation": self._conversation,
            "question": self._question,
            "totals": dict(self._totals),
            "workers": {name: worker.record() for name, worker in self._workers.items()},
            "notes": list(self._notes),
            "reading": None,
        }

    def progress(self) -> list[Event]:
        """How far the dumps are that are being written; to be asked now and then."""
        found = ((name, worker.progress()) for name, worker in self._workers.items())
        return [
            {"event": "progress", "at": self.now(), "name": name, "progress": progress}
            for name, progress in found
            if progress is not None
        ]

    # What the core tells

    def conversation(self, config: str, storage: str, trace_log: str) -> None:
        """A driver is there, and nothing was done yet."""
        begun = self.now()
        self._conversation = {
            "config": clipped(config),
            "storage": clipped(storage),
            "log": clipped(trace_log),
            "begun": begun,
        }
        self._begin_anew()

    def conversation_over(self) -> None:
        """It is gone, and all is released."""
        self._conversation = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._question = None
        self._totals = dict(NOTHING_YET)
        self._notes.clear()
        self._workers = {}
        self._changed = {}
        self._tell("conversation", conversation=self._conversation)

    def worker(self, name: str) -> WorkerWatch:
        """A new worker, in the place of another one of its name if there is one."""
        name = clipped(name)
        made = self._workers[name] = WorkerWatch(self, name)
        self.worker_changed(name)
        return made

    def worker_gone(self, name: str) -> None:
        """It is no more."""
        name = clipped(name)
        if self._workers.pop(name, None) is not None:
            self.worker_changed(name)

    def note(self, text: str) -> None:
        """A line of the trace log for people, or what a scan has found in a slot."""
        note = {"at": self.now(), "text": clipped(text)}
        self._notes.append(note)
        self._tell("note", **note)

    def asks(self, text: str, changer: str) -> None:
        """An operator is asked for a volume."""
        self._question = {"text": clipped(text), "changer": clipped(changer), "since": self.now()}
        self._tell("question", question=self._question)

    def asks_no_more(self) -> None:
        """He has answered, or need not any more."""
        self._question = None
        self._tell("question", question=None)

    # What its workers tell

    def worker_changed(self, name: str) -> None:
        if self._wake is not None:
            self._changed[name] = None
            self._awake()

    def part_over(self, name: str, part: dict[str, Any]) -> None:
        if part["good"]:
            self._totals["parts"] += 1
            self._totals["bytes"] += part["bytes"]
        self._tell("part", name=name, part=part)

    def dump_over(self, name: str, dump: dict[str, Any]) -> None:
        self._totals["dumps" if dump["result"] == "DONE" else "failed"] += 1
        self._tell("dump", name=name, dump=dump)

    def _tell(self, event: str, **facts: Any) -> None:
        if self._wake is not None:
            self._news.append({"event": event, "at": self.now(), **facts})
            self._awake()

    def _awake(self) -> None:
        if self._wake is not None and not self._woken:
            self._woken = True
            self._wake()
