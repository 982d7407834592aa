"""Names of objects in which an `s3:` volume lies [volumes 5.6].

A volume is all objects of one bucket whose keys are its prefix and what :class:`Place` makes of it.
Where listings from outside are read, only such keys count.
"""

from __future__ import annotations

import enum
import re

from protocols.records import Record

LARGEST_NUMBER = 2**31 - 1
"""Of a file."""

KEY_LIMIT = 1024
"""Bytes of a key, as S3 has it."""

_LONGEST = len("f00000001-b0000000000000000.data")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,253}[A-Za-z0-9]", re.ASCII)
_LABEL = "special-tapestart"
_KEY = re.compile(
    r"f([0-9a-f]{8})-(?:(filestart)|(mp\.data)|b([0-9a-f]{16})\.data)", re.ASCII
)  # fmt: skip


class Kind(enum.Enum):
    """What an object of a volume holds."""

    LABEL = "the label"
    HEADER = "the header of a file"
    BLOCK = "one block of a file's data"
    WHOLE = "all data of a file"


class Key(Record):
    """What the name of an object says.

    :ivar number: of the file; 0 for the label.
    :ivar block: number of the block, from 0; 0 for all others.
    """

    kind: Kind
    number: int = 0
    block: int = 0


class Place(Record):
    """Where a volume lies."""

    bucket: str
    prefix: str

    @property
    def label(self) -> str:
        """Key of the label."""
        return self.prefix + _LABEL

    @property
    def files(self) -> str:
        """What the keys of all files begin with."""
        return f"{self.prefix}f"

    def file(self, number: int) -> str:
        """What the keys of one file begin with."""
        return f"{self.prefix}f{number:08x}-"

    def header(self, number: int) -> str:
        """Key of a file's header."""
        return self.file(number) + "filestart"

    def whole(self, number: int) -> str:
        """Key of all data of a file, where they are one object."""
        return self.file(number) + "mp.data"

    def block(self, number: int, block: int) -> str:
        """Key of a block, from 0, of a file's data."""
        return f"{self.file(number)}b{block:016x}.data"

    def read(self, key: str) -> Key | None:
        """What this key stands for; None: it is none of this volume."""
        if not key.startswith(self.prefix):
            return None
        rest = key[len(self.prefix) :]
        if rest == _LABEL:
            return Key(Kind.LABEL)
        match = _KEY.fullmatch(rest)
        if match is None:
            return None
        number = int(match[1], 16)
        if not 0 < number <= LARGEST_NUMBER:
            return None
        if match[2]:
            return Key(Kind.HEADER, number)
        if match[3]:
            return Key(Kind.WHOLE, number)
        return Key(Kind.BLOCK, number, int(match[4], 16))


def place_of(node: str) -> Place:
    """The place that a device's name stands for, ``BUCKET[/PREFIX]``.

    Neither the bucket's name nor the prefix leads anywhere else: they have no control characters
    and no segments ``.`` and ``..``, which a path of a URL or of a file would follow.

    :raise ValueError: it is none; what was expected is told
    """
    bucket, _, prefix = node.partition("/")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ValueError(
            f"'{bucket}' is not the name of a bucket, expected 2 to 255 letters, digits, '.', '-' "
            "or '_', with a letter or digit at both ends"
        )
    if any(char < " " or char == "\x7f" for char in prefix):
        raise ValueError(f"the prefix {prefix!r} has a control character in it")
    if {".", ".."} & set(prefix.split("/")):
        raise ValueError(f"the prefix '{prefix}' has a segment '.' or '..' in it")
    try:
        size = len(prefix.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"the prefix {prefix!r} is not UTF-8") from error
    if size + _LONGEST > KEY_LIMIT:
        raise ValueError(f"the prefix has {size} bytes, expected {KEY_LIMIT - _LONGEST} at most")
    return Place(bucket, prefix)
