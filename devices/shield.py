"""Work that must not be left half done, whoever loses patience with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

T = TypeVar("T")

_log = logging.getLogger(__name__)


def shield(work: Deferred[T], abandoned: Callable[[], object] | None = None) -> Deferred[T]:
    """The result of ``work``. Cancelling it ends the wait at once, and the work goes on; an error
    that comes then is only logged.

    :param abandoned: called when the wait is cancelled
    """

    gone = False

    def give_up(_: Deferred[T]) -> None:
        nonlocal gone
        gone = True  # whatever comes of it, now or later, is not wanted
        if abandoned is not None:
            abandoned()

    def deliver(result: T) -> None:
        if not gone:
            waiting.callback(result)

    def fail(failure: Failure) -> None:
        if gone:
            _log.info("failed when nobody waited for it any more: %r", failure.value)
        else:
            waiting.errback(failure)

    waiting: Deferred[T] = Deferred(give_up)
    work.addCallbacks(deliver, fail)
    return waiting


async def undisturbed(work: Deferred[T]) -> T:
    """The result of ``work``, waited for to its end; a cancellation takes effect only then."""
    over: list[T | Failure] = []
    ended: Deferred[None] = Deferred()
    work.addBoth(over.append).addCallback(ended.callback)
    cancelled = False
    while not over:
        try:
            await shield(ended)
        except CancelledError:
            cancelled = True
    (result,) = over
    if isinstance(result, Failure):
        result.raiseException()
    if cancelled:
        raise CancelledError
    return result
