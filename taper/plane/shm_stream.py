"""A producer's ring in shared memory as the stream that a device is fed from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from taper.plane.interfaces import SourceError, Waits
from taper.plane.ring import Stopped, chunk_size


class IProducersRing(Protocol):
    """A ring that a producer fills; :class:`taper.plane.shm.ShmSource` says what each means."""

    @property
    def size(self) -> int: ...

    def attach(self) -> bool: ...

    def wait_for(self, wanted: int, better: int = 0) -> int | None: ...

    def view(self, size: int) -> memoryview: ...

    def copy(self, buffer: memoryview) -> None: ...

    def free(self, size: int) -> None: ...


class ShmStream:
    """A ring of a producer's in the place of :class:`taper.plane.ring.Ring`: the device is given
    the blocks as they lie there, which no thread need fill and no byte be copied for.

    :ivar cursor: position of the next byte :meth:`peek` gives.
    """

    keep = False

    def __init__(
        self, source: IProducersRing, block_size: int, failed: Callable[[str], None]
    ) -> None:
        """:param failed: told why no more can be had; must stop the stream."""
        self.cursor = 0
        self.block_size = block_size
        self._source = source
        self._failed = failed
        self._limit = chunk_size(block_size)
        self._spare = memoryview(b"")
        self._attached = threading.Event()
        self._stopped = False
        self._waited = 0.0
        self._waiting: float | None = None

    @property
    def halted(self) -> bool:
        return self._stopped

    @property
    def stopped(self) -> bool:
        return self._stopped

    @property
    def failed(self) -> bool:
        return self._stopped

    def attach(self) -> None:
        """Wait for the producer, in a thread of its own; no permission is needed for that.

        :raise SourceError: there is none to be had
        """
        try:
            self._source.attach()
        finally:
            self._attached.set()

    def stop(self) -> None:
        self._stopped = True
        self._attached.set()

    def fail(self) -> None:
        """There was nothing to attach to."""
        self.stop()

    def peek(self, limit: int) -> memoryview:
        rest = min(self._wait_for(self.block_size, min(self._limit, limit)), limit)
        block = self.block_size
        data = self._source.view(min(rest, self._limit))
        if len(data) >= block:
            return data[: len(data) - len(data) % block]
        short = min(rest, block)
        if len(data) == short:
            return data
        # a producer whose ring our blocks do not divide
        if not self._spare:
            self._spare = memoryview(bytearray(block))
        self._source.copy(self._spare[:short])
        return self._spare[:short]

    def wait_primed(self) -> None:
        """Half a ring is what every producer fills before it waits."""
        self._attached.wait()
        self._wait_for(max(self._source.size // 2, 1))

    def _wait_for(self, size: int, better: int = 0) -> int:
        began = self._waiting = time.monotonic()
        try:
            self._attached.wait()
            if self._stopped:
                raise Stopped
            rest = self._source.wait_for(size, better)
        except SourceError as error:
            self._failed(str(error))
            raise Stopped from error
        finally:
            self._waiting = None
            self._waited += time.monotonic() - began
        if rest is None:
            raise Stopped
        return rest

    def waits(self) -> Waits:
        """How long the producer waits it alone knows."""
        seconds, began = self._waited, self._waiting
        return seconds + (0.0 if began is None else time.monotonic() - began), None

    def advance(self, size: int) -> None:
        self.cursor += size
        self._source.free(size)

    def commit(self) -> None:
        """What was taken is gone anyway."""

    def rewind(self) -> None:
        raise ValueError("this ring keeps nothing to go back to")

    def forgo(self) -> None:
        """There was no cache anyway."""

    def release(self) -> None:
        self._spare = memoryview(b"")
