"""How a thread that reads asks the reactor's side for something, and waits for the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

if TYPE_CHECKING:
    from twisted.python.failure import Failure

T = TypeVar("T")


class GivenUp(Exception):
    """Nobody wants the answer any more."""


class ReactorSide:
    """What one thread has on the reactor's side.

    :ivar changed: whoever tells the thread something else that it may wait for holds it, and
        notifies.
    :ivar given_up: by :meth:`give_up`, for ever.
    """

    def __init__(self, reactor: Any) -> None:
        self.changed = threading.Condition()
        self.given_up = False
        self._reactor = reactor

    def tell(self, what: Callable[[], object]) -> None:
        """Let ``what`` be called on the reactor's side, unless it is given up by then."""

        def do() -> None:
            if not self.given_up:
                what()

        self._reactor.callFromThread(do)

    def ask(self, what: Callable[[], Deferred[T]]) -> T:
        """Let ``what`` be called on the reactor's side, and wait for its result.

        :raise GivenUp: :meth:`give_up` was called, before or meanwhile
        :raise BaseException: what it failed with
        """
        results: list[T] = []
        faults: list[BaseException] = []

        def answer(answers: list[Any], value: object) -> None:
            with self.changed:
                answers.append(value)
                self.changed.notify_all()

        def failed(failure: Failure) -> None:
            answer(faults, failure.value)

        def do() -> None:
            asked: Deferred[T] = maybeDeferred(what)
            asked.addCallbacks(lambda result: answer(results, result), failed)

        self.tell(do)
        self.wait_for(lambda: bool(results or faults))
        if self.given_up:
            raise GivenUp
        if faults:
            raise faults[0]
        return results[0]

    def wait_for(self, there: Callable[[], bool]) -> None:
        """Wait until something is there, or until it is given up."""
        with self.changed:
            self.changed.wait_for(lambda: there() or self.given_up)

    def give_up(self) -> None:
        """Let the thread wait no longer. Any thread; never blocks; safe to repeat."""
        with self.changed:
            self.given_up = True
            self.changed.notify_all()
