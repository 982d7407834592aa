"""A simulated drive with a cartridge in it, and devices on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import define, field

from devices.errors import Status
from devices.interfaces import AccessMode, WriteEnd, Written
from devices.tape import TapeDevice
from tests.contract.device import PART, STAMP, some_bytes, write_part
from tests.fakes.tape import SimulatedDrive, load, make_cartridge, make_drive, unload

BLOCK = 32768
LABEL = "TAPE-01"


@define
class TapeWorld:
    """One drive.

    :ivar slept: seconds that devices waited, one for each wait.
    """

    directory: Path
    drive: SimulatedDrive = field(init=False)
    slept: list[float] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.drive = make_drive(self.directory / "nst0")

    @property
    def node(self) -> str:
        return str(self.drive.directory)

    def insert(self, name: str = "cartridge", **facts: Any) -> Path:
        """Put a blank cartridge into the drive."""
        cartridge = make_cartridge(self.directory / name, **facts)
        load(self.drive.directory, cartridge)
        return cartridge

    def insert_instead(self, name: str, **facts: Any) -> Path:
        """Put a blank cartridge into the drive in the place of the one that is in it."""
        unload(self.drive.directory)
        return self.insert(name, **facts)

    def swap(self, cartridge: Path) -> None:
        """Put another one into the drive."""
        unload(self.drive.directory)
        load(self.drive.directory, cartridge)

    def device(self, **properties: Any) -> TapeDevice:
        """A new device on the drive; names of properties as they are listed."""
        device = TapeDevice("tape", self.node, self.drive.open, self.slept.append)
        for name, value in sorted(properties.items()):
            device.properties.set(name, value)
        return device

    def started(self, mode: AccessMode = AccessMode.WRITE, **properties: Any) -> TapeDevice:
        """A new device, started; what that asked of the drive is forgotten."""
        device = self.device(**properties)
        if mode is AccessMode.WRITE:
            device.start(mode, LABEL, STAMP)
        else:
            device.start(mode)
        self.drive.calls()
        return device

    def written(self, *sizes: int, **properties: Any) -> list[memoryview]:
        """Label the volume, and write files of so many bytes. :return: what is in them"""
        device = self.started(**properties)
        parts = [some_bytes(size) for size in sizes]
        for number, part in enumerate(parts, 1):
            assert write_part(device, part) == number
        device.finish()
        assert device.status is Status.SUCCESS
        self.drive.calls()
        return parts


def write_all(device: TapeDevice, data: memoryview) -> None:
    """All of it, in the file that is open."""
    assert device.write_blocks(data) == Written(len(data), WriteEnd.NONE)


__all__ = ["BLOCK", "LABEL", "PART", "STAMP", "TapeWorld", "some_bytes", "write_all"]
