"""Storages to vault from, in memory: real clerk and feed, and volumes that hold old dumps."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.interfaces import IAsyncChanger, IAsyncDevice, PartResult
from protocols.crc import UNKNOWN, Crc
from protocols.driver.commands import VaultWrite
from protocols.header import Header, HeaderType
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.core.clerk import Clerk
from taper.core.interfaces import FeedError, IFeed, ITransfer, IVaultFeed, IVaults
from taper.core.splitting import SplitPlan
from taper.run.vault_feed import VaultFeed
from tests.core.moments import MomentLane, Moments
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


class PumpedFeed(VaultFeed):
    """While a part is written, what the reading thread needs happens at the same time."""

    def __init__(self, moments: Moments, threads: Threads, *rest: Any) -> None:
        super().__init__(threads, *rest)
        self._moments = moments
        self._threads = threads

    def transfer(self, plan: SplitPlan) -> ITransfer:
        transfer: Any = super().transfer(plan)
        write = transfer._transfer.write_part

        def write_part(device: IAsyncDevice, header: Header) -> Deferred[PartResult]:
            return device.run(lambda blocking: self._pump(lambda: write(blocking, header)))

        transfer.write_part = write_part
        return transfer  # type: ignore[no-any-return]

    def _pump(self, work: Callable[[], PartResult]) -> PartResult:
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

    :ivar changers: by storage; a FeedError: why there is none.
    :ivar dumps: by disk; an exception: why the catalogue cannot be read.
    """

    def __init__(self, moments: Moments) -> None:
        self.changers: dict[str, StockedChanger | FeedError] = {}
        self.dumps: dict[str, StoredDump | Exception] = {}
        self.threads = Threads()
        self._moments = moments

    def add(self, storage: str, tapes: Mapping[str, Tape]) -> StockedChanger:
        """A storage with these volumes in its slots."""
        changer = SharedChanger(tapes, self._moments)
        self.changers[storage] = changer
        return changer

    def open_changer(self, storage: str) -> IAsyncChanger:
        found = self.changers.get(storage, FeedError(f"Storage '{storage}' not found"))
        if isinstance(found, FeedError):
            raise found
        return found

    def feed(self, command: VaultWrite, clerk: Clerk) -> IVaultFeed:
        lane = MomentLane(self._moments, "transfer")
        return PumpedFeed(self._moments, self.threads, command, clerk, self._search, lane)

    def pushed(self, feed: IVaultFeed, device: IAsyncDevice) -> IFeed:
        raise NotImplementedError("no device here has a mover")

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
