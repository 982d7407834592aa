"""A clerk with several drives: which volume is loaded when, and what happens if it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devices.errors import DriveFailed
from devices.interfaces import IPumpedDevice
from taper.core.errors import SourceFault
from taper.core.interfaces import IClerk
from taper.recovery.loading_ahead import Coming, LoadingAhead


class Shelf:
    """Volumes, drives, and what is done with them; a load is over when the test says so.

    :ivar missing: volumes that are not there.
    :ivar in_use: those that somebody else has.
    :ivar stuck: those that cannot be positioned.
    :ivar free: drives that nobody else has.
    """

    def __init__(self, *held_back: str, drives: int = 9) -> None:
        self.log: list[str] = []
        self.held: dict[str, Deferred[None]] = {label: Deferred() for label in held_back}
        self.missing: set[str] = set()
        self.in_use: set[str] = set()
        self.stuck: set[str] = set()
        self.free = drives
        self.asked: list[str] = []
        self.told: list[tuple[Any, ...]] = []

    def make(self, ask: Any, wanted: Any, opened: Any, in_use: Any) -> Any:
        return FakeClerk(self, ask, wanted, opened, in_use)

    def wait(self, label: str, why: str) -> Deferred[None]:
        self.told.append(("waits", label))
        self.in_use.discard(label)
        return succeed(None)

    def ask(self, label: str, why: str) -> Deferred[str]:
        self.asked.append(label)
        self.missing.discard(label)
        return succeed("")

    def loading(self, drive: int, label: str, *, ahead: bool) -> None:
        self.told.append(("ahead" if ahead else "loading", drive, label))

    def ready(self, drive: int, label: str, slot: str | None) -> None:
        self.told.append(("ready", drive, label))

    def reading(self, drive: int, label: str, slot: str | None) -> None:
        self.told.append(("reading", drive, label))

    def empty(self, drive: int) -> None:
        self.told.append(("empty", drive))


@implementer(IPumpedDevice)
class Volume:
    def __init__(self, shelf: Shelf, label: str) -> None:
        self.shelf = shelf
        self.label = label

    async def _run(self, work: Callable[[Any], Any]) -> Any:
        return work(self)

    def run(self, work: Callable[[Any], Any]) -> Any:
        return Deferred.fromCoroutine(self._run(work))

    def seek_file(self, number: int) -> None:
        if self.label in self.shelf.stuck:
            raise DriveFailed("lost")
        self.shelf.log.append(f"seek {self.label} {number}")


class FakeClerk:
    """As AskingClerk."""

    slot = "1"

    def __init__(self, shelf: Shelf, ask: Any, wanted: Any, opened: Any, in_use: Any) -> None:
        self._shelf = shelf
        self._in_use = in_use
        self._ask, self._wanted, self._opened = ask, wanted, opened
        self.label: str | None = None
        self._doubtful = self._over = False
        self._waiting: Deferred[None] | None = None

    async def fetch(self, label: str, handle: str, ready: Any = None) -> Any:
        if label == self.label and not self._doubtful:
            return Volume(self._shelf, label)
        while True:
            if label != self.label:
                self._wanted(label)
            await self.close_volume(tell=False)
            try:
                await self._load(label)
            except SourceFault as fault:
                if self._over:
                    raise
                busy = label in self._shelf.in_use and self._in_use is not None
                await (self._in_use if busy else self._ask)(label, fault.text)
                continue
            self._opened(label)
            return Volume(self._shelf, label)

    async def _load(self, label: str) -> None:
        if self._over:
            raise SourceFault("given up")
        if label in self._shelf.missing:
            raise SourceFault(f"{label} is missing")
        if label in self._shelf.in_use:
            raise SourceFault(f"{label} is reserved")
        if not self._shelf.free:
            raise SourceFault("no drive")
        self._shelf.free -= 1
        self._shelf.log.append(f"load {label}")
        if label in self._shelf.held:
            self._waiting = self._shelf.held[label]
            try:
                await self._waiting
            except CancelledError:
                self._shelf.free += 1
                raise SourceFault("given up") from None
            finally:
                self._waiting = None
        self.label, self._doubtful = label, False

    async def close_volume(self, *, tell: bool) -> bool:
        if self.label is not None:
            self._shelf.log.append(f"back {self.label}")
            self._shelf.free += 1
        self.label = None
        return False

    def end(self, *, well: bool) -> None:
        self._doubtful = not well

    def interrupt(self) -> None:
        self._over = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def quit(self) -> None:
        await self.close_volume(tell=False)


def ahead(shelf: Shelf, drives: int, *labels: str) -> LoadingAhead:
    order = [Coming(label, 7) for label in labels]
    return LoadingAhead(shelf.make, shelf.ask, drives, order, shelf, shelf.wait)


def fetch(clerk: LoadingAhead, label: str) -> Deferred[Any]:
    fetching = Deferred.fromCoroutine(clerk.fetch(label, "h"))
    fetching.addErrback(lambda failure: failure.value)
    return fetching


@ensureDeferred
async def test_the_next_volume_is_loaded_while_one_is_read() -> None:
    """The mount of the second begins when the first is there, and is not waited for; the third
    takes the drive of the first once that is read."""
    shelf = Shelf("B")
    clerk = ahead(shelf, 2, "A", "B", "B", "C")
    verifyObject(IClerk, clerk)
    assert (await fetch(clerk, "A")).label == "A"
    assert shelf.log == ["load A", "load B"]
    assert clerk.label == "A"
    coming = fetch(clerk, "B")
    assert not coming.called
    shelf.held.pop("B").callback(None)
    assert (await coming).label == "B"
    assert shelf.log == ["load A", "load B", "seek B 7", "back A", "load C", "seek C 7"]
    assert (await fetch(clerk, "C")).label == "C"
    assert shelf.log[6:] == ["back B"]
    await clerk.quit()
    assert shelf.free == 9
    assert shelf.told[:4] == [
        ("loading", 1, "A"),
        ("reading", 1, "A"),
        ("ahead", 2, "B"),
        ("loading", 2, "B"),
    ]
    assert ("reading", 2, "B") in shelf.told
    assert ("reading", 1, "C") in shelf.told


@ensureDeferred
async def test_no_more_drives_than_may_be_used() -> None:
    for drives, loaded in ((1, 1), (2, 2), (3, 3), (9, 4)):
        shelf = Shelf()
        clerk = ahead(shelf, drives, "A", "B", "C", "D")
        await fetch(clerk, "A")
        assert 9 - shelf.free == loaded
        await clerk.close_volume(tell=False)
        assert shelf.free == 9


@ensureDeferred
async def test_without_a_second_drive_it_is_as_with_one() -> None:
    """Nobody is asked for what could only not be loaded ahead."""
    shelf = Shelf(drives=1)
    clerk = ahead(shelf, 2, "A", "B", "C")
    for label in "ABC":
        assert (await fetch(clerk, label)).label == label
    assert shelf.log == ["load A", "back A", "load B", "back B", "load C"]
    assert shelf.asked == []


@ensureDeferred
async def test_another_volume_than_the_one_that_was_thought_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was loaded ahead gives its drive back where there is no other."""
    shelf = Shelf(drives=2)
    clerk = ahead(shelf, 2, "A", "B", "C")
    await fetch(clerk, "A")
    usual = FakeClerk.close_volume

    async def close_volume(closing: FakeClerk, *, tell: bool) -> bool:
        taken = closing.label == "A"
        await usual(closing, tell=tell)
        shelf.free -= taken  # somebody else was quicker
        return False

    monkeypatch.setattr(FakeClerk, "close_volume", close_volume)
    assert (await fetch(clerk, "C")).label == "C"
    assert shelf.asked == []
    assert "back B" in shelf.log


@ensureDeferred
async def test_a_volume_that_is_missing_is_asked_for_when_it_is_its_turn() -> None:
    shelf = Shelf()
    shelf.missing.add("B")
    clerk = ahead(shelf, 2, "A", "B", "C")
    await fetch(clerk, "A")
    assert shelf.asked == []
    assert (await fetch(clerk, "B")).label == "B"
    assert shelf.asked == ["B"]
    assert (await fetch(clerk, "C")).label == "C"


@ensureDeferred
async def test_a_volume_in_use_is_waited_for_when_it_is_its_turn() -> None:
    """Ahead it is not: it may be in use with us, and then nobody would ever give it back."""
    shelf = Shelf()
    shelf.in_use.add("B")
    clerk = ahead(shelf, 2, "A", "B")
    await fetch(clerk, "A")
    assert ("waits", "B") not in shelf.told
    assert (await fetch(clerk, "B")).label == "B"
    assert ("waits", "B") in shelf.told
    assert shelf.asked == []


@ensureDeferred
async def test_a_drive_that_loses_its_place_is_loaded_anew() -> None:
    shelf = Shelf()
    shelf.stuck.add("B")
    clerk = ahead(shelf, 2, "A", "B")
    await fetch(clerk, "A")
    assert (await fetch(clerk, "B")).label == "B"
    assert shelf.log == ["load A", "load B", "back B", "load B", "back A"]


@pytest.mark.parametrize("waits", [False, True])
@ensureDeferred
async def test_it_is_interrupted_while_a_volume_is_loaded_ahead(waits: bool) -> None:
    """Nothing stays in a drive, and whoever waits hears of it."""
    shelf = Shelf("B")
    clerk = ahead(shelf, 2, "A", "B", "C")
    await fetch(clerk, "A")
    waiting = fetch(clerk, "B") if waits else None
    clerk.interrupt()
    if waiting is not None:
        assert isinstance(await waiting, SourceFault)
    await clerk.quit()
    assert shelf.free == 9


@ensureDeferred
async def test_a_volume_that_is_wanted_again_while_it_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is still in a drive of ours: nobody is asked for it, and it is not taken for missing."""
    shelf = Shelf()
    clerk = ahead(shelf, 2, "A", "B")
    await fetch(clerk, "A")
    usual = FakeClerk.close_volume
    slow: Deferred[None] = Deferred()

    async def close_volume(closing: FakeClerk, *, tell: bool) -> bool:
        if closing.label == "A" and not slow.called:
            shelf.missing.add("A")
            await slow
            shelf.missing.discard("A")
        return await usual(closing, tell=tell)

    monkeypatch.setattr(FakeClerk, "close_volume", close_volume)
    await fetch(clerk, "B")
    again = fetch(clerk, "A")
    assert shelf.asked == []
    slow.callback(None)
    assert (await again).label == "A"
    assert shelf.asked == []
    await clerk.quit()
    assert shelf.free == 9
