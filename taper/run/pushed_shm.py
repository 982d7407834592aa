"""A dump through shared memory for a device that takes data from a connection only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from taper.core.interfaces import IPlannedFeed, Offer
from taper.run.shm_feed import ShmFeed
from taper.run.straight_feeds import Pushing

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import IAsyncDevice, ILane
    from protocols.header import Header
    from taper.core.splitting import SplitPlan


@implementer(IPlannedFeed)
class PushedShmFeed(Pushing):
    """SHM-WRITE to a device with a mover: what comes out of the ring we send on.

    :param patience: seconds to wait for the header's connection
    """

    cache_inform = False
    result_follows = True

    def __init__(self, reactor: Any, patience: float, device: IAsyncDevice, lane: ILane) -> None:
        super().__init__(reactor, None, device, lane)
        self._ring = ShmFeed(reactor, patience, lane)

    def expect(self, plan: SplitPlan) -> None:
        self._ring.expect(plan)

    async def _offer(self) -> Offer | None:
        await super()._offer()
        offer = await self._ring.offer()
        self._source = self._ring.take()
        return offer

    def header(self) -> Deferred[Header]:
        return self._ring.header()

    async def _close(self) -> None:
        self._ring.hang_up()
        if self._source is None:
            await self._data.close()
            await self._ring.close()
            return
        await super()._close()
