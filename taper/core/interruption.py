"""Waiting that an interruption cuts short: how a dump is ended from outside."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred

from taper.core.errors import Interrupted

T = TypeVar("T")


class Wait(Protocol):
    """How a dump waits: so that its interruption can cut it short."""

    async def __call__(self, awaited: Deferred[T] | Coroutine[Deferred[Any], Any, T]) -> T:
        """See :meth:`Interruption.wait`."""


class Interruption:
    """Whether and why one dump is to end, and what it waits for at the moment.

    :ivar reason: the first one given; None: it goes on.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._waiting: Deferred[Any] | None = None

    def come(self, reason: str, before: Callable[[], None]) -> None:
        """End the dump: call ``before``, then break its wait, if there is one."""
        self.reason = reason
        before()
        if self._waiting is not None:
            self._waiting.cancel()

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
