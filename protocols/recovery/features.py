"""What the two programs of a recovery can do: numbered bits, written as hex [recovery 6.2]."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from attrs import frozen

MAX_DIGITS = 512
"""Hex digits of a feature text that are read."""


class Feature(enum.IntEnum):
    """The bits that a recovery depends on, by their numbers in Amanda."""

    SPLITS = 55
    EXCHANGE_FEATURES = 56
    FEEDME = 66
    MESSAGE = 76
    FEEDME_TAPE = 77
    DLE_IN_HEADER = 83
    DATAPATH = 91
    ORIGSIZE_IN_HEADER = 93
    CORRECT_DISK_QUOTING = 95
    RECEIVE_UNFILTERED = 97
    CRC_IN_HEADER = 103
    STORAGE_IN_MARSHALL = 106
    STREAM_STATE = 118
    DAR = 119
    HEADER_SEND_SIZE = 122
    HEADER_READY = 123
    HEADER_DONE = 124
    STATE_SEND = 125
    STATE_READY = 126
    STATE_DONE = 127
    DATA_SEND = 128
    DATA_READY = 129


@frozen
class Features:
    """A set of numbered features, those of which we know nothing included."""

    numbers: frozenset[int] = frozenset()

    def __contains__(self, feature: object) -> bool:
        return feature in self.numbers

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Features:
        """The set of these."""
        return cls(frozenset(int(number) for number in numbers))

    @classmethod
    def parse(cls, text: str) -> Features:
        """Read the text of a peer.

        :raise ValueError: it is no such text
        """
        if len(text) > MAX_DIGITS or len(text) % 2 or not text.isascii():
            raise ValueError(f"features are {text[:80]!r}, expected pairs of hex digits")
        try:
            data = bytes.fromhex(text)
        except ValueError:
            raise ValueError(f"features are {text[:80]!r}, expected hex digits") from None
        count = 8 * len(data)
        return cls.of(number for number in range(count) if data[number // 8] >> number % 8 & 1)

    def text(self) -> str:
        """The set as a peer reads it."""
        data = bytearray(max(self.numbers, default=0) // 8 + 1)
        for number in self.numbers:
            data[number // 8] |= 1 << number % 8
        return data.hex()


OURS = Features.parse("ffffffff9efefbfffffffffffffff3fffbf71f")
"""Those of the amidxtaped of 3.5.1, whose conversation this is."""

OLD = Features.parse("34cbfe811e0100000000000000000000000000")
"""Those of a peer that tells none."""
