"""The checksum of a byte stream as a value: CRC-32C and byte count, as text ``xxxxxxxx:size``.

Computing it is not done here: this is what messages, headers and trace-log lines carry
[protocol 3.3], [volumes 1.5].
"""

from __future__ import annotations

from protocols.records import Record

_MAX_VALUE_DIGITS = 8
_MAX_SIZE_DIGITS = 19
_HEX = frozenset("0123456789abcdefABCDEF")


class Crc(Record):
    """A CRC-32C and the number of bytes it covers.

    ``str()`` is the form on wires and volumes: 8 lower-case hex digits, colon, decimal bytes.
    """

    value: int
    size: int

    def __str__(self) -> str:
        return f"{self.value:08x}:{self.size}"

    @property
    def known(self) -> bool:
        """Somebody has counted. ``00000000:0`` and, from an application that moves the data
        itself, ``ffffffff:0`` mean that nobody has [ndmp 7]."""
        return self.size != 0

    @classmethod
    def parse(cls, text: str) -> Crc:
        """Read ``hex:decimal``; any other text is :data:`UNKNOWN` [volumes 1.5]."""
        value, colon, size = text.partition(":")
        if not colon or not 0 < len(value) <= _MAX_VALUE_DIGITS or not _HEX.issuperset(value):
            return UNKNOWN
        if not 0 < len(size) <= _MAX_SIZE_DIGITS or not (size.isascii() and size.isdigit()):
            return UNKNOWN
        return cls(int(value, 16), int(size))


UNKNOWN = Crc(0, 0)
"""The checksum of bytes nobody has counted."""
