"""The device ``s3:`` on SeaweedFS, in both layouts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devices.interfaces import IDevice
from devices.registry import open_blocking_device as open_by_name
from protocols.header import Header, HeaderType, build_header
from tests.contract.device import BLOCK, PART, STAMP, AppendContract, ReadContract
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
