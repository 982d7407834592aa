"""The loop of one part: blocks from the feed to the device, in the device's thread.

What ends a part, and what is said about it: [data-plane 2.1 to 2.3], [volumes 7.2].
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from devices.errors import DeviceError
from devices.interfaces import (
    IClones,
    IDevice,
    IStoresBehind,
    PartResult,
    Streaming,
    WriteEnd,
    Written,
)
from taper.plane.interfaces import CacheError, Span
from taper.plane.ring import Stopped

if TYPE_CHECKING:
    from protocols.header import Header

_log = logging.getLogger(__name__)

NO_SPACE = "No space left on device"
NO_LIMIT = 1 << 62
"""Bytes of a part without a limit."""
MOST_CLONED = 16 * 1024 * 1024
"""Bytes that a device shares in one go, so that a part can be stopped, and what is read for the
checksum is asked for again soon."""


class IFeed(Protocol):
    """Where the loop gets its blocks."""

    def prime(self) -> None: ...

    def peek(self, limit: int) -> memoryview: ...

    def accept(self, data: memoryview) -> None: ...

    def span(self, limit: int) -> Span | None: ...

    def skip(self, size: int) -> None: ...

    def forgo(self) -> bool: ...


class _End(enum.Enum):
    DATA = enum.auto()
    SIZE = enum.auto()
    MEDIUM = enum.auto()
    FAILED = enum.auto()
    STOPPED = enum.auto()
    ABANDONED = enum.auto()
    UNCACHED = enum.auto()
    PAUSED = enum.auto()


_GOOD = (_End.DATA, _End.SIZE, _End.MEDIUM)


class Pump:
    """Writes one part.

    :ivar size: bytes the device has accepted, while it runs.
    :ivar shared: of these, bytes that it shares with the file they come from.
    """

    def __init__(
        self,
        device: IDevice,
        feed: IFeed,
        *,
        part_size: int,
        cached: bool,
        pause_at_space: bool = False,
        behind: bool = False,
        clock: Callable[[], float],
    ) -> None:
        """:param part_size: bytes, whole blocks; 0: no limit.
        :param cached: a part comes from a cache, so that every trouble of the device is taken as
            the end of the volume and its warnings are not needed [data-plane 2.3].
        :param pause_at_space: where shared space is full, leave the file open and come back with
            ``paused``: :meth:`go_on` or :meth:`end` then follows.
        :param behind: a good part need not be stored when it is over, if the device can do so
            behind.
        """
        self.size = self.shared = 0
        self._device = device
        self._parts = feed
        self._part_size = part_size
        self._cached = cached
        self._clock = clock
        self._error: str | None = None
        self._pause_at_space = pause_at_space
        self._behind = behind
        self._store: Callable[[], None] | None = None
        self._abandoned = False
        self._space = False
        self._refused = False
        self._began = 0.0
        self._number = 0
        self._cloner = IClones(device) if IClones.providedBy(device) else None

    def run(self, header: Header) -> PartResult:
        """Write one file with ``header`` and the next bytes of the feed."""
        self._began = self._clock()
        self._number, end = self._start(header)
        return self._result(self._move() if end is None else end)

    def go_on(self) -> PartResult:
        """Go on with a paused part, now that there is space."""
        self._device.reset()
        self._error, self._space = None, False
        return self._result(self._move())

    def end(self) -> PartResult:
        """End a paused part here: there is no more space."""
        return self._result(_End.MEDIUM)

    def abandon(self) -> None:
        """Let the part end soon, unsuccessful, and the stream be as it is. Any thread."""
        self._abandoned = True

    def _result(self, end: _End) -> PartResult:
        if end is not _End.PAUSED:
            end = self._finish(end)
        return PartResult(
            size=self.size,
            duration=max(self._clock() - self._began, 0.0),
            fileno=self._number,
            successful=end in _GOOD,
            eom=self._at_end_of_medium(end),
            eof=end is _End.DATA,
            error=self._error,
            space=self._space,
            paused=end is _End.PAUSED,
            refused=self._refused,
            store=self._store,
        )

    def _start(self, header: Header) -> tuple[int, _End | None]:
        """Write the header: the file's number, and the part's end if it ends already here."""
        refused = _End.FAILED if self._cached else _End.MEDIUM
        try:
            start = self._device.start_file(header)
        except DeviceError as error:
            _log.info("%s", error)
            self._error, self._refused = error.text, True
            return 0, refused
        if not start.number:
            self._space = start.space
            self._error = self._device.error or NO_SPACE
            return 0, refused
        if start.eom and not self._cached:
            return 0, _End.MEDIUM
        return start.number, None

    def _move(self) -> _End:
        """Hand over blocks until something ends the part."""
        feed, device = self._parts, self._device
        starving = device.streaming is not Streaming.NONE
        try:
            while not self._abandoned:
                if starving:
                    feed.prime()
                    starving = device.streaming is Streaming.REQUIRED
                left = self._part_size - self.size if self._part_size else NO_LIMIT
                end = self._write_some(left)
                if end is not None:
                    return end
                if self.size == self._part_size:
                    return _End.SIZE
        except Stopped:
            return _End.STOPPED
        return _End.ABANDONED

    def _write_some(self, left: int) -> _End | None:
        """Hand over what can be had, at most ``left`` bytes. :return: what ends the part"""
        if self._cloner is not None:
            span = self._parts.span(min(left, MOST_CLONED))
            if span is not None:
                end = self._clone(span)
                if end is not None or self._cloner is not None:
                    return end
        try:
            data = self._parts.peek(left)
        except CacheError as error:
            return None if self._go_on_uncached(error) else _End.UNCACHED
        return self._write(data) if data else _End.DATA

    def _go_on_uncached(self, error: CacheError) -> bool:
        """A volume that warns before its end loses no part there, so it needs no cache."""
        if not (self._device.leom and self._parts.forgo()):
            _log.info("%s", error)
            self._error = str(error)
            return False
        self._cached = False
        _log.warning("%s; going on without a cache", error)
        return True

    def _clone(self, span: Span) -> _End | None:
        """Let the device share bytes with the file they stand in, or else copy from now on."""
        assert self._cloner is not None
        try:
            written = self._cloner.clone_blocks(span.fd, span.offset, span.size)
        except DeviceError as error:
            _log.info("%s", error)
            self._error = error.text
            return _End.FAILED
        if written is None or not (written.accepted or written.end is not WriteEnd.NONE):
            self._cloner = None
            return None
        self.shared += written.accepted
        return self._judge(written, written.accepted, lambda: self._parts.skip(written.accepted))

    def _write(self, data: memoryview) -> _End | None:
        try:
            written = self._device.write_blocks(data)
        except DeviceError as error:
            _log.info("%s", error)
            self._error = error.text
            return _End.FAILED
        taken = data[: written.accepted]
        return self._judge(written, len(data), lambda: self._parts.accept(taken))

    def _judge(self, written: Written, offered: int, accept: Callable[[], None]) -> _End | None:
        """What becomes of the part after a write.

        :param offered: bytes
        :param accept: tells the feed what was taken, unless the part is lost
        """
        self.size += written.accepted
        end = written.end
        if end is WriteEnd.FAILED or (self._cached and end in (WriteEnd.FULL, WriteEnd.SPACE)):
            self._error = self._device.error or NO_SPACE
            return _End.FAILED
        accept()
        if end in (WriteEnd.FULL, WriteEnd.SPACE):
            self._error = self._device.error or NO_SPACE
            self._space = end is WriteEnd.SPACE
            return _End.PAUSED if self._space and self._pause_at_space else _End.MEDIUM
        if self._cached and end is WriteEnd.EARLY:
            return None
        if end is WriteEnd.EARLY or (self._device.is_eom and not self._cached):
            return _End.MEDIUM
        if written.accepted != offered:
            self._error = f"{self._device.name} took {written.accepted} of {offered} bytes"
            return _End.FAILED
        return None

    def _finish(self, end: _End) -> _End:
        if not self._device.in_file:
            return end
        try:
            if self._behind and end in _GOOD and IStoresBehind.providedBy(self._device):
                self._store = IStoresBehind(self._device).end_file()
            else:
                self._device.finish_file()
        except DeviceError as error:
            _log.info("%s", error)
            self._error = self._error or error.text
            return end if end is _End.STOPPED else _End.FAILED
        return end

    def _at_end_of_medium(self, end: _End) -> bool:
        if end is _End.MEDIUM:
            return True
        if self._cached and end not in (_End.STOPPED, _End.UNCACHED):
            return end is _End.FAILED
        return bool(self._device.is_eom)
