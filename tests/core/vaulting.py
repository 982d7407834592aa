"""Storages to vault from, in memory: real clerk and feed, and volumes that hold old dumps."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from devices.interfaces import IAsyncChanger, IDevice, PartResult
from protocols.crc import UNKNOWN, Crc
from protocols.driver.commands import VaultWrite
from protocols.header import Header, HeaderType
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.core.clerk import Clerk
from taper.core.errors import SourceFault
from taper.core.interfaces import IFlow, IOrigin, IVaults
from taper.flow.flows import Flows
from taper.flow.interfaces import FlowContext, ITransfer
from taper.flow.stored import StoredOrigin
from tests.core.steps import StepLane, Steps
from tests.core.stocked import StockedChanger, Tape
from tests.fakes.device import FakeFile

OLD = "20250101000000"
HEADER = Header(
    type=HeaderType.SPLIT_DUMPFILE,
    datestamp=OLD,
    host="localhost",
    disk="/home",
    program="/usr/bin/tar",
    totalparts=-1,
)


class Threads:
    """Stands for the reactor: what threads ask it to call."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        self.calls.put(lambda: function(*args))

    def call(self, patience: float = 0.0) -> bool:
        """Do one of them. :return: there was one"""
        try:
            self.calls.get(timeout=patience)() if patience else self.calls.get_nowait()()
        except queue.Empty:
            return False
        return True


class Reactor:
    """A clock, and what threads ask to be called."""

    def __init__(self, clock: Clock, threads: Threads) -> None:
        self.callLater = clock.callLater
        self.seconds = clock.seconds
        self.callFromThread = threads.callFromThread


class TurningFlows(Flows):
    """While a part of a vaulted dump is written, what the reading thread needs happens at the
    same time."""

    def __init__(self, context: FlowContext, moments: Steps, threads: Threads) -> None:
        super().__init__(context)
        self._moments = moments
        self._threads = threads

    def _make(self, origin: IOrigin, *rest: Any) -> IFlow:
        flow: Any = super()._make(origin, *rest)
        if isinstance(origin, StoredOrigin):
            make = flow._make_transfer
            flow._make_transfer = lambda: self._turning(make())
        return flow  # type: ignore[no-any-return]

    def _turning(self, transfer: Any) -> ITransfer:
        write = transfer._transfer.write_part

        def write_part(device: IDevice, header: Header) -> PartResult:
            return self._turn(lambda: write(device, header))

        transfer._transfer.write_part = write_part
        return transfer  # type: ignore[no-any-return]

    def _turn(self, work: Callable[[], PartResult]) -> PartResult:
        results: list[PartResult] = []
        thread = threading.Thread(target=lambda: results.append(work()))
        thread.start()
        while thread.is_alive():
            self._threads.call(0.01)
            self._moments.step()
        return results[0]


class SharedChanger(StockedChanger):
    """One library under several changer objects: closing one of them is nothing to the others."""

    def close(self) -> Deferred[None]:
        return succeed(None)


@implementer(IVaults)
class FakeVaults:
    """Storages, and the dumps that a catalogue would find.

    :ivar changers: by storage; a SourceFault: why there is none.
    :ivar dumps: by disk; an exception: why the catalogue cannot be read.
    """

    def __init__(self, moments: Steps) -> None:
        self.changers: dict[str, StockedChanger | SourceFault] = {}
        self.dumps: dict[str, StoredDump | Exception] = {}
        self.threads = Threads()
        self._moments = moments

    def add(self, storage: str, tapes: Mapping[str, Tape]) -> StockedChanger:
        """A storage with these volumes in its slots."""
        changer = SharedChanger(tapes, self._moments)
        self.changers[storage] = changer
        return changer

    def open_changer(self, storage: str) -> IAsyncChanger:
        found = self.changers.get(storage, SourceFault(f"Storage '{storage}' not found"))
        if isinstance(found, SourceFault):
            raise found
        return found

    def origin(self, command: VaultWrite, clerk: Callable[[], Clerk]) -> StoredOrigin:
        """The real origin of a dump on these volumes."""
        return StoredOrigin(self.context(), command, clerk())

    def context(self) -> FlowContext:
        """What its flow is made with, too."""
        return FlowContext(
            reactor=self.threads,
            make_lane=lambda name: StepLane(
                self._moments, "storing" if name == "storing" else "transfer"
            ),
            patience=60,
            look=lambda function, *args: self._moments.do("look", lambda: function(*args)),
            search=self._search,
        )

    def _search(self, wanted: DumpName) -> Deferred[StoredDump | None]:
        return self._moments.do("catalogue", lambda: self._found(wanted))

    def _found(self, wanted: DumpName) -> StoredDump | None:
        found = self.dumps.get(wanted.disk)
        if isinstance(found, Exception):
            raise found
        return found

    @property
    def held(self) -> list[str]:
        """Slots of all source changers that are reserved."""
        changers = [it for it in self.changers.values() if isinstance(it, StockedChanger)]
        return [held.slot for changer in changers for held in changer.reserved]


def shelve(
    data: bytes,
    *places: tuple[Tape, int],
    disk: str = "/home",
    storage: str = "SRC",
    crc: Crc = UNKNOWN,
    header: Header = HEADER,
) -> StoredDump:
    """Store a dump: a volume and a size for each part, in order."""
    parts = []
    at = 0
    for number, (tape, size) in enumerate(places, 1):
        files = tape.medium.files
        fileno = max(files, default=0) + 1
        part = evolve(header, disk=disk, partnum=number)
        files[fileno] = FakeFile(part, bytearray(data[at : at + size]), complete=True)
        label = tape.medium.label
        assert label is not None
        parts.append(StoredPart(label=label, fileno=fileno, number=number, size=size))
        at += size
    assert at == len(data)
    name = DumpName(storage=storage, host="localhost", disk=disk, datestamp=OLD, level="0")
    return StoredDump(name=name, written=OLD, parts=tuple(parts), crc=crc)
