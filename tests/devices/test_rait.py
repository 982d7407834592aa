"""rait: one volume over several devices, with parity."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface import alsoProvides
from zope.interface.verify import verifyObject

from devices.crew import Crew
from devices.errors import DriveFailed, PropertyRefused, Status
from devices.file import FileDevice
from devices.interfaces import AccessMode, IDevice, IHurries
from devices.rait import RaitDevice
from devices.registry import open_blocking_device
from devices.xor import agree, by_gmp, by_numbers, gather, scatter, xor
from tests.contract.device import (
    BLOCK,
    STAMP,
    AppendContract,
    ReadContract,
    some_bytes,
    write_part,
)
from tests.contract.device_end import EndContract
from tests.devices.rait_world import name_of, rait, read, vtapes, written


class TestMirror(ReadContract, AppendContract, EndContract):
    """Of two children each has everything, so that it ends exactly as one vtape does."""

    @pytest.fixture
    def open_device(self, tmp_path: Path) -> Callable[..., IDevice]:
        def open_it(limit: int = 0, leom: bool = True) -> IDevice:
            children = [FileDevice(f"file:{p}", str(p)) for p in vtapes(tmp_path, 2)]
            for child in children:
                child.properties.set("leom", leom)
            device = RaitDevice("rait", children)
            device.properties.set("block-size", BLOCK)
            device.properties.set("max_volume_usage", limit)
            return device

        return open_it


class TestThree(ReadContract, AppendContract):
    @pytest.fixture
    def open_device(self, tmp_path: Path) -> Callable[..., IDevice]:
        return lambda: rait(tmp_path, 3, block=BLOCK // 2)


class TestFive(ReadContract, AppendContract):
    @pytest.fixture
    def open_device(self, tmp_path: Path) -> Callable[..., IDevice]:
        return lambda: rait(tmp_path, 5, block=BLOCK // 4)


# layout


def test_layout(tmp_path: Path) -> None:
    """Blocks go to the data children in turn, their XOR to the last; headers to all."""
    data = some_bytes(4 * BLOCK)
    written(tmp_path, 3, [data])
    for path in vtapes(tmp_path, 3):
        assert len(list(path.iterdir())) == 2
        assert (path / "00000.RAIT-01").exists()
    chunks = [bytes(data[at : at + BLOCK]) for at in range(0, 4 * BLOCK, BLOCK)]
    stored = [next(path.glob("00001.*")).read_bytes()[32768:] for path in vtapes(tmp_path, 3)]
    assert stored[0] == chunks[0] + chunks[2]
    assert stored[1] == chunks[1] + chunks[3]
    assert stored[2] == bytes(a ^ b for a, b in zip(stored[0], stored[1], strict=True))


def test_a_short_last_block_is_filled(tmp_path: Path) -> None:
    """With zeros, to a whole block of the device."""
    data = some_bytes(3 * BLOCK + 7)
    written(tmp_path, 3, [data])
    assert read(rait(tmp_path, 3)) == bytes(data) + bytes(BLOCK - 7)


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 5), st.sampled_from([8, 24, 40000]))
def test_gather_and_scatter(lanes: int, stripes: int, block: int) -> None:
    """One undoes the other, and a lost lane is the XOR of all others and the parity."""
    data = some_bytes(lanes * stripes * block)
    parts = gather(data, lanes, block)
    target = memoryview(bytearray(len(data)))
    scatter(parts, block, target)
    assert target == data
    parity = memoryview(xor(parts))
    assert agree([*parts, parity])
    for lost in range(lanes):
        others = [part for lane, part in enumerate(parts) if lane != lost]
        assert xor([*others, parity]) == parts[lost]
    spoiled = bytearray(parity)
    spoiled[-1] ^= 1
    assert not agree([*parts, memoryview(spoiled)])


@settings(max_examples=60)
@given(st.integers(0, 100) | st.sampled_from([32768, 32769, 70001]), st.booleans())
def test_all_ways_of_xor_do_the_same(size: int, readonly: bool) -> None:
    """As byte by byte, of any length; what must not be changed is not."""
    one, two = os.urandom(size), os.urandom(size)
    wanted = bytes(a ^ b for a, b in zip(one, two, strict=True))
    for way in (by_numbers, by_gmp()):
        if way is not None:
            result = bytearray(one)
            way(result, memoryview(two if readonly else bytearray(two)))
            assert result == wanted


def test_blocks_of_other_lengths_are_refused() -> None:
    """Nothing is read or written behind an end."""
    with pytest.raises(ValueError, match="XOR of 8 and 9 bytes"):
        xor([memoryview(bytes(8)), memoryview(bytes(9))])
    gmp = by_gmp()
    if gmp is not None:
        with pytest.raises(ValueError, match="XOR of 9 and 8 bytes"):
            gmp(bytearray(9), memoryview(bytes(8)))


# degraded


@pytest.mark.parametrize("width", [2, 3, 4, 7])
def test_any_child_may_be_missing_to_read(tmp_path: Path, width: int) -> None:
    """MISSING in its place, an empty directory, or none at all."""
    parts = [some_bytes(5 * BLOCK * max(1, width - 1)), some_bytes(0)]
    written(tmp_path, width, parts)
    for lost in range(width):
        device = rait(tmp_path, width, without=lost)
        assert device.read_label().label == "RAIT-01"
        assert read(device) == parts[0]
        assert read(device, 2) == b""
        device.finish()
        for gone in (False, True):
            away = tmp_path / "away"
            (tmp_path / f"r{lost}").rename(away)
            if not gone:
                (tmp_path / f"r{lost}").mkdir()
            children = [FileDevice(f"file:{p}", str(p)) for p in map(tmp_path.joinpath, _r(width))]
            device = RaitDevice("rait", children)
            device.properties.set("block-size", BLOCK * max(1, width - 1))
            assert device.read_label().label == "RAIT-01"
            assert read(device) == parts[0]
            device.finish()
            shutil.rmtree(tmp_path / f"r{lost}", ignore_errors=True)
            away.rename(tmp_path / f"r{lost}")


def _r(width: int) -> list[str]:
    return [f"r{number}" for number in range(width)]


def test_two_missing_are_too_many(tmp_path: Path) -> None:
    """In the name, and on the volume: then it is bad, but never blank."""
    name = f"rait:{{file:{tmp_path},ERROR,MISSING}}"
    with pytest.raises(DriveFailed) as caught:
        open_blocking_device(name)
    assert caught.value.text == "ERROR: Device is NULL; MISSING: Device is NULL"
    written(tmp_path, 3, [])
    for number in (0, 1):
        (tmp_path / f"r{number}/00000.RAIT-01").unlink()
    reading = rait(tmp_path, 3).read_label()
    assert reading.status == Status.VOLUME_ERROR
    assert reading.header_type is None
    names = [f"file:{tmp_path}/r{number}: File 0 not found" for number in (0, 1)]
    assert reading.error == "; ".join(names)


def test_a_degraded_device_is_read_only(tmp_path: Path) -> None:
    """A missing child forbids to write and to append, in stock's words."""
    written(tmp_path, 3, [])
    device = rait(tmp_path, 3, without=1)
    for mode in (AccessMode.WRITE, AccessMode.APPEND):
        with pytest.raises(DriveFailed) as caught:
            device.start(mode, "RAIT-02", STAMP)
        text = f"RAIT device {device.name} is read-only because it is in degraded mode.\n"
        assert (caught.value.text, caught.value.status) == (text, Status.DEVICE_ERROR)
    assert device.read_label().label == "RAIT-01"


def test_a_blank_child_can_be_written_again(tmp_path: Path) -> None:
    """Relabelling makes the volume whole; appending to it would not, and is refused."""
    written(tmp_path, 3, [some_bytes(BLOCK)])
    shutil.rmtree(tmp_path / "r1")
    device = rait(tmp_path, 3)
    assert device.read_label().label == "RAIT-01"
    with pytest.raises(DriveFailed, match="read-only because it is in degraded mode"):
        device.start(AccessMode.APPEND)
    device.finish()
    device.start(AccessMode.WRITE, "RAIT-02", STAMP)
    data = some_bytes(6 * BLOCK)
    write_part(device, data)
    device.finish()
    assert read(rait(tmp_path, 3, without=0)) == data


def test_a_child_that_cannot_be_opened_is_missing(tmp_path: Path) -> None:
    """The volume can be read; with all of them in order again it can be written."""
    written(tmp_path, 2, [some_bytes(BLOCK)])
    device = open_blocking_device(f"rait:{{file:{tmp_path}/r0,nosuch:x}}")
    assert device.properties["canonical_name"].value == f"rait:{{file:{tmp_path}/r0,MISSING}}"
    with pytest.raises(DriveFailed, match="degraded"):
        device.start(AccessMode.WRITE, "RAIT-02", STAMP)


def test_labels_that_differ(tmp_path: Path) -> None:
    """Two labels on one volume are an error that names both."""
    written(tmp_path, 3, [])
    (tmp_path / "r1/00000.RAIT-01").unlink()
    other = FileDevice("other", str(tmp_path / "r1"))
    other.start(AccessMode.WRITE, "RAIT-07", "X")
    other.finish()
    reading = rait(tmp_path, 3).read_label()
    assert reading.status is Status.VOLUME_ERROR
    assert reading.error == (
        f"Inconsistent volume labels/datestamps: Got RAIT-01/{STAMP} on file:{tmp_path}/r0 "
        f"against RAIT-07/X on file:{tmp_path}/r1."
    )


# properties


def test_block_sizes(tmp_path: Path) -> None:
    """A multiple of the data children; what a child insists on is what all get."""
    device = open_blocking_device(name_of(tmp_path, 4))
    assert device.block_size == 3 * 32768
    with pytest.raises(PropertyRefused) as caught:
        device.properties.set("block-size", 32768)
    assert caught.value.text == "Block size must be a multiple of 3"
    for size in (4096, 16384):
        device.properties.set("block-size", 3 * size)
        device.read_label()
        assert [c.block_size for c in device._children] == [size] * 4  # type: ignore[attr-defined]
    device.properties.set("block-size", 3 * 4096)
    child = device._children[2]  # type: ignore[attr-defined]
    child.properties.set("block-size", 8192)
    text = f"Child device file:{tmp_path}/r2 already has its block size set to 8192, not 4096"
    assert device.read_label().error == text


def test_children_may_be_aliases(tmp_path: Path) -> None:
    """With the properties of their own sections; a name in the list may be a range."""

    @frozen
    class Section:
        tapedev: str
        device_property: dict[str, tuple[str, ...]]

    @frozen
    class Sections:
        def device(self, name: str, /) -> Section | None:
            if name == "whirl":
                return Section("rait:{whirl,whirl}", {})
            if not name.startswith("d"):
                return None
            return Section(f"file:{tmp_path}/{name}", {"max-volume-usage": ("300k",)})

    device = open_blocking_device("rait:d{1..3}", Sections())
    assert device.properties["canonical_name"].value == "rait:{d1,d2,d3}"
    children = device._children  # type: ignore[attr-defined]
    assert [child.properties.number("max_volume_usage") for child in children] == [300 * 1024] * 3
    with pytest.raises(DriveFailed, match='whirl: Device "whirl" is a part of itself'):
        open_blocking_device("whirl", Sections())


@pytest.mark.parametrize("node", ["{a", "", "{,a}", "{a{b}}"])
def test_bad_names(node: str) -> None:
    """A list that is none is named in stock's words, with what is wrong."""
    with pytest.raises(DriveFailed) as caught:
        open_blocking_device(f"rait:{node}")
    assert caught.value.text.startswith(f"Invalid RAIT device name 'rait:{node}': ")


def test_a_limit_is_shared(tmp_path: Path) -> None:
    """Each data child has its share, and so much has the parity."""
    device = rait(tmp_path, 3)
    device.properties.set("max-volume-usage", "1001")
    assert device.properties.number("max_volume_usage") == 1000
    children = [child for child in device._children if child is not None]
    assert [child.properties.number("max_volume_usage") for child in children] == [500] * 3


def test_children_are_hurried(tmp_path: Path) -> None:
    """Those that can: what waits for another machine."""
    hurried: list[str] = []
    device = rait(tmp_path, 3)
    child = device._all[1]
    alsoProvides(child, IHurries)
    child.hurry = lambda: hurried.append(child.name)  # type: ignore[attr-defined]
    assert verifyObject(IHurries, device)
    device.hurry()
    assert hurried == [child.name]


def test_a_child_keeps_a_limit_of_its_own(tmp_path: Path) -> None:
    """The length of a tape type, which comes later and is for the whole, raises it in no child."""
    children = [child for child in rait(tmp_path, 3)._children if child is not None]
    children[1].properties.set("max_volume_usage", 400)
    device = RaitDevice("rait", children)
    device.properties.set("max-volume-usage", "2000")
    assert [child.properties.number("max_volume_usage") for child in children] == [1000, 400, 1000]
    assert device.properties.number("max_volume_usage") == 800
    device.properties.set("max-volume-usage", "600")
    assert [child.properties.number("max_volume_usage") for child in children] == [300] * 3
    device.properties.set("max-volume-usage", "0")
    assert [child.properties.number("max_volume_usage") for child in children] == [0, 400, 0]


def test_no_thread_is_left(tmp_path: Path) -> None:
    """Whatever a device did, its threads end when it is finished."""
    before = set(threading.enumerate())
    written(tmp_path, 4, [some_bytes(30 * BLOCK)])
    device = rait(tmp_path, 4)
    read(device)
    device.finish()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_a_crew_works_at_the_same_time() -> None:
    """All tasks are going on at once: each waits for all others."""
    crew = Crew("test")
    barrier = threading.Barrier(4)
    assert len(crew.do({n: lambda: barrier.wait(60) for n in range(4)})) == 4
    crew.rest()
