"""A dump through shared memory: the header on a port, the data in a ring (data-plane 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.changers.processes import is_alive, start_mark
from protocols.shmring import consumer_sizes
from taper.core.interfaces import FeedError, IPlannedFeed, ITransfer, Offer
from taper.core.splitting import CacheKind
from taper.plane.interfaces import SourceError
from taper.plane.shm import ShmSource
from taper.plane.transfer import Transfer
from taper.run.headers import HeaderPort
from taper.run.lane_transfer import LaneTransfer, must_be_fed

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice, ILane
    from protocols.header import Header
    from taper.core.splitting import SplitPlan


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


@implementer(IPlannedFeed)
class ShmFeed:
    """A dump that comes through a ring of ours.

    Its producer fills the ring before the dumper sends the header, and must know our sizes for
    that: so they are announced with the offer.

    :param patience: seconds to wait for the header's connection (dtimeout and a second)
    :param lane: of its own, for making and removing the ring
    """

    cache_inform = False
    result_follows = True
    ready_first = False
    remark: str | None = None

    def __init__(self, reactor: Any, patience: float, lane: ILane) -> None:
        self._reactor = reactor
        self._patience = patience
        self._lane = lane
        self._plan: SplitPlan | None = None
        self._header: HeaderPort | None = None
        self._source: ShmSource | None = None
        self._flowing = False

    def expect(self, plan: SplitPlan) -> None:
        self._plan = plan

    def offer(self) -> Deferred[Offer | None]:
        return Deferred.fromCoroutine(self._offer())

    async def _offer(self) -> Offer | None:
        plan = self._plan
        assert plan is not None, "expect() comes first"
        cached = plan.cache is not CacheKind.NONE
        sizes = consumer_sizes(plan.buffer_size, plan.block_size, cached=cached)
        self._source = source = ShmSource(sizes, Watch().lost)
        try:
            self._header = HeaderPort(self._reactor, self._patience)
            await self._lane.call(source.create)
        except OSError as fault:
            text = f"cannot listen on localhost: {fault.strerror}"
            raise FeedError(text, device=True) from fault
        except SourceError as fault:
            raise FeedError(str(fault), device=True) from fault
        return Offer(self._header.port, shm_name=source.names.control)

    def header(self) -> Deferred[Header]:
        assert self._header is not None, "offer() comes first"
        return self._header.header()

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        return must_be_fed(device)

    def take(self) -> ShmSource:
        """The ring, which whoever takes it must close."""
        assert self._source is not None, "offer() comes first"
        self._flowing = True
        return self._source

    def transfer(self, plan: SplitPlan) -> ITransfer:
        return LaneTransfer(Transfer(self.take(), plan), self._lane)

    def hang_up(self) -> None:
        """No header is wanted any more."""
        if self._header is not None:
            self._header.close()

    def close(self) -> Deferred[None]:
        self.hang_up()
        if self._source is not None and not self._flowing:  # a transfer closes its source itself
            self._flowing = True
            self._lane.call_surely(self._source.close)
        return self._lane.stop()
