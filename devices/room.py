"""How much room a volume has left: the arithmetic of [volumes 4.5].

Stock judges every block alone. Here whole runs of blocks are judged at once, with the same
outcome: :meth:`Room.next_run` says how many bytes may be written in one go.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import frozen

# blocks of room at which a volume warns
EARLY_BLOCKS = 4
# when to ask the file system again: so few blocks left, so much written since, so old
NEAR_BLOCKS = 128
POLL_BYTES = 100 * 2**20
POLL_SECONDS = 5.0


@frozen
class Run:
    """What may be written in one go.

    :ivar size: bytes; 0: the next block goes over the volume's limit.
    :ivar early: with these bytes the volume reaches its early-warning zone.
    """

    size: int
    early: bool


@frozen(kw_only=True)
class Terms:
    """What a volume promises at the moment.

    :ivar block_size: bytes.
    :ivar limit: bytes the volume may have; 0: no limit.
    :ivar leom: warn before the end.
    :ivar monitor: look at the free space of the file system.
    :ivar early_blocks: of room at which it warns.
    """

    block_size: int
    limit: int
    leom: bool
    monitor: bool
    early_blocks: int = EARLY_BLOCKS


class Room:
    """The room left on one volume, and on the file system it lies in.

    :ivar size: bytes of the volume so far.
    :param poll: asks the file system for its free bytes; None: it cannot tell.
    :param clock: seconds, never going back.
    """

    def __init__(
        self, poll: Callable[[], int | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.size = 0
        self._poll = poll
        self._clock = clock
        self._free: int | None = None
        self._since_poll = 0
        self._polled_at = 0.0

    def wrote(self, size: int) -> None:
        """Count bytes that were stored (negative: taken back)."""
        self.size += size
        self._since_poll += size
        if self._free is not None:
            self._free -= size

    def next_run(self, offered: int, terms: Terms) -> Run:
        """How much of ``offered`` bytes to write before asking again.

        All but the last block of what is offered are full ones.
        """
        block = terms.block_size
        free = self._free_now(block) if terms.leom and terms.monitor else None
        calm = self._calm_blocks(free, terms)
        if calm is None or calm * block >= offered:
            return Run(offered, False)
        if calm > 0:
            return Run(calm * block, False)
        return self.judge(min(block, offered), terms, free)

    def judge_header(self, size: int, terms: Terms) -> Run:
        """The same for one file header, which is written whole or not at all."""
        free = self._free_now(terms.block_size) if terms.leom and terms.monitor else None
        return self.judge(size, terms, free)

    def judge(self, size: int, terms: Terms, free: int | None) -> Run:
        """Judge one block by itself, exactly as the table says."""
        margin = terms.early_blocks * terms.block_size
        after = self.size + size
        over = 0 < terms.limit < after
        early = terms.leom and 0 < terms.limit < after + margin
        if free is not None and free - size <= margin:
            early = True
        return Run(0 if over else size, early or over)

    def _calm_blocks(self, free: int | None, terms: Terms) -> int | None:
        """Full blocks that need no judging one by one; None: any number.

        A block that is not calm is not necessarily early: the one at which the file system must
        be asked again is not calm either.
        """
        block = terms.block_size
        margin = terms.early_blocks * block
        bounds = []
        if terms.limit:
            bounds.append((terms.limit - self.size - (margin if terms.leom else 0)) // block)
        if free is not None:
            bounds.append((free - margin - 1) // block)
            # up to the block before which the file system is asked again; this one just was
            near = -(-(free - NEAR_BLOCKS * block) // block)
            bounds.append(max(1, min(near, (POLL_BYTES - self._since_poll) // block + 1)))
        return max(0, min(bounds)) if bounds else None

    def _free_now(self, block: int) -> int | None:
        """Free bytes of the file system, asked again when the estimate may be wrong."""
        now = self._clock()
        if (
            self._free is None
            or self._free <= NEAR_BLOCKS * block
            or self._since_poll > POLL_BYTES
            or now - self._polled_at >= POLL_SECONDS
        ):
            self._free = self._poll()
            self._since_poll = 0
            self._polled_at = now
        return self._free
