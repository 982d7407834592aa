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

from devices.errors import DriveFailed
from devices.interfaces import AccessMode, IHurries, ILane, IPumpedDevice, VolumeReading
from devices.lane import Lane, LaneDevice
from devices.null import NullDevice
from tests.fakes.lane import SteppedLane
from tests.opened import threads


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
            self.calls.get(timeout=600)()
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
        lane = Lane(LoopReactor(), "unused lane")  # type: ignore[arg-type]
        assert outcome(lane.stop()) == [None]
        assert threads("unused lane") == set()

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

    def test_an_owned_result_is_disposed_of_before_what_follows(self) -> None:
        """Whoever asks next finds nothing of the one who does not want it any more."""
        lane = SteppedLane()
        order: list[str] = []
        call = lane.call_owning(order.append, lambda: "disposed")
        call.addErrback(lambda failure: failure.trap(CancelledError))
        lane.work()
        call.cancel()
        lane.call(order.append, "next")
        lane.drain()
        assert order == ["disposed", "next"]

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


def test_interfaces() -> None:
    """A lane, its fake and a device in one provide what they say."""
    verifyObject(ILane, SteppedLane())
    verifyObject(ILane, Lane(LoopReactor(), "x"))  # type: ignore[arg-type]
    verifyObject(IPumpedDevice, LaneDevice(NullDevice("null:", ""), SteppedLane()))


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


@implementer(IHurries)
class Waiting(NullDevice):
    """A device that waits for another machine until it is in a hurry."""

    def __init__(self) -> None:
        super().__init__("waiting", "")
        self.hurried = threading.Event()

    def hurry(self) -> None:
        self.hurried.set()

    def read_label(self) -> VolumeReading:
        assert self.hurried.wait(60)
        raise DriveFailed("no answer came")


def test_a_device_is_hurried() -> None:
    """From the reactor's thread, while its own one waits."""
    reactor = LoopReactor()
    lane = LaneDevice(Waiting(), Lane(reactor, "waiting"))  # type: ignore[arg-type]
    reading = lane.read_label()
    lane.hurry()
    with pytest.raises(DriveFailed, match="no answer came"):
        reactor.run_until(reading)
    reactor.run_until(lane.close())


def test_a_device_is_hurried_that_nobody_waits_for_any_more() -> None:
    """So what comes next, its end above all, need not wait either."""
    reactor = LoopReactor()
    device = Waiting()
    lane = LaneDevice(device, Lane(reactor, "waiting"))  # type: ignore[arg-type]
    reading = lane.read_label()
    found = outcome(reading)
    reading.cancel()
    assert isinstance(found[0], CancelledError)
    reactor.run_until(lane.finish())
    assert device.hurried.is_set()
    reactor.run_until(lane.close())
