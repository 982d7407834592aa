"""The checksum value and its text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.crc import UNKNOWN, Crc
from tests.protocols.strategies import crcs


def test_text_has_eight_hex_digits_and_a_byte_count() -> None:
    assert str(Crc(0x2929CA0, 1048576)) == "02929ca0:1048576"
    assert str(UNKNOWN) == "00000000:0"


@given(crcs)
def test_text_reads_back(crc: Crc) -> None:
    assert Crc.parse(str(crc)) == crc


@pytest.mark.parametrize(
    "text",
    ["", ":", "1", "12345678", "zz:9", "1:", ":1", "123456789:1", "1:-1", "1:1x", " 1:2", "1:²"],
)
def test_bad_text_is_an_unknown_checksum(text: str) -> None:
    assert Crc.parse(text) == UNKNOWN


@given(st.text())
def test_any_text_is_some_checksum(text: str) -> None:
    assert isinstance(Crc.parse(text), Crc)


def test_upper_case_and_short_values_are_read() -> None:
    assert Crc.parse("ABCDEF01:12") == Crc(0xABCDEF01, 12)
    assert Crc.parse("1:2") == Crc(1, 2)


def test_a_checksum_of_nothing_is_unknown() -> None:
    """Size 0 means that nobody has counted, whatever the other half says."""
    assert not UNKNOWN.known
    assert Crc(0, 5).known
    assert not Crc(5, 0).known
    assert str(Crc.parse("ffffffff:0")) == "ffffffff:0"
