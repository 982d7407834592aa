"""A dump of which parts cannot be read."""

from __future__ import annotations

import random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devices.errors import VolumeFailed
from devices.interfaces import IFindsData
from protocols.crc import UNKNOWN
from protocols.header import Header, HeaderType
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.plane.interfaces import ISource, SourceError
from taper.plane.salvage import SalvagedSource
from taper.plane.volumes import VolumeSource

BLOCK = 64
NAME = DumpName(storage="s", host="h", disk="/d", datestamp="20260101000000", level="0")


@implementer(IFindsData)
class Volume:
    """A device with one part in each file.

    :ivar failing: file to bytes that can be read of it.
    :ivar headless: files of which the header is damaged, and bytes that they seem to have; None:
        that is known when they were read.
    :ivar beyond: those of them that are passed over in seeking, since nothing is known of them.
    """

    name = "file:x"
    block_size = BLOCK

    def __init__(self, parts: dict[int, tuple[int, bytes]]) -> None:
        self._parts = parts
        self.failing: dict[int, int] = {}
        self.headless: dict[int, int | None] = {}
        self.beyond: set[int] = set()
        self.timestamp: str | None = NAME.datestamp
        self.file = 0
        self._at = 0

    def seek_file(self, number: int) -> Header | None:
        while number in self.beyond:
            number += 1
        if number > max(self._parts):
            return Header(type=HeaderType.TAPEEND)
        if self.failing.get(number) == 0 or number in self.headless:
            raise VolumeFailed("no header")
        self.file, self._at = number, 0
        return Header(
            type=HeaderType.SPLIT_DUMPFILE,
            datestamp=NAME.datestamp,
            host=NAME.host,
            disk=NAME.disk,
            partnum=self._parts[number][0],
        )

    def seek_data(self, number: int) -> int | None:
        if number not in self.headless:
            raise VolumeFailed("it has a header")
        self.file, self._at = number, 0
        return self.headless[number]

    def read_blocks(self, buffer: memoryview) -> int:
        data = self._parts[self.file][1]
        end = self.failing.get(self.file)
        if end is not None and self._at >= end:
            raise VolumeFailed("bad block")
        size = min(len(buffer) // BLOCK * BLOCK, len(data) - self._at)
        if end is not None:
            size = min(size, end - self._at)
        buffer[:size] = data[self._at : self._at + size]
        self._at += size
        return size


class Shelf:
    """Volumes by label."""

    def __init__(self, volumes: dict[str, Volume]) -> None:
        self.volumes = volumes
        self.asked: list[str] = []
        self.cancelled = False

    def change_to(self, label: str) -> Volume:
        self.asked.append(label)
        if self.cancelled or label not in self.volumes:
            raise SourceError(f"there is no '{label}'")
        return self.volumes[label]

    def cancel(self) -> None:
        self.cancelled = True


def make(sizes: list[int], per_volume: int) -> tuple[StoredDump, Shelf, bytes]:
    """A dump of parts of so many blocks, so many of them on a volume."""
    data = random.Random(0).randbytes(sum(sizes) * BLOCK)
    parts, files, at = [], {}, 0
    for index, size in enumerate(sizes):
        label, fileno = f"V{index // per_volume}", index % per_volume + 1
        piece = data[at : at + size * BLOCK]
        at += len(piece)
        part = StoredPart(label=label, fileno=fileno, number=index + 1, size=len(piece))
        parts.append(part)
        files.setdefault(label, {})[fileno] = (index + 1, piece)
    dump = StoredDump(name=NAME, written=NAME.datestamp, parts=tuple(parts), crc=UNKNOWN)
    return dump, Shelf({label: Volume(its) for label, its in files.items()}), data


def drain(source: SalvagedSource, size: int = 3 * BLOCK) -> tuple[bytes, list[tuple[int, int]]]:
    """All bytes, and where they stand for what is lost."""
    buffer, data, holes = memoryview(bytearray(size)), bytearray(), []
    while got := source.read_into(buffer):
        if source.filled:
            holes.append((len(data), len(data) + got))
        data += buffer[:got]
    return bytes(data), holes


@given(st.data(), st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(1, 3))
def test_all_that_can_be_read_is_where_it_belongs(
    draw: st.DataObject, sizes: list[int], per_volume: int
) -> None:
    dump, shelf, data = make(sizes, per_volume)
    for label, volume in list(shelf.volumes.items()):
        if draw.draw(st.booleans(), label=f"{label} missing"):
            del shelf.volumes[label]
            continue
        for part in dump.parts:
            if part.label == label and draw.draw(st.booleans(), label=f"{part.place} fails"):
                assert part.size is not None
                blocks = draw.draw(st.integers(0, part.size // BLOCK - 1))
                volume.failing[part.fileno] = blocks * BLOCK
            if part.label == label and draw.draw(st.booleans(), label=f"{part.place} headless"):
                volume.headless[part.fileno] = draw.draw(st.sampled_from([part.size, None]))
                if draw.draw(st.booleans(), label=f"{part.place} not found"):
                    volume.beyond.add(part.fileno)
    bare = [
        part
        for part in dump.parts
        if part.label in shelf.volumes and part.fileno in shelf.volumes[part.label].headless
    ]
    expected, at = bytearray(data), 0
    lost = bytearray(len(data))
    for part in dump.parts:
        assert part.size is not None
        found = shelf.volumes.get(part.label)
        good = 0 if found is None else found.failing.get(part.fileno, part.size)
        lost[at + good : at + part.size] = b"x" * (part.size - good)
        at += part.size
    source = SalvagedSource(dump, None, shelf, {}, fill=True)
    got, holes = drain(source)
    assert len(got) == len(expected)
    told = bytearray(len(data))
    for start, end in holes:
        told[start:end] = b"x" * (end - start)
    assert told == lost
    assert all(a == b for a, b, gone in zip(got, expected, lost, strict=True) if not gone)
    assert sum(loss.size or 0 for loss in source.losses) == lost.count(b"x")
    assert source.finished is (not source.losses)
    assert source.failed is bool(source.losses)
    assert source.headless == bare
    assert len(shelf.asked) == len(set(shelf.asked)), "nobody is asked twice for a volume"


@pytest.mark.parametrize(
    ("seems", "told", "stamp", "taken"),
    [
        (2 * BLOCK, True, NAME.datestamp, True),
        (3 * BLOCK - 1, True, NAME.datestamp, True),
        (3 * BLOCK, True, NAME.datestamp, False),
        (2 * BLOCK - 1, True, NAME.datestamp, False),
        (2 * BLOCK, True, "20260101", True),
        (2 * BLOCK, True, "20260102000000", False),
        (2 * BLOCK, True, None, False),
        (2 * BLOCK, False, NAME.datestamp, True),
        (1024 + BLOCK, False, NAME.datestamp, False),
    ],
)
def test_what_a_part_without_header_must_be_like(
    seems: int, told: bool, stamp: str | None, taken: bool
) -> None:
    """As long as the log says, on a volume that was not labelled since."""
    dump, shelf, data = make([2, 1], 2)
    first = dump.parts[0]
    if not told:
        first = evolve(first, size=None)
    dump = evolve(dump, parts=(first, dump.parts[1]))
    shelf.volumes["V0"].headless[1] = seems
    shelf.volumes["V0"].timestamp = stamp
    source = SalvagedSource(dump, None, shelf, {}, fill=False)
    assert drain(source) == ((data, []) if taken else (b"", []))
    assert source.headless == ([first] if taken else [])
    assert [loss.text for loss in source.losses] == ([] if taken else ["'V0' file 1: no header"])


@pytest.mark.parametrize(("there", "whole"), [(2, True), (1, False), (3, True), (4, False)])
def test_lengths_that_only_reading_tells(there: int, whole: bool) -> None:
    """What is there is taken; what lacks is a loss, as is more than padding."""
    dump, shelf, data = make([2, 1], 2)
    volume = shelf.volumes["V0"]
    volume.headless[1] = None
    piece = data[: 2 * BLOCK] + random.Random(1).randbytes(2 * BLOCK)
    volume._parts[1] = (1, piece[: there * BLOCK - (there == 3)])
    source = SalvagedSource(dump, None, shelf, {}, fill=True)
    got, _ = drain(source)
    assert got[: min(there, 2) * BLOCK] == data[: min(there, 2) * BLOCK]
    assert (len(got), got[2 * BLOCK :]) == (len(data), data[2 * BLOCK :])
    assert [part.number for part in source.headless] == [1]
    assert [loss.part.number for loss in source.losses] == ([] if whole else [1])
    assert source.finished is whole


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize("failing", [None, 1])
@pytest.mark.parametrize("peeked", [1, BLOCK, 3 * BLOCK + 5, 100 * BLOCK])
def test_what_was_looked_at_is_given_again(peeked: int, failing: int | None, fill: bool) -> None:
    """As far as it goes: what is lost is none of it, and never filled in."""
    dump, shelf, data = make([2, 2, 1], 3)
    if failing is not None:
        shelf.volumes["V0"].failing[2] = failing * BLOCK
    source = SalvagedSource(dump, None, shelf, {}, fill=fill)
    there = data if failing is None else data[: 3 * BLOCK]
    assert source.peek(peeked) == there[:peeked]
    assert bool(source.losses) is (failing is not None and peeked > len(there))
    got, holes = drain(source, 2 * BLOCK)
    assert got[: len(there)] == there
    assert len(got) == (len(data) if fill else len(there))
    assert bool(holes) is (fill and failing is not None)
    if holes:
        assert (holes[0][0], holes[-1][1]) == (3 * BLOCK, 4 * BLOCK)
        assert got[4 * BLOCK :] == data[4 * BLOCK :]


def test_looking_is_given_up() -> None:
    dump, shelf, _ = make([2], 1)
    source = SalvagedSource(dump, None, shelf, {}, fill=True)
    source.cancel()
    assert source.peek(BLOCK) == b""
    assert drain(source) == (b"", [])


def test_only_who_restores_takes_what_has_no_header() -> None:
    dump, shelf, _ = make([2, 1], 2)
    shelf.volumes["V0"].headless[1] = 2 * BLOCK
    source = VolumeSource(dump, None, None, shelf)
    with pytest.raises(SourceError, match="no header"):
        source.read_into(memoryview(bytearray(BLOCK)))


def test_what_is_undone_ends_where_something_is_lost() -> None:
    """No program can go on behind a gap."""
    dump, shelf, data = make([2, 2, 2], 3)
    shelf.volumes["V0"].failing[2] = BLOCK
    source = SalvagedSource(dump, None, shelf, {}, fill=False)
    verifyObject(ISource, source)
    assert drain(source) == (data[: 3 * BLOCK], [])
    assert [loss.part.number for loss in source.losses] == [2]
    assert "error reading from file:x: bad block" in source.losses[0].text


def test_volumes_that_are_known_to_be_gone() -> None:
    dump, shelf, _ = make([1, 1, 1], 1)
    source = SalvagedSource(dump, None, shelf, {"V1": "somebody has it"}, fill=True)
    drain(source)
    assert shelf.asked == ["V0", "V2"]
    assert [loss.text for loss in source.losses] == ["'V1' file 1: somebody has it"]


def test_whoever_gives_up_hears_of_it() -> None:
    dump, shelf, _ = make([1, 1], 1)
    source = SalvagedSource(dump, None, shelf, {}, fill=True)
    buffer = memoryview(bytearray(BLOCK))
    assert source.read_into(buffer) == BLOCK
    source.cancel()
    assert source.read_into(buffer) == 0
    assert source.losses == []
    assert not source.failed


def test_sizes_that_nobody_knows() -> None:
    """One block stands for what is lost."""
    dump, shelf, data = make([2, 1], 2)
    parts = tuple(
        StoredPart(label=part.label, fileno=part.fileno, number=part.number, size=None)
        for part in dump.parts
    )
    dump = StoredDump(name=NAME, written=NAME.datestamp, parts=parts, crc=UNKNOWN)
    shelf.volumes["V0"].failing[1] = BLOCK
    got, holes = drain(SalvagedSource(dump, None, shelf, {}, fill=True), 1024)
    assert holes == [(BLOCK, BLOCK + 512)]
    assert got[:BLOCK] + got[BLOCK + 512 :] == data[:BLOCK] + data[2 * BLOCK :]


@pytest.mark.parametrize("size", [BLOCK - 1, 1])
def test_a_reader_with_little_room(size: int) -> None:
    dump, shelf, data = make([2, 1], 2)
    assert drain(SalvagedSource(dump, None, shelf, {}, fill=True), size) == (data, [])
