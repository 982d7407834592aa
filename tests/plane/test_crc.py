"""CRC-32C as Amanda has it [data-plane 5.1]."""

from hypothesis import given
from hypothesis import strategies as st

from taper.plane.crc import RunningCrc


def test_known_values() -> None:
    crc = RunningCrc()
    assert str(crc.value()) == "00000000:0"
    crc.update(memoryview(b"123456789"))
    assert str(crc.value()) == "e3069283:9"


def bitwise(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


@given(pieces=st.lists(st.binary(max_size=100), max_size=8))
def test_pieces_count_as_one_stream(pieces: list[bytes]) -> None:
    crc = RunningCrc()
    for piece in pieces:
        crc.update(memoryview(piece))
    whole = b"".join(pieces)
    assert (crc.value().value, crc.size) == (bitwise(whole), len(whole))


@given(kept=st.binary(max_size=50), undone=st.binary(max_size=50))
def test_a_failed_part_is_rolled_back(kept: bytes, undone: bytes) -> None:
    crc = RunningCrc()
    crc.update(memoryview(kept))
    before, value = crc.snapshot(), crc.value()
    crc.update(memoryview(undone))
    crc.restore(before)
    assert crc.value() == value
