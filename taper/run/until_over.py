"""The reactor of a program that has one thing to do, for as long as that takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from protocols.errorcode import coded
from taper.last_words import say as say_on_stderr


class IWork(Protocol):
    """The one thing."""

    async def run(self) -> int:
        """Do it. :return: the exit status"""

    def leave(self) -> None:
        """A signal came: let go of drives and changers, and let :meth:`run` come back soon."""


def run_until_over(
    program: str, reactor: Any, work: IWork, fail: Callable[[str], int] | None = None
) -> int:
    """Run the reactor until the work is done.

    :param fail: says what nobody foresaw, and gives the exit status then (default:
        :func:`taper.last_words.say`)
    :return: its exit status
    """
    say = fail or partial(say_on_stderr, program)
    ended: Deferred[None] = Deferred()
    status = 1

    def over(result: Any) -> None:
        nonlocal status
        if isinstance(result, int):
            status = result
        else:
            text = f"internal error: {result.getErrorMessage()}"
            status = say(coded(text, result.value))
        ended.callback(None)
        if reactor.running and not stopping:
            reactor.stop()

    stopping: list[bool] = []

    def before_shutdown() -> Deferred[None]:
        stopping.append(True)
        work.leave()
        waiting: Deferred[None] = Deferred()
        ended.addCallback(waiting.callback)
        return waiting

    def begin() -> None:
        Deferred.fromCoroutine(work.run()).addBoth(over)

    reactor.addSystemEventTrigger("before", "shutdown", before_shutdown)
    reactor.callWhenRunning(begin)
    reactor.run()
    return status
