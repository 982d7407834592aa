"""One thread per open device: a call goes in, a Deferred comes out.

:class:`Lane` is that thread. :class:`LaneDevice` gives a blocking device the asynchronous face of
:mod:`devices.interfaces`.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from devices.directtcp import SocketFed
from devices.interfaces import (
    AccessMode,
    IDevice,
    IDeviceFacts,
    IHurries,
    ILane,
    IPumpedDevice,
    VolumeReading,
)
from devices.threads import ThreadRefused, start_thread

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorFromThreads

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

    def dispose_of_result(self) -> None:
        """Nobody wants it any more (in the lane's thread, after :meth:`run`)."""
        if self.dispose is not None and self.result is not None:
            self.dispose(self.result)


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
            if dispose is not None:
                # at once, so that whatever is asked for from now on comes after it; nobody is left
                # to hear of a failure but the log of unhandled errors
                self._put(_Call(call.dispose_of_result, Deferred()))

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
        return self._call(function, self.blocking, *args)

    def _call(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Ask the device for something. If nobody waits for it any more, it is in a hurry."""
        asked = self.lane.call(function, *args)
        if not IHurries.providedBy(self.blocking):
            return asked

        def give_up(_: Deferred[T]) -> None:
            self.hurry()
            asked.cancel()

        waiting: Deferred[T] = Deferred(give_up)
        asked.addCallbacks(waiting.callback, waiting.errback)
        return waiting

    def read_label(self) -> Deferred[VolumeReading]:
        return self._call(self.blocking.read_label)

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> Deferred[None]:
        return self._call(self.blocking.start, mode, label, timestamp)

    def erase(self) -> Deferred[None]:
        return self._call(self.blocking.erase)

    def eject(self) -> Deferred[None]:
        return self._call(self.blocking.eject)

    def close(self) -> Deferred[None]:
        return self.lane.stop()

    def hurry(self) -> None:
        if IHurries.providedBy(self.blocking):
            IHurries(self.blocking).hurry()

    def finish(self) -> Deferred[None]:
        return self.lane.call_surely(self.blocking.finish)
