"""Whatever the sizes, volumes and faults: not a byte is lost or doubled, and everything ends."""

from __future__ import annotations

import faulthandler
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface import implementer

from devices.interfaces import IClones, Streaming, Written
from taper.core.splitting import CacheKind
from taper.plane.pace import Pace, Way
from taper.plane.sources import HoldingSource, SocketSource
from taper.plane.transfer import Transfer
from tests.fakes.device import FakeDevice, FakeVolume
from tests.plane.dumping import (
    Dump,
    PiecesSource,
    Plan,
    SeekableSource,
    connection,
    crc_of,
    volumes,
    write_dump,
    write_holding,
)

HEADER_ROOM = 50

STARTING = ("start", "labelled")
"""What happens before there is a transfer."""


@pytest.fixture(autouse=True, scope="module")
def _small_buffers() -> Iterator[None]:
    """Small enough that short dumps go round the ring many times; and a hang shows its threads."""
    with pytest.MonkeyPatch.context() as small:
        small.setattr("taper.plane.ring.CHUNK", 64)
        small.setattr("taper.plane.straight.BUFFER", 100)
        small.setattr("taper.plane.pump.MOST_CLONED", 500)
        small.setattr("taper.plane.transfer.RING_SIZE", 200)
        faulthandler.dump_traceback_later(240, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()


@frozen(kw_only=True)
class Case:
    """One dump to try."""

    mode: str
    length: int
    block: int
    part_blocks: int
    capacity: int | None
    leom: bool
    shared: bool
    warning: int
    streaming: Streaming
    behind: bool
    most_behind: int
    pieces: list[int]
    faults: set[int]
    ways: list[Way]

    @property
    def data(self) -> bytes:
        # a period that is prime to every buffer size shows any misplaced byte
        return bytes(n * 7 % 251 for n in range(self.length))

    @property
    def part_size(self) -> int:
        return self.part_blocks * self.block

    @property
    def cached(self) -> bool:
        return self.mode in ("memory", "disk")


@st.composite
def cases(draw: st.DrawFn, *, faulty: bool) -> Case:
    mode = draw(st.sampled_from(["none", "memory", "disk", "holding"]))
    block = draw(st.integers(1, 70))
    part_blocks = draw(st.integers(1 if mode in ("memory", "disk") else 0, 30))
    capacity = draw(st.none() | st.integers(2 * HEADER_ROOM, 4000))
    length = draw(st.integers(0, 3000) | st.integers(0, 20).map(lambda n: n * block))
    return Case(
        mode=mode,
        length=length,
        block=block,
        part_blocks=part_blocks,
        capacity=capacity,
        leom=draw(st.booleans()) and mode not in ("memory", "disk"),
        shared=draw(st.booleans()),
        warning=draw(st.integers(0, 4)),
        streaming=draw(st.sampled_from(Streaming)),
        behind=draw(st.booleans()),
        most_behind=draw(st.integers(0, 3)),
        pieces=draw(st.lists(st.integers(1, 300), min_size=1, max_size=4)),
        faults=draw(st.sets(st.integers(0, 120), max_size=5)) if faulty else set(),
        ways=draw(st.lists(st.sampled_from(Way), max_size=6)),
    )


class Restless(Pace):
    """Lets a dump change between one thread and two, as a case says, over and over."""

    def __init__(self, ways: list[Way]) -> None:
        super().__init__()
        self._ways = itertools.cycle(ways or [Way.AS_NOW])

    def judge(self, position: int, reading: float) -> Way:
        return next(self._ways)


def write(transfer: Callable[[], Transfer], case: Case, make: Callable[[], FakeDevice]) -> Dump:
    with patch("taper.plane.adaptive.Pace", lambda: Restless(case.ways)):
        return write_dump(transfer(), volumes(make), most_behind=case.most_behind)


def run(case: Case, directory: str) -> Dump:
    cache = CacheKind(case.mode) if case.cached else CacheKind.NONE
    plan = Plan(
        part_size=case.part_size,
        block_size=case.block,
        buffer_size=case.block,
        cache=cache,
        cache_dir=directory,
    )
    kind = SeekableSource if case.mode == "holding" else PiecesSource
    calls = iter(range(1 << 30))

    def faults(what: str) -> bool:
        return what not in STARTING and next(calls) in case.faults

    def make() -> FakeDevice:
        return FakeDevice(
            FakeVolume(case.capacity, shared=case.shared),
            block_size=case.block,
            leom=case.leom,
            streaming=case.streaming,
            warning=case.warning,
            behind=case.behind,
            header_size=HEADER_ROOM,
            faults=faults,
        )

    return write(lambda: Transfer(kind(case.data, case.pieces), plan), case, make)


def check_bytes(case: Case, dump: Dump) -> None:
    """What good parts hold, one after the other, is the dump from its first byte on."""
    data = case.data
    assert dump.stored == data[: len(dump.stored)]
    assert dump.bytes_written == len(dump.stored)
    assert dump.errors == []
    assert dump.dest_crc == crc_of(bytes(dump.stored))
    if dump.results[-1].eof:
        assert len(dump.stored) == len(data)
        assert dump.source_crc == crc_of(data)
    for part in dump.results:
        assert not case.part_size or part.size <= case.part_size
        assert part.duration >= 0
        if part.successful and not part.eom and not part.eof:
            assert part.size == case.part_size
        if part.eof:
            assert part.successful
        if not part.successful:
            assert part.error


@settings(max_examples=400)
@given(case=cases(faulty=True))
def test_no_byte_is_lost_or_doubled(case: Case) -> None:
    """With faults anywhere, joined good parts are the dump's bytes and the checksums agree."""
    with tempfile.TemporaryDirectory() as directory:
        check_bytes(case, run(case, directory))


def expected_parts(case: Case) -> list[tuple[int, bool, bool, bool]]:
    """(size, successful, eom, eof) of each part, block by block as the facts have it
    [data-plane 2.2, 2.3], for up to 60 volumes and no faults."""
    parts: list[tuple[int, bool, bool, bool]] = []
    position, room, leom = 0, case.capacity, case.leom
    used = HEADER_ROOM
    volumes_left = 60

    def fits(size: int) -> bool:
        return room is None or used + size <= room

    while True:
        zone = case.warning * case.block
        warned = leom and not fits(HEADER_ROOM + zone)
        no_header = not fits(HEADER_ROOM)
        size, ended = 0, ""
        if no_header or warned:
            ended = "failed" if case.cached else "medium"
        else:
            used += HEADER_ROOM
        while not ended:
            piece = min(case.block, case.length - position - size)
            if piece == 0:
                ended = "data"
                break
            warned = leom and not fits(piece + zone)
            if not fits(piece):
                ended = "medium" if leom else "failed"
                break
            used += piece
            size += piece
            if case.part_size and size == case.part_size:
                ended = "size"
            if warned:
                ended = "medium"
        known = ended == "medium" or (ended == "failed" and (case.cached or not case.shared))
        parts.append((size, ended != "failed", known, ended == "data"))
        if ended != "failed":
            position += size
        if ended == "data" or (ended == "failed" and case.mode == "none"):
            return parts
        if ended in ("failed", "medium"):
            volumes_left -= 1
            if not volumes_left:
                return parts
            used = HEADER_ROOM


@settings(max_examples=300)
@given(case=cases(faulty=False))
def test_parts_end_where_stock_ends_them(case: Case) -> None:
    """Part sizes, ends of volumes and the empty last part are block-exact in every mode."""
    with tempfile.TemporaryDirectory() as directory:
        dump = run(case, directory)
    check_bytes(case, dump)
    shape = dump.shape
    if case.mode == "none":
        # a part that failed at once is still in the ring and is repeated, which stock cannot
        failed = [n for n, part in enumerate(dump.results) if not part.successful]
        shape = shape[: failed[0] + 1] if failed else shape
    assert shape == expected_parts(case)


@implementer(IClones)
class CloningDevice(FakeDevice):
    """Shares what a block boundary lets it, and not every time."""

    refused: Callable[[], bool]

    def clone_blocks(self, fd: int, offset: int, size: int) -> Written | None:
        if self.refused():
            return None
        if self.refused() and size > self.block_size:
            size = self.block_size
        return self.write_blocks(memoryview(os.pread(fd, size, offset)))


@settings(max_examples=150)
@given(case=cases(faulty=True), chunk=st.integers(150, 1500), refusals=st.lists(st.booleans()))
def test_a_device_that_shares_bytes_writes_the_same(
    case: Case, chunk: int, refusals: list[bool]
) -> None:
    """Bytes, parts and checksums are the same, whatever was shared and whatever was written."""
    with tempfile.TemporaryDirectory() as directory:
        path = write_holding(directory, case.data, chunk)
        plan = Plan(part_size=case.part_size, block_size=case.block, buffer_size=case.block)
        calls = iter(range(1 << 30))
        refused = itertools.cycle(refusals or [False])

        def make() -> FakeDevice:
            device = CloningDevice(
                FakeVolume(case.capacity, shared=case.shared),
                block_size=case.block,
                leom=case.leom,
                warning=case.warning,
                streaming=case.streaming,
                behind=case.behind,
                header_size=HEADER_ROOM,
                faults=lambda what: what not in STARTING and next(calls) in case.faults,
            )
            device.refused = lambda: next(refused)
            return device

        dump = write(lambda: Transfer(HoldingSource(path), plan), case, make)
    check_bytes(case, dump)


@settings(max_examples=40)
@given(case=cases(faulty=True), chunk=st.integers(150, 1500))
def test_holding_files_give_every_byte_again(case: Case, chunk: int) -> None:
    """Real chunked holding files survive any number of failed parts."""
    with tempfile.TemporaryDirectory() as directory:
        path = write_holding(directory, case.data, chunk)
        plan = Plan(part_size=case.part_size, block_size=case.block, buffer_size=case.block)
        calls = iter(range(1 << 30))

        def make() -> FakeDevice:
            return FakeDevice(
                FakeVolume(case.capacity),
                block_size=case.block,
                leom=case.leom,
                header_size=HEADER_ROOM,
                faults=lambda what: what not in STARTING and next(calls) in case.faults,
            )

        dump = write(lambda: Transfer(HoldingSource(path), plan), case, make)
    check_bytes(case, dump)


@settings(max_examples=40)
@given(case=cases(faulty=True))
def test_a_connection_with_a_cache_gives_every_byte_again(case: Case) -> None:
    """Failed parts of a dump over a connection come from the cache."""
    ours, peer = connection(case.data)
    with tempfile.TemporaryDirectory() as directory:
        plan = Plan(
            part_size=max(case.part_blocks, 1) * case.block,
            block_size=case.block,
            buffer_size=case.block,
            cache=CacheKind.DISK if case.leom else CacheKind.MEMORY,
            cache_dir=directory,
        )
        calls = iter(range(1 << 30))

        def make() -> FakeDevice:
            return FakeDevice(
                block_size=case.block,
                volume=FakeVolume(),
                leom=False,
                faults=lambda what: what not in STARTING and next(calls) in case.faults,
            )

        dump = write_dump(Transfer(SocketSource(ours), plan), volumes(make))
        peer.join()
    assert dump.stored == case.data
    assert dump.source_crc == dump.dest_crc == crc_of(case.data)
