"""Lanes: blocking calls in, Deferreds out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devices.errors import ChangerError, ChangerReason, DriveFailed, Status
from devices.interfaces import (
    AccessMode,
    ChangerInfo,
    IAsyncChanger,
    IAsyncDevice,
    IAsyncReservation,
    IChanger,
    IDevice,
    ILane,
    InventoryEntry,
    IReservation,
    LoadRequest,
    VolumeReading,
)
from devices.lane import Lane, LaneChanger, LaneDevice
from devices.null import NullDevice
from tests.fakes.lane import SteppedLane


class LoopReactor:
    """The smallest reactor a lane needs: a queue that the test's thread empties."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        self.calls.put(partial(function, *args))

    def run_until(self, deferred: Deferred[Any]) -> Any:
        """Serve the queue until the Deferred has fired; its result, or its failure raised."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        while not results:
            self.calls.get(timeout=60)()
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]


def outcome(deferred: Deferred[Any]) -> list[Any]:
    """A list that gets the result, or the exception, once it is there."""
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found


def fail() -> None:
    raise DriveFailed("broken belt")


class TestThread:
    """The real thread."""

    def test_call_runs_elsewhere(self) -> None:
        """A call runs in the lane's thread and its result arrives in the reactor's."""
        reactor = LoopReactor()
        lane = Lane(reactor, "drive 1")  # type: ignore[arg-type]
        thread = reactor.run_until(lane.call(threading.current_thread))
        assert thread is not threading.current_thread()
        assert thread.name == "drive 1"
        assert thread.daemon
        reactor.run_until(lane.stop())
        thread.join(60)
        assert not thread.is_alive()

    def test_errors_arrive(self) -> None:
        """What the blocking call raises is what the Deferred fails with, traceback and all."""
        reactor = LoopReactor()
        lane = Lane(reactor, "x")  # type: ignore[arg-type]
        with pytest.raises(DriveFailed, match="broken belt") as caught:
            reactor.run_until(lane.call(fail))
        assert caught.traceback[-1].name == "fail"
        reactor.run_until(lane.stop())

    def test_unused_lane_starts_no_thread(self) -> None:
        """A lane nobody used stops at once and never had a thread."""
        before = threading.active_count()
        lane = Lane(LoopReactor(), "x")  # type: ignore[arg-type]
        assert outcome(lane.stop()) == [None]
        assert threading.active_count() == before

    def test_order_is_kept(self) -> None:
        """Calls run one after another in the order of asking."""
        reactor = LoopReactor()
        lane = Lane(reactor, "x")  # type: ignore[arg-type]
        seen: list[int] = []
        for number in range(100):
            lane.call(seen.append, number)
        reactor.run_until(lane.stop())
        assert seen == list(range(100))


class TestOrder:
    """Cancelling and stopping, step by step."""

    def test_cancelled_before_it_began(self) -> None:
        """A call cancelled in time is never made, and the next one is."""
        lane = SteppedLane()
        seen: list[str] = []
        first = lane.call(seen.append, "first")
        second = outcome(lane.call(seen.append, "second"))
        failed = outcome(first)
        first.cancel()
        assert isinstance(failed[0], CancelledError)
        lane.drain()
        assert seen == ["second"]
        assert second == [None]

    def test_cancelled_while_running(self) -> None:
        """A call cancelled too late runs to its end, and its result goes nowhere."""
        lane = SteppedLane()
        call = lane.call(lambda: "result")
        found = outcome(call)
        lane.work()
        call.cancel()
        lane.drain()
        assert len(found) == 1
        assert isinstance(found[0], CancelledError)

    def test_call_surely(self) -> None:
        """What must be done is done even if nobody waits for it any more."""
        lane = SteppedLane()
        seen: list[int] = []
        call = lane.call_surely(seen.append, 1)
        call.addErrback(lambda _: None)
        call.cancel()
        lane.drain()
        assert seen == [1]

    @pytest.mark.parametrize("late", [False, True])
    def test_owned_result_is_disposed_of(self, late: bool) -> None:
        """A result nobody is there to take is given to dispose, in the lane."""
        lane = SteppedLane()
        disposed: list[str] = []
        call = lane.call_owning(disposed.append, lambda: "slot 3")
        call.addErrback(lambda _: None)
        stopped = outcome(lane.stop())
        if late:
            lane.work()
            call.cancel()
            lane.deliver()
            assert disposed == []
            assert stopped == []
        lane.drain()
        assert disposed == (["slot 3"] if late else [])
        assert stopped == [None]
        assert lane.ended

    def test_stop_waits(self) -> None:
        """Stopping waits for what was asked before; what is asked after it is refused."""
        lane = SteppedLane()
        seen: list[int] = []
        lane.call(seen.append, 1)
        first, second = outcome(lane.stop()), outcome(lane.stop())
        with pytest.raises(ValueError, match="stopped"):
            lane.call(seen.append, 2)
        assert first == []
        lane.drain()
        assert (seen, first, second) == ([1], [None], [None])
        assert outcome(lane.stop()) == [None]


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


class Library:
    """A LaneChanger on stepped lanes."""

    def __init__(self) -> None:
        self.blocking = OneChanger()
        self.lanes: list[SteppedLane] = []
        self.changer = LaneChanger(self.blocking, self.make_lane, self.interrupt)

    def make_lane(self, name: str) -> SteppedLane:
        self.lanes.append(SteppedLane(name))
        return self.lanes[-1]

    def interrupt(self) -> None:
        self.blocking.log.append("interrupt")

    def drain(self) -> None:
        while any([lane.step() for lane in self.lanes]):
            pass

    def result(self, deferred: Deferred[Any]) -> Any:
        found = outcome(deferred)
        self.drain()
        assert len(found) == 1
        return found[0]


def test_interfaces() -> None:
    """Every class here provides what it says, fakes included."""
    library = Library()
    reservation = library.result(library.changer.load(LoadRequest(slot="1")))
    verifyObject(ILane, SteppedLane())
    verifyObject(ILane, Lane(LoopReactor(), "x"))  # type: ignore[arg-type]
    verifyObject(IAsyncChanger, library.changer)
    verifyObject(IAsyncReservation, reservation)
    verifyObject(IAsyncDevice, reservation.device)
    verifyObject(IChanger, library.blocking)
    verifyObject(IReservation, OneReservation([], "1"))


def test_device_lane() -> None:
    """A device's own methods, and functions given to run, are done in its lane."""
    lane = SteppedLane()
    device = LaneDevice(NullDevice("null:", ""), lane)
    started = outcome(device.start(AccessMode.WRITE, "A", "X"))
    doubled = outcome(device.run(lambda blocking, times: blocking.label * times, 2))
    finished = outcome(device.finish())
    assert started == doubled == finished == []
    lane.drain()
    assert (started, doubled, finished) == ([None], ["AA"], [None])


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
