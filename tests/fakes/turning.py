"""A reactor of the test's own, turned by hand until something has happened."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.pollreactor import PollReactor
from twisted.internet.process import reapAllProcesses
from twisted.python.failure import Failure

from protocols.directtcp import Address

T = TypeVar("T")


class Turning:
    """The reactor, and how to wait with it.

    :param limit: seconds after which what was waited for counts as never happening
    """

    def __init__(self, limit: float = 60.0) -> None:
        self.reactor: Any = PollReactor()
        self.reactor.startRunning(installSignalHandlers=False)
        self._limit = limit

    def until(self, reached: Callable[[], bool]) -> None:
        """Turn until ``reached``."""
        end = time.monotonic() + self._limit
        while not reached():
            if time.monotonic() > end:
                raise AssertionError("it never happened")
            reapAllProcesses()  # no signal tells this reactor that a child has ended
            self.reactor.runUntilCurrent()
            wait = self.reactor.timeout()
            self.reactor.doIteration(min(0.05, 0.05 if wait is None else wait))

    def settle(self, deferred: Deferred[Any]) -> Any:
        """What the Deferred fires with, a Failure included."""
        got: list[Any] = []
        deferred.addBoth(got.append)
        self.until(lambda: bool(got))
        return got[0]

    def wait(self, deferred: Deferred[T]) -> T:
        """The result of the Deferred, or its exception."""
        result = self.settle(deferred)
        if isinstance(result, Failure):
            result.raiseException()
        return result  # type: ignore[no-any-return]

    def run(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
        """The result of the coroutine."""
        return self.wait(Deferred.fromCoroutine(coroutine))

    def close(self) -> None:
        try:
            self.reactor.stop()
        except ReactorNotRunning:
            return
        self.reactor.runUntilCurrent()


@contextmanager
def turning_reactor() -> Iterator[Turning]:
    turning = Turning()
    try:
        yield turning
    finally:
        turning.close()


class Sender(threading.Thread):
    """A blocking program that connects to an address, says ``data`` and closes.

    :ivar failure: why it could not say all
    """

    def __init__(self, address: Address, data: bytes) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._data = data
        self.failure: OSError | None = None
        self.start()

    def run(self) -> None:
        try:
            with socket.create_connection((self._address.host, self._address.port), 30) as link:
                link.settimeout(60)
                link.sendall(self._data)
        except OSError as error:
            self.failure = error


class Receiver(threading.Thread):
    """A blocking program that connects to an address and reads to the end.

    :ivar data: what it read
    """

    def __init__(self, address: Address) -> None:
        super().__init__(daemon=True)
        self._address = address
        self.data = bytearray()
        self.start()

    def run(self) -> None:
        with socket.create_connection((self._address.host, self._address.port), 30) as link:
            link.settimeout(60)
            while piece := link.recv(65536):
                self.data += piece
