"""What of a dump may be asked for once more, with the checksum of all before it.

Theory of operation. The bytes stand in blocks, each with the checksum of all that came before it.
The newest blocks are in memory; where that is full the oldest of them go to a spool, whose places
are used in turn, so that it never grows. Blocks are dropped once they are whole: those that are
stored at once, those that are written only when their room is needed. What is neither is never
dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from attrs import define

from protocols.crc import UNKNOWN, Crc
from protocols.rendezvous.errors import RendezvousError

BLOCK = 65536
"""Bytes of a block."""


class Gone(Exception):
    """Bytes are kept no more.

    :ivar start: offset of the first one that is.
    """

    def __init__(self, start: int) -> None:
        super().__init__(f"bytes before {start} are kept no more")
        self.start = start


class SpoolError(Exception):
    """A spool does not keep what it is given; the text is for people."""

    taper_code = 6006


class ISpool(Protocol):
    """Where blocks go for which there is no memory. Blocks; one thread at a time.

    :ivar size: bytes that it has room for.
    """

    size: int

    def write(self, at: int, data: memoryview) -> None:
        """Keep bytes from place ``at`` on, instead of what was there. :raise SpoolError: it
        cannot"""

    def read(self, at: int, size: int) -> bytes:
        """Exactly ``size`` bytes from place ``at`` on, which were kept. :raise SpoolError: they
        cannot be had"""

    def close(self) -> None:
        """Keep nothing any more; safe to repeat."""


@define
class _Block:
    """:ivar begin: offset of its first byte.
    :ivar crc: of all bytes before it.
    :ivar size: bytes in it.
    :ivar data: the bytes and room for more; None: they are in the spool.
    """

    begin: int
    crc: int
    size: int
    data: bytearray | None

    @property
    def end(self) -> int:
        return self.begin + self.size

    @property
    def whole(self) -> bool:
        return self.size == BLOCK


class Window:
    """The last bytes of a stream, appended at its end. One thread at a time.

    :ivar memory: bytes that it keeps without its spool.
    :ivar end: offset behind the last byte.
    """

    def __init__(
        self,
        memory: int,
        crc: Callable[[memoryview, int], int],
        spool: ISpool | None = None,
        done: Crc = UNKNOWN,
    ) -> None:
        """:param memory: bytes to keep in memory; in fact up to two blocks more are used.
        :param crc: goes on with a CRC-32C: bytes, and the value of those before.
        :param spool: whose whole blocks are used besides; closed with the window.
        :param done: what came before the first byte that will be appended.
        """
        if memory < 1:
            raise ValueError(f"{memory} bytes of memory, expected 1 at least")
        self._crc = crc
        self.memory = memory
        self._most_blocks = -(-memory // BLOCK) + 1
        self._spool = spool
        self._places = spool.size // BLOCK if spool is not None else 0
        self._spooled: deque[_Block] = deque()
        self._here: deque[_Block] = deque()
        self._begun = done.size
        self._total = done
        self._stored = done.size
        self._written = done.size

    @property
    def start(self) -> int:
        """Offset of the first byte that is kept."""
        for blocks in (self._spooled, self._here):
            if blocks:
                return blocks[0].begin
        return self.end

    @property
    def end(self) -> int:
        return self._total.size

    @property
    def capacity(self) -> int:
        """Bytes that are kept for certain as long as they are not written."""
        return self.memory + self._places * BLOCK

    @property
    def room(self) -> int:
        """Bytes that can be appended now."""
        return max(self.capacity - (self.end - self._written), 0)

    @property
    def in_memory(self) -> int:
        """Bytes of memory in use."""
        return len(self._here) * BLOCK

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Keep the next bytes.

        :raise ValueError: there is no room for them
        :raise SpoolError: they cannot be kept: the window is of no further use
        """
        view = memoryview(data).cast("B")
        if len(view) > self.room:
            raise ValueError(f"{len(view)} bytes, but room for {self.room}")
        while view:
            block = self._last()
            assert block.data is not None
            piece = view[: BLOCK - block.size]
            block.data[block.size : block.size + len(piece)] = piece
            block.size += len(piece)
            value = self._crc(piece, self._total.value)
            self._total = Crc(value, self._total.size + len(piece))
            view = view[len(piece) :]

    def _last(self) -> _Block:
        """The block that the next byte goes to."""
        if self._here and not self._here[-1].whole:
            return self._here[-1]
        self._make_room()
        block = _Block(self.end, self._total.value, 0, bytearray(BLOCK))
        self._here.append(block)
        return block

    def _make_room(self) -> None:
        """Have memory for one more block."""
        if len(self._here) < self._most_blocks:
            return
        if self._spool is not None and self._places:
            if len(self._spooled) == self._places:
                self._drop(self._spooled)
            block = self._here[0]
            assert block.data is not None
            self._spool.write(self._place(block), memoryview(block.data))
            block.data = None
            self._spooled.append(self._here.popleft())
        else:
            self._drop(self._here)

    def _drop(self, blocks: deque[_Block]) -> None:
        assert blocks[0].end <= self._written, "there is room for what is not written"
        blocks.popleft()

    def _place(self, block: _Block) -> int:
        """Where it stands in the spool."""
        return (block.begin - self._begun) // BLOCK % self._places * BLOCK

    def acknowledge(self, stored: int, written: int) -> None:
        """How far the other end has come. What is stored stays so; writing may begin again further
        back, as on another volume.

        :raise RendezvousError: that cannot be
        """
        if not stored <= written <= self.end:
            text = f"{stored} bytes stored, {written} written, of {self.end}"
            raise RendezvousError(text)
        self._stored = max(self._stored, stored)
        self._written = max(written, self._stored)
        for blocks in (self._spooled, self._here):
            while blocks and blocks[0].whole and blocks[0].end <= self._stored:
                blocks.popleft()

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on: ``size`` or fewer; none only at the end.

        :raise Gone: they are kept no more
        :raise ValueError: they have not come yet
        :raise SpoolError: they cannot be had
        """
        self._check(offset)
        if offset == self.end or size <= 0:
            return b""
        block = self._block(offset)
        return self._bytes(block, offset - block.begin, min(size, block.end - offset))

    def crc_at(self, offset: int) -> Crc:
        """The checksum of the first ``offset`` bytes of the stream.

        :raise Gone, ValueError, SpoolError: as for :meth:`read`
        """
        if offset == self.end:
            return self._total
        self._check(offset)
        block = self._block(offset)
        before = self._bytes(block, 0, offset - block.begin)
        return Crc(self._crc(memoryview(before), block.crc), offset)

    def _check(self, offset: int) -> None:
        if offset > self.end:
            raise ValueError(f"byte {offset} has not come yet, only {self.end} have")
        if offset < self.start:
            raise Gone(self.start)

    def _block(self, offset: int) -> _Block:
        blocks = self._here if self._here and offset >= self._here[0].begin else self._spooled
        return blocks[(offset - blocks[0].begin) // BLOCK]

    def _bytes(self, block: _Block, at: int, size: int) -> bytes:
        if block.data is not None:
            return bytes(memoryview(block.data)[at : at + size])
        assert self._spool is not None
        return self._spool.read(self._place(block) + at, size)

    def close(self) -> None:
        """Keep nothing any more; safe to repeat."""
        self._spooled.clear()
        self._here.clear()
        if self._spool is not None:
            self._spool.close()
