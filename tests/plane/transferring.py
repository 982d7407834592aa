"""Transfers onto a fake device of small blocks, for the tests of transfers."""

from __future__ import annotations

from collections.abc import Iterator

from devices.interfaces import AccessMode
from taper.plane.interfaces import ISource
from taper.plane.transfer import Transfer
from tests.fakes.device import FakeDevice, FakeVolume
from tests.plane.dumping import Plan

BLOCK = 100
DATA = bytes(n * 7 % 251 for n in range(10_050))


class Faults:
    """Makes the n-th call (from 0) of one kind fail."""

    def __init__(self, kind: str, *numbers: int) -> None:
        self._kind = kind
        self._numbers = numbers
        self._count = -1

    def __call__(self, what: str) -> bool:
        if what != self._kind:
            return False
        self._count += 1
        return self._count in self._numbers


def blank(capacity: int | None = None, **options: object) -> FakeDevice:
    """A device with an unlabelled volume; a header takes one block of room."""
    options = {"block_size": BLOCK, "header_size": BLOCK} | options
    return FakeDevice(FakeVolume(capacity), **options)  # type: ignore[arg-type]


def started(capacity: int | None = None, **options: object) -> FakeDevice:
    device = blank(capacity, **options)
    device.start(AccessMode.WRITE, "V", "20261123000000")
    return device


def transfer_of(source: ISource, **plan: object) -> Transfer:
    transfer = Transfer(source, Plan(**({"block_size": BLOCK} | plan)))  # type: ignore[arg-type]
    transfer.start()
    return transfer


def stored(device: FakeDevice, number: int = 1) -> bytes:
    assert device.volume is not None
    return bytes(device.volume.files[number].data)


def ticking() -> Iterator[float]:
    return (float(second) for second in range(100, 200, 7))
