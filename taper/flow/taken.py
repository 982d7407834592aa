"""The flow that a device takes from a connection: its peer is told where the device listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.idirecttcp import ISocketConnection
from protocols.crc import UNKNOWN
from taper.core.errors import DeviceFault
from taper.core.interfaces import IFlow, Offer, Rest
from taper.flow.base import BaseFlow
from taper.flow.data_port import DataPort, FindCallers
from taper.flow.interfaces import IBlockOrigin
from taper.flow.mover_transfer import MoverTransfer
from taper.flow.pumped import PumpedTransfer
from taper.plane.sources import SocketSource
from taper.plane.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from devices.interfaces import IAsyncDevice
    from protocols.crc import Crc
    from protocols.header import Header
    from taper.core.interfaces import IOrigin
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext, IConnectingOrigin, ITransfer
    from taper.plane.interfaces import ISource


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


@implementer(IBlockOrigin)
class HeldOrigin:
    """A client that has connected by itself, once its connection is in our hands and goes with the
    rest of its dump: nobody need ask it for anything more."""

    reads_again = False

    def __init__(self, client: IOrigin) -> None:
        self._client = client

    @property
    def result_follows(self) -> bool:
        return bool(self._client.result_follows)

    @property
    def remark(self) -> str | None:
        remark: str | None = self._client.remark
        return remark

    def find(self) -> Deferred[tuple[str, ...]]:
        return self._client.find()

    def header(self) -> Deferred[Header]:
        return self._client.header()

    def close(self) -> Deferred[None]:
        return self._client.close()

    def offer(self, plan: SplitPlan) -> Deferred[Offer | None]:
        return succeed(None)

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def source(self, position: int = 0) -> ISource:
        raise ValueError("what follows goes from flow to flow")

    def judge(self, read: Callable[[], Crc]) -> list[str]:
        return []

    def failed(self) -> None:
        """The connection is closed, whatever came."""


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
        self._pumped: PumpedTransfer | None = None

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        def tell(failure: Failure) -> Failure:
            fault, connection = failure.value, self._data.connection
            if not isinstance(fault, DeviceFault) or self._pumped is not None or connection is None:
                return failure
            raise DeviceFault(
                f"the client sends to the mover of '{connection.device_name}', and can be told no "
                f"other place for the rest of its dump: {fault.text}",
                code=6002,
            ) from fault

        return super().adopt(device).addErrback(tell)

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
        storing = self._context.make_lane("storing")
        self._pumped = PumpedTransfer(transfer, self._lane, storing)
        return self._pumped

    def leave(self) -> Deferred[Rest | None]:
        """What passes through us can go on elsewhere; what a mover takes we have not seen."""
        pumped = self._pumped
        return succeed(None if pumped is None else pumped.leave(pumped.dest_crc()))
