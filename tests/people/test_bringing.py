"""Waiting for a volume: when it is worth while to look for it again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from devices.interfaces import InventoryEntry, SlotState
from taper.core.errors import SourceFault
from taper.people.read_watch import ReadWatch
from taper.people.restore import bringing
from taper.people.restore.bringing import LOOK_AGAIN, Bringing


class Room:
    """A changer with slots, and a person before a terminal.

    :ivar slots: what the changer tells of them.
    :ivar asked: questions that are open, or were.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *labels: str | None) -> None:
        self.slots = list(labels)
        self.asked: list[Deferred[str]] = []
        self.said: list[str] = []
        self.trouble: Exception | None = None
        self.interactive, self.left = True, False
        self.clock = Clock()
        screen = SimpleNamespace(warn=lambda text, code: self.said.append(text))
        config = SimpleNamespace(storage=lambda name: name)
        site: Any = SimpleNamespace(reactor=self.clock, config=config, screen=screen)
        self.watch = ReadWatch("restore")
        dialogue: Any = self
        self.bringing = Bringing(site, dialogue, self.watch)
        monkeypatch.setattr(bringing, "look", self._look)

    async def _look(self, site: Any, storages: Any) -> list[Any]:
        if self.trouble is not None:
            raise self.trouble
        entries = [
            InventoryEntry(slot=str(number), state=SlotState.FULL, label=label)
            for number, label in enumerate(self.slots, 1)
        ]
        return [SimpleNamespace(entries=entries)]

    def ask(self, text: str) -> Deferred[str]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def say(self, text: str) -> None:
        self.said.append(text)

    def wait(self) -> list[Any]:
        """What comes of it, once it has come."""
        came: list[Any] = []
        self.bringing.wait_for("C01", "it is away", "C").addBoth(came.append)
        return came

    @property
    def question(self) -> Any:
        return self.watch.snapshot()["question"]


def test_volumes_of_unknown_content_are_not_loaded_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But when somebody has put one in; and when the changer knows that it is the one."""
    room = Room(monkeypatch, None, None, "C02")
    came = room.wait()
    assert room.question["changer"] == "C"
    room.clock.pump([LOOK_AGAIN] * 5)
    assert came == []
    room.slots.append(None)
    room.clock.advance(LOOK_AGAIN)
    assert came == [""]
    came = room.wait()
    room.clock.pump([LOOK_AGAIN] * 5)
    assert came == []
    room.slots[3] = "C01"
    room.clock.advance(LOOK_AGAIN)
    assert came == [""]
    assert len(room.asked) == 1
    room.bringing.came("C01")
    assert room.said == ["Volume C01 has come"]
    assert room.question is None
    assert room.clock.getDelayedCalls() == []


def test_a_drive_that_stands_alone_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(monkeypatch, None)
    came = room.wait()
    room.clock.advance(LOOK_AGAIN)
    assert came == [""]


@pytest.mark.parametrize("line", ["s", "other"])
def test_what_is_typed_while_it_is_looked_for(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """It counts when that has been in vain."""
    room = Room(monkeypatch, None)
    came = room.wait()
    room.clock.advance(LOOK_AGAIN)
    assert came == [""]
    room.asked[0].callback(line)
    (answer,) = room.wait()
    if line == "s":
        assert answer.check(SourceFault)
        assert "'C01' is not at hand: it is away" in answer.getErrorMessage()
        assert room.question is None
    else:
        assert answer == "other"


def test_a_changer_that_cannot_be_asked_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(monkeypatch, "C02", "C03")
    came = room.wait()
    room.trouble = OSError(5, "Input/output error")
    room.clock.advance(LOOK_AGAIN)
    assert "the changer cannot be looked at" in room.said[0]
    room.trouble = None
    room.slots.append("C01")
    room.clock.advance(LOOK_AGAIN)
    assert came == [""]


@pytest.mark.parametrize("left", [False, True])
def test_nobody_types_any_more(monkeypatch: pytest.MonkeyPatch, left: bool) -> None:
    """At a terminal that is there, somebody has said so; else nobody could."""
    room = Room(monkeypatch, "C02", "C03")
    came = room.wait()
    room.interactive, room.left = not left, left
    room.asked[0].errback(EOFError())
    assert bool(came) is not left
    if left:
        assert "the changer is looked at every 60 s" in room.said[0]
        room.slots.append("C01")
        room.clock.advance(LOOK_AGAIN)
        assert came == [""]


def test_all_is_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(monkeypatch, "C02", "C03")
    waiting = room.bringing.wait_for("C01", "it is away", "C")
    came: list[Any] = []
    waiting.addBoth(came.append)
    waiting.cancel()
    assert len(came) == 1
    assert room.clock.getDelayedCalls() == []
    assert room.question is None
