"""What may be asked for once more, against a plain string of bytes."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.crc import Crc
from protocols.rendezvous import window as module
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.window import BLOCK, Gone, ISpool, SpoolError, Window

_SMALL = 8
STREAM = random.Random(4711).randbytes(4096)


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", _SMALL)
        yield


def crc(data: memoryview, value: int) -> int:
    return zlib.crc32(data, value)


def crc_of(data: bytes) -> Crc:
    return Crc(zlib.crc32(data), len(data))


class Spool:
    """In memory; refuses what is beyond its size, and can be told to fail."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept = bytearray(size)
        self.closed = 0
        self.broken = False

    def write(self, at: int, data: memoryview) -> None:
        if self.broken:
            raise SpoolError("the disk is full")
        self.kept[at : at + len(data)] = data
        assert len(self.kept) == self.size

    def read(self, at: int, size: int) -> bytes:
        if self.broken:
            raise SpoolError("the disk is broken")
        assert at + size <= len(self.kept)
        return bytes(self.kept[at : at + size])

    def close(self) -> None:
        self.closed += 1


class Model:
    """A window beside all that was ever appended to it."""

    def __init__(self, memory: int, spool: int, done: int) -> None:
        self.all = bytearray(STREAM[:done])
        self.spool = Spool(spool) if spool else None
        self.window = Window(memory, crc, self.spool, crc_of(bytes(self.all)))
        self.memory = memory
        self.capacity = memory + spool // _SMALL * _SMALL
        self.stored = self.written = self.most_written = done

    def append(self, share: float) -> None:
        size = int(share * self.window.room)
        begin = len(self.all)
        data = (STREAM * 40)[begin : begin + size]
        self.all += data
        self.window.append(data)

    def acknowledge(self, stored_share: float, written_share: float) -> None:
        """Writing may go back to what is stored. Nothing else is dropped, as no room is needed."""
        stored = self.stored + int(stored_share * (len(self.all) - self.stored))
        written = stored + int(written_share * (len(self.all) - stored))
        before = self.window.start
        self.stored, self.written = stored, written
        self.most_written = max(self.most_written, written)
        self.window.acknowledge(stored, written)
        assert self.window.start <= max(before, stored)

    def check(self) -> None:
        window = self.window
        assert window.end == len(self.all)
        assert window.capacity == self.capacity
        assert window.start <= self.most_written
        # its bounds
        assert window.room == max(self.capacity - (len(self.all) - self.written), 0)
        assert window.in_memory <= self.memory + 2 * _SMALL
        # what it says
        for offset in {window.start, (window.start + window.end) // 2, window.end}:
            assert window.crc_at(offset) == crc_of(bytes(self.all[:offset]))
            read = bytearray()
            while piece := window.read(offset + len(read), 11):
                assert len(piece) <= 11
                read += piece
            assert read == self.all[offset:]
        if window.start:
            with pytest.raises(Gone) as caught:
                window.read(window.start - 1, 1)
            assert caught.value.start == window.start
            with pytest.raises(Gone, match=f"bytes before {window.start} are kept no more"):
                window.crc_at(window.start - 1)
        with pytest.raises(ValueError, match="has not come yet"):
            window.read(window.end + 1, 1)


shares = st.sampled_from((0.0, 0.1, 0.5, 0.9, 1.0))
steps = st.one_of(
    st.tuples(st.just("append"), shares),
    st.tuples(st.just("acknowledge"), shares, shares),
)
"""Parts of what there is room for, and of what was appended."""


@given(
    st.integers(1, 50),
    st.sampled_from((0, 7, 8, 30, 100)),
    st.sampled_from((0, 1, 8, 20)),
    st.lists(steps, max_size=20),
)
def test_whatever_comes(memory: int, spool: int, done: int, what: list[tuple]) -> None:  # type: ignore[type-arg]
    """Every byte that is not written can be read again; neither memory nor spool outgrow."""
    model = Model(memory, spool, done)
    for name, *values in what:
        getattr(model, name)(*values)
        model.check()


def test_a_window_that_is_full() -> None:
    """The first byte too many is refused, and nothing of it is kept; what is written makes room."""
    window = Window(20, crc)
    window.append(STREAM[:20])
    assert window.room == 0
    with pytest.raises(ValueError, match="1 bytes, but room for 0"):
        window.append(b"x")
    window.acknowledge(0, 5)
    assert window.room == 5
    assert window.read(0, 3) == STREAM[:3]  # it was not needed yet
    window.append(STREAM[20:25])
    assert window.read(5, 8) == STREAM[5:8]  # at most to the end of a block
    assert window.crc_at(25) == crc_of(STREAM[:25])


def test_writing_begins_again_further_back() -> None:
    """As on another volume: what was written only is needed again, and is not dropped any more."""
    window = Window(16, crc)
    window.append(STREAM[:16])
    window.acknowledge(0, 16)
    window.acknowledge(0, 0)
    assert window.room == 0
    assert window.read(0, 8) + window.read(8, 8) == STREAM[:16]
    # but what is stored stays so
    window.acknowledge(8, 8)
    window.acknowledge(0, 0)
    assert (window.start, window.room) == (8, 8)


@pytest.mark.parametrize(("stored", "written"), [(0, 11), (11, 11), (5, 4)])
def test_a_peer_that_lies(stored: int, written: int) -> None:
    """More was never sent."""
    window = Window(20, crc)
    window.append(STREAM[:10])
    with pytest.raises(RendezvousError, match="bytes stored"):
        window.acknowledge(stored, written)
    assert window.read(0, 8) == STREAM[:8]
    assert window.start == 0


def test_the_oldest_go_to_the_spool() -> None:
    """They come back from there, and its places are used in turn."""
    spool: ISpool = Spool(3 * _SMALL + 1)
    window = Window(_SMALL, crc, spool)
    window.append(STREAM[:32])
    assert bytes(spool.kept[:24]) == STREAM[:16] + bytes(8)  # type: ignore[attr-defined]
    window.acknowledge(8, 32)
    window.append(STREAM[32:48])
    assert bytes(spool.kept[:24]) == STREAM[24:32] + STREAM[8:24]  # type: ignore[attr-defined]
    assert window.read(11, 100) == STREAM[11:16]
    assert window.crc_at(29) == crc_of(STREAM[:29])
    window.close()
    window.close()
    assert spool.closed  # type: ignore[attr-defined]
    assert window.in_memory == 0


def test_a_spool_that_fails() -> None:
    """That is told to whoever asked."""
    spool = Spool(100)
    window = Window(_SMALL, crc, spool)
    window.append(STREAM[:32])
    spool.broken = True
    with pytest.raises(SpoolError, match="broken"):
        window.read(3, 1)
    with pytest.raises(SpoolError, match="broken"):
        window.crc_at(3)
    with pytest.raises(SpoolError, match="full"):
        window.append(STREAM[32:64])


def test_sizes_that_are_none() -> None:
    """A window keeps something; blocks are as large as is said."""
    with pytest.raises(ValueError, match="expected 1 at least"):
        Window(0, crc)
    assert BLOCK == 65536
