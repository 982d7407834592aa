"""What of a stored dump may go from mover to mover, who know nothing but whole records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taper.plane.volumes import find_byte

if TYPE_CHECKING:
    from protocols.stored import StoredDump


def pads_alike(dump: StoredDump, total: int | None, source_block: int, block: int) -> bool:
    """Whether a dump may go from mover to mover though nobody cuts its padding on the way.

    It may if the other mover's padding hides it: what comes to stand on the volume is then the
    same as if it had been cut. Only the last part may be padded, or there is no telling.

    :param total: bytes of the dump, if known; if not, nobody could cut it
    :param source_block: bytes of the blocks that it is read in
    :param block: bytes of those that it is written in
    """
    sizes = [part.size for part in dump.parts[:-1]]
    if any(size is not None and size % source_block for size in sizes):
        return False
    if total is None:
        return True
    return padded(padded(total, source_block), block) == padded(total, block)


def can_begin_at(dump: StoredDump, total: int | None, position: int, block: int) -> bool:
    """Whether a mover can begin to read at this byte of a dump: a record begins there.

    :param total: bytes of the dump, if known
    :param block: bytes of the records
    """
    if not position:
        return True
    index, skipped = find_byte(dump, position)
    size = dump.parts[index].size
    if skipped % block or (total is not None and position >= total):
        return False
    return not skipped or (size is not None and skipped < size)


def padded(size: int, block: int) -> int:
    """Bytes of the records that it takes."""
    return -(-size // block) * block
