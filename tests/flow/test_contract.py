"""Each origin on each device that it can go to keeps the contract of origins and flows."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import posix_ipc
from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from devices.file import FileDevice
from devices.interfaces import AccessMode, IAsyncDevice
from devices.lane import Lane, LaneDevice
from protocols.crc import UNKNOWN
from protocols.directtcp import Address
from protocols.driver.commands import PortWrite, VaultWrite
from protocols.driver.messages import SplitFields
from protocols.header import build_header
from protocols.rendezvous.application import Names
from protocols.rendezvous.frames import HeaderBlock
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.core.interfaces import IClerk, IOrigin, Offer
from taper.flow.holding import HoldingOrigin
from taper.flow.interfaces import FlowContext
from taper.flow.port import ClientOrigin, PortOrigin
from taper.flow.rendezvous.origin import RendezvousOrigin
from taper.flow.rendezvous.terms import Terms
from taper.flow.ring import RingOrigin
from taper.flow.stored import StoredOrigin
from tests.conformance.producer import Cancelled, Producer
from tests.contract.flow import (
    BLOCK,
    DATA,
    STAMP,
    FlowContract,
    PumpedContract,
    Source,
    StoringBehindContract,
    Target,
)
from tests.devices.ndmp_world import World
from tests.fakes.device import FakeDevice, FakeFile, FakeVolume
from tests.fakes.ndmp_server import CONFORMING
from tests.fakes.turning import Turning
from tests.flow.rendezvous_peer import KEY, Application, Script
from tests.plane.dumping import HEADER, write_holding

RESET = struct.pack("ii", 1, 0)


class Holding(Source):
    """Files on a holding disk; the second is lost if it breaks off."""

    def origin(self, context: FlowContext) -> IOrigin:
        name = write_holding(str(self.path), DATA, len(DATA) // 2 + 1)
        if not self.whole:
            os.unlink(f"{name}.1")
        return HoldingOrigin(context, name)


class Dumper(Source):
    """A program of its own, here a thread: header to one port, data to another."""

    def __init__(self, turning: Turning, path: Path, *, whole: bool) -> None:
        super().__init__(turning, path, whole=whole)
        self._thread: threading.Thread | None = None
        self._links: list[socket.socket] = []

    def origin(self, context: FlowContext) -> IOrigin:
        return PortOrigin(context, "localhost")

    def send(self, offer: Offer | None) -> None:
        assert offer is not None
        self._thread = threading.Thread(target=self._run, args=[offer], name="dumper", daemon=True)
        self._thread.start()

    def _run(self, offer: Offer) -> None:
        # whoever listened, or made the ring, may be gone
        with contextlib.suppress(OSError, Cancelled, posix_ipc.ExistentialError):
            with socket.create_connection(("127.0.0.1", offer.header_port), 60) as link:
                link.sendall(build_header(HEADER, BLOCK, None))
            self._send_data(offer)

    def _send_data(self, offer: Offer) -> None:
        where = Address.parse(offer.addresses[0])
        with socket.create_connection((where.host, where.port), 60) as link:
            link.sendall(self.sent)
            if not self.whole:
                self.begun.wait(60)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def close(self) -> None:
        self.begun.set()
        if self._thread is not None:
            thread = self._thread
            self.turning.until(lambda: not thread.is_alive())


class Client(Dumper):
    """One that connects to the device."""

    def origin(self, context: FlowContext) -> IOrigin:
        return ClientOrigin(context, "localhost")


class Ring(Dumper):
    """One that fills a ring."""

    def origin(self, context: FlowContext) -> IOrigin:
        return RingOrigin(context)

    def _send_data(self, offer: Offer) -> None:
        assert offer.shm_name is not None
        producer = Producer(offer.shm_name)
        try:
            producer.negotiate()
            producer.write(self.sent)
            if self.whole:
                producer.finish()
            else:
                producer.cancel()
        finally:
            producer.close()
            producer.segment.close_fd()


def accept_once(turning: Turning) -> None:
    """What Twisted opens for all times when it first accepts a connection is open then."""
    over: list[object] = []

    class Hearer(Protocol):
        def connectionLost(self, reason: object = None) -> None:
            over.append(reason)

    port = turning.reactor.listenTCP(0, Factory.forProtocol(Hearer), interface="127.0.0.1")
    socket.create_connection(("127.0.0.1", port.getHost().port), 60).close()
    turning.until(lambda: bool(over))
    turning.wait(port.stopListening())


class Applicant(Source):
    """An application that meets us first."""

    def __init__(self, turning: Turning, path: Path, *, whole: bool) -> None:
        super().__init__(turning, path, whole=whole)
        self._application: Application | None = None
        accept_once(turning)

    def origin(self, context: FlowContext) -> IOrigin:
        command = PortWrite(
            "w", "h", "localhost", HEADER.disk, str(HEADER.level), HEADER.datestamp, SplitFields(),
            "DIRECTTCP",
        )  # fmt: skip
        terms = Terms(key=KEY, hosts=("127.0.0.1",))
        return RendezvousOrigin(evolve(context, patience=1.0), command, terms)

    def send(self, offer: Offer | None) -> None:
        assert offer is not None
        self._application = Application(
            tuple(map(Address.parse, offer.addresses)),
            self.sent,
            Script(
                header=HeaderBlock(build_header(HEADER, BLOCK, None)),
                fails="" if self.whole else "it broke off",
            ),
            names=Names("localhost", HEADER.disk, HEADER.level, "test"),
        ).start()

    def close(self) -> None:
        application = self._application
        if application is not None:
            application.stop()
            self.turning.until(lambda: application.over)


@implementer(IClerk)
class OneVolume:
    """A clerk with one volume.

    :ivar ended: what was said of reading
    """

    def __init__(self, device: LaneDevice) -> None:
        self.label: str | None = None
        self.busy = False
        self.ended: list[bool] = []
        self._device = device

    async def begin(self, storage: str) -> None:
        self.busy = True

    async def fetch(
        self,
        label: str,
        handle: str,
        ready: Callable[[IAsyncDevice], Deferred[None]] | None = None,
    ) -> IAsyncDevice:
        await self._device.start(AccessMode.READ)
        return self._device

    def end(self, *, well: bool) -> None:
        self.ended.append(well)

    def interrupt(self) -> None:
        """It never waits."""

    async def close_volume(self, *, tell: bool) -> bool:
        return False


class Stored(Source):
    """A dump on a volume, which is shorter than the log says if it breaks off."""

    def context(self, context: FlowContext) -> FlowContext:
        name = DumpName(
            storage="SRC",
            host=HEADER.host,
            disk=HEADER.disk,
            datestamp=HEADER.datestamp,
            level="0",
        )
        part = StoredPart(label="OLD", fileno=1, number=1, size=len(DATA))
        dump = StoredDump(name=name, written=STAMP, parts=(part,), crc=UNKNOWN)
        return evolve(context, search=lambda wanted: succeed(dump))

    def origin(self, context: FlowContext) -> IOrigin:
        volume = FakeVolume(label="OLD", timestamp=STAMP)
        volume.files[1] = FakeFile(HEADER, bytearray(self.sent), complete=True)
        lane = self._lane = Lane(self.turning.reactor, "old")
        command = VaultWrite(
            "w", "h", "SRC", "P", "OLD", HEADER.host, HEADER.disk, "0", HEADER.datestamp,
            SplitFields(), "0",
        )  # fmt: skip
        return StoredOrigin(context, command, OneVolume(LaneDevice(FakeDevice(volume), lane)))

    def close(self) -> None:
        self.turning.wait(self._lane.stop())


class InMemory(Target):
    """A device that blocks, in a lane."""

    behind = False

    def __init__(self, turning: Turning, path: Path) -> None:
        super().__init__(turning, path)
        self._volume = FakeVolume()
        self._failing: str | None = None
        self._lane = Lane(turning.reactor, "new")
        device = FakeDevice(self._volume, name="fake:new", faults=self._fails, behind=self.behind)
        self.device: Any = LaneDevice(device, self._lane)

    def _fails(self, what: str) -> bool:
        failing = self._failing == what
        self._failing = None if failing else self._failing
        return failing

    def fail_once(self, what: str = "write") -> None:
        """Let the next block not be written, or the next file not be stored."""
        self._failing = what

    def stored(self) -> bytes:
        files = self._volume.files
        return bytes(files[max(files)].data)

    def close(self) -> None:
        self.turning.wait(self._lane.stop())


class Listening(Target):
    """One of those that listens by this process."""

    def __init__(self, turning: Turning, path: Path) -> None:
        super().__init__(turning, path)
        self._place = path / "vtape"
        self._place.mkdir()
        device = FileDevice(f"file:{self._place}", str(self._place))
        device.properties.set("directtcp-address", "127.0.0.1")
        self._lane = Lane(turning.reactor, "vtape")
        self.device: Any = LaneDevice(device, self._lane)

    def stored(self) -> bytes:
        files = sorted(self._place.glob("0000[1-9].*"))
        return b"".join(file.read_bytes()[BLOCK:] for file in files)

    def close(self) -> None:
        self.turning.wait(self.device.finish())
        self.turning.wait(self._lane.stop())


class InMemoryBehind(InMemory):
    """One that stores files behind."""

    behind = True


class OnMover(Target):
    """A drive of a tape server."""

    mover = True

    def __init__(self, turning: Turning, path: Path) -> None:
        super().__init__(turning, path)
        self._world = World(turning, CONFORMING)
        self.device: Any = self._world.device("drive0")

    def stored(self) -> bytes:
        return self._world.payload("drive0")

    def close(self) -> None:
        self.turning.wait(self.device.finish())
        self._world.close()


class TestHoldingPumped(PumpedContract):
    source, target = Holding, InMemory


class TestHoldingBehind(StoringBehindContract):
    source, target = Holding, InMemoryBehind


class TestPortBehind(StoringBehindContract):
    source, target = Dumper, InMemoryBehind


class TestPortPumped(PumpedContract):
    source, target = Dumper, InMemory


class TestRingPumped(PumpedContract):
    source, target = Ring, InMemory


class TestStoredPumped(PumpedContract):
    source, target = Stored, InMemory


class TestClientTaken(FlowContract):
    source, target = Client, Listening


class TestClientTakenByMover(FlowContract):
    source, target = Client, OnMover


class TestRendezvousPumped(PumpedContract):
    source, target = Applicant, InMemory


class TestRendezvousSent(FlowContract):
    source, target = Applicant, OnMover


class TestHoldingSent(FlowContract):
    source, target = Holding, OnMover


class TestRingSent(FlowContract):
    source, target = Ring, OnMover


class TestStoredSent(FlowContract):
    source, target = Stored, OnMover
