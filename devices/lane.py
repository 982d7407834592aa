"""One thread per open device: a call goes in, a Deferred comes out.

:class:`Lane` is that thread. :class:`LaneDevice`, :class:`LaneReservation` and
:class:`LaneChanger` give blocking devices, reservations and changers the asynchronous face of
:mod:`devices.interfaces`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from zope.interface import implementer

from devices.directtcp import SocketFed
from devices.interfaces import (
    AccessMode,
    ChangerInfo,
    IAsyncChanger,
    IAsyncDevice,
    IAsyncReservation,
    IChanger,
    IDevice,
    IDeviceFacts,
    ILane,
    InventoryEntry,
    IPumpedDevice,
    IReservation,
    LoadRequest,
    VolumeReading,
)
from devices.threads import ThreadRefused, start_thread

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFromThreads
    from twisted.python.failure import Failure

T = TypeVar("T")


class _Call(Generic[T]):
    """One call on its way through a lane.

    ``abandoned`` is written by the reactor thread and read by the lane's; either order of the
    two is right, since the result passes through the reactor thread once more.
    """

    def __init__(
        self,
        function: Callable[[], T],
        deferred: Deferred[T],
        *,
        surely: bool = False,
        dispose: Callable[[T], object] | None = None,
    ) -> None:
        self.function = function
        self.deferred = deferred
        self.surely = surely
        self.dispose = dispose
        self.abandoned = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do it (in the lane's thread), unless it was given up before."""
        if self.abandoned and not self.surely:
            return
        try:
            self.result = self.function()
        except BaseException as error:  # whatever it is, it belongs to the one who asked
            self.error = error


@implementer(ILane)
class Lane:
    """A daemon thread, started on first use, so that a stuck device cannot keep us alive."""

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._queue: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        self._started = False
        # calls asked for and not yet delivered; touched in the reactor thread only
        self._outstanding = 0
        self._stopped: list[Deferred[None]] | None = None
        self._ended = False

    def __repr__(self) -> str:
        return f"<Lane {self._name}>"

    @property
    def begun(self) -> bool:
        return self._started

    def begin(self) -> None:
        if not self._started:
            self._start_thread()
            self._started = True

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> Deferred[T]:
        return self._ask(lambda: function(*args, **kwargs))

    def call_surely(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> Deferred[T]:
        return self._ask(lambda: function(*args, **kwargs), surely=True)

    def call_owning(
        self, dispose: Callable[[T], object], function: Callable[..., T], *args: Any
    ) -> Deferred[T]:
        return self._ask(lambda: function(*args), dispose=dispose)

    def stop(self) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda _: None)
        if self._ended:
            return succeed(None)
        if self._stopped is None:
            self._stopped = []
        self._stopped.append(done)
        self._end_if_idle()
        return done

    def _ask(
        self,
        function: Callable[[], T],
        *,
        surely: bool = False,
        dispose: Callable[[T], object] | None = None,
    ) -> Deferred[T]:
        if self._stopped is not None:
            raise ValueError(f"{self!r} was stopped and takes no more calls")

        def cancel(_: Deferred[T]) -> None:
            call.abandoned = True

        try:
            self.begin()  # before the call counts: nobody would ever do it
        except ThreadRefused as fault:
            return fail(fault)
        call = _Call(function, Deferred(cancel), surely=surely, dispose=dispose)
        self._put(call)
        return call.deferred

    def _put(self, call: _Call[Any]) -> None:
        self._outstanding += 1
        self._queue.put(call)

    def _start_thread(self) -> None:
        start_thread(self._name, self._serve)

    def _serve(self) -> None:
        """The thread's work: until None comes."""
        while (call := self._queue.get()) is not None:
            self._do(call)

    def _do(self, call: _Call[Any]) -> None:
        call.run()
        self._reactor.callFromThread(self._deliver, call)

    def _deliver(self, call: _Call[Any]) -> None:
        if not call.abandoned:
            if call.error is not None:
                call.deferred.errback(call.error)
            else:
                call.deferred.callback(call.result)
        elif call.dispose is not None and call.result is not None:
            # nobody is left to hear of a failure here but the log of unhandled errors
            self._put(_Call(functools.partial(call.dispose, call.result), Deferred()))
        self._outstanding -= 1
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._stopped is None or self._outstanding or self._ended:
            return
        self._ended = True
        if self._started:
            self._queue.put(None)
        for done in self._stopped:
            done.callback(None)


@implementer(IPumpedDevice)
class LaneDevice(SocketFed):
    """A blocking device in a lane; what is dumped on it passes through this process.

    :param lane: ours from now on
    """

    def __init__(self, device: IDevice, lane: ILane) -> None:
        super().__init__()
        self.blocking = device
        self.facts: IDeviceFacts = device
        self.lane = lane

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        return self.lane.call(function, self.blocking, *args)

    def read_label(self) -> Deferred[VolumeReading]:
        return self.lane.call(self.blocking.read_label)

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> Deferred[None]:
        return self.lane.call(self.blocking.start, mode, label, timestamp)

    def erase(self) -> Deferred[None]:
        return self.lane.call(self.blocking.erase)

    def eject(self) -> Deferred[None]:
        return self.lane.call(self.blocking.eject)

    def close(self) -> Deferred[None]:
        return self.lane.stop()

    def hurry(self) -> None:
        """Nothing in a lane waits for an answer of another machine."""

    def finish(self) -> Deferred[None]:
        return self.lane.call_surely(self.blocking.finish)


@implementer(IAsyncReservation)
class LaneReservation:
    """A blocking reservation: its device in a lane of its own, the rest in the changer's.

    :ivar released: the slot was given back.
    """

    def __init__(self, reservation: IReservation, changer_lane: ILane, device_lane: ILane) -> None:
        self._reservation = reservation
        self._changer_lane = changer_lane
        self._device_lane = device_lane
        self._release: Deferred[None] | None = None
        self.released = False
        self._waiting: list[Deferred[None]] = []
        self.slot = reservation.slot
        self.device: IAsyncDevice = LaneDevice(reservation.device, device_lane)
        self.reading = reservation.reading

    @property
    def barcode(self) -> str | None:
        return self._reservation.barcode

    @property
    def meta(self) -> str | None:
        return self._reservation.meta

    def release(self, eject: bool = False, need_another: bool = False) -> Deferred[None]:
        if self.released:
            return succeed(None)
        # cancelling what we hand out must not stop the release
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if self._release is None:
            self._release = self._give_back(eject, need_another)
            self._release.addBoth(self._tell)
        return done

    @inlineCallbacks
    def _give_back(self, eject: bool, need_another: bool) -> Generator[Deferred[Any], Any, None]:
        try:
            # in the device's lane first: rewinding may take long, and the changer serves others;
            # a volume whose label was all that was wanted is not worth a thread
            if self._device_lane.begun:
                yield self._device_lane.call_surely(self._reservation.device.finish)
        finally:
            try:
                yield self._changer_lane.call_surely(self._reservation.release, eject, need_another)
            finally:
                yield self._device_lane.stop()

    def _tell(self, outcome: Failure | None) -> None:
        """Fire all who wait for the release; the first of them gets what went wrong."""
        self.released = True
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            if outcome is None:
                done.callback(None)
            else:
                done.errback(outcome)
                outcome = None

    def set_label(self, label: str | None) -> Deferred[None]:
        return self._changer_lane.call_surely(self._reservation.set_label, label)

    def set_device_error(self, reading: VolumeReading) -> Deferred[None]:
        return self._changer_lane.call_surely(self._reservation.set_device_error, reading)

    def get_meta_label(self) -> Deferred[str | None]:
        return self._changer_lane.call(self._reservation.get_meta_label)

    def set_meta_label(self, meta: str | None) -> Deferred[None]:
        return self._changer_lane.call_surely(self._reservation.set_meta_label, meta)


@implementer(IAsyncChanger)
class LaneChanger:
    """A blocking changer in a lane.

    :param make_lane: makes a lane from a name: one for the changer, one for each device it loads;
        in production ``functools.partial(Lane, reactor)``.
    :param interrupt: called by ``close`` to end what the changer waits for (the ``set`` of its
        stop event); must not block.
    """

    def __init__(
        self,
        changer: IChanger,
        make_lane: Callable[[str], ILane],
        interrupt: Callable[[], None] | None = None,
    ) -> None:
        self._interrupt = interrupt
        self._changer = changer
        self._make_lane = make_lane
        self._lane = make_lane(f"changer {changer.name}")
        self._waiting: set[Deferred[Any]] = set()
        self._held: set[LaneReservation] = set()
        self.name = changer.name
        self.has_inventory = changer.has_inventory
        self.scan_require_update = changer.scan_require_update
        self.global_space = changer.global_space

    def load(self, request: LoadRequest) -> Deferred[IAsyncReservation]:
        loading = self._lane.call_owning(
            lambda reservation: reservation.release(), self._changer.load, request
        )
        return cast("Deferred[IAsyncReservation]", self._note(loading).addCallback(self._hold))

    def _hold(self, reservation: IReservation) -> LaneReservation:
        lane = self._make_lane(f"device {reservation.slot}")
        held = LaneReservation(reservation, self._lane, lane)
        self._held = {other for other in self._held if not other.released}
        self._held.add(held)
        return held

    def info(self) -> Deferred[ChangerInfo]:
        return self._note(self._lane.call(self._changer.info))

    def inventory(self) -> Deferred[list[InventoryEntry]]:
        return self._note(self._lane.call(self._changer.inventory))

    def update(self, changed: str | None = None) -> Deferred[None]:
        return self._note(self._lane.call(self._changer.update, changed))

    def _note(self, deferred: Deferred[T]) -> Deferred[T]:
        """Remember an operation until it is over, for ``close`` to cancel."""
        self._waiting.add(deferred)

        def forget(result: T) -> T:
            self._waiting.discard(deferred)
            return result

        return deferred.addBoth(forget)

    @inlineCallbacks
    def close(self) -> Generator[Deferred[Any], Any, None]:
        if self._interrupt is not None:
            self._interrupt()
        for deferred in list(self._waiting):
            deferred.cancel()
        first: Exception | None = None
        try:
            # what was cancelled on its way back is disposed of before anything that follows
            yield self._lane.call_surely(lambda: None)
        except ThreadRefused as error:
            first = error
        for reservation in list(self._held):
            try:
                yield reservation.release()
            except Exception as error:
                # the others are given back all the same; the first error is told at the end
                first = first or error
        try:
            yield self._lane.call_surely(self._changer.close)
        finally:
            yield self._lane.stop()
        if first is not None:
            raise first
