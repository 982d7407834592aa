"""One dump on its way from a source to volumes: a reader thread, a ring, and the pump."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from attrs import evolve

from devices.errors import Status, VolumeFailed
from devices.interfaces import PartResult
from devices.threads import start_thread
from protocols.crc import UNKNOWN, Crc
from taper.plane.cache import DiskCache, memory_cache
from taper.plane.crc import RunningCrc, prepare
from taper.plane.interfaces import (
    CacheError,
    IDirectStream,
    IReplay,
    ISource,
    IStream,
    IStreamSource,
    ShortOfRoom,
    SourceError,
)
from taper.plane.memory import NoMemory
from taper.plane.part_reader import Held, PartReader
from taper.plane.pump import Pump
from taper.plane.ring import Ring, ring_size

if TYPE_CHECKING:
    from devices.interfaces import IDevice
    from protocols.header import Header

RING_SIZE = 3 * 1024 * 1024
"""Bytes between source and device, unless the configuration wants more."""

NO_CACHE = "No cache for previous failed part; cannot retry"
PART_BEFORE_LOST = "A part before this one was not stored"
BLOCK_SIZES_DIFFER = "All devices used by the taper must have the same block size"


class ICacheKind(Protocol):
    """``taper.core.splitting.CacheKind``, of which only the word matters here."""

    @property
    def value(self) -> str: ...


class IPlan(Protocol):
    """What the data plane needs of ``taper.core.splitting.SplitPlan``: same names, same units."""

    @property
    def part_size(self) -> int: ...
    @property
    def block_size(self) -> int: ...
    @property
    def buffer_size(self) -> int: ...
    @property
    def cache(self) -> ICacheKind: ...
    @property
    def cache_dir(self) -> str | None: ...
    @property
    def pause_at_space(self) -> bool: ...


class Transfer:
    """Moves one dump, part by part. Blocking; calls marked so may come from any thread.

    What goes wrong on this host, as memory that is short, is the error of a part's result. When the
    source fails, what was read before is still written, and only then a part fails and
    :meth:`take_errors` tells why: so it does not depend on the moment which parts are good.

    Without a part cache a good part may come back with ``store``. It is good once that has come
    back, and until then the source keeps its bytes if it can. The next part may be written
    meanwhile. Each ``store`` is called, one at a time in the order of the parts, from any thread.
    If one fails, so do those of the parts behind it, the running part ends soon, and no part can be
    written before :meth:`revoke`.
    """

    def __init__(
        self,
        source: ISource,
        plan: IPlan,
        *,
        done: Crc = UNKNOWN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:param source: ours from now on; if it provides IReplay, failed parts can be repeated.
        :param plan: holds for the whole dump.
        :param done: what is in good parts already; the source begins behind it.
        :param clock: monotonic seconds.
        """
        self._errors: list[str] = []
        self._read_error: str | None = None
        self._trouble: str | None = None
        self._started = False
        self._missed = False
        self._lost = False
        self._lock = threading.Lock()
        self._source = source
        self._plan = plan
        self._clock = clock
        self._cache: DiskCache | None = None
        self._direct = self._open_direct()
        self._ring = self._make_ring()
        self._stream: IStream = self._direct or self._ring
        self._done = done.size
        self._parts = PartReader(
            self._stream, self._make_replay(), self._fail, done, cached=_wants_cache(plan)
        )
        self._once = self._make_replay() is None
        self._source_crc = RunningCrc(done)
        self._pump: Pump | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Begin reading ahead. Does not block.

        :raise ThreadRefused: nothing was begun
        """
        if self._started:
            raise ValueError("the transfer was started before")
        if self._direct is not None or self._allocate():
            self._reader = start_thread("taper-reader", self._read)
        self._started = True

    def write_part(self, device: IDevice, header: Header) -> PartResult:
        """Write the next part, or the same again after a failed one.

        In the device's thread, one part at a time. The part's bytes begin where the last
        successful part ended. A part that cannot be begun comes back with fileno 0, and nothing
        was done to the device. One that is paused must be resumed.
        """
        if not self._started:
            raise ValueError("the transfer is not started")
        if device.block_size != self._plan.block_size:
            return _not_begun(BLOCK_SIZES_DIFFER)
        if self._lost:
            return _not_begun(PART_BEFORE_LOST)
        if not self._parts.repeatable:
            return _not_begun(NO_CACHE)
        if self._stream.stopped and self._parts.position == self._stream.cursor:
            return _not_begun(self._trouble)
        pump = Pump(
            device,
            self._parts,
            part_size=self._plan.part_size,
            cached=self._parts.cached,
            pause_at_space=self._plan.pause_at_space,
            behind=not _wants_cache(self._plan),
            clock=self._clock,
        )
        return self._pumped(pump, lambda: pump.run(header))

    def resume_part(self, device: IDevice, more: bool) -> PartResult:
        """Go on with the paused part, if there is more space now, or else end it where it is.

        In the device's thread, like :meth:`write_part`, and like it may pause again.
        """
        pump = self._pump
        if pump is None:
            raise ValueError(f"no part is paused on {device.name}")
        return self._pumped(pump, pump.go_on if more else pump.end)

    def _pumped(self, pump: Pump, work: Callable[[], PartResult]) -> PartResult:
        """Let the pump work, and settle what became of the part once it is over."""
        self._pump = pump
        if self._lost:  # whichever of the two threads comes first, it has seen the other's word
            pump.abandon()
        result: PartResult | None = None
        held: Held | None = None
        try:
            result = work()
            if not result.successful and result.error is None and self._trouble is not None:
                result = evolve(result, error=self._trouble)
        finally:
            if result is None or not result.paused:
                self._pump = None
                held = self._settle(result)
        if held is not None and result.store is not None:
            result = evolve(result, store=self._storing(result.store, held))
        return result

    def _storing(self, store: Callable[[], None], held: Held) -> Callable[[], None]:
        """What stores a part, and says whether it counts."""

        def finish() -> None:
            try:
                store()
            except BaseException:
                self._lose()
                raise
            if self._lost or not self._parts.confirm(held):
                raise VolumeFailed(PART_BEFORE_LOST, Status.VOLUME_ERROR)

        return finish

    def _lose(self) -> None:
        """A part was not stored: all that comes after it is in vain."""
        self._lost = True
        pump = self._pump
        if pump is not None:
            pump.abandon()
        if self._once:  # nothing can be had again, and nobody need wait for more
            self._stream.stop()
            self._source.cancel()

    def revoke(self) -> None:
        """After a part was not stored: the next one begins with that part's first byte, if
        :meth:`can_retry`. While no part is running, and when every ``store`` has come back."""
        if self._pump is not None:
            raise ValueError("a part is running")
        self._lost = False
        self._parts.revoke()

    @property
    def bytes_written(self) -> int:
        """Bytes of good parts and of the running one, for the status file. Any thread."""
        pump = self._pump
        return self._done + self._parts.part_start + (pump.size if pump is not None else 0)

    def can_retry(self) -> bool:
        """The bytes of the part that failed can be had again, and the source is well."""
        return self._parts.repeatable and not self._stream.failed

    def cancel(self, reason: str) -> None:
        """Stop as soon as possible: the running part ends unsuccessful. Never blocks; any thread;
        safe to repeat. ``reason`` becomes an input error unless empty.
        """
        with self._lock:
            if reason:
                self._errors.append(reason)
        self._stream.stop()
        self._source.cancel()

    def take_errors(self) -> list[str]:
        """What went wrong at the source since this was last asked, in order. Any thread."""
        with self._lock:
            errors, self._errors = self._errors, []
            if self._read_error is not None and (self._missed or self._stream.stopped):
                errors.append(self._read_error)
                self._read_error = None
        return errors

    def source_crc(self) -> Crc:
        """CRC of the bytes read so far, each counted once. Any thread."""
        if self._direct is not None:
            return self._parts.given_crc.value()
        return self._source_crc.value()

    def dest_crc(self) -> Crc:
        """CRC of the bytes in successful parts, as the device accepted them. Any thread."""
        return self._parts.crc.value()

    def close(self) -> None:
        """Release everything. Blocks until the reader has seen it; no part may be running."""
        self._stream.stop()
        self._source.cancel()
        if self._reader is not None:
            self._reader.join()
        self._source.close()
        if self._cache is not None:
            self._cache.close()
        self._stream.release()

    def _open_direct(self) -> IDirectStream | None:
        """The source's own buffer in the place of a ring that we must fill, if it has one."""
        if _wants_cache(self._plan) or not IStreamSource.providedBy(self._source):
            return None
        return IStreamSource(self._source).stream(self._plan.block_size, self._fail)

    def _make_ring(self) -> Ring:
        plan = self._plan
        block = plan.block_size
        size = max(plan.buffer_size, RING_SIZE)
        if plan.cache.value == "memory":
            return memory_cache(plan.part_size, size, block)
        ring = Ring(ring_size(size, block), block)
        if plan.cache.value == "disk":
            if plan.cache_dir is None or not plan.part_size:
                raise ValueError("a disk cache needs a directory and a part size")
            self._cache = DiskCache(plan.cache_dir)
            ring.limit(plan.part_size)
        return ring

    def _make_replay(self) -> IReplay | None:
        if self._cache is not None:
            return self._cache
        return self._source if IReplay.providedBy(self._source) else None

    def _settle(self, result: PartResult | None) -> Held | None:
        """:param result: None: it came to none"""
        if result is None or not result.successful:
            # before a ring that keeps the part has it all again
            self._missed = self._stream.stopped
            self._parts.rollback()
            return None
        if result.store is not None:
            return self._parts.hold()
        self._parts.commit()
        if self._cache is not None and self._parts.cached:
            # the next part's bytes wait until the file can start over
            self._ring.limit(self._parts.part_start + self._plan.part_size)
        return None

    def _fail(self, text: str) -> None:
        with self._lock:
            self._errors.append(text)
        self._stream.stop()

    def _read(self) -> None:
        """The reader thread."""
        stream = self._stream
        try:
            prepare()  # here, where its failure is the end of one dump
            if self._direct is not None:
                self._direct.attach()
                return
            self._read_all()
        except ShortOfRoom as error:
            self._trouble = str(error)
            stream.fail()
        except SourceError as error:
            if not stream.halted:
                self._read_error = str(error)
            stream.fail()
        except MemoryError:
            self._trouble = "Not enough memory to read the dump"
            stream.fail()
        except BaseException as error:
            # whatever it was, nobody may wait for this thread for ever
            self._read_error = f"error while reading: {error!r}"
            stream.fail()
            raise

    def _allocate(self) -> bool:
        """Get the ring's memory, before any volume is touched for what cannot flow."""
        try:
            self._ring.allocate()
        except NoMemory as error:
            self._trouble = f"No memory for the data of a dump: {error}"
            self._ring.fail()
            return False
        return True

    def _read_all(self) -> None:
        ring, source, crc, cache = self._ring, self._source, self._source_crc, self._cache
        if cache is not None and not self._keeps(cache.open):
            cache = None
        while (space := ring.space()) is not None:
            size = source.read_into(space)
            if not size:
                ring.end()
                return
            data = space[:size]
            crc.update(data)
            if cache is not None and not self._keeps(cache.append, data):
                cache = None
            ring.publish(size)

    def _keeps(self, work: Callable[..., None], *args: object) -> bool:
        """Let the disk cache work. :return: False: it failed, which the writer has been told"""
        try:
            work(*args)
        except CacheError as error:
            self._ring.lose(str(error))
            return False
        return True


def _wants_cache(plan: IPlan) -> bool:
    return plan.cache.value != "none"


def _not_begun(error: str | None) -> PartResult:
    return PartResult(
        size=0, duration=0.0, fileno=0, successful=False, eom=False, eof=False, error=error
    )
