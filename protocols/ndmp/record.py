"""Record marking: messages on a stream, in fragments of any size [ndmp 4.1]."""

from __future__ import annotations

from collections.abc import Iterator

from protocols.ndmp.errors import NdmpGarbage
from protocols.xdr import XdrError

MESSAGE_LIMIT = (2 << 20) + 4096
"""Bytes of the longest message sent or taken: a record of 2 MiB, larger than tapes are written
with, and what is told of it."""

_LAST = 1 << 31
_MARK_SIZE = 4


def encode_record(data: bytes) -> bytes:
    """A message as one fragment.

    :raise XdrError: it is too long.
    """
    if len(data) > MESSAGE_LIMIT:
        raise XdrError(f"message of {len(data)} bytes, expected at most {MESSAGE_LIMIT}")
    return (_LAST | len(data)).to_bytes(4, "big") + data


class RecordReader:
    """Bytes cut anywhere in, whole messages out.

    A fragment that would make a message longer than ``limit`` raises NdmpGarbage as soon as its
    mark is seen; the reader is then of no further use.
    """

    def __init__(self, limit: int = MESSAGE_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._message = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are now complete; to be taken to the end."""
        self._buffer += data
        while len(self._buffer) >= _MARK_SIZE:
            mark = int.from_bytes(self._buffer[:_MARK_SIZE], "big")
            size = mark & (_LAST - 1)
            if len(self._message) + size > self._limit:
                raise NdmpGarbage(
                    f"message of at least {len(self._message) + size} bytes, expected at most "
                    f"{self._limit}"
                )
            end = _MARK_SIZE + size
            if len(self._buffer) < end:
                return
            self._message += self._buffer[_MARK_SIZE:end]
            del self._buffer[:end]
            if mark & _LAST:
                whole = bytes(self._message)
                self._message.clear()
                yield whole
