"""``s3:`` volumes on moto: another store than SeaweedFS, and one between which and us things go
wrong for a moment."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from attrs import evolve

from devices.errors import Status, VolumeFailed
from devices.interfaces import AccessMode
from devices.s3 import S3Device
from devices.s3_asking import Terms
from tests.contract.device import PART, STAMP, read_rest, some_bytes, write_part
from tests.fakes.moto_store import Fault, MotoStore, What, running_moto

BLOCK = 64 * 1024
SIZES = {False: 5 * BLOCK + 7, True: (11 << 20) + 7}
QUICK = Terms(first=0.01, longest=0.05, repeat_for=30.0)
LAYOUTS = pytest.mark.parametrize("whole", [False, True], ids=["blocks", "whole"])
_BUCKETS = itertools.count()


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoStore]:
    with running_moto() as store:
        yield store


class Volume:
    """A volume in a bucket that is made with it."""

    def __init__(self, store: MotoStore, whole: bool) -> None:
        self.store = store
        self._bucket = f"bucket-{next(_BUCKETS)}"
        self._whole = whole
        self.data = [some_bytes(SIZES[whole]), some_bytes(BLOCK + 1)]

    def device(self, **properties: object) -> S3Device:
        device = S3Device("s3:moto", f"{self._bucket}/slot-1-", terms=QUICK)
        usual = {
            **self.store.properties(),
            "block_size": BLOCK,
            "s3_multi_part_upload": self._whole,
        }
        for name, value in {**usual, **properties}.items():
            device.properties.set(name, value)  # type: ignore[arg-type]
        return device

    def write(self, **properties: object) -> None:
        device = self.device(**properties)
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        for number, data in enumerate(self.data, 1):
            write_part(device, data, evolve(PART, partnum=number))
        device.finish()

    def check(self) -> None:
        device = self.device()
        assert device.read_label().label == "TAPE-01"
        device.start(AccessMode.READ)
        for number, data in enumerate(self.data, 1):
            header = device.seek_file(number)
            assert header is not None
            assert header.partnum == number
            assert read_rest(device) == data
        device.finish()


@LAYOUTS
def test_a_volume(moto: MotoStore, whole: bool) -> None:
    """Written, read, appended to, written over, erased."""
    volume = Volume(moto, whole)
    volume.write()
    volume.check()
    device = volume.device()
    device.start(AccessMode.APPEND)
    assert write_part(device, volume.data[0]) == 3
    device.finish()
    volume.write()
    volume.check()
    volume.device().erase()
    assert volume.device().read_label().status & Status.VOLUME_UNLABELED


DATA = {False: "b0000000000000002", True: "partNumber=2"}


@pytest.mark.parametrize(
    ("whole", "what", "kept"),
    [
        case
        for case in itertools.product(
            (False, True), (What.BUSY, What.CUT, What.LOST, What.CHANGED), ("", "compliance")
        )
        if case != (False, What.CHANGED, "compliance")  # see below
    ],
)
def test_writing_goes_wrong_for_a_moment(
    moto: MotoStore, whole: bool, what: What, kept: str
) -> None:
    """Label, header and data are sent again where they have to be, and are what they should be."""
    volume = Volume(moto, whole)
    data = Fault(what, "PUT", DATA[whole])
    moto.faults = [data]
    if what is not What.CHANGED:
        moto.faults += [Fault(what, "PUT", "special-tapestart"), Fault(what, "PUT", "filestart")]
    if whole:
        moto.faults.append(Fault(What.LOST, "POST", "uploadId="))
    volume.write(s3_retention_mode=kept, s3_retention=1)
    assert all(fault.times == 0 for fault in moto.faults)
    volume.check()


@LAYOUTS
@pytest.mark.parametrize("what", [What.BUSY, What.CUT, What.SHORT])
def test_reading_goes_wrong_for_a_moment(moto: MotoStore, whole: bool, what: What) -> None:
    """What came is never taken for all there is."""
    volume = Volume(moto, whole)
    volume.write()
    parts = ("special-tapestart", "filestart", "mp.data" if whole else "b0000000000000002")
    moto.faults = [Fault(what, "GET", part) for part in parts]
    volume.check()
    assert all(fault.times == 0 for fault in moto.faults)


def test_what_is_stored_wrongly_and_locked(moto: MotoStore) -> None:
    """It cannot be stored again under that name: the part fails, another will do."""
    moto.faults = [Fault(What.CHANGED, "PUT", DATA[False])]
    with pytest.raises(VolumeFailed, match="other bytes than were sent are there already"):
        Volume(moto, False).write(s3_retention_mode="compliance", s3_retention=1)


def test_a_locked_volume(moto: MotoStore) -> None:
    """It is not written over on this store either."""
    volume = Volume(moto, False)
    volume.write(s3_retention_mode="compliance", s3_retention=1)
    with pytest.raises(VolumeFailed, match=r"is locked until 2\S+ 00:00:00 UTC \(compliance mode"):
        volume.device().start(AccessMode.WRITE, "TAPE-02", STAMP)
    volume.check()
