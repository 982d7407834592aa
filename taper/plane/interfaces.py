"""Where the bytes of a dump come from, and how they can be had a second time."""

from __future__ import annotations

from zope.interface import Interface


class SourceError(Exception):
    """The source, or the cache of it, failed. Its text is the input error, in stock's words."""


def reason(error: OSError) -> str:
    """The system's words for an error."""
    return error.strerror or str(error)


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


class IReplay(Interface):
    """Bytes that were read before, from the first byte of the current part on."""

    def reread(position: int, buffer: memoryview) -> int:
        """Fill the front of ``buffer`` with what follows ``position``.

        :param position: bytes from the dump's start
        :return: bytes, at least 1
        :raise SourceError: they cannot be had again
        """

    def forget(position: int) -> None:
        """Bytes before ``position`` are never wanted again."""
