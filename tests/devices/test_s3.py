"""The device ``s3:`` on SeaweedFS, in both layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devices.errors import DeviceError
from devices.interfaces import AccessMode, IDevice, IHurries
from devices.registry import open_blocking_device as open_by_name
from protocols.conf import load
from protocols.header import Header, HeaderType, build_header
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
from tests.contract.device_end import HEADER_ROOM, EndContract
from tests.fakes.weed import Weed

LABEL = Header(type=HeaderType.TAPESTART, datestamp=STAMP, label="TAPE-01")
HEADERS = len(build_header(LABEL, 0, None)) + len(build_header(PART, 0, None))


class S3Contract(ReadContract, AppendContract, EndContract):
    early_blocks = 5
    whole = False

    @pytest.fixture
    def open_device(self, weed: Weed) -> Callable[..., IDevice]:
        """Headers take the room that they need, and not 32 KiB; one block is on its way."""
        name = f"s3:{weed.make_bucket()}/slot-1-"
        properties = weed.properties(weed.taper)

        def open_it(limit: int = 0, leom: bool = True) -> IDevice:
            device = open_by_name(name)
            for key, value in properties.items():
                device.properties.set(key, value)
            device.properties.set("block_size", BLOCK)
            device.properties.set("leom", leom)
            device.properties.set("s3_multi_part_upload", self.whole)
            device.properties.set("nb_threads_backup", 1 if limit else 3)
            if limit:
                device.properties.set("enforce_max_volume_usage", True)
                device.properties.set("max_volume_usage", limit - 2 * HEADER_ROOM + HEADERS)
            return device

        return open_it


class TestBlocks(S3Contract):
    """Each block is an object."""


class TestWhole(S3Contract):
    """All data of a file are one object."""

    whole = True


def test_a_mirror_in_the_cloud(weed: Weed, tmp_path: Path) -> None:
    """A `rait:` of a vtape and a bucket: written on both, read from either, hurried."""
    (tmp_path / "near").mkdir()
    properties = {**weed.properties(weed.taper), "BLOCK_SIZE": str(BLOCK)}
    lines = [f'device-property "{name}" "{value}"' for name, value in properties.items()]
    node = f"s3:{weed.make_bucket()}/far-"
    text = "\n".join(['org "x"', "define device far {", f'tapedev "{node}"', *lines, "}", ""])
    config = load("C", {"/etc/amanda/C/amanda.conf": text.encode()}.get).config
    near = f"file:{tmp_path}/near"
    data = some_bytes(20 * BLOCK + 7)
    mirror = open_by_name(f"rait:{{{near},far}}", config)
    mirror.properties.set("block_size", BLOCK)
    mirror.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert write_part(mirror, data) == 1
    IHurries(mirror).hurry()
    mirror.finish()
    for name in (f"rait:{{{near},MISSING}}", "rait:{MISSING,far}"):
        reader = open_by_name(name, config)
        reader.properties.set("block_size", BLOCK)
        reader.start(AccessMode.READ)
        assert reader.seek_file(1) is not None
        assert read_rest(reader)[: len(data)] == data
        reader.finish()


def test_what_was_left_on_a_real_store(weed: Weed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings in pages, uploads that were never completed, and what is not ours."""
    monkeypatch.setattr("devices.s3_store._MOST_LISTED", 3)
    bucket = weed.make_bucket()

    def opened() -> IDevice:
        device = open_by_name(f"s3:{bucket}/slot-1-")
        for key, value in {**weed.properties(weed.taper), "BLOCK_SIZE": str(BLOCK)}.items():
            device.properties.set(key, value)
        return device

    data = some_bytes(10 * BLOCK)
    device = opened()
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert [write_part(device, data) for _ in range(3)] == [1, 2, 3]
    device.finish()
    client = weed.client()
    ours = [f"slot-1-f{number:08x}-mp.data" for number in range(4, 9)]
    others = ["slot-2-f00000001-mp.data", "slot-1-fotos.tar"]
    for key in (*ours, *others):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    client.put_object(Bucket=bucket, Key="slot-1-fotos/1.jpg", Body=b"jpg")

    def uploads() -> list[str]:
        found = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return sorted(each["Key"] for each in found)

    assert uploads() == sorted([*ours, *others])
    device = opened()
    device.start(AccessMode.APPEND)
    assert uploads() == sorted(others)
    assert write_part(device, data) == 4
    device.finish()
    device.start(AccessMode.READ)
    for number in range(1, 5):
        assert device.seek_file(number) is not None
        assert read_rest(device) == data
    assert device.seek_file(6) is None
    device.finish()
    device.erase()
    assert weed.keys_in(bucket) == ["slot-1-fotos/1.jpg"]


@pytest.mark.parametrize("prefix", ["", "a b+c%41&d=e?f#g/", "größe/№-", "x//y:;,'\"<>-"])
def test_prefixes_of_all_kinds(weed: Weed, prefix: str) -> None:
    """Whatever has a meaning in URLs and listings means itself."""
    bucket = weed.make_bucket()
    device = open_by_name(f"s3:{bucket}/{prefix}" if prefix else f"s3:{bucket}")
    for key, value in {**weed.properties(weed.taper), "BLOCK_SIZE": str(BLOCK)}.items():
        device.properties.set(key, value)
    data = some_bytes(3 * BLOCK)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert write_part(device, data) == 1
    device.finish()
    device.start(AccessMode.APPEND)
    assert write_part(device, data) == 2
    device.finish()
    device.start(AccessMode.READ)
    assert device.seek_file(2) is not None
    assert read_rest(device) == data
    assert device.seek_file(4) is None
    device.finish()
    assert len(weed.keys_in(bucket)) == 9
    device.erase()
    assert weed.keys_in(bucket) == []


def test_a_prefix_that_the_store_changes(weed: Weed) -> None:
    """This one makes slashes of backslashes, and lists nothing then: nothing is written over."""
    device = open_by_name(f"s3:{weed.make_bucket()}/a\\b-")
    for key, value in {**weed.properties(weed.taper), "BLOCK_SIZE": str(BLOCK)}.items():
        device.properties.set(key, value)
    data = some_bytes(BLOCK)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert write_part(device, data) == 1
    device.finish()
    device.start(AccessMode.APPEND)
    with pytest.raises(DeviceError, match="is there, though no listing shows it"):
        device.start_file(PART)
    device.finish()
    device.start(AccessMode.READ)
    assert device.seek_file(1) is not None
    assert read_rest(device) == data
    device.finish()
