"""What the beginning of a dump's data looks like: who has packed them, where no header tells it.

Pure. The marks are those of the formats: RFC 1952 (gzip), RFC 8878 (zstd), the manuals of bzip2 and
xz, ``tar(5)``, ``<protocols/dumprestore.h>``, and the first record of xfsdump.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import Protocol

from attrs import frozen

ENOUGH = 1 << 20
"""Bytes that tell all that can be told: bzip2 gives nothing before its first block of 900,000 is
there."""

_SEEN = 4096
"""Bytes of what was compressed that are looked at."""
_MEMORY = 256 << 20
"""Bytes that xz may need."""
_TAR = slice(257, 262), b"ustar"
_XFS = b"xFSdump0"
_DUMP = slice(24, 28)
_DUMP_MAGIC = (60011, 60012)
_MARKS = {
    "gzip": b"\x1f\x8b\x08",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "zstd": b"\x28\xb5\x2f\xfd",
}


class _Decompressor(Protocol):
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


@frozen
class Looks:
    """What the data look like.

    :ivar compressed: ``gzip``, ``bzip2``, ``xz`` or ``zstd``; empty: none that is known.
    :ivar archive: ``tar``, ``dump`` or ``xfsdump``, of what was compressed if they are; empty: none
        that is known, or nobody here can look into what is compressed.
    """

    compressed: str = ""
    archive: str = ""


def looks_of(head: bytes) -> Looks:
    """Look at the beginning of data. Any bytes will do; a mark alone is not believed where what is
    behind it can be looked at.

    :param head: best as many as :data:`ENOUGH`
    """
    archive = _archive(head)
    if archive:
        return Looks(archive=archive)
    for name, mark in _MARKS.items():
        if not head.startswith(mark):
            continue
        inner = _unpacked(name, head)
        return Looks() if inner is None else Looks(name, _archive(inner))
    return Looks()


def _archive(data: bytes) -> str:
    place, mark = _TAR
    if data[place] == mark:
        return "tar"
    if data.startswith(_XFS):
        return "xfsdump"
    number = data[_DUMP]
    if any(int.from_bytes(number, order) in _DUMP_MAGIC for order in ("little", "big")):
        return "dump"
    return ""


def _unpacked(name: str, head: bytes) -> bytes | None:
    """The beginning of what was compressed; empty: it cannot be looked into; None: it is nothing of
    the kind."""
    try:
        decompressor = _decompressor(name)
        return b"" if decompressor is None else decompressor.decompress(head, _SEEN)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        return None


def _decompressor(name: str) -> _Decompressor | None:
    if name == "gzip":
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    if name == "bzip2":
        return bz2.BZ2Decompressor()
    if name == "xz":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY)
    return None
