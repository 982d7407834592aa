"""A ``rait:`` of vtapes."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from devices.interfaces import AccessMode, IDevice
from devices.rait import RaitDevice
from devices.registry import open_blocking_device
from tests.contract.device import (
    BLOCK,
    PART,
    STAMP,
    read_rest,
    write_part,
)


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
