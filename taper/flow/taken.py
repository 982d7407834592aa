"""The flow that a device takes from a connection: its peer is told where the device listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices.idirecttcp import ISocketConnection
from protocols.crc import UNKNOWN
from taper.core.interfaces import IFlow, Offer, Rest
from taper.flow.base import BaseFlow
from taper.flow.data_port import DataPort, FindCallers
from taper.flow.mover_transfer import MoverTransfer
from taper.flow.pumped import PumpedTransfer
from taper.plane.sources import SocketSource
from taper.plane.transfer import Transfer

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext, IConnectingOrigin, ITransfer


class ListeningFlow(BaseFlow):
    """A flow by way of a device that listens [ndmp 1.6].

    Nothing may happen to the volume while it listens, so the data must come before the label.
    """

    ready_first = True

    def __init__(
        self,
        context: FlowContext,
        plan: SplitPlan,
        device: IAsyncDevice,
        find: FindCallers | None = None,
    ) -> None:
        """:param find: finds out who may connect where this process listens"""
        super().__init__(context, plan)
        self._data = DataPort(context.reactor, device, find)

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        return Deferred.fromCoroutine(self._data.adopt(device))

    async def _close(self) -> None:
        await self._end_transfer()
        await self._give_back()
        await self._lane.stop()

    async def _give_back(self) -> None:
        """Give back what is not the transfer's."""
        await self._data.close()


@implementer(IFlow)
class TakenFlow(ListeningFlow):
    """The sender connects by itself: no byte passes through us unless the device lets us hold
    the connection (PORT-WRITE)."""

    def __init__(
        self,
        context: FlowContext,
        origin: IConnectingOrigin,
        device: IAsyncDevice,
        plan: SplitPlan,
    ) -> None:
        super().__init__(context, plan, device, origin.callers)
        self._origin = origin

    def offer(self) -> Deferred[Offer | None]:
        return Deferred.fromCoroutine(self._offer())

    async def _offer(self) -> Offer:
        addresses = await self._data.listen()
        offer = self._origin.offer_at(addresses)
        self._data.began.addCallback(lambda _: self._origin.began())
        return offer

    def _reachable(self) -> Deferred[None]:
        self._data.wait_at_most(self._context.patience)
        return self._data.accepted

    def _make_transfer(self) -> ITransfer:
        connection = self._data.take()
        if not ISocketConnection.providedBy(connection):
            rest = Rest(done=UNKNOWN)
            return MoverTransfer(connection, self._plan, self._context.reactor.seconds, rest)
        source = SocketSource(connection.socket)
        transfer = Transfer(source, self._plan, done=UNKNOWN)
        return PumpedTransfer(transfer, self._lane, self._context.make_lane("storing"))
