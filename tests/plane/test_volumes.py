"""The source of a vaulted dump: parts on volumes, read as one stream [data-plane 4.4]."""

from __future__ import annotations

import itertools

import pytest
from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from devices.interfaces import AccessMode, IDevice
from protocols.crc import UNKNOWN, Crc
from protocols.header import Header, HeaderType
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.plane.interfaces import ISource, SourceError
from taper.plane.transfer import Transfer
from taper.plane.volumes import IBlockSkipper, VolumeSource, known_size, seek_part
from tests.fakes.device import FakeDevice, FakeFile, FakeVolume
from tests.plane.dumping import Plan, crc_of, volumes, write_dump

STAMP = "20251231000000"
HEADER = Header(
    type=HeaderType.SPLIT_DUMPFILE, datestamp=STAMP, host="localhost", disk="/srv", totalparts=-1
)
NAME = DumpName(storage="near", host="localhost", disk="/srv", datestamp=STAMP, level="0")


class Shelf:
    """Volumes of fakes, and the way from one to the next.

    :param sizes: of the parts on each volume
    :param padded: last blocks are whole, as on tape
    """

    def __init__(
        self, data: bytes, sizes: list[list[int]], block: int = 100, padded: bool = False
    ) -> None:
        self.asked: list[str] = []
        self.cancelled = False
        self.kind: type[FakeDevice] = FakeDevice
        self.volumes: dict[str, FakeVolume] = {}
        self.block = block
        parts: list[StoredPart] = []
        at = 0
        for number, on_volume in enumerate(sizes):
            label = f"V{number}"
            volume = FakeVolume(label=label, timestamp=STAMP)
            self.volumes[label] = volume
            for fileno, size in enumerate(on_volume, 1):
                content = bytearray(data[at : at + size])
                if padded:
                    content += bytes(-size % block)
                header = evolve(HEADER, partnum=len(parts) + 1)
                volume.files[fileno] = FakeFile(header, content, complete=True)
                parts.append(
                    StoredPart(label=label, fileno=fileno, number=len(parts) + 1, size=size)
                )
                at += size
        self.dump = StoredDump(name=NAME, written=STAMP, parts=tuple(parts), crc=UNKNOWN)

    def change_to(self, label: str) -> IDevice:
        self.asked.append(label)
        return self.open(label)

    def open(self, label: str) -> FakeDevice:
        device = self.kind(self.volumes[label], name=f"fake:{label}", block_size=self.block)
        device.start(AccessMode.READ)
        return device

    def cancel(self) -> None:
        self.cancelled = True

    def source(self, total: int | None = None) -> VolumeSource:
        first = self.dump.parts[0]
        device = self.open(first.label)
        seek_part(device, self.dump, first)
        return VolumeSource(self.dump, total, device, self)


def read_all(source: VolumeSource, size: int) -> bytes:
    """Read to the end, so many bytes at most at a time."""
    result = bytearray()
    buffer = memoryview(bytearray(size))
    while got := source.read_into(buffer):
        result += buffer[:got]
    return bytes(result)


DATA = bytes(n % 251 for n in range(1234))


@settings(max_examples=80)
@given(
    st.lists(st.lists(st.integers(0, 350), min_size=1, max_size=3), min_size=1, max_size=4),
    st.integers(1, 500),
    st.booleans(),
)
def test_parts_make_one_stream(sizes: list[list[int]], step: int, padded: bool) -> None:
    """However they lie, whatever room there is, padded or not."""
    total = sum(sum(on_volume) for on_volume in sizes)
    data = bytes(n % 251 for n in range(total))
    shelf = Shelf(data, sizes, padded=padded)
    source = shelf.source()
    verifyObject(ISource, source)
    assert read_all(source, step) == data
    assert source.finished
    assert shelf.asked == [f"V{n}" for n in range(1, len(sizes))]
    source.close()


@implementer(IBlockSkipper)
class Skipping(FakeDevice):
    """A device that need not read what nobody wants."""

    skipped = 0

    def skip_blocks(self, count: int) -> None:
        rest = memoryview(bytearray(self.block_size))
        for _ in range(count):
            assert self.read_blocks(rest)
        self.skipped += count


@settings(max_examples=80)
@given(
    st.lists(st.lists(st.integers(0, 350), min_size=1, max_size=3), min_size=1, max_size=4),
    st.integers(1, 500),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.data(),
)
def test_from_any_byte_on(
    sizes: list[list[int]], step: int, how: tuple[bool, bool, bool], data: st.DataObject
) -> None:
    """No volume is asked for that has none of it, if the log tells the sizes; and whoever stored
    padding as well wants nothing more."""
    padded, told, skipping = how
    total = sum(sum(on_volume) for on_volume in sizes)
    whole = bytes(n % 251 for n in range(total))
    shelf = Shelf(whole, sizes, padded=padded)
    shelf.kind = Skipping if skipping else FakeDevice
    dump = shelf.dump
    if not told:
        assume(not padded)  # nobody could tell where a part ends
        dump = evolve(dump, parts=tuple(evolve(part, size=None) for part in dump.parts))
    position = data.draw(st.integers(1, total + shelf.block))
    known = total if told else None
    source = VolumeSource(dump, known, None, shelf, position)
    assert read_all(source, step) == whole[position:]
    assert source.finished
    assert not source.failed
    ends = list(itertools.accumulate(sum(on_volume) for on_volume in sizes))
    if told and position < total:
        first = next(number for number, end in enumerate(ends) if end > position)
        assert shelf.asked == [f"V{number}" for number in range(first, len(sizes))]
    source.close()


def test_it_feeds_a_transfer_of_other_blocks() -> None:
    """Source blocks of 100 bytes, device blocks of 1000, parts of 3000."""
    shelf = Shelf(DATA * 20, [[5000, 7000], [12_680]])
    transfer = Transfer(shelf.source(), Plan(part_size=3000, block_size=1000))
    dump = write_dump(transfer, volumes(lambda: FakeDevice(FakeVolume(), block_size=1000)))
    assert bytes(dump.stored) == DATA * 20
    assert dump.source_crc == crc_of(DATA * 20)
    assert dump.errors == []


@pytest.mark.parametrize(("place", "number"), [("V0", 1), ("V1", 2)])
def test_a_truncated_part(place: str, number: int) -> None:
    """[data-plane Q0]."""
    shelf = Shelf(DATA, [[1000], [234]])
    del shelf.volumes[place].files[1].data[-1:]
    size = {1: 1000, 2: 234}[number]
    source = shelf.source()
    with pytest.raises(SourceError) as caught:
        read_all(source, 300)
    assert str(caught.value) == (
        f"part {number} on '{place}' file 1 is truncated: {size - 1} bytes, {size} expected"
    )
    assert not source.finished


def test_a_part_that_is_longer_than_padding_makes_it() -> None:
    shelf = Shelf(DATA, [[1234]])
    shelf.volumes["V0"].files[1].data += b"\0" * 166
    with pytest.raises(SourceError, match="part 1 on 'V0' file 1 is longer than the 1234 bytes"):
        read_all(shelf.source(), 300)


def test_the_last_part_is_cut_at_the_known_size() -> None:
    """[data-plane Q18]: the log counted the padding, the header's checksum does not."""
    padded = DATA + bytes(66)
    shelf = Shelf(padded, [[600], [700]])
    assert read_all(shelf.source(total=1234), 128) == DATA


@pytest.mark.parametrize("what", ["header", "missing", "end", "error"])
def test_a_part_that_is_not_there(what: str) -> None:
    """Another header, a hole in the numbers, the end of the volume, a volume that is gone."""
    shelf = Shelf(DATA, [[600, 600, 34]])
    files = shelf.volumes["V0"].files
    if what == "header":
        files[2].header = evolve(files[2].header, host="other")
        expected = "header on 'V0' file 2 does not match expectations: got hostname 'other'"
    elif what == "missing":
        del files[2]
        expected = "'V0' file 2: there is no such file on the volume"
    else:
        del files[2], files[3]
        expected = "'V0' file 2: there is no such file on the volume"
    source = shelf.source()
    if what == "error":
        source._device.volume = None  # type: ignore[attr-defined]
        expected = "'V0' file 1: error reading from fake:V0: no volume"
    with pytest.raises(SourceError, match=expected.replace("(", r"\(")):
        read_all(source, 1000)


def test_a_cancelled_source_ends() -> None:
    """And so does the wait for a volume."""
    shelf = Shelf(DATA, [[1234]])
    source = shelf.source()
    source.cancel()
    source.cancel()
    assert shelf.cancelled
    assert source.read_into(memoryview(bytearray(100))) == 0
    assert not source.finished


def test_which_size_is_known() -> None:
    """The header's checksum, else the catalogue's, else the client's where it can be meant."""
    shelf = Shelf(DATA, [[1300]])
    dump = shelf.dump
    assert known_size(dump, HEADER, 100) is None
    client = evolve(HEADER, client_crc=Crc(3, 1234))
    assert known_size(dump, client, 100) == 1234
    assert known_size(dump, client, 66) is None
    for changed in ({"comp_suffix": ".gz"}, {"server_encrypt": "x"}):
        assert known_size(dump, evolve(client, **changed), 100) is None  # type: ignore[arg-type]
    listed = evolve(dump, crc=Crc(2, 1250))
    assert known_size(listed, client, 100) == 1250
    assert known_size(listed, evolve(client, server_crc=Crc(1, 1260)), 100) == 1260
