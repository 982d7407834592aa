"""Waiting for what must not be left half done."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import CancelledError, Deferred

if TYPE_CHECKING:
    from twisted.python.failure import Failure

T = TypeVar("T")


async def undisturbed(work: Deferred[T]) -> T:
    """The result of ``work``, waited for to its end; a cancellation takes effect only then."""
    results: list[T] = []
    failures: list[Failure] = []
    waiter: Deferred[None] = Deferred()

    def done(result: T) -> None:
        results.append(result)
        waiter.callback(None)

    def failed(failure: Failure) -> None:
        failures.append(failure)
        waiter.callback(None)

    work.addCallbacks(done, failed)
    cancelled = False
    while True:
        try:
            await waiter
            break
        except CancelledError:
            cancelled = True
            if results or failures:
                break
            waiter = Deferred()
    if failures:
        failures[0].raiseException()
    if cancelled:
        raise CancelledError
    return results[0]
