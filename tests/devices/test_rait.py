"""rait: one volume over several devices, with parity."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface import alsoProvides
from zope.interface.verify import verifyObject

from devices.crew import Crew
from devices.errors import DeviceError, DriveFailed, PropertyRefused, Status, VolumeFailed
from devices.file import FileDevice
from devices.interfaces import AccessMode, FileStart, IDevice, IHurries, WriteEnd, Written
from devices.rait import RaitDevice
from devices.registry import open_blocking_device
from devices.xor import agree, by_gmp, by_numbers, gather, scatter, xor
from protocols.header import HeaderType
from tests.contract.device import (
    BLOCK,
    PART,
    STAMP,
    AppendContract,
    ReadContract,
    read_rest,
    some_bytes,
    write_part,
)
from tests.contract.device_end import EndContract


def vtapes(root: Path, width: int) -> list[Path]:
    paths = [root / f"r{number}" for number in range(width)]
    for path in paths:
        path.mkdir(exist_ok=True)
    return paths


def name_of(root: Path, width: int, *, without: int | None = None) -> str:
    names = [f"file:{path}" for path in vtapes(root, width)]
    if without is not None:
        names[without] = "MISSING"
    return f"rait:{{{','.join(names)}}}"


def rait(root: Path, width: int, *, without: int | None = None, block: int = BLOCK) -> RaitDevice:
    """A device of ``width`` vtapes whose blocks have ``block`` bytes on each of them."""
    device = open_blocking_device(name_of(root, width, without=without))
    assert isinstance(device, RaitDevice)
    device.properties.set("block-size", block * max(1, width - 1))
    return device


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


def written(root: Path, width: int, parts: list[memoryview]) -> None:
    """A volume with these parts."""
    device = rait(root, width)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    for number, data in enumerate(parts, 1):
        write_part(device, data, evolve(PART, partnum=number))
    device.finish()


def read(device: IDevice, number: int = 1) -> bytes:
    if device.access_mode is AccessMode.NULL:
        device.start(AccessMode.READ)
    header = device.seek_file(number)
    assert header is not None
    assert header.partnum == number
    return read_rest(device, 8 * device.block_size)


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


# faults


class Faulty:
    """Lets one operation of one child fail, from its nth call on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, child: str, operation: str) -> None:
        self.left = 0
        usual = getattr(FileDevice, operation)

        def faulty(device: FileDevice, *args: Any) -> Any:
            if device.name.endswith(child):
                self.left -= 1
                if self.left < 0:
                    device.status, device.error = Status.VOLUME_ERROR, "broken"
                    if operation == "write_blocks":
                        return Written(0, WriteEnd.FAILED)
                    raise VolumeFailed("broken", Status.VOLUME_ERROR)
            return usual(device, *args)

        monkeypatch.setattr(FileDevice, operation, faulty)


@pytest.mark.parametrize("child", ["r0", "r1", "r2"])
def test_a_child_that_fails_in_mid_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: str
) -> None:
    """The part fails with its name, the volume counts as full, and finishing works."""
    device = rait(tmp_path, 3)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    good = some_bytes(4 * BLOCK)
    write_part(device, good)
    device.start_file(evolve(PART, partnum=2))
    assert device.write_blocks(good).end is WriteEnd.NONE
    Faulty(monkeypatch, child, "write_blocks")
    assert device.write_blocks(good) == Written(0, WriteEnd.FAILED)
    text = f"One or more devices failed to write_block: file:{tmp_path}/{child}: broken"
    assert (device.error, device.status, device.is_eom) == (text, Status.DEVICE_ERROR, True)
    device.finish_file()
    device.finish()
    monkeypatch.undo()
    assert read(rait(tmp_path, 3)) == good


@pytest.mark.parametrize("operation", ["start_file", "finish_file", "start", "erase"])
def test_a_child_that_fails_when_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """The operation fails with its name; the device can be finished and used again."""
    device = rait(tmp_path, 3)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    if operation == "finish_file":
        device.start_file(PART)
    elif operation != "start_file":
        device.finish()
    Faulty(monkeypatch, "r1", operation)
    asked = {
        "start_file": lambda: device.start_file(PART),
        "finish_file": device.finish_file,
        "start": lambda: device.start(AccessMode.WRITE, "RAIT-02", STAMP),
        "erase": device.erase,
    }[operation]
    with pytest.raises(DeviceError) as caught:
        asked()
    words = (
        "" if operation in ("start", "erase") else f"One or more devices failed to {operation}: "
    )
    assert caught.value.text == f"{words}file:{tmp_path}/r1: broken"
    assert device.error == caught.value.text
    assert not device.in_file
    device.finish()
    monkeypatch.undo()
    device.start(AccessMode.WRITE, "RAIT-03", STAMP)
    assert write_part(device, some_bytes(BLOCK)) == 1


@pytest.mark.parametrize("operation", ["seek_file", "read_blocks", "read_label", "start"])
@pytest.mark.parametrize("child", ["r0", "r2"])
def test_a_child_that_fails_when_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, child: str
) -> None:
    """One is done without, in the middle of a part too; a second one is an error."""
    data = some_bytes(20 * BLOCK)
    written(tmp_path, 3, [data])
    device = rait(tmp_path, 3)
    fault = Faulty(monkeypatch, child, operation)
    fault.left = 1 if operation == "read_blocks" else 0
    device.start(AccessMode.READ)
    device.seek_file(1)
    assert read_rest(device, 4 * BLOCK) == data
    Faulty(monkeypatch, "r1", "read_blocks")
    with pytest.raises(DeviceError, match=r"r1: broken$"):
        read(device)
    device.finish()


def test_parity_that_is_wrong(tmp_path: Path) -> None:
    """A block that nobody can trust is not given out; without the parity child it is."""
    data = some_bytes(4 * BLOCK)
    written(tmp_path, 3, [data])
    part = next((tmp_path / "r2").glob("00001.*"))
    content = bytearray(part.read_bytes())
    content[-1] ^= 1
    part.write_bytes(content)
    with pytest.raises(VolumeFailed) as caught:
        read(rait(tmp_path, 3))
    text = "RAIT is inconsistent: Parity block did not match data blocks."
    assert caught.value.text == text
    assert read(rait(tmp_path, 3, without=2)) == data


def test_a_child_that_ends_early(tmp_path: Path) -> None:
    """Of three the one that is shorter is done without; of two nobody knows who is right. Where
    only one goes on, the part has an end that it should not have."""
    data = some_bytes(8 * BLOCK)
    written(tmp_path, 3, [data])
    for child in ("r0", "r1"):
        os.truncate(next((tmp_path / child).glob("00001.*")), 32768 + 2 * BLOCK)
    with pytest.raises(VolumeFailed, match="but not all are at eof"):
        read(rait(tmp_path, 3))
    for width in (3, 2):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        written(tmp_path, width, [data])
        part = next((tmp_path / "r0").glob("00001.*"))
        os.truncate(part, 32768 + 2 * BLOCK)
        if width == 3:
            assert read(rait(tmp_path, width)) == data
        else:
            with pytest.raises(VolumeFailed, match="but not all are at eof"):
                read(rait(tmp_path, width))


def test_a_file_that_one_child_has_not(tmp_path: Path) -> None:
    """Of three it is done without; the end of the volume is where all end."""
    data = some_bytes(4 * BLOCK)
    written(tmp_path, 3, [data, data])
    next((tmp_path / "r0").glob("00002.*")).unlink()
    device = rait(tmp_path, 3)
    assert read(device, 2) == data
    end = device.seek_file(3)
    assert end is not None
    assert end.type is HeaderType.TAPEEND
    next((tmp_path / "r1").glob("00001.*")).unlink()
    degraded = rait(tmp_path, 3, without=2)
    degraded.start(AccessMode.READ)
    with pytest.raises(DeviceError, match="failed to seek_file"):
        degraded.seek_file(1)


def test_numbers_that_differ(tmp_path: Path) -> None:
    """Children that count differently are no volume."""
    written(tmp_path, 3, [some_bytes(BLOCK)])
    next((tmp_path / "r1").glob("00001.*")).unlink()
    device = rait(tmp_path, 3)
    device.start(AccessMode.APPEND)
    with pytest.raises(VolumeFailed, match="File number mismatch") as caught:
        device.start_file(PART)
    assert caught.value.text.startswith("File number mismatch in rait_device_start_file(): Child ")
    device.finish()


def test_one_child_is_full_before_the_others(tmp_path: Path) -> None:
    """Its early warning ends the part for all, at the same block; then it has no room."""
    device = rait(tmp_path, 3)
    small = device._children[1]
    assert small is not None
    small.properties.set("max_volume_usage", 2 * 32768 + 20 * BLOCK)
    device.start(AccessMode.WRITE, "RAIT-01", STAMP)
    device.start_file(PART)
    data = some_bytes(100 * BLOCK)
    assert device.write_blocks(data) == Written(2 * 17 * BLOCK, WriteEnd.EARLY)
    device.finish_file()
    assert device.start_file(evolve(PART, partnum=2)) == FileStart(0, True)
    device.finish()
    assert read(rait(tmp_path, 3)) == data[: 2 * 17 * BLOCK]


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
