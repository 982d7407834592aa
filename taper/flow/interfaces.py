"""What origins can do for flows, and what moves the parts of a flow.

An origin provides what its nature allows; the table in :mod:`taper.flow.flows` goes by that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from zope.interface import Attribute, Interface

from protocols.crc import UNKNOWN, Crc
from taper.core.interfaces import IOrigin

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.callers import Callers
    from devices.interfaces import IAsyncDevice, ILane, PartResult
    from protocols.conf import Config
    from protocols.directtcp import Address
    from protocols.header import Header
    from protocols.stored import DumpName, StoredDump
    from taper.core.interfaces import Offer, Rest
    from taper.core.splitting import SplitPlan
    from taper.flow.last_record import Tail
    from taper.plane.interfaces import ISource

    Stands = Callable[[], Deferred[bool]]


DOES_NOT_COUNT = "the volume of this part does not count"
"""The error of a part that was taken back."""


@frozen(kw_only=True)
class FlowContext:
    """What origins and flows are given to work with.

    :ivar make_lane: makes a lane from a name.
    :ivar patience: seconds to wait for a connection (``dtimeout`` and a second).
    :ivar look: runs a function that reads files, beside everything else.
    :ivar search: looks a stored dump up in the catalogue.
    :ivar config: where headers are made from that do not come; None: they must come.
    """

    reactor: Any
    make_lane: Callable[[str], ILane]
    patience: float
    look: Callable[..., Deferred[Any]]
    search: Callable[[DumpName], Deferred[StoredDump | None]]
    config: Config | None = None


class IBlockOrigin(IOrigin):
    """An origin whose bytes this process can read."""

    def offer(plan: SplitPlan) -> Deferred[Offer | None]:
        """Begin to listen for who brings the dump. None: nobody needs to connect. Fails with
        DumpFault."""

    def ready() -> Deferred[None]:
        """The data can be had now; after ``header``. Fails with DumpFault."""

    def source(position: int = 0) -> ISource:
        """The dump's bytes from ``position`` on, which is 0 unless the origin ``reads_again``;
        after ``ready``. Who takes it closes it."""

    def judge(read: Callable[[], Crc]) -> list[str]:
        """What is wrong with a dump of which so much was read: asked only where it is complete."""

    def failed() -> None:
        """Something was wrong with what was read."""


class IConnectingOrigin(IOrigin):
    """An origin whose sender connects to wherever it is told."""

    async def callers() -> Callers:
        """Who may connect with the data. What people should know of it becomes a remark."""

    def offer_at(addresses: tuple[Address, ...]) -> Offer:
        """Let the sender know where the device listens, and listen for the header.

        :raise DumpFault: that cannot be done
        """

    def began() -> None:
        """The sender has shown that it began: with its first data, or its question."""


class IMoverOrigin(IBlockOrigin):
    """An origin whose own mover, or whose application, may send the dump."""

    def own_sender(block_size: int, done: Crc = UNKNOWN) -> IOwnSender | None:
        """That mover, where what it sends comes out right in blocks of this size; after ``ready``.

        Whatever has read for the flow before it is closed before it begins.

        :param done: checksum and number of the bytes that it need not send any more
        """


class ISender(Protocol):
    """The other end of a data connection, as far as we know of it.

    Bytes are counted from the dump's begin, those of earlier flows included.

    :ivar wants_progress: called, in the reactor's thread, when it is short of room for what may be
        asked for again: :meth:`acknowledge` should come soon. Set by who moves its bytes.
    :ivar tells_broken: called, in the reactor's thread, once when it has found the connection
        broken; the device may never see that. Set by who moves its bytes.
    """

    wants_progress: Callable[[], None]
    tells_broken: Callable[[], None]

    @property
    def finished(self) -> bool:
        """Nothing is to come behind :attr:`size`; what the other end has counted tells whether the
        connection has brought all of it."""

    @property
    def delivered(self) -> bool:
        """All was sent, and both ends have ended the connection in good order.

        A count cannot tell that: many a mover fills up its last record, and counts that.
        """

    @property
    def tail(self) -> Tail | None:
        """Once it is :attr:`finished`: what the last record must hold, which neither a count nor
        :attr:`delivered` can tell. None: what is delivered is there."""

    @property
    def size(self) -> int:
        """Bytes sent, or to be sent once it is :attr:`finished`."""

    @property
    def broken(self) -> str | None:
        """The connection broke and the sender knows no reason; the other end may be to blame."""

    def crc(self) -> Crc:
        """Of what was sent, if somebody counted."""

    def take_errors(self) -> list[str]:
        """What went wrong at the source since this was last asked."""

    def settled(self) -> Deferred[None]:
        """Fires once the sender knows how it ended: it finished, it failed, or it broke. Only
        after the connection's end, or a break."""

    @property
    def goes_on(self) -> bool:
        """The source is well and nobody has cancelled: what was sent in vain can be sent again, as
        far as the sender knows."""

    def acknowledge(self, stored: int, written: int, counted: int) -> None:
        """How far the device is.

        :param stored: bytes in good parts: never wanted again
        :param written: bytes on the volume for certain, however the connection ends: wanted again
            only if the running part fails
        :param counted: bytes that the device says are there; behind the end of the connection it
            counts what it fills up its last record with, too
        """

    def leave(self, stored: int) -> Deferred[Rest | None]:
        """Leave the connection, so that another one can go on behind the first ``stored`` bytes.

        :return: None: they cannot be had again
        """

    def cancel(self) -> None:
        """Stop soon; safe to repeat."""

    def close(self) -> Deferred[None]:
        """Release everything."""


class IOwnSender(ISender, Protocol):
    """A sender that connects by itself."""

    async def prepare(self) -> None:
        """Be where the first byte is, before the device is asked where it listens; may take as
        long as fetching a volume.

        :raise PeerUnreachable: it cannot; somebody else may be able to
        """

    async def connect(self, addresses: tuple[Address, ...]) -> None:
        """Connect to where the device listens, and send.

        :raise PeerUnreachable: it cannot; the source is as it was
        :raise SourceError: it went wrong otherwise, as ``take_errors`` tells too
        """


class ITransfer(Interface):
    """Moves the parts of one flow; see :class:`taper.core.interfaces.IFlow` for the members."""

    bytes_written = Attribute("int: as of IFlow")
    measured = Attribute("taper.core.interfaces.IMeasured: as of IFlow")

    def start() -> None:
        """Begin reading ahead; called once the data can be had."""

    takes_back = Attribute("bool: as of IFlow")

    def write_part(
        device: IAsyncDevice, header: Header, stands: Callable[[], Deferred[bool]] | None = None
    ) -> Deferred[PartResult]:
        """See IFlow."""

    def take_back() -> None:
        """See IFlow."""

    def resume_part(device: IAsyncDevice, more: bool) -> Deferred[PartResult]:
        """See IFlow."""

    def can_retry() -> bool:
        """See IFlow."""

    def revoke() -> None:
        """See IFlow."""

    def take_errors() -> list[str]:
        """See IFlow."""

    def cancel(reason: str) -> None:
        """See IFlow."""

    def close() -> Deferred[None]:
        """Release everything."""

    def source_crc() -> Crc:
        """See IFlow."""

    def dest_crc() -> Crc:
        """See IFlow."""
