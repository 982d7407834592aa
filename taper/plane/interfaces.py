"""Where the bytes of a dump come from, and how they can be had a second time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import frozen
from zope.interface import Attribute, Interface


class SourceError(Exception):
    """The source, or the cache of it, failed. Its text is the input error, in stock's words."""


class ShortOfRoom(SourceError):
    """This host has no room, or no memory, for what the source needs: an error of the device's
    side, and none of whoever sends the data."""


class CacheError(Exception):
    """What should keep a part for a second try can not: the fault of this host, not of the source.
    Its text is the error of the device's side."""


def reason(error: OSError) -> str:
    """The system's words for an error."""
    return error.strerror or str(error)


@frozen
class Span:
    """Bytes of a dump that stand in a file.

    :ivar fd: open for reading; to be used before anything else is read.
    :ivar offset: of the first byte in the file.
    :ivar size: bytes, at least 1.
    :ivar last: the dump ends with them.
    """

    fd: int
    offset: int
    size: int
    last: bool


@frozen
class Measured:
    """How far a dump is, and what it took; all of it grows while parts are written.

    :ivar written: bytes of good parts and of the running one.
    :ivar read: bytes that came from the source; None: nobody counts.
    :ivar seconds: of writing parts; None: nobody measures.
    :ivar without_data: of these, seconds in which the device waited for data; None: likewise.
    :ivar without_room: of these, seconds in which the source waited for the device; None: likewise.
    """

    written: int
    read: int | None = None
    seconds: float | None = None
    without_data: float | None = None
    without_room: float | None = None


Waits = tuple[float, float | None]
"""Seconds that the device has waited for data so far, the present moment included, and the source
for the device; None: nobody here can know."""


class IStream(Protocol):
    """What the device is given; members as of :class:`taper.plane.ring.Ring`."""

    keep: bool
    block_size: int

    @property
    def cursor(self) -> int: ...

    @property
    def halted(self) -> bool: ...

    @property
    def stopped(self) -> bool: ...

    @property
    def failed(self) -> bool: ...

    def peek(self, limit: int) -> memoryview: ...

    def advance(self, size: int) -> None: ...

    def commit(self) -> None: ...

    def rewind(self) -> None: ...

    def forgo(self) -> None: ...

    def wait_primed(self) -> None: ...

    def stop(self) -> None: ...

    def fail(self) -> None: ...

    def waits(self) -> Waits: ...

    def release(self) -> None: ...


class ISpans(Protocol):
    """A stream that can tell of bytes that stand in files."""

    def span(self, limit: int) -> Span | None: ...

    def skip(self, size: int, seen: Callable[[memoryview], None]) -> None: ...


class IDirectStream(IStream, Protocol):
    """A stream that nobody need fill."""

    def attach(self) -> None:
        """Wait for its beginning, in a thread of its own.

        :raise SourceError: there is none
        """


class ISource(Interface):
    """The bytes of one dump, once, in order. One thread reads; it blocks."""

    def read_into(buffer: memoryview) -> int:
        """Fill the front of ``buffer``; sleeps until there is something.

        :return: bytes, 0 at the end of the data (or after :meth:`cancel`)
        :raise SourceError: the data end before their end
        """

    def cancel() -> None:
        """Make a sleeping or later :meth:`read_into` come back soon. From any thread; never
        blocks; safe to repeat."""

    def close() -> None:
        """Release what is held; nobody reads any more. Safe to repeat."""


class IFileSource(ISource):
    """A source whose bytes stand in files, from where a device may take them by itself."""

    def span() -> Span | None:
        """Where the bytes stand that the next :meth:`read_into` begins with. They still have to be
        read, for their checksum. None: at the end.

        :raise SourceError: as of :meth:`read_into`
        """


class IStreamSource(ISource):
    """A source that can give its bytes in place."""

    def stream(block_size: int, failed: Callable[[str], None]) -> IDirectStream | None:
        """Whole blocks as they lie in the source's own buffer; instead of :meth:`read_into`.

        :param failed: told why no more can be had; must stop the stream
        :return: None: not for such blocks
        """


class IKeptSource(ISource):
    """A source that keeps what was read of it, so that somebody else can read it once more."""

    kept = Attribute("taper.plane.kept.Kept: what all of them read, one at a time")
    progress = Attribute(
        "None, or a function that any thread may call, which tells bytes in good parts and bytes "
        "on the volume: set by who needs nothing of what is kept. Reading then never waits for the "
        "device, and what has no room is kept no more"
    )


class IReplay(Interface):
    """Bytes that were read before, from the first byte of the current part on."""

    def reread(position: int, buffer: memoryview) -> int:
        """Fill the front of ``buffer`` with what follows ``position``.

        :param position: bytes from the dump's start
        :return: bytes, at least 1
        :raise SourceError: they cannot be had again
        :raise CacheError: likewise, and a cache of ours is to blame
        """

    def forget(position: int) -> None:
        """Bytes before ``position`` are never wanted again."""
