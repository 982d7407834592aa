"""What a transfer leaves: the bytes that no good part has, as a source for whoever goes on."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from taper.plane.interfaces import CacheError, ISource, SourceError
from taper.plane.part_reader import PartReader
from taper.plane.ring import Stopped


@implementer(ISource)
class LeftSource:
    """Reads on where the last good part of a transfer ended.

    :param parts: of the transfer, which writes no part any more
    :param take_errors: what went wrong at the transfer's own source
    :param stop: of the transfer; any thread
    :param end: releases everything the transfer has
    """

    def __init__(
        self,
        parts: PartReader,
        block_size: int,
        take_errors: Callable[[], list[str]],
        stop: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._block_size = block_size
        self._take_errors = take_errors
        self._stop = stop
        self._end = end

    def read_into(self, buffer: memoryview) -> int:
        try:
            data = self._parts.peek(max(len(buffer), self._block_size))
        except Stopped:
            errors = self._take_errors()
            if errors:
                raise SourceError("; ".join(errors)) from None
            return 0
        except CacheError as error:
            raise SourceError(str(error)) from error
        taken = data[: len(buffer)]
        buffer[: len(taken)] = taken
        self._parts.accept(taken)
        if self._parts.cached:
            self._parts.forgo()  # as soon as nothing comes from it any more
        if not self._parts.cached:
            self._parts.commit()
        return len(taken)

    def cancel(self) -> None:
        self._stop()

    def close(self) -> None:
        self._end()
