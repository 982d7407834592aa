"""A dump through shared memory: the header on a port, the data in a ring [data-plane 4.3]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.processes import is_alive, start_mark
from devices.threads import ThreadRefused
from protocols.shmring import consumer_sizes
from taper.core.errors import DeviceFault
from taper.core.interfaces import Offer
from taper.core.splitting import CacheKind
from taper.flow.headers import HeaderPort
from taper.flow.interfaces import IBlockOrigin
from taper.plane.interfaces import SourceError
from taper.plane.shm import ShmSource

if TYPE_CHECKING:
    from protocols.crc import Crc
    from protocols.driver.commands import ShmWrite
    from protocols.header import Header
    from taper.core.interfaces import IClerk
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext
    from taper.plane.interfaces import ISource


class Watch:
    """Looks after the processes of a ring. A zombie is dead, and so is one whose number now
    belongs to another."""

    def __init__(self) -> None:
        self._marks: dict[int, str | None] = {}

    def lost(self, pids: Sequence[int]) -> int | None:
        """One of ``pids`` that is no more; None: all live."""
        for pid in pids:
            mark = start_mark(pid)
            if not is_alive(pid) or self._marks.setdefault(pid, mark) != mark:
                return pid
        return None


@implementer(IBlockOrigin)
class RingOrigin:
    """A dump that comes through a ring of ours.

    Its producer fills the ring before the dumper sends the header, and must know our sizes for
    that: so they are announced with the offer.
    """

    reads_again = False
    result_follows = True
    remark: str | None = None

    def __init__(self, context: FlowContext) -> None:
        self._context = context
        self._lane = context.make_lane("shm")
        self._header: HeaderPort | None = None
        self._source: ShmSource | None = None

    def find(self) -> Deferred[tuple[str, ...]]:
        return succeed(())

    def offer(self, plan: SplitPlan) -> Deferred[Offer | None]:
        return Deferred.fromCoroutine(self._offer(plan))

    async def _offer(self, plan: SplitPlan) -> Offer:
        cached = plan.cache is not CacheKind.NONE
        sizes = consumer_sizes(plan.buffer_size, plan.block_size, cached=cached)
        self._source = source = ShmSource(sizes, Watch().lost)
        try:
            self._header = HeaderPort(self._context.reactor, self._context.patience)
        except OSError as fault:
            raise DeviceFault(f"cannot listen on localhost: {fault.strerror}") from fault
        try:
            await self._lane.call(source.create)
        except ThreadRefused as refusal:
            raise DeviceFault(f"cannot make the shm-ring: {refusal}") from refusal
        except SourceError as fault:
            raise DeviceFault(str(fault)) from fault
        return Offer(self._header.port, shm_name=source.names.control)

    def header(self) -> Deferred[Header]:
        assert self._header is not None, "offer() comes first"
        return self._header.header()

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def source(self, position: int = 0) -> ISource:
        source, self._source = self._source, None
        assert source is not None, "offer() comes first, and this once"
        return source

    def judge(self, read: Callable[[], Crc]) -> list[str]:
        return []

    def failed(self) -> None:
        """The ring goes, whatever came."""

    def close(self) -> Deferred[None]:
        if self._header is not None:
            self._header.close()
        source, self._source = self._source, None
        if source is not None:
            closing = self._lane.call_surely(source.close)
            closing.addErrback(lambda failure: failure.trap(ThreadRefused) and None)
        return self._lane.stop()


def from_ring(context: FlowContext, command: ShmWrite, clerk: Callable[[], IClerk]) -> RingOrigin:
    """See :mod:`taper.flow.origins`."""
    return RingOrigin(context)
