"""What devices do whose volumes come to an end [volumes 2.5, 4.5, 7.1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devices.errors import Status
from devices.interfaces import AccessMode, FileStart, IDevice, WriteEnd, Written
from protocols.header import HeaderType
from tests.contract.device import PART, STAMP, DeviceContract, read_rest, some_bytes

HEADER_ROOM = 32768


class EndContract(DeviceContract):
    """Devices whose volume can be given a limit of bytes, and LEOM or not.

    ``open_device`` takes ``limit``, where label and headers cost 32 KiB each, and ``leom``.
    """

    early_blocks = 4
    """How many blocks of room are left when it warns."""

    at_limit = WriteEnd.FULL
    """What a block gets for which there is no room, on a device that warns."""

    def full_at(self, open_device: Callable[..., IDevice], blocks: int, **more: Any) -> IDevice:
        """A device inside its first file, with room for so many blocks up to the limit."""
        device = open_device(limit=2 * HEADER_ROOM + blocks * self.block, **more)
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        assert device.start_file(PART) == FileStart(1, False)
        return device

    def test_early_warning(self, open_device: Callable[..., IDevice]) -> None:
        """With LEOM the part ends some blocks before the limit, the warned block stored."""
        device = self.full_at(open_device, 20)
        assert device.write_blocks(some_bytes(30 * self.block)) == Written(
            (21 - self.early_blocks) * self.block, WriteEnd.EARLY
        )
        assert device.is_eom
        assert device.status is Status.SUCCESS
        device.finish_file()

    def test_after_the_warning(self, open_device: Callable[..., IDevice]) -> None:
        """Who goes on is told at each block, until the limit itself, which loses nothing."""
        device = self.full_at(open_device, 20)
        data = some_bytes(30 * self.block)
        at = 0
        for end in (WriteEnd.EARLY,) * self.early_blocks + (self.at_limit,):
            written = device.write_blocks(data[at:])
            assert written.end is end
            at += written.accepted
        assert at == 20 * self.block
        assert device.is_eom
        assert device.status is Status.VOLUME_ERROR
        assert device.error is not None
        assert device.error.startswith("No space left on device")
        device.finish_file()
        assert device.start_file(PART) == FileStart(0, True)
        assert not device.in_file
        device.finish()
        other = open_device()
        other.start(AccessMode.READ)
        other.seek_file(1)
        assert read_rest(other) == data[: 20 * self.block]
        end_header = other.seek_file(2)
        assert end_header is not None
        assert end_header.type is HeaderType.TAPEEND

    def test_limit_without_leom(self, open_device: Callable[..., IDevice]) -> None:
        """Without LEOM the part fails at the limit, and the volume is known to be full."""
        device = self.full_at(open_device, 20, leom=False)
        assert device.write_blocks(some_bytes(30 * self.block)) == Written(
            20 * self.block, WriteEnd.FAILED
        )
        assert device.is_eom
        assert device.status is Status.VOLUME_ERROR
        device.finish_file()

    def test_header_in_the_warning_zone(self, open_device: Callable[..., IDevice]) -> None:
        """A file begun in the warning zone exists, and says that the volume is at its end."""
        device = open_device(limit=2 * HEADER_ROOM + 3 * self.block)
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        assert device.start_file(PART) == FileStart(1, True)
        assert device.is_eom
        device.finish_file()

    @pytest.mark.parametrize("leom", [True, False])
    @pytest.mark.parametrize("tail", [0, 100])
    @pytest.mark.parametrize("blocks", [0, 3, 4, 5, 9])
    def test_runs_are_judged_as_single_blocks(
        self, open_device: Callable[..., IDevice], leom: bool, tail: int, blocks: int
    ) -> None:
        """Many blocks at once end where the same blocks one by one do."""
        data = some_bytes(7 * self.block + tail)
        outcomes = []
        for step in (len(data), 2 * self.block, self.block):
            device = open_device(limit=2 * HEADER_ROOM + blocks * self.block + 50, leom=leom)
            device.start(AccessMode.WRITE, "TAPE-01", STAMP)
            device.start_file(PART)
            device.is_eom = False
            at, end = 0, WriteEnd.NONE
            while at < len(data) and end is WriteEnd.NONE:
                written = device.write_blocks(data[at : at + step])
                at, end = at + written.accepted, written.end
            outcomes.append((at, end, device.is_eom, device.bytes_written))
            device.finish()
        assert outcomes[0] == outcomes[1] == outcomes[2]
