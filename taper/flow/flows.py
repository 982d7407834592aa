"""Which flow serves an origin and a device: one table.

===========================================  ===========================  ==========================
the origin                                   the device                   the flow
===========================================  ===========================  ==========================
can be read here (``IBlockOrigin``)          can be written here          ``PumpedFlow``
connects where told (``IConnectingOrigin``)  listens                      ``TakenFlow``
can be read here, or by its own mover        listens, and has a mover     ``SentFlow``
===========================================  ===========================  ==========================

The first row that fits counts. What a flow has left over can be read here, wherever it came from.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices.idirecttcp import IDirectTCPDevice, IMoverDevice
from devices.interfaces import IPumpedDevice
from protocols.crc import UNKNOWN
from taper.core.errors import DeviceFault
from taper.core.interfaces import IFlow, IFlows, Rest
from taper.flow.interfaces import IBlockOrigin, IConnectingOrigin
from taper.flow.pumped import PumpedFlow

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from taper.core.interfaces import IOrigin
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext
    from taper.flow.sent import SentFlow
    from taper.flow.taken import TakenFlow


class Way(enum.Enum):
    """How bytes get from an origin to a device."""

    PUMPED = "through this process"
    TAKEN = "the sender connects to the device"
    SENT = "we, or another mover, connect to the device"


def way_between(origin: IOrigin, device: IAsyncDevice, *, reachable: bool = True) -> Way:
    """The way of the table.

    :param reachable: the sender, if it is one that connects, still waits to be told where
    :raise DeviceFault: there is none
    """
    readable = IBlockOrigin.providedBy(origin)
    if readable and IPumpedDevice.providedBy(device):
        return Way.PUMPED
    if reachable and IConnectingOrigin.providedBy(origin) and IDirectTCPDevice.providedBy(device):
        return Way.TAKEN
    if readable and IMoverDevice.providedBy(device):
        return Way.SENT
    raise DeviceFault(
        f"error; Can't dump DIRECTTCP data-path dle to a device ('{device.facts.name}') "
        "that doesn't support it",
        code=6009,
    )


@implementer(IFlows)
class Flows:
    """Makes the flows of one process."""

    def __init__(self, context: FlowContext) -> None:
        self._context = context

    def listens(self, origin: IOrigin, device: IAsyncDevice) -> bool:
        return way_between(origin, device) is not Way.PUMPED

    def between(self, origin: IOrigin, device: IAsyncDevice, plan: SplitPlan) -> IFlow:
        return self._make(origin, device, plan, Rest(done=UNKNOWN, offered=False))

    def _make(
        self, origin: IOrigin, device: IAsyncDevice, plan: SplitPlan, rest: Rest
    ) -> PumpedFlow | TakenFlow | SentFlow:
        if rest.source is not None and not IBlockOrigin.providedBy(origin):
            from taper.flow.taken import HeldOrigin

            origin = HeldOrigin(origin)
        way = way_between(origin, device, reachable=not rest.offered)
        if way is Way.PUMPED:
            return PumpedFlow(self._context, IBlockOrigin(origin), plan, rest)
        if way is Way.TAKEN:
            from taper.flow.taken import TakenFlow  # only for devices that listen

            return TakenFlow(self._context, IConnectingOrigin(origin), device, plan)
        from taper.flow.sent import SentFlow  # only for devices with a mover

        return SentFlow(self._context, IBlockOrigin(origin), device, plan, rest)

    def going_on(
        self, flow: IFlow, origin: IOrigin, device: IAsyncDevice, plan: SplitPlan
    ) -> Deferred[IFlow]:
        return Deferred.fromCoroutine(self._going_on(flow, origin, device, plan))

    async def _going_on(
        self, flow: IFlow, origin: IOrigin, device: IAsyncDevice, plan: SplitPlan
    ) -> IFlow:
        try:
            await flow.adopt(device)
        except DeviceFault:
            rest = await flow.leave()
            if rest is None:
                raise
        else:
            return flow
        following = self._make(origin, device, plan, rest)
        try:
            await following.offer()
        except BaseException:
            await following.close()
            raise
        # the dump need not wait for what is over
        following.follow(flow.close())
        return following
