"""How the demonstration runs to its end: the reactor, and the processes that were started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_TERM_SECONDS = 5.0
_POLL_SECONDS = 0.01

T = TypeVar("T")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and those that it started."""
    group = process.pid
    for last_word in (signal.SIGTERM, signal.SIGKILL):
        latest = time.monotonic() + _TERM_SECONDS
        there = _signalled(group, last_word)
        while there and time.monotonic() < latest:
            process.poll()
            time.sleep(_POLL_SECONDS)
            there = _signalled(group, 0)
    process.communicate()


def _signalled(group: int, number: int) -> bool:
    """There was somebody to hear it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def run_reactor(work: Callable[[Any], Awaitable[T]]) -> T:
    """Run the reactor until ``work``, which is given it, has come to its end.

    :return: what it gave
    :raise KeyboardInterrupt: a signal cancelled it; nothing of it runs any more
    """
    from twisted.internet import reactor as the_reactor

    reactor: Any = the_reactor
    outcome: list[Any] = []
    interrupted: list[int] = []

    async def begin() -> T:
        # only a reactor that runs can be stopped afterwards
        running: Deferred[None] = Deferred()
        reactor.callWhenRunning(running.callback, None)
        await running
        return await work(reactor)

    def over(result: T | Failure) -> None:
        outcome.append(result)
        reactor.stop()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.append(number)
        reactor.callFromThread(working.cancel)

    working: Deferred[Any] = Deferred.fromCoroutine(begin())
    working.addBoth(over)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        # the reactor's own handlers would stop it before everything has come to its end
        reactor.run(installSignalHandlers=False)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interrupted:
        raise KeyboardInterrupt
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    done: T = result
    return done
