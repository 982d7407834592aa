"""What is to be known of a tape drive: its properties [volumes 3.2, 3.3]."""

from __future__ import annotations

from attrs import evolve

from devices.errors import PropertyRefused
from devices.labelled import LabelledDevice
from devices.properties import (
    SET_BEFORE_START,
    WRITE_ONLY,
    Kind,
    Property,
    Source,
    Surety,
    Value,
)
from devices.tape_position import Skills
from devices.values import Streaming

SMALLEST_BLOCK = 32768
LARGEST_BLOCK = 16 * 1024 * 1024

_CAN = ("fsf", "bsf", "fsr", "bsr", "eom")
_CANNOT = ("fsf_after_filemark", "bsf_after_eom", "broken_gmt_online")


class TapeFacts(LabelledDevice):
    """The properties of ``tape:``."""

    def __init__(self, name: str) -> None:
        super().__init__(name, (SMALLEST_BLOCK, LARGEST_BLOCK, SMALLEST_BLOCK))
        self._fix(appendable=True, concurrency=0, streaming=Streaming.DESIRED)
        add = self.properties.declare
        leom = Property("leom", Kind.BOOL, SET_BEFORE_START, False, Surety.BAD)
        add(leom)
        for name in _CAN:
            add(Property(name, Kind.BOOL, SET_BEFORE_START, True, Surety.BAD))
        for name in _CANNOT:
            add(Property(name, Kind.BOOL, SET_BEFORE_START, False, Surety.BAD))
        add(Property("nonblocking_open", Kind.BOOL, SET_BEFORE_START, True, Surety.BAD))
        final = Property("final_filemarks", Kind.UINT, SET_BEFORE_START, 2, Surety.BAD)
        add(final, _check_final_filemarks)
        read_size = Property("read_block_size", Kind.UINT, SET_BEFORE_START, 0, Surety.BAD)
        add(read_size, self._check_read_block_size)
        old_name = Property("read_buffer_size", Kind.UINT, SET_BEFORE_START, 0, Surety.BAD)
        add(old_name, self._set_read_buffer_size)
        compression = evolve(self.properties["compression"], access=WRITE_ONLY, value=None)
        add(compression, self._set_compression)

    def _check_read_block_size(self, value: Value) -> Value:
        smallest = self.configured_block_size
        if value == 0 or smallest <= int(value) <= LARGEST_BLOCK:
            return value
        raise PropertyRefused(
            f"Error setting READ-BLOCK-SIZE property to '{value}', "
            f"it must be between {smallest} and {LARGEST_BLOCK}"
        )

    def _set_read_buffer_size(self, value: Value) -> Value:
        """The old name of READ_BLOCK_SIZE."""
        self.properties.note("read_block_size", self._check_read_block_size(value), Source.USER)
        return value

    def _set_compression(self, value: Value) -> Value:
        """Told to the drive at once if it is open, else when it is."""
        return value

    @property
    def read_size(self) -> int:
        """Bytes of the longest record that is expected; it grows when a longer one comes."""
        return max(self.properties.number("read_block_size"), self.configured_block_size)

    @property
    def configured_block_size(self) -> int:
        """Bytes of a block that is written."""
        return self.properties.number("block_size")

    def _skills(self) -> Skills:
        flag = self.properties.flag
        return Skills(flag("fsf"), flag("bsf"), flag("eom"), flag("fsf_after_filemark"))


def _check_final_filemarks(value: Value) -> Value:
    if value in (1, 2):
        return value
    raise PropertyRefused(f"Error setting FINAL-FILEMARKS property to '{value}', it must be 1 or 2")
