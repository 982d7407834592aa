"""A test server, devices for its drives, and clients that send to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred

from devices.context import DeviceContext
from devices.idirecttcp import Moved
from devices.indirect import IndirectTCP
from devices.interfaces import AccessMode
from devices.ndmp import open_ndmp
from protocols.directtcp import Address
from protocols.header import Header, HeaderType
from protocols.twisted_transports.indirect import resolve
from tests.fakes.ndmp_server import Limits, Medium, NdmpServer, Profile
from tests.fakes.turning import Sender, Turning, turning_reactor

BLOCK = 32768
STAMP = "20260102030405"


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


class World:
    """A server with some drives, and devices for them."""

    def __init__(self, turning: Turning, profile: Profile, size: int = 1 << 30) -> None:
        self.turning = turning
        self.media = {f"drive{n}": Medium(Limits.of_size(size)) for n in range(8)}
        self.server = NdmpServer(turning.reactor, self.media, profile)
        self.server.start()

    def device(self, drive: str, *, indirect: bool = False, patience: float = 20) -> IndirectTCP:
        url = self.server.url(drive)
        device = open_ndmp(url, url[5:], DeviceContext(self.turning.reactor, pytest.fail, patience))
        device.facts.properties.set("indirect", indirect)
        return device

    def payload(self, drive: str) -> bytes:
        """What is in the files after the label, without their headers."""
        files = self.media[drive].files()[1:]
        return b"".join(b"".join(records[1:]) for records in files)

    def close(self) -> None:
        self.turning.wait(self.server.stop())
        self.turning.until(lambda: not self.server.sessions)


def header(part: int = 1) -> Header:
    return Header(
        type=HeaderType.SPLIT_DUMPFILE,
        datestamp=STAMP,
        host="client",
        disk="/home",
        partnum=part,
        totalparts=-1,
        program="GNUTAR",
    )


def data_of(blocks: float) -> bytes:
    pattern = bytes(range(251))
    size = int(blocks * BLOCK)
    return (pattern * (size // len(pattern) + 1))[:size]


class Client:
    """Resolves what the driver would pass on, and sends."""

    def __init__(self, turning: Turning, addresses: tuple[Address, ...], data: bytes) -> None:
        self.real: tuple[Address, ...] = ()
        self.sender: Sender | None = None
        self._data = data
        self.done: Deferred[None] = resolve(turning.reactor, addresses, 30).addCallback(self._send)

    def _send(self, addresses: tuple[Address, ...]) -> None:
        self.real = addresses
        self.sender = Sender(addresses[0], self._data)


async def write_volume(device: IndirectTCP, size: int, part: int) -> list[Moved]:
    """Parts until the stream or the volume ends."""
    parts: list[Moved] = []
    while True:
        start = await device.start_file(header(part + len(parts)))
        if start.eom:
            await device.finish_file()
            return [*parts, Moved(size=0, eof=False, eom=True)]
        parts.append(await device.write_from_connection(size))
        await device.finish_file()
        if parts[-1].eof or parts[-1].eom:
            return parts


async def dump(
    world: World, data: bytes, part_size: int, *, indirect: bool
) -> tuple[list[list[Moved]], Client]:
    """A dump over as many drives as it takes."""
    device = world.device("drive0", indirect=indirect)
    client = Client(world.turning, await device.listen(True), data)
    connection = await device.accept()
    volumes: list[list[Moved]] = []
    await device.start(AccessMode.WRITE, "VOL-0", STAMP)
    while True:
        number = 1 + sum(len(parts) for parts in volumes)
        volumes.append(await write_volume(device, part_size, number))
        await device.finish()
        if volumes[-1][-1].eof:
            break
        device = world.device(f"drive{len(volumes)}", indirect=indirect)
        await device.read_label()
        await device.use_connection(connection)
        await device.start(AccessMode.WRITE, f"VOL-{len(volumes)}", STAMP)
    await connection.close()
    await client.done
    return volumes, client
