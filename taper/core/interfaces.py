"""What the core asks of the world around it.

``taper.run.assembly`` provides every one of these; tests provide fakes. Nothing here blocks:
what takes time returns a Deferred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import IAsyncChanger, IAsyncDevice, PartResult
    from protocols.crc import Crc
    from protocols.driver.commands import PortWrite, VaultWrite
    from protocols.driver.messages import Message
    from protocols.header import Header
    from protocols.tapelist import Tapelist
    from taper.core.clerk import Clerk
    from taper.core.retention import Retention
    from taper.core.splitting import DirectoryFacts, SplitPlan


class IClock(Interface):
    """The time of day."""

    def seconds() -> float:
        """Seconds since the epoch."""


class IDriver(Interface):
    """The driver's end of the conversation."""

    def send(reply: Message) -> None:
        """Send one message, as one whole line."""


class ITraceLog(Interface):
    """The trace log (taper-protocol 6.1). Records are written in the order of asking."""

    def append(record: Any) -> Deferred[None]:
        """Write one record of :mod:`protocols.tracelog`; fires when it is in the file, and one
        that dumps are found by when it is on the disk."""


class IConsole(Interface):
    """Our stderr, which is the amdump log (taper-protocol 6.3)."""

    def write_line(text: str) -> None:
        """Write one line, unbuffered."""


class ITapelistStore(Interface):
    """The tapelist file, shared with every other Amanda program (config-and-state 3.3)."""

    def read() -> Deferred[Tapelist]:
        """The list as it is now, without locking."""

    def update(change: Callable[[Tapelist], Tapelist]) -> Deferred[Tapelist]:
        """Lock, read, apply the pure function ``change``, replace the file, unlock.

        ``change`` runs outside the reactor thread. What it raises arrives in the Deferred, with
        the file untouched and unlocked. Fires with the new list. Cancelling ends the wait for the
        lock; a change that has begun is made all the same before the Deferred fails.
        """


class IHistory(Interface):
    """What retention must know besides the tapelist (config-and-state 3.5, 3.6)."""

    reading = Attribute("Counter[str]: labels of volumes that dumps are being read from")

    def refresh() -> Deferred[None]:
        """Read again the command file and, where a policy asks for it, the trace logs."""

    def retention(tapelist: Tapelist) -> Retention:
        """The retention rules over ``tapelist`` with the facts last read. Any thread."""


class IStatusFile(Interface):
    """The status file of one running dump (taper-protocol 6.4)."""

    path = Attribute("str")

    def remove() -> Deferred[None]:
        """Stop refreshing and delete it; a missing file is no error."""


class IStatusFiles(Interface):
    """Makes status files."""

    def create(progress: Callable[[], int]) -> Deferred[IStatusFile]:
        """A new file, refreshed every 5 s with what ``progress`` says (bytes)."""


class ITransfer(Interface):
    """One dump on its way from a source to volumes, part by part (data-plane 2, 4).

    Failures of the source end the part and are told by ``take_errors``; nothing is raised for
    them.
    """

    bytes_written = Attribute(
        "int: of finished good parts and the current one, for the status file"
    )

    def start() -> None:
        """Begin reading ahead; called once the data can be had."""

    def write_part(device: IAsyncDevice, header: Header) -> Deferred[PartResult]:
        """Write the next part, or the same again after a failed one if the source can.

        One part at a time. The part's bytes begin where the last *successful* part ended. A part
        that comes back paused, as the plan may ask for, is not over: ``resume_part`` follows.
        """

    def resume_part(device: IAsyncDevice, more: bool) -> Deferred[PartResult]:
        """Go on with a paused part, or if there is no ``more`` space, end it where it is."""

    def can_retry() -> bool:
        """The bytes of the failed part can be had again."""

    def take_errors() -> list[str]:
        """What went wrong at the source since this was last asked, in order."""

    def cancel(reason: str) -> None:
        """Stop as soon as possible: the running part ends unsuccessful, ``reason`` becomes an
        input error unless empty. Never blocks; safe to repeat."""

    def close() -> Deferred[None]:
        """Release sockets, files, threads, cache; fires when nothing is left."""

    def source_crc() -> Crc:
        """CRC of the bytes read so far."""

    def dest_crc() -> Crc:
        """CRC of the bytes in successful parts."""


class FeedError(Exception):
    """A dump cannot be had from its source.

    :ivar text: what the driver is told.
    :ivar device: blame the storage side, not the source.
    """

    def __init__(self, text: str, *, device: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.device = device


@frozen
class Offer:
    """Where a dumper may connect: header port on localhost, and for the data addresses
    ``IP:PORT``, or the name of a shared-memory ring."""

    header_port: int
    addresses: tuple[str, ...] = ()
    shm_name: str | None = None


class IFeed(Interface):
    """Where one dump comes from: a holding file, a pair of ports (data-plane 4)."""

    cache_inform = Attribute("bool: a failed part can be read again from the source itself")
    result_follows = Attribute("bool: the driver tells the dumper's result by DONE or FAILED")
    ready_first = Attribute("bool: no volume may be labelled before ``ready`` has fired")
    remark = Attribute("str | None: what people should know of the header, for the trace log")

    def offer() -> Deferred[Offer | None]:
        """Begin to listen. None: nobody needs to connect."""

    def header() -> Deferred[Header]:
        """The dump's header. Fails with FeedError."""

    def ready() -> Deferred[None]:
        """The data can be had now. Fails with FeedError."""

    def adopt(device: IAsyncDevice) -> Deferred[None]:
        """The next part goes to ``device``, which need not be started yet.

        Fails with FeedError if this dump cannot go on there.
        """

    def transfer(plan: SplitPlan) -> ITransfer:
        """The flow of this dump; after ``header`` and ``ready``, once."""

    def close() -> Deferred[None]:
        """Stop listening, close what is open; safe at any time and to repeat."""


class IPlannedFeed(IFeed):
    """A feed whose peer is told, with the offer, how the dump will be cut."""

    def expect(plan: SplitPlan) -> None:
        """The plan of this dump; before ``offer``."""


class IVaultFeed(IFeed):
    """A dump on volumes of another storage (data-plane 4.4)."""

    def find() -> Deferred[tuple[str, ...]]:
        """Look the dump up; before anything else. Fires with the labels of its volumes.

        Fails with FeedError.
        """


class IVaults(Interface):
    """The storages that dumps are read from (VAULT-WRITE)."""

    def open_changer(storage: str) -> IAsyncChanger:
        """A changer of its own for that storage.

        :raise FeedError: there is no such storage, or its changer cannot be used
        """

    def feed(command: VaultWrite, clerk: Clerk) -> IVaultFeed:
        """The dump that the command names, read from volumes that ``clerk`` opens."""

    def pushed(feed: IVaultFeed, device: IAsyncDevice) -> IFeed:
        """The same dump, found by ``feed``, for a device that takes data from a connection only;
        closes ``feed`` with it."""


class IFeeds(Interface):
    """Makes feeds, and knows the places a part cache may lie in."""

    def holding(filename: str) -> IFeed:
        """A dump in holding files (FILE-WRITE)."""

    def port() -> IFeed:
        """A dump over TCP by way of this host (PORT-WRITE, data path AMANDA)."""

    def shm() -> IPlannedFeed:
        """A dump through shared memory (SHM-WRITE)."""

    def pushed(filename: str, device: IAsyncDevice) -> IFeed:
        """A dump in holding files for a device that takes data from a connection only."""

    def pushed_shm(device: IAsyncDevice) -> IPlannedFeed:
        """A dump through shared memory for such a device."""

    def directtcp(command: PortWrite, device: IAsyncDevice) -> IFeed:
        """A dump that flows straight into the device, which listens (PORT-WRITE)."""

    def directory_facts(directory: str) -> Deferred[DirectoryFacts]:
        """Look at a directory that may serve as part cache."""
