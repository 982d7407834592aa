"""The data of a file in a store of which the header's object is damaged, missing or not given."""

from __future__ import annotations

import pytest
from attrs import evolve
from zope.interface.verify import verifyObject

from devices.errors import DeviceError
from devices.interfaces import AccessMode, IFindsData
from devices.s3 import S3Device
from protocols.crc import UNKNOWN
from protocols.header import Header
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.plane.salvage import SalvagedSource
from tests.contract.device import PART, STAMP, read_rest, some_bytes, write_part
from tests.devices.s3_world import AT_ONCE, BLOCK, opened, started
from tests.fakes.s3_store import Fault, MemoryStore, denied, reset

SIZES = (5 * BLOCK + 7, 4 * BLOCK, 1)
BADLY = ["missing", "zeros", "other bytes", "empty", "refused", "far too long"]


def written(*, whole: bool) -> tuple[MemoryStore, list[memoryview]]:
    store = MemoryStore()
    device = started(store, whole=whole)
    parts = [some_bytes(size) for size in SIZES]
    for number, data in enumerate(parts, 1):
        write_part(device, data, evolve(PART, partnum=number))
    device.finish()
    return store, parts


def damage(store: MemoryStore, number: int, how: str) -> None:
    key = f"slot-1-f{number:08x}-filestart"
    assert key in store.objects
    if how == "missing":
        del store.objects[key]
    elif how == "refused":
        store.faults.append(Fault("get", key, [denied() for _ in range(100)]))
    else:
        junk = {"zeros": bytes(32768), "other bytes": b"x" * 32768, "empty": b""}
        store.objects[key] = junk.get(how, bytes(11 * 2**20))


def reading(store: MemoryStore) -> S3Device:
    device = opened(store, terms=AT_ONCE)
    device.start(AccessMode.READ)
    return device


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("how", BADLY)
def test_what_is_behind_a_damaged_header(how: str, whole: bool) -> None:
    store, parts = written(whole=whole)
    for number in (1, 3):
        damage(store, number, how)
    device = reading(store)
    verifyObject(IFindsData, device)
    for number, data in enumerate(parts, 1):
        if number == 2:
            assert device.seek_file(2) is not None
        else:
            assert not_found(device, number)
            assert device.seek_data(number) == len(data)
            assert (device.file, device.in_file) == (number, True)
        assert read_rest(device) == data
    device.finish()


def not_found(device: S3Device, number: int) -> bool:
    """There is no header of this file."""
    try:
        found: Header | None = device.seek_file(number)
    except DeviceError:
        return True
    return found is None or not found.is_dump or device.file != number


def test_what_is_no_file_with_a_damaged_header() -> None:
    """One whose header can be read; none at all; one of which nothing but the header was there; a
    store that does not answer."""
    store, _ = written(whole=False)
    device = reading(store)
    with pytest.raises(DeviceError, match="can be read"):
        device.seek_data(2)
    for number in (0, 4, 2**32):
        with pytest.raises(DeviceError, match=f"File {number} not found"):
            device.seek_data(number)
    for key in [key for key in store.objects if "f00000002-" in key]:
        del store.objects[key]
    store.objects["slot-1-f00000002-else"] = b"stranger"
    with pytest.raises(DeviceError, match="File 2 not found"):
        device.seek_data(2)
    store.faults.append(Fault("get", "*", [reset() for _ in range(1000)]))
    store.calls.clear()
    with pytest.raises(DeviceError, match="While reading filestart header from S3: 'slot-1-f0"):
        device.seek_data(1)
    assert not any(operation == "page" for operation, _ in store.calls)
    assert not device.in_file
    device.finish()


@pytest.mark.parametrize("how", ["missing", "zeros", "another's"])
def test_a_dump_is_read_by_what_the_log_tells(how: str) -> None:
    """Where a header is not there, seeking finds the next one, of another part; one that can be
    read is believed."""
    store, parts = written(whole=False)
    if how == "another's":
        store.objects["slot-1-f00000001-filestart"] = store.objects["slot-1-f00000002-filestart"]
    else:
        for number in (1, 3):
            damage(store, number, how)
    name = DumpName(storage="S", host=PART.host, disk=PART.disk, datestamp=STAMP, level="0")
    listed = tuple(
        StoredPart(label="TAPE-01", fileno=number, number=number, size=size)
        for number, size in enumerate(SIZES, 1)
    )
    dump = StoredDump(name=name, written=STAMP, parts=listed, crc=UNKNOWN)
    device = reading(store)
    source = SalvagedSource(dump, None, Shelf(device), {}, fill=True)
    buffer, found = memoryview(bytearray(4 * BLOCK)), bytearray()
    while got := source.read_into(buffer):
        found += buffer[:got]
    device.finish()
    if how == "another's":
        assert [loss.part.number for loss in source.losses] == [1]
        assert (source.headless, found[SIZES[0] :]) == ([], b"".join(parts[1:]))
    else:
        assert (source.losses, found) == ([], b"".join(parts))
        assert [part.number for part in source.headless] == [1, 3]


class Shelf:
    """One volume."""

    def __init__(self, device: S3Device) -> None:
        self._device = device

    def change_to(self, label: str) -> S3Device:
        return self._device

    def cancel(self) -> None:
        """Nobody waits."""
