"""What the core asks of the world, in memory and in steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from devices.interfaces import IAsyncDevice
from protocols import tracelog
from protocols.conf import Config
from protocols.driver.codec import encode
from protocols.driver.commands import PortWrite
from protocols.driver.messages import Message
from protocols.header import Header, HeaderType
from protocols.tapelist import Tapelist, TapelistEntry
from taper.core.interfaces import (
    FeedError,
    IConsole,
    IDriver,
    IFeed,
    IFeeds,
    IHistory,
    IPlannedFeed,
    IStatusFile,
    IStatusFiles,
    ITapelistStore,
    ITraceLog,
    ITransfer,
    Offer,
)
from taper.core.retention import Retention
from taper.core.splitting import DirectoryFacts, SplitPlan
from taper.plane.transfer import Transfer
from taper.run.lane_transfer import LaneTransfer
from taper.run.moving import MoverTransfer
from taper.run.straight_feeds import DataPort
from tests.core.moments import MomentLane, Moments
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

    def __init__(self, moments: Moments) -> None:
        self._moments = moments
        self.records: list[Any] = []

    @property
    def lines(self) -> list[str]:
        return [tracelog.encode(record).decode().rstrip("\n") for record in self.records]

    def append(self, record: Any) -> Deferred[None]:
        tracelog.encode(record)
        name = f"log {type(record).__name__}"
        return self._moments.do(name, lambda: self.records.append(record), surely=True)


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

    def __init__(self, moments: Moments, entries: Iterable[TapelistEntry] = ()) -> None:
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

    def __init__(self, moments: Moments, config: Config) -> None:
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

    def __init__(self, moments: Moments) -> None:
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
    header_error: FeedError | None = None
    offer_error: FeedError | None = None
    silent: set[str] = field(factory=set)


@implementer(IFeed)
class MemoryFeed:
    """A dump from memory: over in-memory sources, with the real transfer."""

    def __init__(self, moments: Moments, dumped: Dumped, header: Header, *, port: bool) -> None:
        self.cache_inform = not port
        self.result_follows = port
        self.ready_first = False
        self.remark = None
        self.begun = False
        self.closed = False
        self.transfers: list[LaneTransfer] = []
        self._moments = moments
        self._dumped = dumped
        self._header = header
        self._port = port
        self._lane = MomentLane(moments, "transfer")

    def offer(self) -> Deferred[Offer | None]:
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

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        return succeed(None)

    def transfer(self, plan: SplitPlan) -> ITransfer:
        kind = PiecesSource if self._port else SeekableSource
        source = kind(self._dumped.data, self._dumped.pieces, self._dumped.source_error)
        transfer = LaneTransfer(Transfer(source, plan), self._lane)
        self.transfers.append(transfer)
        return transfer

    def close(self) -> Deferred[None]:
        self.closed = True
        return self._lane.stop()


@implementer(IPlannedFeed)
class MemoryRing(MemoryFeed):
    """The same, through a ring that knows the plan before it is offered."""

    def __init__(self, moments: Moments, dumped: Dumped, header: Header) -> None:
        super().__init__(moments, dumped, header, port=True)
        self.plan: SplitPlan | None = None

    def expect(self, plan: SplitPlan) -> None:
        assert not self.begun, "an offer needs the plan"
        self.plan = plan

    def offer(self) -> Deferred[Offer | None]:
        assert self.plan is not None, "an offer needs the plan"
        return super().offer().addCallback(lambda _: Offer(40000, shm_name="/ring"))


@implementer(IFeed)
class StraightFeed(MemoryFeed):
    """A dump whose data come to the device: the header as ever, the rest by the real ways."""

    def __init__(self, moments: Moments, plain: MemoryFeed, device: IAsyncDevice) -> None:
        super().__init__(moments, plain._dumped, plain._header, port=True)
        self.ready_first = True
        self.clock = Clock()
        self._data = DataPort(self.clock, device)

    def offer(self) -> Deferred[Offer | None]:
        return Deferred.fromCoroutine(self._offer())

    async def _offer(self) -> Offer | None:
        self.begun = True
        addresses = await self._data.listen()
        return Offer(40000, tuple(str(address) for address in addresses))

    def ready(self) -> Deferred[None]:
        self._data.wait_at_most(60)
        return self._data.accepted

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        return Deferred.fromCoroutine(self._data.adopt(device))

    def transfer(self, plan: SplitPlan) -> ITransfer:
        return MoverTransfer(self._data.take(), plan, self.clock.seconds)

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close_all())

    async def _close_all(self) -> None:
        await self._data.close()
        await super().close()


@implementer(IFeeds)
class MemoryFeeds:
    """Makes feeds of what :attr:`dumps` has: by file name, and in order for ports.

    :ivar made: every feed made.
    """

    def __init__(self, moments: Moments) -> None:
        self._moments = moments
        self.dumps: dict[str, Dumped] = {}
        self.dumpers: list[Dumped] = []
        self.next_header = Header(type=HeaderType.DUMPFILE)
        self.made: list[MemoryFeed] = []
        self.directories: dict[str, DirectoryFacts] = {}

    def holding(self, filename: str) -> IFeed:
        missing = Dumped(header_error=FeedError(f"while opening holding file '{filename}'"))
        return self._make(self.dumps.get(filename, missing), port=False)

    def port(self) -> IFeed:
        return self._make(self.dumpers.pop(0), port=True)

    def shm(self) -> IPlannedFeed:
        ring = MemoryRing(self._moments, self.dumpers.pop(0), evolve(self.next_header))
        self.made.append(ring)
        return ring

    def pushed(self, filename: str, device: IAsyncDevice) -> IFeed:
        raise NotImplementedError("no device here has a mover")

    def pushed_shm(self, device: IAsyncDevice) -> IPlannedFeed:
        raise NotImplementedError("no device here has a mover")

    def directtcp(self, command: PortWrite, device: IAsyncDevice) -> IFeed:
        plain = self.made[-1]
        feed = StraightFeed(self._moments, plain, device)
        self.made.append(feed)
        return feed

    def _make(self, dumped: Dumped, *, port: bool) -> IFeed:
        feed = MemoryFeed(self._moments, dumped, evolve(self.next_header), port=port)
        self.made.append(feed)
        return feed

    def directory_facts(self, directory: str) -> Deferred[DirectoryFacts]:
        facts = self.directories.get(directory, DirectoryFacts(exists=False))
        return self._moments.do("directory", lambda: facts)
