"""A drive whose mover sends a dump, and the sender of that dump."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from devices.errors import DeviceError
from devices.idirecttcp import IDirectTCPConnection, IMoverDevice, Moved
from devices.interfaces import IAsyncDevice
from protocols.crc import UNKNOWN
from protocols.directtcp import Address
from protocols.header import Header
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.core.errors import SourceFault
from taper.core.interfaces import Rest
from taper.flow.mover_to_mover import MoverSender
from tests.core.vaulting import HEADER, OLD
from tests.fakes.device import FakeDevice

BLOCK = 32768
THERE = (Address("192.0.2.7", 7),)


def stored(*parts: tuple[str, int, int | None]) -> StoredDump:
    """A dump of parts with label, file and size."""
    return StoredDump(
        name=DumpName(storage="SRC", host="localhost", disk="/home", datestamp=OLD, level="0"),
        written=OLD,
        parts=tuple(
            StoredPart(label=label, fileno=fileno, number=number, size=size)
            for number, (label, fileno, size) in enumerate(parts, 1)
        ),
        crc=UNKNOWN,
    )


TWO = stored(("A", 1, 2 * BLOCK), ("A", 2, BLOCK - 5))


@implementer(IDirectTCPConnection)
class Connection:
    device_name = "ndmp:s@d"

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> Deferred[None]:
        self.closed += 1
        return succeed(None)


@implementer(IMoverDevice)
class Drive:
    """Reads files as its script says.

    :ivar script: of each read_to_connection: bytes of a whole file, an error, or what is to come
    :ivar read_again: files and how many of their last records
    :ivar blind: it does not do that
    :ivar no_way_back: what it fails with then
    """

    def __init__(self, *script: int | DeviceError | Deferred[Moved]) -> None:
        self.facts = FakeDevice(name="ndmp:s@d")
        self.connection = Connection()
        self.refusal: DeviceError | None = None
        self.incompatible: DeviceError | None = None
        self.script = list(script)
        self.number = 1
        self.pausing = False
        self.blind = False
        self.no_way_back: DeviceError | None = None
        self.read_again: list[tuple[int, int]] = []

    def connect(
        self, for_writing: bool, addresses: tuple[Address, ...]
    ) -> Deferred[IDirectTCPConnection]:
        assert not for_writing
        assert addresses == THERE
        return fail(self.refusal) if self.refusal else succeed(self.connection)  # type: ignore[return-value]

    def use_connection(self, connection: IDirectTCPConnection) -> Deferred[None]:
        if self.incompatible is not None:
            return fail(self.incompatible)
        self.connection = connection  # type: ignore[assignment]
        return succeed(None)

    def seek_file(self, number: int) -> Deferred[Header | None]:
        self.facts.file = number
        self.number += 1
        return succeed(evolve(HEADER, partnum=self.number))

    def read_to_connection(
        self, size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        step = self.script.pop(0)
        if isinstance(step, int):
            # a window may end before the file does
            more = step > BLOCK and not self.pausing
            self.pausing = more
            if more:
                self.script.insert(0, step - BLOCK)
            moved = min(step, BLOCK) if more else step
            return succeed(Moved(size=moved, eof=not more, eom=False))
        return step if isinstance(step, Deferred) else fail(step)

    def read_end(self, number: int, count: int) -> Deferred[bytes]:
        self.read_again.append((number, count))
        if self.no_way_back is not None:
            return fail(self.no_way_back)
        return succeed(b"" if self.blind else bytes([number]) * count * BLOCK)


def nowhere(label: str, ready: object) -> Deferred[IAsyncDevice]:
    return fail(SourceFault(f"no volume {label}"))


def next_on(
    drive: Drive,
) -> Callable[[str, Callable[[IAsyncDevice], Deferred[None]]], Deferred[IAsyncDevice]]:
    """The next volume is in this drive."""

    def change_to(
        label: str, ready: Callable[[IAsyncDevice], Deferred[None]]
    ) -> Deferred[IAsyncDevice]:
        given = ready(drive)  # type: ignore[arg-type]
        return given.addCallback(lambda _: drive)  # type: ignore[arg-type, return-value]

    return change_to


def begun(
    drive: Drive,
    dump: StoredDump = TWO,
    total: int | None = None,
    change_to: Callable[..., Deferred[IAsyncDevice]] = nowhere,
    clock: Clock | None = None,
) -> tuple[MoverSender, list[str]]:
    """A sender that has connected, and what it says once it is settled."""
    sender = MoverSender(clock or Clock(), drive, dump, total, change_to)  # type: ignore[arg-type]
    told: list[str] = []
    connecting = Deferred.fromCoroutine(sender.connect(THERE))
    failures: list[object] = []
    connecting.addErrback(failures.append)
    assert not failures
    sender.settled().addCallback(lambda _: told.append("settled"))
    return sender, told


def rest_of(sender: MoverSender, stored: int) -> list[Rest | None]:
    """Let it leave. :return: what it says; nothing: it has not left yet"""
    told: list[Rest | None] = []
    sender.leave(stored).addCallback(told.append)
    return told


def counting(drive: Drive, dump: StoredDump = TWO) -> tuple[MoverSender, list[str]]:
    """One that has sent all to a mover which has told nothing. :return: and what it asks"""
    asked: list[str] = []
    sender = MoverSender(Clock(), drive, dump, None, nowhere, block=BLOCK)  # type: ignore[arg-type]
    sender.wants_progress = lambda: asked.append("how far?")
    assert Deferred.fromCoroutine(sender.connect(THERE)).called
    return sender, asked
