"""What proves a dump that went from mover to mover: the count all but its last record, and reading
that; for whatever sizes of records, parts and volumes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.idirecttcp import IMoverDevice
from protocols.stored import StoredPart
from taper.flow.last_record import Tail, Trail, last_record
from taper.flow.whole_records import padded

SIZES = st.integers(1, 12)


@define
class Facts:
    name: str
    block_size: int


@implementer(IMoverDevice)
class Drive:
    """One that has read files, whose records may be of other sizes than it knows."""

    def __init__(self, block: int) -> None:
        self.facts = Facts("ndmp:s@d", block)
        self.files: dict[int, list[bytes]] = {}

    def read_end(self, number: int, count: int) -> Deferred[bytes]:
        records = self.files[number]
        assert count > 0
        return succeed(b"".join(records[-count:]) if count <= len(records) else b"")


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def result_of(story: Any) -> Any:
    found: list[Any] = []
    Deferred.fromCoroutine(story).addCallback(found.append)
    return found[0]


@st.composite
def dumps(draw: Any) -> Any:
    """Data, what others have sent of it, and where the rest lies: parts on volumes."""
    block, records = draw(SIZES), draw(st.integers(0, 3))
    before = records * block
    data = draw(st.binary(max_size=40).map(lambda rest: bytes(before) + rest))
    ends = sorted(draw(st.lists(st.integers(before, len(data)), max_size=5)))
    skipped = draw(st.integers(0, before))
    return block, before, data, [before, *ends, len(data)], skipped


def read_all(dump: Any, drive: Drive, sizes: list[int], changes: list[bool]) -> Tail | None:
    """Send it. :return: what is to be compared with the last record; None: that cannot be had"""
    block, before, data, ends, skipped = dump
    trail = Trail(before, block)
    for number, (begin, end) in enumerate(pairwise(ends)):
        if number and changes[number % len(changes)]:
            result_of(trail.leave(drive))  # type: ignore[arg-type]
            drive.files.clear()
        drive.files[number] = cut(data[begin - skipped : end], sizes[number % len(sizes)])
        part = StoredPart(label="V", fileno=number, number=number + 1, size=None)
        trail.passed(part, skipped, end - begin)
        skipped = 0
    found: Tail | None = result_of(trail.tail(drive))  # type: ignore[arg-type]
    assert trail.blind is (found is None)
    return found


@given(dumps(), SIZES, st.lists(st.booleans(), min_size=1), st.data())
def test_what_is_counted_and_compared_is_all(
    dump: Any, source_block: int, changes: list[bool], choice: st.DataObject
) -> None:
    """Wherever the stream is cut, whatever looks well is well."""
    block, before, data, ends, _ = dump
    tail = read_all(dump, Drive(source_block), [source_block], changes)
    if tail is None:
        assert data[before:]
        assert ends[-2] == len(data), "the last volume had nothing"
        return
    assert tail.begin == max(last_record(len(data), block), before)
    assert tail.data == data[tail.begin :]
    got = data[before : choice.draw(st.integers(before, len(data)))]
    written = got.ljust(padded(len(got), block), b"\0")
    proved = before + len(written) == padded(len(data), block) and (
        not written or tail.difference(written[-block:], "ndmp:t@d", block) is None
    )
    assert proved is (written == data[before:].ljust(padded(len(data) - before, block), b"\0"))


@given(dumps(), SIZES, st.lists(SIZES, min_size=1), st.lists(st.booleans(), min_size=1))
def test_records_of_other_sizes_than_the_header_tells(
    dump: Any, source_block: int, sizes: list[int], changes: list[bool]
) -> None:
    """Shorter ones give the right bytes all the same, longer ones perhaps none."""
    _, _, data, ends, _ = dump
    tail = read_all(dump, Drive(source_block), sizes, changes)
    if tail is None:
        assert ends[-2] == len(data) or max(sizes) > source_block
    else:
        assert tail.data == data[tail.begin :]


def test_how_a_difference_is_told() -> None:
    tail = Tail("ndmp:s@d", 8, b"abcdef")
    assert tail.difference(b"abcdef\0\0", "ndmp:t@d", 8) is None
    begin = (
        "the last record, which begins at byte 8 of the dump, is not the same on 'ndmp:t@d' as on "
        "'ndmp:s@d': "
    )
    for found, text in (
        (b"abc\0\0\0\0\0", "nothing but zeros from byte 3 of it on"),
        (b"Abcdef\0\0", "another byte from byte 0 of it on"),
        (b"abcdef\0x", "another byte from byte 7 of it on"),
        (b"abcdef", "it has 6 bytes there, 8 were expected"),
    ):
        assert tail.difference(found, "ndmp:t@d", 8) == begin + text
