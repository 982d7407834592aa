"""The layout and the arithmetic of the shared-memory ring."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.shmring import (
    CONTROL_SIZE,
    NAME_SIZE,
    RingError,
    RingNames,
    build_control,
    consumer_sizes,
    parse_names,
    parse_pids,
)
from tests.conformance.producer import DUMPER, SENDBACKUP, stock_ring_size

KIB = 1024
MIB = 1024 * KIB
STOCK_BUFFER = 40 * 32768

blocks = st.one_of(
    st.integers(1, 8192).map(lambda kib: kib * KIB), st.integers(512, 8 * MIB), st.just(32768)
)


def test_the_names_of_the_first_two_rings() -> None:
    """Six numbers for each, in stock's order."""
    first, second = RingNames.make(77, 0), RingNames.make(77, 6)
    assert first == RingNames(
        "/amanda_shm_control-77-0",
        "/amanda_sem_write-77-1",
        "/amanda_sem_read-77-2",
        "/amanda_sem_ready-77-3",
        "/amanda_sem_start-77-4",
        "/amanda_shm_data-77-5",
    )
    assert (second.control, second.data) == ("/amanda_shm_control-77-6", "/amanda_shm_data-77-11")


def test_a_fresh_control_block() -> None:
    """472 bytes: the creator's pid, five names, else zero."""
    names = RingNames.make(4194304, 6)
    block = build_control(names, 4194304)
    assert len(block) == CONTROL_SIZE == 472
    assert struct.unpack_from("<10i", block, 144) == (4194304, *[0] * 9)
    found = struct.unpack_from("50s" * 5, block, 184)
    assert [name.rstrip(b"\0").decode() for name in found] == [*names.semaphores, names.data]
    assert not any(block[:144])
    assert not any(block[434:])
    assert parse_names(names.control, block) == names
    assert parse_pids(block) == (4194304,)


def test_a_name_that_is_too_long() -> None:
    names = RingNames.make(1, 10**30)
    with pytest.raises(ValueError, match="longer than 49 bytes"):
        build_control(names, 1)


@given(st.integers(1, 2**31 - 1), st.integers(0, 10**9))
def test_names_come_back_from_the_block(pid: int, number: int) -> None:
    names = RingNames.make(pid, number)
    assert all(len(name) < NAME_SIZE for name in (*names.semaphores, names.data))
    assert parse_names(names.control, build_control(names, pid)) == names


@given(st.binary(max_size=600) | st.binary(min_size=472, max_size=472))
def test_any_bytes_are_a_block_or_an_error(block: bytes) -> None:
    with suppress(RingError):
        assert "/" not in parse_names("/c", block).data[1:]


@pytest.mark.parametrize(
    ("block", "cached", "expected"),
    [
        (32768, False, (1310720, 32768)),
        (524288, False, (2097152, 524288)),
        (32768, True, (1048576, 32768)),
        (524288, True, (1048576, 32768)),
    ],
)
def test_what_stock_announces_is_announced(
    block: int, cached: bool, expected: tuple[int, int]
) -> None:
    buffer = max(-(-STOCK_BUFFER // block), 4) * block
    found = consumer_sizes(buffer, block, cached=cached)
    assert (found.ring, found.block) == expected


@given(
    producer=st.sampled_from([DUMPER, SENDBACKUP]),
    block=blocks,
    count=st.integers(4, 80),
    cached=st.booleans(),
)
def test_stock_producers_make_good_rings_of_it(
    producer: tuple[int, int], block: int, count: int, cached: bool
) -> None:
    """Whatever the device's block size, and not half a gigabyte [data-plane Q8]."""
    buffer = count * block
    wished = consumer_sizes(buffer, block, cached=cached)
    made = stock_ring_size((wished.ring, wished.block), producer)
    assert made % wished.block == 0
    assert made >= wished.ring
    assert made <= max(buffer + 16 * MIB, 2 * block, MIB)
