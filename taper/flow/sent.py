"""The flow that is sent to a device with a mover: by a thread of ours, or by another mover."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, fail
from zope.interface import implementer

from devices.directtcp import connect_one, wait_in_lane
from devices.errors import DeviceError, PeerUnreachable
from protocols.twisted_transports.indirect import IndirectError, resolve
from taper.core.errors import DeviceFault, SourceFault
from taper.core.interfaces import IFlow, Offer, Rest
from taper.flow.interfaces import IMoverOrigin
from taper.flow.mover_transfer import MOST_IN_VAIN, MoverTransfer
from taper.flow.senders import ThreadSender
from taper.flow.taken import ListeningFlow
from taper.plane.interfaces import SourceError
from taper.plane.kept import Kept, KeptReader, window_size
from taper.plane.pusher import Pusher

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from protocols.directtcp import Address
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext, IBlockOrigin, IOwnSender, ISender, ITransfer

T = TypeVar("T")

_log = logging.getLogger(__name__)


def _tell_too(over: Deferred[None], result: T) -> T:
    """Let somebody else know, too, that something is over."""
    over.callback(None)
    return result


@implementer(IFlow)
class SentFlow(ListeningFlow):
    """What an origin gives is sent to where the device listens.

    If the origin has a mover of its own that can reach the device, that one sends, past us.

    :param rest: what it has to do of the dump
    """

    def __init__(
        self,
        context: FlowContext,
        origin: IBlockOrigin,
        device: IAsyncDevice,
        plan: SplitPlan,
        rest: Rest,
    ) -> None:
        super().__init__(context, plan, device)
        self._origin = origin
        self._rest = self._take_up(rest)
        self._source = rest.source
        self._addresses: tuple[Address, ...] = ()
        self._connecting: Deferred[None] | None = None
        self._awaited: list[Deferred[None]] = []
        self._preparing: Deferred[None] | None = None
        self._sender: ISender | None = None
        self._claimed = self._unsent = False

    def take_back(self) -> None:
        """Whoever has not connected yet has sent nothing, and is not to be sent there any more. But
        a volume that is being fetched for it will be wanted."""
        if self._sender is None:
            self._unsent = True
            if self._connecting is not None and self._preparing is None:
                self._connecting.cancel()
        super().take_back()

    def can_retry(self) -> bool:
        return self._unsent or super().can_retry()

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        if self._transfer is not None and (self._mover.spent or self._unsent):
            text = f"'{device.facts.name}' cannot go on with a data connection that is given up"
            return fail(DeviceFault(text))
        return super().adopt(device)

    def leave(self) -> Deferred[Rest | None]:
        return Deferred.fromCoroutine(self._depart()).addCallback(self._leave_behind)

    async def _depart(self) -> Rest | None:
        if self._transfer is None:
            return None
        if self._preparing is not None:
            await self._prepared()
        await self._stop_connecting()
        if self._sender is not None:
            rest = await self._mover.leave()
            self._claimed = True
            return rest
        # nobody has asked yet where the device listens, and nothing was sent
        rest, self._source = self._rest.evolve(source=self._source), None
        return rest

    def offer(self) -> Deferred[Offer | None]:
        return Deferred.fromCoroutine(self._offer())

    async def _offer(self) -> Offer | None:
        self._addresses = await self._data.listen()
        return None if self._rest.offered else await self._origin.offer(self._plan)

    def _reachable(self) -> Deferred[None]:
        """Connecting may take until the first part is begun (IndirectTCP)."""
        return self._origin.ready().addCallback(lambda _: self._begin_to_send())

    def _begin_to_send(self) -> Deferred[None]:
        connecting = self._connecting = Deferred.fromCoroutine(self._connect())
        connecting.addBoth(self._connecting_over).addErrback(self._not_connected)
        accepted = self._data.accepted.addErrback(self._begin_anew)
        return accepted.addErrback(self._ask_sender)

    def _begin_anew(self, failure: Any) -> Any:
        """The connection broke before the device had a record; it may be made once more."""
        if self._sender is None or not isinstance(failure.value, SourceFault):
            return failure
        return Deferred.fromCoroutine(self._send_anew(self._sender, failure.value))

    async def _send_anew(self, sender: ISender, fault: SourceFault) -> None:
        await sender.settled()
        await self._stop_connecting()  # it may not have heard that it is connected
        rest = None
        if sender.goes_on and self._rest.in_vain < MOST_IN_VAIN and not self._cancelled:
            rest = await sender.leave(self._rest.done.size)
        if rest is None:
            raise fault
        _log.warning("the dump is sent anew: %s", fault)
        in_vain = self._rest.in_vain + 1
        self._rest = self._take_up(rest.evolve(in_vain=in_vain, counted=self._counted))
        self._source, self._sender = rest.source, None
        await sender.close()
        self._data = await self._data.anew()
        self._addresses = await self._data.listen()
        if not self._cancelled:
            await self._begin_to_send()

    def _ask_sender(self, failure: Any) -> Any:
        """No data came: the sender may know why."""
        fault, sender = failure.value, self._sender
        if sender is None or not isinstance(fault, SourceFault):
            return failure

        def tell(_: None) -> None:
            errors = sender.take_errors() or [sender.broken or fault.text]
            raise SourceFault("; ".join(errors))

        return sender.settled().addCallback(tell)

    def _connecting_over(self, result: T) -> T:
        """Before anybody hears of it: :meth:`close` may be what follows."""
        self._connecting = None
        awaited, self._awaited = self._awaited, []
        for waiter in awaited:
            waiter.callback(None)
        return result

    async def _connect(self) -> None:
        sender = await self._own_sender()
        if self._unsent:  # meanwhile
            raise CancelledError
        addresses = await resolve(self._context.reactor, self._addresses, None)
        if sender is None or not await self._let_send(sender, addresses):
            connected = await wait_in_lane(self._lane, functools.partial(connect_one, addresses))
            pusher = Pusher(self._take_reader(), connected)
            again = not self._origin.reads_again
            reactor = self._context.reactor
            self._sent_by(ThreadSender(reactor, pusher, self._lane, again=again))
            pusher.start()

    def _take_reader(self) -> KeptReader:
        """What is to be sent, and kept until it is stored."""
        source, self._source = self._source, None
        if isinstance(source, KeptReader):
            return source
        done = self._rest.done
        size = window_size(self._plan.block_size)
        return Kept(source or self._origin.source(done.size), done, size).reader()

    async def _own_sender(self) -> IOwnSender | None:
        """The origin's own mover, which is where to begin. :return: None: there is none that can"""
        if not (IMoverOrigin.providedBy(self._origin) and self._rest.by_mover):
            return None
        origin = IMoverOrigin(self._origin)
        sender: IOwnSender | None = origin.own_sender(self._plan.block_size, self._rest.done)
        if sender is None:
            return None
        source, self._source = self._source, None
        if source is not None:
            await self._lane.call_surely(source.close)
        self._preparing = Deferred.fromCoroutine(sender.prepare())
        try:
            await self._preparing
        except PeerUnreachable as refusal:
            _log.info("the dump passes through this host: %s", refusal)
            return None
        finally:
            self._preparing = None
        return sender

    async def _prepared(self) -> None:
        """Whoever goes on will want the volume that is being fetched."""
        over: Deferred[None] = Deferred()
        assert self._preparing is not None
        self._preparing.addBoth(functools.partial(_tell_too, over))
        await over

    def cancel(self, reason: str) -> None:
        super().cancel(reason)
        if self._preparing is not None:
            self._preparing.cancel()

    async def _let_send(self, sender: IOwnSender, addresses: tuple[Address, ...]) -> bool:
        """Let the origin's own mover connect. :return: False: it cannot"""
        self._sent_by(sender)  # the device may hear of an end before we do
        try:
            await sender.connect(addresses)
        except PeerUnreachable as refusal:
            _log.info("the dump passes through this host: %s", refusal)
            self._sent_by(None)
            return False
        return True

    def _sent_by(self, sender: ISender | None) -> None:
        self._sender = sender
        if self._transfer is not None:
            self._mover.pushed_by(sender)
        elif sender is not None:
            sender.tells_broken = self._data.break_off

    def _not_connected(self, failure: Any) -> None:
        if failure.check(CancelledError):
            return
        source = failure.trap(IndirectError, DeviceError, SourceError) is SourceError
        text = str(failure.value)
        if not source:
            text = f"cannot send the dump to the device: {text}"
        if self._transfer is not None and source:
            self._mover.cancel("")  # the sender tells why
        elif self._transfer is not None:
            self._mover.refuse(text)
        elif not self._data.accepted.called:
            self._data.accepted.errback(SourceFault(text) if source else DeviceFault(text))

    def _make_transfer(self) -> ITransfer:
        clock = self._context.reactor.seconds
        self._mover = MoverTransfer(self._data.take(), self._plan, clock, self._rest)
        self._mover.pushed_by(self._sender)
        return self._mover

    def take_errors(self) -> list[str]:
        errors = super().take_errors()
        errors += self._origin.judge(self.source_crc)
        if errors:
            self._origin.failed()
        return errors

    async def _end_transfer(self) -> None:
        """A rest that nobody has taken ends first: somebody may still be reading for it."""
        rest = None if self._transfer is None or self._claimed else self._mover.rest
        if rest is not None and rest.source is not None:
            await self._lane.call_surely(rest.source.close)
        await super()._end_transfer()

    async def _stop_connecting(self) -> None:
        if self._connecting is not None:
            over: Deferred[None] = Deferred()
            self._awaited.append(over)
            self._connecting.cancel()
            await over

    async def _give_back(self) -> None:
        await self._stop_connecting()
        await super()._give_back()
        if self._sender is not None:
            await self._sender.close()
        source, self._source = self._source, None
        if source is not None:
            await self._lane.call_surely(source.close)
