"""One dump on its way from a source to volumes: a stream, and the pump that empties it.

Which stream it is depends on what is at both ends. Where a part is to be kept in a cache, or much
is to be read ahead, a thread fills a ring; a source with a buffer of its own is taken from there;
everything else begins in one thread, and goes over to two when that is faster.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve

from devices.errors import Status, VolumeFailed
from devices.interfaces import PartResult
from devices.threads import start_thread
from protocols.crc import UNKNOWN, Crc
from taper.plane.adaptive import Adaptive
from taper.plane.cache import DiskCache, memory_cache
from taper.plane.filler import Filler
from taper.plane.intake import Intake
from taper.plane.interfaces import (
    IDirectStream,
    IReplay,
    ISource,
    IStream,
    IStreamSource,
    Measured,
    ShortOfRoom,
)
from taper.plane.memory import NoMemory
from taper.plane.part_reader import Held, PartReader
from taper.plane.plan import wants_cache
from taper.plane.pump import Pump
from taper.plane.ring import Ring, ring_size
from taper.plane.writing_time import WritingTime

if TYPE_CHECKING:
    from devices.interfaces import IDevice
    from protocols.header import Header
    from taper.plane.plan import IPlan

RING_SIZE = 3 * 1024 * 1024
"""Bytes between source and device where two threads are at work, unless the configuration wants
more."""

_log = logging.getLogger(__name__)

NO_CACHE = "No cache for previous failed part; cannot retry"
PART_BEFORE_LOST = "A part before this one was not stored"
BLOCK_SIZES_DIFFER = "All devices used by the taper must have the same block size"


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

    :ivar takes_back: a part may be written before it is known if its volume counts.
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
        self._started = False
        self._missed = False
        self._lost = False
        self._lock = threading.Lock()
        self._source = source
        self._plan = plan
        self._clock = clock
        self._cache: DiskCache | None = None
        self._intake = Intake(source, done)
        self._direct: IDirectStream | None = None
        self._attacher: threading.Thread | None = None
        self._adaptive: Adaptive | None = None
        self._ring: Ring | None = None
        self._filler: Filler | None = None
        self._stream = self._choose_stream()
        self._done = done.size
        self._parts = PartReader(
            self._stream,
            self._make_replay(),
            self._fail,
            done,
            cached=wants_cache(plan),
            spans=self._adaptive,
        )
        self._once = self._make_replay() is None
        self.takes_back = not (self._once or wants_cache(plan))
        self._pump: Pump | None = None
        self._writing = WritingTime(clock, self._stream.waits)
        self._shared = 0

    def start(self) -> None:
        """Begin reading ahead. Does not block.

        :raise ThreadRefused: nothing was begun
        """
        if self._started:
            raise ValueError("the transfer was started before")
        if self._direct is not None:
            self._attacher = start_thread("taper-reader", self._attach)
        elif self._allocate() and self._filler is not None:
            self._filler.start()
        self._started = True

    def write_part(self, device: IDevice, header: Header, *, ahead: bool = False) -> PartResult:
        """Write the next part, or the same again after a failed one.

        :param ahead: whether it counts is known later only: a good part with bytes comes back with
            ``store``, whatever the device. That is called if it counts; :meth:`take_back` and
            :meth:`revoke` are called if not. Only if the transfer ``takes_back``.

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
        self._prepare()
        if self._stream.stopped and self._parts.position == self._stream.cursor:
            return _not_begun(self._intake.trouble)
        pump = Pump(
            device,
            self._parts,
            part_size=self._plan.part_size,
            cached=self._parts.cached,
            pause_at_space=self._plan.pause_at_space,
            behind=not wants_cache(self._plan),
            clock=self._clock,
        )
        return self._pumped(pump, lambda: pump.run(header), ahead=ahead)

    def resume_part(self, device: IDevice, more: bool) -> PartResult:
        """Go on with the paused part, if there is more space now, or else end it where it is.

        In the device's thread, like :meth:`write_part`, and like it may pause again.
        """
        pump = self._pump
        if pump is None:
            raise ValueError(f"no part is paused on {device.name}")
        return self._pumped(pump, pump.go_on if more else pump.end)

    def _pumped(
        self, pump: Pump, work: Callable[[], PartResult], *, ahead: bool = False
    ) -> PartResult:
        """Let the pump work, and settle what became of the part once it is over."""
        self._pump = pump
        if self._adaptive is not None:
            self._adaptive.go_on()
        if self._lost:  # whichever of the two threads comes first, it has seen the other's word
            pump.abandon()
        result: PartResult | None = None
        held: Held | None = None
        self._writing.begin()
        try:
            result = work()
            trouble = self._intake.trouble
            if not result.successful and result.error is None and trouble is not None:
                result = evolve(result, error=trouble)
            good = result.successful and result.size > 0
            if good and result.store is None and (ahead or self._parts.holds):
                result = evolve(result, store=_stored_already)
        finally:
            self._writing.rest()
            if result is None or not result.paused:
                self._pump = None
                self._shared += pump.shared
                held = self._settle(result)
        if result.store is not None and held is not None:
            result = evolve(result, store=self._storing(result.store, held))
        return result

    @property
    def measured(self) -> Measured:
        """How far it is, and who waited for whom while parts were written. Any thread."""
        spent = self._writing.spent()
        read = self._intake.size if self._direct is None else self._direct.cursor
        return Measured(
            self.bytes_written,
            self._done + read,
            spent.seconds,
            spent.without_data,
            spent.without_room,
        )

    def _storing(self, store: Callable[[], None], held: Held) -> Callable[[], None]:
        """What stores a part, and says whether it counts."""

        def finish() -> None:
            try:
                store()
            except BaseException:
                self._lose()
                raise
            if self._lost or not self._parts.confirm(held):
                raise VolumeFailed(PART_BEFORE_LOST, Status.VOLUME_ERROR, code=2015)

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

    def take_back(self) -> None:
        """The part that runs or came back last, which was written ahead, does not count: it ends
        soon, and its ``store`` fails. Any thread; never blocks; safe to repeat."""
        self._lose()

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

    def leave(self) -> ISource | None:
        """Write no part any more. No part may be running, and all must be stored.

        :return: what no good part has, and all that follows; closing it closes the transfer.
            None: it cannot be had again, and all is as it was
        """
        if not self.can_retry():
            return None
        from taper.plane.left import LeftSource  # only for a dump that changes its kind of device

        block = self._plan.block_size
        return LeftSource(self._parts, block, self.take_errors, lambda: self.cancel(""), self.close)

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
            error = self._intake.read_error
            if error is not None and (self._missed or self._stream.stopped):
                errors.append(error)
                self._intake.read_error = None
        return errors

    def source_crc(self) -> Crc:
        """CRC of the bytes read so far, each counted once. Any thread."""
        if self._direct is not None:
            return self._parts.given_crc.value()
        return self._intake.crc.value()

    def dest_crc(self) -> Crc:
        """CRC of the bytes in successful parts, as the device accepted them. Any thread."""
        return self._parts.crc.value()

    def close(self) -> None:
        """Release everything. Blocks until the reader has seen it; no part may be running."""
        self._stream.stop()
        self._source.cancel()
        for reader in (self._attacher, self._filler, self._adaptive):
            if reader is not None:
                reader.join()
        self._source.close()
        if self._cache is not None:
            self._cache.close()
        self._stream.release()
        self._tell()

    def _tell(self) -> None:
        """Say in the debug log how the dump went, for who wonders what is slow."""
        waits = self._adaptive or self._ring
        _log.info(
            "%s: %d bytes in %.3f s of writing parts, %.3f s of reading%s%s",
            type(self._stream).__name__,
            self._parts.position,
            self._writing.spent().seconds,
            self._intake.seconds,
            f"; the device waited {waits.without_data:.3f} s for the reader, "
            f"the reader {waits.without_room:.3f} s for the device"
            if waits is not None
            else "",
            f"; {self._shared} bytes were shared, not copied" if self._shared else "",
        )

    def _choose_stream(self) -> IStream:
        plan, source = self._plan, self._source
        block = plan.block_size
        size = max(plan.buffer_size, RING_SIZE)
        if plan.cache.value == "memory":
            return self._fill(memory_cache(plan.part_size, size, block))
        if plan.cache.value == "disk":
            if plan.cache_dir is None or not plan.part_size:
                raise ValueError("a disk cache needs a directory and a part size")
            self._cache = DiskCache(plan.cache_dir)
            ring = Ring(ring_size(size, block), block)
            ring.limit(plan.part_size)
            return self._fill(ring)
        if IStreamSource.providedBy(source):
            self._direct = IStreamSource(source).stream(block, self._fail)
            if self._direct is not None:
                return self._direct
        if size > RING_SIZE:
            return self._fill(Ring(ring_size(size, block), block))
        self._adaptive = Adaptive(self._intake, block, ring_size(size, block), _log_unforeseen)
        return self._adaptive

    def _fill(self, ring: Ring) -> Ring:
        """Let a thread fill this ring, once the transfer starts."""
        self._ring = ring
        self._filler = Filler(self._intake, ring, self._cache)
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
        if self._cache is not None and self._ring is not None and self._parts.cached:
            # the next part's bytes wait until the file can start over
            self._ring.limit(self._parts.part_start + self._plan.part_size)
        return None

    def _fail(self, text: str) -> None:
        with self._lock:
            self._errors.append(text)
        self._stream.stop()

    def _attach(self) -> None:
        """In a thread: wait for the source's own buffer."""
        assert self._direct is not None
        try:
            self._intake.prepare()
            self._direct.attach()
        except BaseException as error:
            foreseen = self._intake.note(error, halted=self._stream.halted)
            self._stream.fail()
            if not foreseen:
                raise

    def _prepare(self) -> None:
        """Have what a part needs, before its volume is touched."""
        try:
            self._intake.prepare()
        except ShortOfRoom as error:
            self._intake.note(error, halted=False)
            self._stream.fail()

    def _allocate(self) -> bool:
        """Get the memory of the beginning, before any volume is touched for what cannot flow."""
        stream = self._ring or self._adaptive
        assert stream is not None
        try:
            stream.allocate()
        except NoMemory as error:
            self._intake.trouble = f"No memory for the data of a dump: {error}"
            stream.fail()
            return False
        return True


def _stored_already() -> None:
    """The device has waited for it; but it counts behind those before it only."""


def _log_unforeseen(error: BaseException) -> None:
    _log.error("a source failed in an unforeseen way", exc_info=error)


def _not_begun(error: str | None) -> PartResult:
    return PartResult(successful=False, error=error)
