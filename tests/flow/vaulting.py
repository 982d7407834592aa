"""A dump on tapes of servers, which their movers read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from zope.interface import implementer

from devices.interfaces import AccessMode, IAsyncDevice
from protocols.crc import UNKNOWN
from protocols.driver.commands import VaultWrite
from protocols.driver.messages import SplitFields
from protocols.header import Header, HeaderType, build_header
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.core.interfaces import IClerk, IOrigin
from taper.flow.interfaces import FlowContext
from taper.flow.stored import StoredOrigin
from tests.contract.flow import BLOCK, DATA, STAMP, Source
from tests.devices.ndmp_world import World
from tests.fakes.ndmp_server import CONFORMING
from tests.fakes.turning import Turning
from tests.plane.dumping import HEADER

PARTS = (7, 4, 9, 11, 3, 17, 8, 5, 2, 12)
"""Records of each part; the last one has what is left."""
ON_A_TAPE = 3


def tape_label(label: str) -> bytes:
    header = Header(type=HeaderType.TAPESTART, datestamp=STAMP, label=label)
    return build_header(header, BLOCK, BLOCK)


@implementer(IClerk)
class Tapes:
    """A clerk who has tapes, each in a drive of its own.

    :ivar fetched: labels, in order
    :ivar seconds: that each fetching takes
    :ivar interrupted: how often that was wanted no more
    """

    seconds = 0.0
    interrupted = 0

    def __init__(self, reactor: Any, drives: dict[str, tuple[World, str]]) -> None:
        self.label: str | None = None
        self.busy = False
        self.fetched: list[str] = []
        self.ended: list[bool] = []
        self._reactor = reactor
        self._drives = drives
        self._device: Any = None

    async def begin(self, storage: str) -> None:
        self.busy = True

    async def fetch(
        self,
        label: str,
        handle: str,
        ready: Callable[[IAsyncDevice], Deferred[None]] | None = None,
    ) -> IAsyncDevice:
        if self.seconds:
            await deferLater(self._reactor, self.seconds, lambda: None)
        if self.label != label:
            await self.close_volume(tell=True)
            world, drive = self._drives[label]
            device = world.device(drive)
            if ready is not None:
                await ready(device)
            await device.start(AccessMode.READ)
            self.label, self._device = label, device
            self.fetched.append(label)
        return self._device  # type: ignore[no-any-return]

    def end(self, *, well: bool) -> None:
        self.busy = False
        self.ended.append(well)

    def interrupt(self) -> None:
        self.interrupted += 1  # it never waits for long

    async def close_volume(self, *, tell: bool) -> bool:
        device, self._device, self.label = self._device, None, None
        if device is not None:
            await device.finish()
        return device is not None


class Vault(Source):
    """A dump in parts on several tapes.

    :cvar servers: that have them, by turns
    :cvar crc: of the dump, as the catalogue knows it
    :cvar pads: the last record is as long as all others, as movers write it
    :cvar record: bytes of the records of data
    """

    servers = 1
    pads = True
    record = BLOCK
    crc = UNKNOWN

    def __init__(self, turning: Turning, path: Path, *, whole: bool) -> None:
        super().__init__(turning, path, whole=whole)
        self.worlds = [World(turning, CONFORMING) for _ in range(self.servers)]
        self._parts: list[StoredPart] = []
        drives: dict[str, tuple[World, str]] = {}
        at = 0
        for number, records in enumerate(PARTS, 1):
            tape, fileno = divmod(number - 1, ON_A_TAPE)
            label, drive = f"OLD{tape}", f"drive{tape}"
            end = at + records * BLOCK if number < len(PARTS) else len(DATA)
            world = self.worlds[tape % self.servers]
            medium = world.media[drive]
            if label not in drives:
                drives[label] = world, drive
                medium.write(tape_label(label))
                medium.write_filemark()
            medium.write(build_header(evolve(HEADER, partnum=number), BLOCK, BLOCK))
            for place in range(at, end, self.record):
                record = DATA[place : min(end, place + self.record)]
                medium.write(record.ljust(self.record, b"\0") if self.pads else record)
            medium.write_filemark()
            self._parts.append(
                StoredPart(label=label, fileno=fileno + 1, number=number, size=end - at)
            )
            at = end
        self.clerk = Tapes(turning.reactor, drives)

    def context(self, context: FlowContext) -> FlowContext:
        name = DumpName(
            storage="SRC",
            host=HEADER.host,
            disk=HEADER.disk,
            datestamp=HEADER.datestamp,
            level="0",
        )
        dump = StoredDump(name=name, written=STAMP, parts=tuple(self._parts), crc=self.crc)
        return evolve(context, search=lambda wanted: succeed(dump))

    def origin(self, context: FlowContext) -> IOrigin:
        command = VaultWrite(
            "w", "h", "SRC", "P", "OLD0", HEADER.host, HEADER.disk, "0", HEADER.datestamp,
            SplitFields(), "0",
        )  # fmt: skip
        return StoredOrigin(context, command, self.clerk)

    def said(self, name: str) -> int:
        """How often its servers were asked for this."""
        return sum(world.server.labels().count(name) for world in self.worlds)

    def close(self) -> None:
        self.turning.run(self.clerk.close_volume(tell=False))
        for world in self.worlds:
            world.close()
