"""Drives of a real ndmjob, devices of ours for them, and peers of their data connections."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred

from devices.context import DeviceContext
from devices.idirecttcp import IDirectTCPConnection, Moved
from devices.indirect import IndirectTCP
from devices.interfaces import AccessMode
from devices.ndmp import open_ndmp
from protocols.directtcp import Address
from protocols.header import Header, HeaderType
from protocols.twisted_transports.indirect import resolve
from tests.fakes.ndmjob import NdmJob
from tests.fakes.turning import Receiver, Sender, Turning, turning_reactor

STAMP = "20260102030405"
BLOCK = 32768
KIB = 1024


@pytest.fixture
def turning() -> Iterator[Turning]:
    with turning_reactor() as turning:
        yield turning


@pytest.fixture(scope="module")
def small() -> Iterator[NdmJob]:
    """A server whose tapes hold 1 MiB."""
    with NdmJob(tape_limit=1024 * KIB) as job:
        yield job


@pytest.fixture(scope="module")
def large() -> Iterator[NdmJob]:
    with NdmJob() as job:
        yield job


def opened(turning: Turning, job: NdmJob, drive: str, *, indirect: bool = False) -> IndirectTCP:
    if not (job.directory / drive).exists():
        job.blank(drive)
    device = open_ndmp(
        job.url(drive), job.url(drive)[5:], DeviceContext(turning.reactor, pytest.fail, 20.0)
    )
    device.facts.properties.set("indirect", indirect)
    return device


def blank(turning: Turning, job: NdmJob, drive: str, *, indirect: bool = False) -> IndirectTCP:
    job.blank(drive)
    return opened(turning, job, drive, indirect=indirect)


def header(part: int = 1) -> Header:
    return Header(
        type=HeaderType.SPLIT_DUMPFILE,
        datestamp=STAMP,
        host="client",
        disk="/home",
        partnum=part,
        totalparts=-1,
        program="APPLICATION",
        application="amdirecttar",
    )


def payload(size: int) -> bytes:
    return random.Random(size).randbytes(size)


async def connected(device: IndirectTCP, data: bytes) -> tuple[IDirectTCPConnection, Sender]:
    addresses = await device.listen(True)
    sender = Sender(addresses[0], data)
    return await device.accept(), sender


async def write_parts(
    device: IndirectTCP, size: int, first: int = 1
) -> tuple[list[int], list[Moved]]:
    """Part after part until the stream or the volume is at its end."""
    numbers: list[int] = []
    parts: list[Moved] = []
    while True:
        start = await device.start_file(header(first + len(parts)))
        numbers.append(start.number)
        if start.eom:
            await device.finish_file()
            parts.append(Moved(size=0, eof=False, eom=True))
            return numbers, parts
        parts.append(await device.write_from_connection(size))
        await device.finish_file()
        if parts[-1].eof or parts[-1].eom:
            return numbers, parts


async def read_back(device: IndirectTCP, files: list[int]) -> bytes:
    """The payload of some files, over a data connection."""
    await device.read_label()
    await device.start(AccessMode.READ)
    found = await device.seek_file(files[0])
    assert found is not None
    addresses = await device.listen(False)
    receiver = Receiver(addresses[0])
    connection = await device.accept()
    for number in files:
        if number != files[0]:
            found = await device.seek_file(number)
        assert found is not None
        assert found.type is HeaderType.SPLIT_DUMPFILE
        while not (await device.read_to_connection(0)).eof:
            pass
    await connection.close()
    await device.finish()
    receiver.join(60)
    return bytes(receiver.data)


def padded(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")


class Resolving:
    """Asks for the real addresses, and sends to the first."""

    def __init__(self, turning: Turning, addresses: tuple[Address, ...], data: bytes) -> None:
        self.sender: Deferred[Sender] = resolve(turning.reactor, addresses, 30).addCallback(
            lambda real: Sender(real[0], data)
        )


class Accepting(Sender):
    """Accepts one connection; sends, or without data reads to the end."""

    def __init__(self, server: socket.socket, data: bytes | None = None) -> None:
        self.server, self.data = server, bytearray()
        super().__init__(Address("127.0.0.1", 1), data or b"")

    def run(self) -> None:
        link, _ = self.server.accept()
        with link:
            link.settimeout(30)
            if self._data:
                link.sendall(self._data)
                return
            while piece := link.recv(65536):
                self.data += piece
