"""Waiting that an interruption cuts short: how a dump is ended from outside."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from taper.core.errors import Interrupted
from taper.core.moment import Awaited

if TYPE_CHECKING:
    from taper.core.interfaces import IClock

T = TypeVar("T")


class Interruption:
    """Whether and why one dump is to end, and what it waits for at the moment.

    :param clock: times what is waited for when the dump is to end
    :ivar reason: the first one given; None: it goes on.
    """

    def __init__(self, clock: IClock) -> None:
        self.reason: str | None = None
        self._clock = clock
        self._waiting: Deferred[Any] | None = None
        self._seen_through: list[Awaited[Any]] = []
        self._hurried = False

    def come(self, reason: str, before: Callable[[], None]) -> None:
        """End the dump: call ``before``, then break its wait, if there is one."""
        self.reason = reason
        self.hurry()
        before()
        if self._waiting is not None:
            self._waiting.cancel()

    def hurry(self) -> None:
        """However the dump came to it, it is to end: nothing is waited for longer than a moment."""
        self._hurried = True
        for awaited in self._seen_through:
            awaited.hurry()

    async def see_through(self, work: Deferred[T] | Coroutine[Deferred[Any], Any, T]) -> T:
        """Wait for something that must not be cut short: what another program holds up is still
        done, but a dump that is to end waits for it a moment only.

        :raise NotInTime: it goes on without us
        """
        doing = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
        awaited = Awaited(self._clock, doing)
        self._seen_through.append(awaited)
        if self._hurried:
            awaited.hurry()
        try:
            return await awaited.over
        finally:
            self._seen_through.remove(awaited)

    def check(self) -> None:
        """:raise Interrupted: the dump is to end"""
        if self.reason is not None:
            raise Interrupted

    async def wait(self, awaited: Deferred[T] | Coroutine[Deferred[Any], Any, T]) -> T:
        """Wait for something that an interruption may cut short; only one at a time.

        :raise Interrupted: it did
        """
        if self.reason is not None:
            if isinstance(awaited, Deferred):
                awaited.cancel()
                awaited.addErrback(lambda _: None)
            else:
                awaited.close()  # it has not begun
            raise Interrupted
        waiting = awaited if isinstance(awaited, Deferred) else Deferred.fromCoroutine(awaited)
        self._waiting = waiting
        try:
            return await waiting
        except CancelledError:
            if self.reason is None:
                raise
            raise Interrupted from None
        finally:
            self._waiting = None
