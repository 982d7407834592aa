"""Time of a conversation in steps: whatever takes time waits here until the test lets it happen.

Between two steps a test may say something to the taper, and any step may be made to fail; so
every command can arrive, and every failure happen, at every moment there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices.interfaces import ILane

_LANES = {
    **{word: word for word in ("log", "tapelist", "transfer", "status", "storing")},
    **dict.fromkeys(
        (
            "changer",
            "load",
            "released",
            "set_label",
            "set_device_error",
            "get_meta_label",
            "set_meta_label",
        ),
        "changer",
    ),
}
"""By the first word of their names: operations that keep their order."""


class Steps:
    """Operations asked for and not yet done, in order; stands for the gate of a fake changer.

    :ivar done: names of the operations done so far.
    :ivar faults: by name, what the next operation of this name fails with instead of happening.
    :ivar lasting: the same for every operation of this name.
    """

    open = False

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Deferred[Any], Callable[[], Any]]] = []
        self.done: list[str] = []
        self.faults: dict[str, list[Exception | None]] = {}
        self.lasting: dict[str, Exception] = {}

    def fail(self, name: str, *faults: Exception | None) -> None:
        """Let the next operations of this name fail, one for each fault; None: it goes well."""
        self.faults.setdefault(name, []).extend(faults)

    def fault(self, name: str) -> Exception | None:
        """Take the fault that is due for ``name``, if one is."""
        if self.faults.get(name):
            return self.faults[name].pop(0)
        return self.lasting.get(name)

    def do(self, name: str, operation: Callable[[], Any], *, surely: bool = False) -> Deferred[Any]:
        """Do it later. :param surely: even if the Deferred is cancelled before"""
        deferred: Deferred[Any] = Deferred(None if surely else self._give_up)
        self.waiting.append((name, deferred, operation))
        return deferred

    def pass_through(self, operation: Callable[[], Any]) -> Deferred[Any]:
        return self.do("changer", operation)

    def _give_up(self, deferred: Deferred[Any]) -> None:
        self.waiting = [entry for entry in self.waiting if entry[1] is not deferred]

    def lanes(self) -> list[int]:
        """Places in ``waiting`` of what may come next: the first of each lane."""
        seen: set[str] = set()
        places: list[int] = []
        for place, (name, _, _) in enumerate(self.waiting):
            lane = _LANES.get(name.split(" ")[0], f"{place}")
            if lane not in seen:
                seen.add(lane)
                places.append(place)
        return places

    def step(self, which: int = 0) -> bool:
        """Let one operation happen. :return: False if none waits"""
        if not self.waiting:
            return False
        name, deferred, operation = self.waiting.pop(which % len(self.waiting))
        self.done.append(name)
        fault = self.fault(name)
        try:
            if fault is not None:
                raise fault
            result = operation()
        except Exception as error:  # whatever it is, it belongs to the one who asked
            deferred.errback(error)
        else:
            deferred.callback(result)
        return True


@implementer(ILane)
class StepLane:
    """A lane whose calls are operations of :class:`Steps`."""

    def __init__(self, moments: Steps, name: str) -> None:
        self._moments = moments
        self._name = name
        self._stopped = False
        self.begun = True

    def begin(self) -> None:
        """There is no thread."""

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        if self._stopped:
            raise ValueError(f"the lane {self._name} was stopped")
        return self._moments.do(self._name, lambda: function(*args, **kwargs))

    def call_surely(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        return self._moments.do(self._name, lambda: function(*args, **kwargs), surely=True)

    def call_owning(
        self, dispose: Callable[[Any], object], function: Callable[..., Any], *args: Any
    ) -> Deferred[Any]:
        raise NotImplementedError("no feed or transfer asks for it")

    def stop(self) -> Deferred[None]:
        self._stopped = True
        return self._moments.do(f"{self._name} stops", lambda: None, surely=True)
