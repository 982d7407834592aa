"""A source volume whose server does not answer holds up nobody who does not want it any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import succeed
from zope.interface import implementer

from devices.errors import DeviceError
from devices.interfaces import AccessMode, IHurries
from devices.lane import Lane, LaneDevice
from protocols.crc import UNKNOWN
from protocols.driver.commands import VaultWrite
from protocols.driver.messages import SplitFields
from protocols.header import Header
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.core.errors import SourceFault
from taper.flow.stored import StoredOrigin
from taper.plane.interfaces import SourceError
from tests.fakes.device import FakeDevice, FakeFile, FakeVolume
from tests.fakes.turning import Turning, turning_reactor
from tests.flow.flowing import PLAN, make_context
from tests.flow.test_contract import OneVolume
from tests.plane.dumping import HEADER

STAMP = "20260101000000"
DATA = bytes(range(256)) * 1024


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


@implementer(IHurries)
class Silent(FakeDevice):
    """A device whose server does not answer one kind of request."""

    def __init__(self, volume: FakeVolume, what: str) -> None:
        super().__init__(volume)
        self._what = what
        self.asked = threading.Event()
        self.hurried = threading.Event()

    def hurry(self) -> None:
        self.hurried.set()

    def _wait(self, what: str) -> None:
        if what == self._what:
            self.asked.set()
            assert self.hurried.wait(60)
            raise DeviceError("no answer came")

    def seek_file(self, number: int) -> Header | None:
        self._wait("seek_file")
        return super().seek_file(number)

    def read_blocks(self, buffer: memoryview) -> int:
        self._wait("read_blocks")
        return super().read_blocks(buffer)


def origin_of(turning: Turning, what: str) -> tuple[StoredOrigin, Silent]:
    """A dump on a volume that falls silent."""
    volume = FakeVolume(label="OLD", timestamp=STAMP)
    volume.files[1] = FakeFile(HEADER, bytearray(DATA), complete=True)
    name = DumpName(
        storage="SRC", host=HEADER.host, disk=HEADER.disk, datestamp=HEADER.datestamp, level="0"
    )
    part = StoredPart(label="OLD", fileno=1, number=1, size=len(DATA))
    dump = StoredDump(name=name, written=STAMP, parts=(part,), crc=UNKNOWN)
    context = evolve(make_context(turning.reactor), search=lambda wanted: succeed(dump))
    command = VaultWrite(
        "w", "h", "SRC", "P", "OLD", HEADER.host, HEADER.disk, "0", HEADER.datestamp,
        SplitFields(), "0",
    )  # fmt: skip
    device = Silent(volume, what)
    clerk = OneVolume(LaneDevice(device, Lane(turning.reactor, "old")))
    return StoredOrigin(context, command, clerk), device


def test_while_it_is_looked_for(turning: Turning) -> None:
    """The origin is closed, though the file was never found."""
    origin, device = origin_of(turning, "seek_file")
    assert turning.wait(origin.find()) == ("OLD",)
    header = origin.header()
    outcome: list[Any] = []
    header.addBoth(outcome.append)
    turning.until(device.asked.is_set)
    turning.wait(origin.close())
    assert device.hurried.is_set()
    assert isinstance(outcome[0].value, SourceFault)


def test_while_it_is_read(turning: Turning) -> None:
    """The reading thread comes to its end."""
    origin, device = origin_of(turning, "read_blocks")
    turning.wait(origin.find())
    assert turning.wait(origin.header()) == HEADER
    assert device.access_mode is AccessMode.READ
    source = origin.source()
    over: list[object] = []

    def read() -> None:
        try:
            over.append(source.read_into(memoryview(bytearray(PLAN.block_size))))
        except SourceError as error:
            over.append(error)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    turning.until(device.asked.is_set)
    source.cancel()
    turning.until(lambda: bool(over))
    reading.join(60)
    assert isinstance(over[0], SourceError)
    turning.wait(origin.close())
