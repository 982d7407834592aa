"""Blocking changers in their lanes, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devices.changers.blocking import LanedChanger
from devices.changers.setup import ChangerSetup
from devices.errors import ChangerError, ChangerReason, DriveFailed, Status
from devices.interfaces import (
    ChangerInfo,
    IAsyncChanger,
    IAsyncDevice,
    IAsyncReservation,
    IChanger,
    IDevice,
    InventoryEntry,
    IReservation,
    LoadRequest,
    VolumeReading,
)
from devices.null import NullDevice
from devices.patience import OwnStop
from tests.fakes.changers import SteppedLanes, open_blocking
from tests.fakes.config import make_config


def outcome(deferred: Deferred[Any]) -> list[Any]:
    """Where the result, or the exception, appears once it is known."""
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


def fail() -> None:
    raise DriveFailed("broken belt")


@implementer(IReservation)
class OneReservation:
    """A reservation that notes what happens to it."""

    barcode = meta = None
    reading = VolumeReading(Status.SUCCESS)

    def __init__(self, log: list[str], slot: str) -> None:
        self.log = log
        self.slot = slot
        self.device: IDevice = NullDevice("null:", "")

    def release(self, eject: bool = False, need_another: bool = False) -> None:
        self.log.append(f"release {self.slot}")

    def set_label(self, label: str | None) -> None:
        self.log.append(f"label {label}")

    def set_device_error(self, reading: VolumeReading) -> None:
        self.log.append("device error")

    def get_meta_label(self) -> str | None:
        return "meta"

    def set_meta_label(self, meta: str | None) -> None:
        self.log.append(f"meta {meta}")


@implementer(IChanger)
class OneChanger:
    """A changer that loads any slot and notes what happens."""

    name = "chg"
    has_inventory = True
    scan_require_update = False
    global_space = True

    def __init__(self) -> None:
        self.log: list[str] = []

    def load(self, request: LoadRequest) -> IReservation:
        if request.slot is None:
            raise ChangerError("no slot", ChangerReason.INVALID)
        self.log.append(f"load {request.slot}")
        return OneReservation(self.log, request.slot)

    def info(self) -> ChangerInfo:
        return ChangerInfo(num_slots=1, slots=("1",))

    def inventory(self) -> list[InventoryEntry]:
        return [InventoryEntry(slot="1")]

    def reset(self) -> None: ...

    def eject(self, drive: str | None = None) -> None: ...

    def update(self, changed: str | None = None) -> None:
        self.log.append(f"update {changed}")

    def move(self, source: str, target: str) -> None: ...

    def close(self) -> None:
        self.log.append("close")


class NotedStop(OwnStop):
    """A stop event that notes when it is set."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def set(self) -> None:
        super().set()
        self.log.append("interrupt")


class Library:
    """A LanedChanger on stepped lanes."""

    def __init__(self) -> None:
        self.blocking = OneChanger()
        self.stepped = SteppedLanes()
        self.lanes = self.stepped.lanes
        self.drain = self.stepped.drain
        setup = ChangerSetup(
            name="chg",
            kind="one",
            argument="",
            config=make_config(),
            storage=None,
            section=None,
            context=self.stepped.context,
            open_device=pytest.fail,
            open_blocking=pytest.fail,
            open_child=pytest.fail,
            stop=NotedStop(self.blocking.log),
        )
        self.changer = LanedChanger(setup, self.blocking)

    def result(self, deferred: Deferred[Any]) -> Any:
        found = outcome(deferred)
        self.drain()
        assert len(found) == 1
        return found[0]


def test_interfaces() -> None:
    """Every class here provides what it says, fakes included."""
    library = Library()
    reservation = library.result(library.changer.load(LoadRequest(slot="1")))
    verifyObject(IAsyncChanger, library.changer)
    verifyObject(IAsyncReservation, reservation)
    verifyObject(IAsyncDevice, reservation.device)
    verifyObject(IChanger, library.blocking)
    verifyObject(IReservation, OneReservation([], "1"))


@pytest.mark.parametrize("name", ["chg-disk:", "chg-null:"])
def test_what_the_registry_opens(name: str, tmp_path: Path) -> None:
    """A changer that blocks provides what a lane needs, and its reservations do."""
    (tmp_path / "slot1").mkdir()
    changer = open_blocking(f"{name}{tmp_path}", make_config(), None)
    assert verifyObject(IChanger, changer)
    reservation = changer.load(LoadRequest(slot="1"))
    assert verifyObject(IReservation, reservation)
    assert verifyObject(IDevice, reservation.device)
    reservation.release()


def test_changer_operations() -> None:
    """Each operation's result, or its error, arrives in the Deferred."""
    library = Library()
    changer = library.changer
    assert library.result(changer.info()).num_slots == 1
    assert library.result(changer.inventory())[0].slot == "1"
    assert library.result(changer.update("2")) is None
    assert library.result(changer.load(LoadRequest())).reason is ChangerReason.INVALID


def test_reservation_operations() -> None:
    """A reservation tells the changer its label and its error, and is released once."""
    library = Library()
    reservation = library.result(library.changer.load(LoadRequest(slot="7")))
    library.result(reservation.device.run(lambda device: None))
    library.result(reservation.set_label("A"))
    library.result(reservation.set_device_error(VolumeReading(Status.DEVICE_ERROR)))
    library.result(reservation.set_meta_label("M"))
    assert library.result(reservation.get_meta_label()) == "meta"
    first, second = outcome(reservation.release()), outcome(reservation.release())
    library.drain()
    assert (first, second) == ([None], [None])
    assert library.result(reservation.release()) is None
    assert library.blocking.log == ["load 7", "label A", "device error", "meta M", "release 7"]
    assert library.lanes[1].ended


def test_release_gives_back_despite_a_failing_device() -> None:
    """The slot is given back even when the device does not finish, and the error is told."""
    library = Library()
    reservation = library.result(library.changer.load(LoadRequest(slot="7")))
    library.result(reservation.device.run(lambda device: None))
    reservation.device.facts.finish = fail
    assert library.result(reservation.release()).text == "broken belt"
    assert library.blocking.log == ["load 7", "release 7"]


def test_a_volume_that_was_only_looked_at_takes_no_thread() -> None:
    """A scan may look at a thousand; the changer's release finishes the device by itself."""
    library = Library()
    reservation = library.result(library.changer.load(LoadRequest(slot="7")))
    assert library.result(reservation.release()) is None
    assert library.blocking.log == ["load 7", "release 7"]
    assert not library.lanes[1].begun


def test_release_cannot_be_cancelled() -> None:
    """Cancelling a release gives up waiting, not releasing."""
    library = Library()
    reservation = library.result(library.changer.load(LoadRequest(slot="7")))
    release = reservation.release()
    release.addErrback(lambda _: None)
    release.cancel()
    library.drain()
    assert library.blocking.log[-1] == "release 7"


@pytest.mark.parametrize("steps", [0, 1])
def test_cancelled_load_leaves_nothing_reserved(steps: int) -> None:
    """A load cancelled before, or after, the changer did it leaves no slot reserved."""
    library = Library()
    load = library.changer.load(LoadRequest(slot="1"))
    load.addErrback(lambda _: None)
    for _ in range(steps):
        library.lanes[0].work()
    load.cancel()
    library.drain()
    assert library.blocking.log == (["load 1", "release 1"] if steps else [])


def test_close() -> None:
    """Closing ends waits, gives back what is held and what is on its way, then closes."""
    library = Library()
    held = library.result(library.changer.load(LoadRequest(slot="1")))
    coming = library.changer.load(LoadRequest(slot="2"))
    coming.addErrback(lambda _: None)
    library.lanes[0].work()
    never = outcome(library.changer.load(LoadRequest(slot="3")))
    assert library.result(library.changer.close()) is None
    assert isinstance(never[0], CancelledError)
    assert library.blocking.log == [
        "load 1", "load 2", "interrupt", "release 2", "release 1", "close",
    ]  # fmt: skip
    assert held.released
    assert all(lane.ended for lane in library.lanes if lane.begun)


def test_close_tells_the_first_error() -> None:
    """A reservation that cannot be released does not keep the others, nor the changer, open."""
    library = Library()
    for slot in "12":
        reservation = library.result(library.changer.load(LoadRequest(slot=slot)))
        library.result(reservation.device.run(lambda device: None))
        reservation.device.facts.finish = fail
    assert library.result(library.changer.close()).text == "broken belt"
    assert sorted(library.blocking.log[-4:]) == ["close", "interrupt", "release 1", "release 2"]
