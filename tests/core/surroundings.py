"""What the core asks of the world, in memory and in steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer, implementer_only

from devices.callers import Callers
from protocols import tracelog
from protocols.conf import Config
from protocols.crc import Crc
from protocols.directtcp import Address
from protocols.driver.codec import encode
from protocols.driver.commands import FileWrite, PortWrite, ShmWrite, VaultWrite, WriteCommand
from protocols.driver.messages import Message
from protocols.header import Header, HeaderType
from protocols.tapelist import Tapelist, TapelistEntry
from taper.core.clerk import Clerk
from taper.core.errors import DumpFault, SourceFault
from taper.core.interfaces import (
    IConsole,
    IDriver,
    IHistory,
    ILook,
    IOrigin,
    IOrigins,
    IStatusFile,
    IStatusFiles,
    ITapelistStore,
    ITraceLog,
    Offer,
)
from taper.core.retention import Retention
from taper.core.splitting import DirectoryFacts, SplitPlan
from taper.flow.interfaces import IBlockOrigin, IConnectingOrigin
from tests.core.steps import Steps
from tests.fakes.scanning import retention_over
from tests.fakes.tapelist_store import FakeTapelistStore
from tests.plane.dumping import PiecesSource, SeekableSource


@implementer(IDriver)
class FakeDriver:
    """Keeps what it is sent, as the lines that go over the wire.

    :ivar on_reply: called with each reply, for a driver that answers.
    """

    def __init__(self) -> None:
        self.replies: list[Message] = []
        self.lines: list[str] = []
        self.on_reply: Callable[[Message], object] = lambda reply: None

    def send(self, reply: Message) -> None:
        self.replies.append(reply)
        self.lines.append(encode(reply).decode("utf-8", "surrogateescape").rstrip("\n"))
        self.on_reply(reply)


@implementer(ITraceLog)
class FakeTraceLog:
    """Keeps records, and the lines they make."""

    def __init__(self, moments: Steps) -> None:
        self._moments = moments
        self.records: list[Any] = []

    @property
    def lines(self) -> list[str]:
        return [tracelog.encode(record).decode().rstrip("\n") for record in self.records]

    def append(self, *records: Any) -> Deferred[None]:
        for record in records:
            tracelog.encode(record)
        name = f"log {type(records[-1]).__name__}"
        return self._moments.do(name, lambda: self.records.extend(records), surely=True)


@implementer(IConsole)
class FakeConsole:
    """Keeps what goes to stderr."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write_line(self, text: str) -> None:
        self.lines.append(text)


@implementer(ITapelistStore)
class SteppedTapelists:
    """The fake store in steps.

    :ivar judged: the list as it was when we last held its lock.
    """

    def __init__(self, moments: Steps, entries: Iterable[TapelistEntry] = ()) -> None:
        self.store = FakeTapelistStore(entries)
        self.judged = self.store.tapelist
        self._moments = moments

    def read(self) -> Deferred[Tapelist]:
        return self._moments.do("tapelist read", lambda: self.store.tapelist)

    def update(self, change: Callable[[Tapelist], Tapelist]) -> Deferred[Tapelist]:
        def replace() -> Tapelist:
            self.judged = self.store.tapelist
            self.store.tapelist = change(self.store.tapelist)
            return self.store.tapelist

        return self._moments.do("tapelist update", replace)


@implementer(IHistory)
class FakeHistory:
    """The real retention rules, with nothing known besides the tapelist."""

    def __init__(self, moments: Steps, config: Config) -> None:
        self.reading: Counter[str] = Counter()
        self._moments = moments
        self._config = config

    def refresh(self) -> Deferred[None]:
        return self._moments.do("history", lambda: None)

    def retention(self, tapelist: Tapelist) -> Retention:
        return retention_over(self._config, tapelist, +self.reading)


@implementer(IStatusFile)
class FakeStatusFile:
    def __init__(self, path: str, files: FakeStatusFiles) -> None:
        self.path = path
        self._files = files

    def remove(self) -> Deferred[None]:
        return self._files.moments.do("status remove", lambda: self._files.there.remove(self.path))


@implementer(IStatusFiles)
class FakeStatusFiles:
    """Status files that only have names.

    :ivar there: those not removed yet.
    """

    def __init__(self, moments: Steps) -> None:
        self.moments = moments
        self.made = 0
        self.there: list[str] = []

    def create(self, progress: Callable[[], int]) -> Deferred[IStatusFile]:
        def make() -> FakeStatusFile:
            self.made += 1
            assert progress() >= 0
            path = f"/tmp/amanda/taper_status_file_{self.made}"
            self.there.append(path)
            return FakeStatusFile(path, self)

        return self.moments.do("status create", make)


@define
class Dumped:
    """A dump that can be asked for.

    :ivar header: None: whatever the command says.
    :ivar source_error: what the source fails with after the data.
    :ivar header_error: what reading the header fails with.
    :ivar silent: the dumper does not connect for the data, or never sends the header.
    """

    data: bytes = b""
    header: Header | None = None
    pieces: tuple[int, ...] = (65536,)
    source_error: str = ""
    header_error: DumpFault | None = None
    offer_error: DumpFault | None = None
    silent: set[str] = field(factory=set)


@implementer(IBlockOrigin)
class MemoryOrigin:
    """A dump from memory, with the real flows.

    :ivar begun: somebody was told where to connect, or could begin to read.
    :ivar sources: all that were given.
    """

    remark = None

    def __init__(self, moments: Steps, dumped: Dumped, header: Header, *, port: bool) -> None:
        self.reads_again = not port
        self.result_follows = port
        self.begun = False
        self.closed = False
        self.sources: list[PiecesSource] = []
        self._moments = moments
        self._dumped = dumped
        self._header = header
        self._port = port

    def find(self) -> Deferred[tuple[str, ...]]:
        return succeed(())

    def offer(self, plan: SplitPlan) -> Deferred[Offer | None]:
        self.begun = True
        if self._dumped.offer_error is not None:
            return fail(self._dumped.offer_error)
        return succeed(Offer(40000, ("127.0.0.1:40001",)) if self._port else None)

    def header(self) -> Deferred[Header]:
        return self._wait("header", self._read_header)

    def _read_header(self) -> Header:
        if self._dumped.header_error is not None:
            raise self._dumped.header_error
        return self._dumped.header or self._header

    def ready(self) -> Deferred[None]:
        return self._wait("data", lambda: None)

    def _wait(self, name: str, operation: Callable[[], Any]) -> Deferred[Any]:
        if name in self._dumped.silent:
            return Deferred()
        return self._moments.do(name, operation)

    def source(self, position: int = 0) -> PiecesSource:
        kind = PiecesSource if self._port else SeekableSource
        data = self._dumped.data[position:]
        source = kind(data, self._dumped.pieces, self._dumped.source_error)
        self.sources.append(source)
        return source

    def judge(self, read: Callable[[], Crc]) -> list[str]:
        return []

    def failed(self) -> None:
        """Nothing depends on it."""

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


@implementer(IConnectingOrigin)
class MemoryPort(MemoryOrigin):
    """A dumper: it connects to us, or to the device."""

    def __init__(self, moments: Steps, dumped: Dumped, header: Header) -> None:
        super().__init__(moments, dumped, header, port=True)

    async def callers(self) -> Callers:
        return Callers(self._header.host)

    def offer_at(self, addresses: tuple[Address, ...]) -> Offer:
        self.begun = True
        return Offer(40000, tuple(str(address) for address in addresses))

    def began(self) -> None:
        """Its header comes as ever."""


@implementer_only(IConnectingOrigin)
class MemoryClient(MemoryPort):
    """A client: it connects to the device, and nowhere else."""


class MemoryRing(MemoryOrigin):
    """The same, through a ring that knows the plan when it is offered."""

    def __init__(self, moments: Steps, dumped: Dumped, header: Header) -> None:
        super().__init__(moments, dumped, header, port=True)
        self.plan: SplitPlan | None = None

    def offer(self, plan: SplitPlan) -> Deferred[Offer | None]:
        self.plan = plan
        return super().offer(plan).addCallback(lambda _: Offer(40000, shm_name="/ring"))


@implementer(IOrigins)
class MemoryOrigins:
    """Makes origins of what :attr:`dumps` has: by file name, and in order for dumpers.

    :param vault: makes the origin of a dump on volumes
    :ivar made: all of the others.
    """

    def __init__(
        self, moments: Steps, vault: Callable[[VaultWrite, Callable[[], Clerk]], IOrigin]
    ) -> None:
        self._moments = moments
        self._vault = vault
        self.dumps: dict[str, Dumped] = {}
        self.dumpers: list[Dumped] = []
        self.next_header = Header(type=HeaderType.DUMPFILE)
        self.made: list[MemoryOrigin] = []

    def of(self, command: WriteCommand, clerk: Callable[[], Clerk]) -> IOrigin:
        if isinstance(command, VaultWrite):
            return self._vault(command, clerk)
        made = self._make(command)
        self.made.append(made)
        return made

    def _make(self, command: FileWrite | PortWrite | ShmWrite) -> MemoryOrigin:
        header = evolve(self.next_header)
        if isinstance(command, FileWrite):
            text = f"while opening holding file '{command.filename}'"
            missing = Dumped(header_error=SourceFault(text))
            dumped = self.dumps.get(command.filename, missing)
            return MemoryOrigin(self._moments, dumped, header, port=False)
        dumped = self.dumpers.pop(0)
        if isinstance(command, ShmWrite):
            return MemoryRing(self._moments, dumped, header)
        kind = MemoryClient if command.data_path == "DIRECTTCP" else MemoryPort
        return kind(self._moments, dumped, header)


@implementer(ILook)
class FakeLook:
    """Directories of which something is known."""

    def __init__(self, moments: Steps) -> None:
        self._moments = moments
        self.directories: dict[str, DirectoryFacts] = {}

    def directory_facts(self, directory: str) -> Deferred[DirectoryFacts]:
        facts = self.directories.get(directory, DirectoryFacts(exists=False))
        return self._moments.do("directory", lambda: facts)
