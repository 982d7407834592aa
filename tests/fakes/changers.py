"""Real changers for tests: by their asynchronous face, each call waited for, or as they block."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from devices.asynchronous import open_changer, prepare_changer
from devices.context import DeviceContext
from devices.interfaces import IAsyncDevice, IAsyncReservation
from devices.registry import CHANGERS, load_factory
from protocols.conf.config import Config
from protocols.conf.sections import Storage
from tests.fakes.lane import SteppedLane


class Waited:
    """A changer, reservation or device by its asynchronous face, each call being waited for.

    What a call gives is the result or the exception; a device has the attributes of its facts, too.

    :ivar thing: the asynchronous object
    :param wait: gives a Deferred's result, or raises what it failed with
    """

    def __init__(self, thing: Any, wait: Callable[[Deferred[Any]], Any]) -> None:
        self.thing = thing
        self.wait = wait

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self.thing, name) and IAsyncDevice.providedBy(self.thing):
            return getattr(self.thing.facts, name)
        found = getattr(self.thing, name)
        return self._call(found) if callable(found) else self._known(found)

    def _call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            return self._known(self.wait(result)) if isinstance(result, Deferred) else result

        return call

    def _known(self, found: Any) -> Any:
        for face in (IAsyncReservation, IAsyncDevice):
            if face.providedBy(found):
                return Waited(found, self.wait)
        return found


def result_of(deferred: Deferred[Any]) -> Any:
    """What it has fired with by now; what it failed with is raised."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    assert found, "it never happened"
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


class SteppedLanes:
    """Lanes whose work is done when something is waited for.

    :ivar lanes: all that were made.
    """

    def __init__(self) -> None:
        self.lanes: list[SteppedLane] = []
        self.context = DeviceContext(None, self.make_lane)

    def make_lane(self, name: str) -> SteppedLane:
        self.lanes.append(SteppedLane(name))
        return self.lanes[-1]

    def drain(self) -> None:
        """Let the lanes do what there is to do."""
        while any([lane.step() for lane in self.lanes]):
            pass

    def wait(self, deferred: Deferred[Any]) -> Any:
        self.drain()
        return result_of(deferred)


def open_waited(
    name: str | None,
    config: Config,
    storage: Storage | None,
    *,
    stop: threading.Event | None = None,
) -> Any:
    """The changer of this name as the taper opens it."""
    lanes = SteppedLanes()
    return Waited(open_changer(name, config, storage, lanes.context, stop=stop), lanes.wait)


def open_blocking(
    name: str | None,
    config: Config,
    storage: Storage | None,
    *,
    stop: threading.Event | None = None,
) -> Any:
    """What the changer of this name has in its lane."""
    setup = prepare_changer(name, config, storage, SteppedLanes().context, stop=stop)
    return load_factory(CHANGERS[setup.kind])(setup)
