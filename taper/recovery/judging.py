"""Whether what was read of a dump is what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from protocols.crc import UNKNOWN
from taper.flow.stored import StoredOrigin
from taper.plane.crc import without_zeros

if TYPE_CHECKING:
    from protocols.crc import Crc
    from protocols.header import Header
    from protocols.recovery.filters import Undoing
    from protocols.stored import StoredDump
    from taper.flow.holding import HoldingOrigin


def differences(
    header: Header,
    dump: StoredDump | None,
    undoing: Undoing,
    read: Crc,
    given: Crc,
    padding: int = 0,
) -> Iterator[str]:
    """Each checksum that is not as it was told, in words.

    :param dump: as the catalogue tells it; None: it is in no catalogue
    :param read: of what was read
    :param given: of what came out when it was undone
    :param padding: as of :func:`padding_of`
    """
    yield from _compare("server", header.server_crc, read)
    if dump is not None:
        yield from _compare("server", dump.crc, read)
    if undoing.native or not (header.comp_suffix or header.encrypt_suffix):
        yield from _compare("native", header.native_crc, given, padding)


def _compare(kind: str, expected: Crc, found: Crc, padding: int = 0) -> Iterator[str]:
    """Nothing, if they are the same, one is not known, or padding explains it."""
    if 0 < found.size - expected.size < padding:
        return
    if expected not in (UNKNOWN, found) and expected.known:
        yield f"the {kind} crc of the dump ({expected}) and of what was read ({found}) differ"


def proves(expected: Crc, found: Crc, padding: int = 0) -> bool:
    """A checksum is known, and is that of what was read but for zeros that padding explains. What
    :func:`differences` lets pass need not be.

    :param padding: as of :func:`padding_of`
    """
    excess = found.size - expected.size
    if 0 < excess < padding:
        found = without_zeros(found, excess)
    return expected.known and found == expected


def padding_of(origin: StoredOrigin | HoldingOrigin | None) -> int:
    """What the last block may have been filled with, where nobody knows how much that is;
    bytes, at most one less than this."""
    if isinstance(origin, StoredOrigin) and origin.total is None:
        return origin.device.facts.block_size
    return 0
