"""What the core asks of the world around it.

``taper.run.assembly`` provides every one of these; tests provide fakes. Nothing here blocks:
what takes time returns a Deferred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import Attribute, Interface

from protocols.records import Record

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall

    from devices.interfaces import IAsyncChanger, IAsyncDevice, PartResult
    from protocols.crc import Crc
    from protocols.driver.commands import WriteCommand
    from protocols.driver.messages import Message
    from protocols.header import Header
    from protocols.tapelist import Tapelist
    from taper.core.outcome import Verdict
    from taper.core.retention import Retention
    from taper.core.splitting import DirectoryFacts, SplitPlan


class IClock(Interface):
    """The reactor's time."""

    def seconds() -> float:
        """Seconds since some moment in the past."""

    def callLater(seconds: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Call ``function`` so many seconds from now, as ``IReactorTime`` does."""


class IDriver(Interface):
    """The driver's end of the conversation."""

    def send(reply: Message) -> None:
        """Send one message, as one whole line."""


class ITraceLog(Interface):
    """The trace log [protocol 6.1]. Records are written in the order of asking."""

    def append(*records: Any) -> Deferred[None]:
        """Write records of :mod:`protocols.tracelog`, none behind one that cannot be written; fires
        when all are in the file, and those that dumps are found by when they are on the disk."""


class IConsole(Interface):
    """Our stderr, which is the amdump log [protocol 6.3]."""

    def write_line(text: str) -> None:
        """Write one line, unbuffered."""


class ITapelistStore(Interface):
    """The tapelist file, shared with every other Amanda program [config 3.3]."""

    def read() -> Deferred[Tapelist]:
        """The list as it is now, without locking."""

    def update(change: Callable[[Tapelist], Tapelist]) -> Deferred[Tapelist]:
        """Lock, read, apply the pure function ``change``, replace the file, unlock.

        ``change`` runs outside the reactor thread. What it raises arrives in the Deferred, with
        the file untouched and unlocked. A new list that may not outlive a power cut is a failure
        too. Fires with the new list. Cancelling ends the wait for the lock; a change that has
        begun is made all the same before the Deferred fails.
        """


class IHistory(Interface):
    """What retention must know besides the tapelist [config 3.5, 3.6]."""

    reading = Attribute("Counter[str]: labels of volumes that dumps are being read from")

    def refresh() -> Deferred[None]:
        """Read again the command file and, where a policy asks for it, the trace logs."""

    def retention(tapelist: Tapelist) -> Retention:
        """The retention rules over ``tapelist`` with the facts last read. Any thread."""


class IStatusFile(Interface):
    """The status file of one running dump [protocol 6.4]."""

    path = Attribute("str")

    def remove() -> Deferred[None]:
        """Stop refreshing and delete it; a missing file is no error."""


class IStatusFiles(Interface):
    """Makes status files."""

    def create(progress: Callable[[], int]) -> Deferred[IStatusFile]:
        """A new file, refreshed every 5 s with what ``progress`` says (bytes)."""


class Offer(Record):
    """Where a dumper may connect: header port on localhost, and for the data addresses
    ``IP:PORT``, or the name of a shared-memory ring."""

    header_port: int
    addresses: tuple[str, ...] = ()
    shm_name: str | None = None


class IOrigin(Interface):
    """Where header and data of one dump come from [data-plane 4].

    What else it can do for a flow stands in :mod:`taper.flow.interfaces`.
    """

    reads_again = Attribute("bool: what was read can be read again, from any byte on")
    result_follows = Attribute("bool: the driver tells the dumper's result by DONE or FAILED")
    remark = Attribute("str | None: what people should know of the header, for the trace log")

    def find() -> Deferred[tuple[str, ...]]:
        """Look the dump up; before anything else. Fails with DumpFault.

        :return: labels of the volumes that it will be read from
        """

    def header() -> Deferred[Header]:
        """The dump's header, after its flow has made the offer. Fails with SourceFault."""

    def close() -> Deferred[None]:
        """Stop listening, close what is open; after the flow. At any time, and to repeat."""


class IUndecidedOrigin(IOrigin):
    """An origin that may turn out to be another one."""

    def decide() -> Deferred[IOrigin]:
        """Look which it is, before anything else is asked of it. Fails with DumpFault."""


class IToldOrigin(IOrigin):
    """An origin whose sender is told how its dump fares. It stays open until the dumper's result
    is known, since that is not before the sender has heard ours."""

    def follow(progress: Callable[[], tuple[int, int]], interrupt: Callable[[str], None]) -> None:
        """Tell the sender now and then how far the dump is; from the header on.

        :param progress: bytes in good parts, and bytes written
        :param interrupt: ends the dump; to be called with the reason when the sender is lost
        """

    def tell_progress() -> None:
        """A part is over: tell it now."""

    def tell_end(fate: Verdict, crc: Crc, size: int, text: str) -> None:
        """Tell the sender what became of its dump, as far as we are concerned.

        :param crc: of what is stored, if known
        :param size: bytes in good parts
        :param text: all complaints
        """


class IClerk(Interface):
    """Finds, opens and keeps the volume that one worker's dumps are read from.

    One dump at a time: :meth:`begin`, any number of :meth:`fetch`, :meth:`end`. What is fetched
    is read by others; between two calls the clerk does not touch it.
    """

    label = Attribute("str | None: of the volume that is open")
    busy = Attribute("bool: a dump is being read")

    async def begin(storage: str) -> None:
        """A dump is to be read from this storage; another one's volume and changer are given back.

        :raise SourceFault: there is no such storage, or its changer cannot be used
        """

    async def fetch(
        label: str, handle: str, ready: Callable[[IAsyncDevice], Deferred[None]] | None = None
    ) -> IAsyncDevice:
        """A device that reads the volume of this label, started.

        :param ready: is given a device that is about to be started
        :raise SourceFault: it cannot be had
        """

    def end(*, well: bool) -> None:
        """Nobody reads any more.

        :param well: reading went well; else the volume is loaded anew before it is read again
        """

    def interrupt() -> None:
        """The dump is over: let a running or later :meth:`fetch` fail soon."""

    async def close_volume(*, tell: bool) -> bool:
        """Give the volume back, if one is open; or wait until it is given back.

        :param tell: send CLOSED-SOURCE-VOLUME if one was
        :return: that was sent, by us or by the call that we waited for. The driver takes a second
            one for that of a volume that it does not know.
        """


class IOrigins(Interface):
    """Makes origins."""

    def of(command: WriteCommand, clerk: Callable[[], IClerk]) -> IOrigin:
        """The origin of the dump that a command asks for; touches nothing yet.

        :param clerk: of the worker, for who reads volumes
        """


class Rest(Record):
    """What another flow is to do of a dump.

    :ivar done: checksum and number of the bytes that are in good parts.
    :ivar counted: that checksum holds; else nobody has seen all of these bytes, and only their
        number counts.
    :ivar source: a :class:`taper.plane.interfaces.ISource` of all that follows; whoever takes it
        closes it. None: the origin gives it, from that byte on.
    :ivar in_vain: connections in a row that broke before a byte was stored for good.
    :ivar offered: the origin has made its offer, to the flow before.
    :ivar by_mover: a mover of the origin's may send it; else its bytes must come by this host.
    """

    done: Crc
    source: Any = None
    counted: bool = True
    in_vain: int = 0
    offered: bool = True
    by_mover: bool = True


class IMeasured(Protocol):
    """How far a dump is, and what it took; see :class:`taper.plane.interfaces.Measured`."""

    @property
    def written(self) -> int: ...
    @property
    def read(self) -> int | None: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def without_data(self) -> float | None: ...
    @property
    def without_room(self) -> float | None: ...


class IFlow(Interface):
    """One dump on its way from its origin to volumes, part by part [data-plane 2, 4].

    Failures of the source end the part and are told by ``take_errors``; nothing is raised for
    them.
    """

    ready_first = Attribute("bool: no volume may be labelled before ``ready`` has fired")
    bytes_written = Attribute(
        "int: of finished good parts and the current one, for the status file"
    )
    measured = Attribute("IMeasured: the same, and who waited for whom")

    def offer() -> Deferred[Offer | None]:
        """Begin to listen, once. None: nobody needs to connect. Fails with DumpFault."""

    def ready() -> Deferred[None]:
        """The data can be had now; from then on they are read ahead. Once, after the origin's
        header. Fails with DumpFault."""

    def adopt(device: IAsyncDevice) -> Deferred[None]:
        """The next part goes to ``device``, which need not be started yet.

        Fails with DeviceFault if this dump cannot go on there.
        """

    takes_back = Attribute(
        "bool: the next part may be written on a volume of which it is not known yet if it counts"
    )

    def write_part(
        device: IAsyncDevice, header: Header, stands: Callable[[], Deferred[bool]] | None = None
    ) -> Deferred[PartResult]:
        """Write the next part, or the same again after a failed one if the source can.

        :param stands: only with ``takes_back``: asked once the part is written, and before anything
            of it counts, whether its volume does. If it does not, the part comes back as failed at
            the end of its volume, and the next one begins with its bytes, if ``can_retry`` says so
            then.

        One part at a time. The part's bytes begin where the last *successful* part ended. A part
        that comes back paused, as the plan may ask for, is not over: ``resume_part`` follows.

        A good part may come back before it is stored: see its ``stored``. The next one may be
        written meanwhile. If one is not stored, those behind it are lost too: the running part ends
        soon, no other is begun, and once every ``stored`` has fired, ``revoke`` follows.
        """

    def take_back() -> None:
        """It is known now that the running part, which was begun with ``stands``, does not count:
        let it end soon. Never blocks."""

    def resume_part(device: IAsyncDevice, more: bool) -> Deferred[PartResult]:
        """Go on with a paused part, or if there is no ``more`` space, end it where it is."""

    def can_retry() -> bool:
        """The bytes of the failed part can be had again."""

    def revoke() -> None:
        """Take note that a part was not stored: the next one begins with its bytes, if
        ``can_retry`` says so afterwards."""

    def take_errors() -> list[str]:
        """What went wrong at the source since this was last asked, in order."""

    def leave() -> Deferred[Rest | None]:
        """Between two parts: stop where the last good part ends, so that another flow can go on
        from there. This one writes no part any more, and is closed by whoever takes the rest.

        :return: None: this dump cannot go on elsewhere, and the flow is as it was
        """

    def cancel(reason: str) -> None:
        """Stop as soon as possible: the running part ends unsuccessful, ``reason`` becomes an
        input error unless empty. Never blocks; safe to repeat."""

    def close() -> Deferred[None]:
        """Release sockets, files, threads, cache; fires when nothing is left. The origin stays.
        At any time; a second call does nothing."""

    def source_crc() -> Crc:
        """CRC of the bytes read so far, each counted once; unknown if nobody counts."""

    def dest_crc() -> Crc:
        """CRC of the bytes in successful parts; unknown if nobody counts."""


class IFlows(Interface):
    """Knows which flow serves which origin and device."""

    def listens(origin: IOrigin, device: IAsyncDevice) -> bool:
        """The device itself must listen for the data.

        :raise DeviceFault: nothing leads from this origin to this device
        """

    def between(origin: IOrigin, device: IAsyncDevice, plan: SplitPlan) -> IFlow:
        """The flow of a dump that begins on ``device``.

        :raise DeviceFault: as of ``listens``
        """

    def going_on(
        flow: IFlow, origin: IOrigin, device: IAsyncDevice, plan: SplitPlan
    ) -> Deferred[IFlow]:
        """The flow by which a dump goes on on ``device``, which need not be started yet.

        It is the same one while that serves the device. Another one goes on after the bytes in
        good parts; the old one is closed then, the new one has made its offer and wants
        ``ready``. Fails with DeviceFault if the dump cannot go on there, and with the old flow
        untouched.
        """


class IVaults(Interface):
    """The storages that dumps are read from (VAULT-WRITE)."""

    def open_changer(storage: str) -> IAsyncChanger:
        """A changer of its own for that storage.

        :raise SourceFault: there is no such storage, or its changer cannot be used
        """


class ILook(Interface):
    """Looks at the places that a part cache may lie in."""

    def directory_facts(directory: str) -> Deferred[DirectoryFacts]:
        """Whether it is a directory, and how much room it has."""
