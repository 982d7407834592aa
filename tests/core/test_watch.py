"""What is told of a taper: a snapshot, and events that make the next one of it."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocols.driver import commands
from protocols.driver.messages import SplitFields
from protocols.status import Hearing, encode, first_line, fold
from taper.core.shares import NOT_WRITTEN, Shares
from taper.core.watch import Watch, WorkerWatch
from tests.core.conversing import START, Conversation, file_write
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped
from tests.docs.status_schema import EVENTS, STATES, WAITS, check_line

NAMES = st.sampled_from(["worker0-0", "w" * 1500, "a b\udcff"])
TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["x" * 999, "y" * 1000, "\udc80" * 2000]))
SIZES = st.integers(0, 1 << 50)
SECONDS = st.floats(0, 1e6)

PROCESS = {
    "pid": 1,
    "version": "0",
    "service": "stdio",
    "config": "C",
    "started": 1.5,
}


@define
class Measured:
    written: int = 0
    read: int | None = None
    seconds: float | None = None
    without_data: float | None = None
    without_room: float | None = None


def command(handle: str = "00-00001", disk: str = "/home") -> commands.FileWrite:
    split = SplitFields(*[None] * len(SplitFields.fields))
    return commands.FileWrite("w", handle, "/h", "localhost", disk, "0", "20260101", split, "")


def volume(label: str, payload: int = 0, *, full: bool = False) -> Any:
    reservation = SimpleNamespace(slot="1")
    return SimpleNamespace(
        label=label, reservation=reservation, payload=payload, good_parts=1, full=full
    )


class Watching(RuleBasedStateMachine):
    """Whatever the core tells, whoever has folded the news has the snapshot; all of it is as
    documented, and fits in lines."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1_800_000_000.0
        self.watch = Watch(PROCESS, lambda: self.time)
        self.woken = 0
        self.measured = Measured()
        self.workers: dict[str, WorkerWatch] = {}
        self.waits: list[AbstractContextManager[None]] = []
        self.client: Hearing | None = None

    def wake(self) -> None:
        self.woken += 1

    @rule()
    def somebody_comes(self) -> None:
        self.watch.attend(self.wake)
        self.woken = 0
        self.client = Hearing()
        self.client.feed(first_line(self.watch.snapshot()))

    @rule()
    def nobody_is_left(self) -> None:
        self.watch.attend(None)
        self.client = None

    @rule(seconds=st.floats(-10, 1e4))
    def time_goes_by(self, seconds: float) -> None:
        self.time = max(self.time + seconds, 0.0)

    @rule(storage=TEXTS, log=TEXTS)
    def conversation(self, storage: str, log: str) -> None:
        self.waits_over()
        self.workers = {}
        self.watch.conversation("C", storage, log)

    @rule()
    def conversation_over(self) -> None:
        self.waits_over()
        self.workers = {}
        self.watch.conversation_over()

    def waits_over(self) -> None:
        while self.waits:
            self.waits.pop().__exit__(None, None, None)

    @rule(name=NAMES)
    def worker(self, name: str) -> None:
        self.workers[name] = self.watch.worker(name)

    @rule(name=NAMES)
    def worker_gone(self, name: str) -> None:
        self.workers.pop(name, None)
        self.watch.worker_gone(name)

    @rule(text=TEXTS)
    def note(self, text: str) -> None:
        self.watch.note(text)

    @rule(text=TEXTS)
    def asks(self, text: str) -> None:
        self.watch.asks(text, text)

    @rule()
    def asks_no_more(self) -> None:
        self.watch.asks_no_more()

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), state=st.sampled_from(sorted(STATES)))
    def be(self, data: st.DataObject, state: str) -> None:
        self.any(data).be(state)

    def any(self, data: st.DataObject) -> WorkerWatch:
        return self.workers[data.draw(st.sampled_from(list(self.workers)))]

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), what=st.sampled_from(sorted(WAITS)), reason=TEXTS)
    def waiting(self, data: st.DataObject, what: str, reason: str) -> None:
        wait = self.any(data).waiting(what, reason)
        wait.__enter__()
        self.waits.append(wait)

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def waits_no_more(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.waits) - 1))
        self.waits.pop(place).__exit__(None, None, None)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), label=st.none() | TEXTS, size=SIZES, full=st.booleans())
    def hold(self, data: st.DataObject, label: str | None, size: int, full: bool) -> None:
        self.any(data).hold(None if label is None else volume(label, size, full=full))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), handle=TEXTS, disk=TEXTS)
    def dump_begins(self, data: st.DataObject, handle: str, disk: str) -> None:
        self.any(data).dump_begins(command(handle, disk))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def flows(self, data: st.DataObject) -> None:
        self.any(data).flows(lambda: self.measured)

    @rule(
        written=SIZES,
        read=st.none() | SIZES,
        seconds=st.none() | SECONDS,
        data=st.none() | SECONDS,
        room=st.none() | SECONDS,
    )
    def measures(
        self,
        written: int,
        read: int | None,
        seconds: float | None,
        data: float | None,
        room: float | None,
    ) -> None:
        """Whatever it is: even what no transfer would tell must not end one."""
        self.measured = Measured(written, read, seconds, data, room)
        self.progress()

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), number=st.integers(1, 99), label=TEXTS)
    def part_begins(self, data: st.DataObject, number: int, label: str) -> None:
        self.any(data).part_begins(number, label)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def part_written(self, data: st.DataObject) -> None:
        shares = self.any(data).part_written()
        for share in (shares.empty, shares.full):
            assert share is None or 0 <= share <= 1
        assert str(shares)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), label=TEXTS, size=SIZES, error=st.none() | TEXTS)
    def part_over(self, data: st.DataObject, label: str, size: int, error: str | None) -> None:
        self.any(data).part_over(
            number=1, label=label, file=3, size=size, error=error, shares=NOT_WRITTEN
        )

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), result=st.sampled_from(["DONE", "PARTIAL", "FAILED"]), message=TEXTS)
    def dump_over(self, data: st.DataObject, result: str, message: str) -> None:
        self.any(data).dump_over(result, message)

    @rule()
    def progress(self) -> None:
        self.tell()
        events = self.watch.progress()
        if self.client is not None:
            self.hear(events)

    def tell(self) -> None:
        if self.client is None:
            assert self.watch.news() == []
            return
        news = self.watch.news()
        assert self.woken or not news
        self.woken = 0
        self.hear(news)

    def hear(self, events: list[dict[str, Any]]) -> None:
        assert self.client is not None
        for event in events:
            check_line(event)
        assert self.client.feed(b"".join(map(encode, events))) == events

    @invariant()
    def whoever_has_heard_all_knows_all(self) -> None:
        # how far a dump is nobody is told but by progress
        self.progress()
        snapshot = self.watch.snapshot()
        check_line(json.loads(first_line(snapshot)))
        if self.client is not None:
            assert {**self.client.snapshot, "at": 0} == {**snapshot, "at": 0}  # type: ignore[dict-item]


TestWatching = Watching.TestCase
TestWatching.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


def test_shares_of_a_part_and_of_the_dump() -> None:
    """They are of the time in which parts were written, not of what is between them."""
    watch = Watch(PROCESS, lambda: 100.0)
    worker = watch.worker("w")
    worker.dump_begins(command())
    measured = Measured(0, 0, 5.0, 4.0, 1.0)
    worker.flows(lambda: measured)
    worker.part_begins(1, "C01")
    measured = Measured(10, 20, 15.0, 6.0, 8.0)
    assert worker.part_written() == Shares(10.0, 0.2, 0.7)
    worker.part_begins(2, "C01")
    measured = Measured(20, 20, 45.0, 36.0, 8.0)
    assert worker.part_written() == Shares(30.0, 1.0, 0.0)
    shares = worker.dump_over("DONE", "")
    assert shares == Shares(40.0, 0.8, 0.175)
    assert str(shares) == (
        "40.000 s; of these the device waited 80 % for data, the source 18 % for the device"
    )


def test_rates_are_those_of_the_last_seconds() -> None:
    time = 0.0
    watch = Watch(PROCESS, lambda: time)
    worker = watch.worker("w")
    worker.dump_begins(command())
    measured = Measured(0, 0)
    worker.flows(lambda: measured)
    for second in range(20):
        time = float(second)
        measured = Measured(measured.written + (100 if second < 10 else 7), second)
        (event,) = watch.progress()
    assert event["progress"]["rates"] == {"source": 1, "device": 7}


def test_what_cannot_be_folded_is_told() -> None:
    hearing = Hearing()
    hearing.feed(first_line(Watch(PROCESS).snapshot()))
    assert hearing.snapshot is not None
    assert fold(hearing.snapshot, {"event": "of tomorrow"}) == hearing.snapshot


def test_a_dump_is_told_from_its_command_to_its_result() -> None:
    """By the core itself: what it waits for, and in which states it is."""
    talk = Conversation(Tape(), dumps={"HF": Dumped(b"x" * 100_000)})
    told: list[dict[str, Any]] = []

    def hear() -> None:
        told.extend(talk.world.watch.news())

    talk.world.watch.attend(hear)
    talk.say(START)
    talk.say(file_write())
    hear()
    workers = [event["worker"] for event in told if event["event"] == "worker"]
    states = list(dict.fromkeys(worker["state"] for worker in workers))
    assert states == ["starting", "idle", "preparing", "writing", "finishing"]
    waits = {worker["wait"]["for"] for worker in workers if worker["wait"]}
    assert waits >= {"scan", "driver", "volume", "header"}
    assert workers[-1]["state"] == "idle"
    assert workers[-1]["last"]["result"] == "DONE"
    (part,) = [event["part"] for event in told if event["event"] == "part"]
    (dump,) = [event["dump"] for event in told if event["event"] == "dump"]
    assert (part["good"], part["label"], part["bytes"]) == (True, "PROTO01", dump["stored"])
    for event in told:
        check_line(event)


def test_all_events_are_documented() -> None:
    """And none that does not come to be; the socket's own are tested there."""
    assert {"alive", "dropped", "end"} < set(EVENTS)


@pytest.mark.parametrize("text", ["", "x" * 5000])
def test_texts_are_clipped(text: str) -> None:
    watch = Watch(PROCESS)
    watch.note(text)
    check_line(json.loads(first_line(watch.snapshot())))
