"""CRC-32C as Amanda has it [data-plane 5.1]."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.crc import Crc
from taper.plane.crc import RunningCrc, flipped_bit, joined, without_zeros


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


def of(data: bytes) -> Crc:
    crc = RunningCrc()
    crc.update(memoryview(data))
    return crc.value()


@given(first=st.binary(max_size=100), second=st.binary(max_size=100))
def test_streams_one_behind_the_other(first: bytes, second: bytes) -> None:
    assert joined(of(first), of(second)) == of(first + second)


@given(data=st.binary(max_size=100), zeros=st.integers(0, 70_000))
def test_a_stream_without_the_zeros_at_its_end(data: bytes, zeros: int) -> None:
    assert without_zeros(of(data + bytes(zeros)), zeros) == of(data)


def test_long_streams_one_behind_the_other() -> None:
    """Lengths count, not what is in them."""
    zeros = bytes(1 << 20)
    long = of(zeros)
    for _ in range(12):
        long = joined(long, long)
    assert long.size == 1 << 32
    crc = RunningCrc()
    for _ in range(64):
        crc.update(memoryview(zeros))
    sixteenth = joined(crc.value(), crc.value())
    for _ in range(5):
        sixteenth = joined(sixteenth, sixteenth)
    assert sixteenth == long


@given(data=st.binary(min_size=1, max_size=300), place=st.integers(0, 299), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(data: bytes, place: int, bit: int) -> None:
    place %= len(data)
    other = bytearray(data)
    other[place] ^= 1 << bit
    assert flipped_bit(of(bytes(other)), of(data)) == (place, bit)


@given(data=st.binary(min_size=2, max_size=300), one=st.integers(0, 299), two=st.integers(0, 299))
def test_two_flipped_bits_are_not_one(data: bytes, one: int, two: int) -> None:
    """A CRC tells even numbers of bits from odd ones."""
    one, two = one % len(data), two % len(data)
    other = bytearray(data)
    other[one] ^= 1
    other[two] ^= 2
    assert flipped_bit(of(bytes(other)), of(data)) is None


def test_what_no_bit_explains() -> None:
    assert flipped_bit(Crc(1, 5), Crc(1, 5)) is None
    assert flipped_bit(Crc(1, 5), Crc(2, 6)) is None
    assert flipped_bit(Crc(1, 2**40), Crc(2, 2**40)) is None
