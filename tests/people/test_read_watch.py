"""What a restore or a verification tells whoever watches."""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from devices.file import FileDevice
from protocols.status import Hearing, encode, first_line
from taper.people import tapers as tapers_module
from taper.people.exits import Exit
from taper.people.read_watch import Place, ReadWatch
from taper.people.watch_view import progress_of, view
from taper.people.web.sheets import sheet
from taper.run import watched
from tests.docs.status_schema import DRIVE_STATES, READING_WAITS, check_line
from tests.people.archives import FULL, HOME, two_nights
from tests.people.nights import Nights
from tests.people.test_watch import Told, in_lines

PROCESS = {"pid": 1, "version": "0", "service": "command", "config": "C", "started": 1.5}
DUMP = {"host": "localhost", "disk": "/home", "datestamp": "20260107", "level": "0"}
BEFORE = {
    *("pid", "version", "service", "config", "started", "at"),
    *("conversation", "question", "totals", "workers", "notes"),
}
"""The keys that a client knows which is older than those that read."""
TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["y" * 1000, "\udc80" * 2000]))


class Telling(RuleBasedStateMachine):
    """Whatever is told, whoever has folded the news and the progress has the snapshot; all of it
    is as documented."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1_800_000_000.0
        self.watch = ReadWatch("restore", PROCESS, lambda: self.time)
        self.done = 0
        self.watch.done = lambda: self.done
        self.watch.waited_for = lambda: ("program", "tar takes no more")
        self.waits: list[AbstractContextManager[None]] = []
        self.client: Hearing | None = None
        self.woken = 0

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

    @rule(seconds=st.floats(0, 100), more=st.integers(0, 1 << 40))
    def it_goes_on(self, seconds: float, more: int) -> None:
        self.time += seconds
        self.done += more

    @rule(text=TEXTS, step=st.integers(0, 9), total=st.none() | st.integers(0, 1 << 50))
    def is_known(self, text: str, step: int, total: int | None) -> None:
        self.watch.know(host=text, to=text, step=step, total=total, dump=DUMP)

    @rule(number=st.integers(1, 3), state=st.sampled_from(sorted(DRIVE_STATES)), label=TEXTS)
    def drive(self, number: int, state: str, label: str) -> None:
        self.watch.drive(number).be(state, label, label)

    @rule(number=st.integers(1, 3), label=TEXTS)
    def reads(self, number: int, label: str) -> None:
        place = Place(dump=DUMP, part=1, parts=2, file=3, read=4)
        self.watch.drive(number).reads(label, None, 100, lambda: place)

    @rule(what=st.sampled_from(sorted(READING_WAITS)), reason=TEXTS)
    def waits_for(self, what: str, reason: str) -> None:
        self.waits.append(self.watch.waiting(what, reason))
        self.waits[-1].__enter__()

    @rule()
    def waits_no_more(self) -> None:
        if self.waits:
            self.waits.pop().__exit__(None, None, None)

    @rule(text=TEXTS)
    def note(self, text: str) -> None:
        self.watch.note(text)

    @invariant()
    def whoever_has_heard_all_knows_all(self) -> None:
        if self.client is None:
            assert self.watch.news() == []
            return
        progress = self.watch.progress()
        news = self.watch.news()
        assert self.woken or not news
        self.woken = 0
        for event in (*progress, *news):
            check_line(event)
            assert self.client.feed(encode(event)) == [event]
        snapshot = self.watch.snapshot()
        check_line(json.loads(first_line(snapshot)))
        assert {**self.client.snapshot, "at": 0} == {**snapshot, "at": 0}  # type: ignore[dict-item]
        assert all(line.isprintable() for line in in_lines(view([snapshot], self.time)))
        assert all(line.isprintable() for line in progress_of(snapshot, self.time))


TestTelling = Telling.TestCase
TestTelling.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


def restoring() -> tuple[ReadWatch, list[float]]:
    """A restore that has been read for ten seconds."""
    now = [1_800_000_000.0]
    watch = ReadWatch("restore", PROCESS, lambda: now[0])
    watch.attend(lambda: None)
    watch.know(host="localhost", disk="/home", to="/b", step=1, steps=2, total=1 << 30, dump=DUMP)
    done = [0]
    watch.done = lambda: done[0]
    place = Place(dump=DUMP, part=3, parts=6, file=4, read=1 << 20)
    watch.drive(1).reads("C01", "7", 1 << 21, lambda: place)
    for _ in range(10):
        watch.progress()
        now[0] += 1
        done[0] += 1 << 20
    watch.progress()
    return watch, now


def test_what_is_shown_of_a_restore() -> None:
    watch, now = restoring()
    watch.note("Reading volume C01")
    lines = in_lines(view([watch.snapshot()], now[0]))
    assert lines[0].startswith("C: restore of localhost:/home to /b, pid 1, since ")
    assert lines[0].endswith(", dump 1 of 2")
    assert lines[1] == "10.0 MiB read of 1.0 GiB, 1.0 MiB/s, about 16:54 left"
    row = "drive1 reading 0:10 C01 (7) localhost:/home level 0 3 of 6 4 1.0 MiB 2.0 MiB"
    assert " ".join(lines[3].split()) == row
    assert lines[-1].endswith(" Reading volume C01")
    (line,) = progress_of(watch.snapshot(), now[0])
    assert line.endswith("C restore of localhost:/home to /b: " + lines[1])


def test_whoever_takes_nothing_is_told_of() -> None:
    """Not at once: a moment in which nothing comes is no wait."""
    watch, now = restoring()
    watch.waited_for = lambda: ("program", "tar takes no more")
    now[0] += 0.5
    watch.sample()
    assert watch.snapshot()["reading"]["wait"] is None
    now[0] += 1.5
    watch.sample()
    (event,) = (event for event in watch.news() if event["event"] == "reading")
    assert (event["reading"]["wait"]["for"], event["reading"]["wait"]["since"]) == (
        "program",
        now[0] - 2.0,
    )
    lines = in_lines(view([watch.snapshot()], now[0]))
    assert "It waits: tar takes no more, 0:02" in lines


def test_the_page_shows_the_same() -> None:
    watch, now = restoring()
    picture = sheet("live", shown=view([watch.snapshot()], now[0]))
    assert "<caption>Drives</caption>" in picture
    assert "C: restore of localhost:/home to /b" in picture


def test_an_older_client_takes_it_for_a_taper() -> None:
    """That no driver talks to: all that it asks for is there."""
    watch, now = restoring()
    watch.asks("volume 'C02' is not at hand", "C")
    snapshot = {key: value for key, value in watch.snapshot().items() if key in BEFORE}
    assert set(snapshot) == BEFORE
    assert in_lines(view([snapshot], now[0])) == [
        "C: pid 1, command; no driver is there",
        "An operator is asked for a volume in C: volume 'C02' is not at hand (0:00)",
    ]


class Held:
    """A drive that gives nothing of one volume before it may."""

    def __init__(self, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.label = label
        self.go = threading.Event()
        usual = FileDevice.read_blocks

        def read_blocks(device: FileDevice, buffer: memoryview) -> int:
            if device.label == label:
                assert self.go.wait(60), "nobody looked"
            return usual(device, buffer)

        monkeypatch.setattr(FileDevice, "read_blocks", read_blocks)


async def watched_at_work(
    nights: Nights, monkeypatch: pytest.MonkeyPatch, held: Held, *words: str
) -> dict[str, Any]:
    """Run a command. :return: what it told while the drive gave nothing"""
    label = held.label
    monkeypatch.setattr(watched, "BEFORE", 0)
    monkeypatch.setattr(tapers_module, "LOOK", 0.01)
    told = Told(Path(nights.paths.tmpdir))
    told.tapers.begin()
    running = Deferred.fromCoroutine(nights.run(*words))

    def reads() -> bool:
        snapshots = [taper.snapshot for taper in told.tapers.running.values()]
        drives = [one["reading"]["drives"] for one in snapshots if one is not None]
        return any(
            drive["place"]["file"] and drive["label"] == label
            for one in drives
            for drive in one.values()
        )

    try:
        await told.until(reads)
        (taper,) = told.tapers.running.values()
        snapshot = taper.snapshot
        assert snapshot is not None
        check_line({"taper": 1, "snapshot": snapshot})
        held.go.set()
        status, said = await running
        assert status == Exit.WELL, said
        await told.until(lambda: taper.over is not None)
        assert not Path(taper.path).exists()
    finally:
        held.go.set()
        told.tapers.close()
    return snapshot


@ensureDeferred
async def test_a_restore_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what is restored where to the file on the volume in the drive."""
    nights = await two_nights(tmp_path)
    held = Held("C01", monkeypatch)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    snapshot = await watched_at_work(nights, monkeypatch, held, *words)
    reading = snapshot["reading"]
    assert (snapshot["kind"], snapshot["config"], snapshot["workers"]) == ("restore", "C", {})
    assert (reading["host"], reading["disk"]) == ("localhost", "/home")
    assert (reading["to"], reading["step"], reading["steps"]) == (str(tmp_path / "back"), 1, 2)
    assert reading["dump"]["level"] == "0"
    drive = reading["drives"]["drive1"]
    assert (drive["state"], drive["label"], drive["slot"]) == ("reading", "C01", "1")
    assert (drive["place"]["part"], drive["place"]["parts"], drive["place"]["file"]) == (1, 6, 1)
    assert drive["total"] == len(HOME.data(FULL))
