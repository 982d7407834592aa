"""Dumps that flow over a data connection of the device's own (directtcp-and-ndmp 1.6)."""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from devices.directtcp import connect_one, wait_in_lane
from devices.errors import ConnectionBroken, DeviceError
from devices.idirecttcp import (
    IDirectTCPDevice,
    IIndirectConnection,
    ISocketConnection,
    ISocketFedDevice,
)
from devices.threads import ThreadRefused
from protocols.tx.indirect import IndirectError, resolve
from taper.core.interfaces import FeedError, IFeed, ITransfer, Offer
from taper.plane.interfaces import SourceError
from taper.plane.pusher import Pusher
from taper.plane.sources import HoldingSource, SocketSource
from taper.plane.transfer import Transfer
from taper.run.headers import HeaderPort, Substitute
from taper.run.lane_transfer import LaneTransfer
from taper.run.listeners import ACCEPT_FAILED
from taper.run.moving import MoverTransfer
from taper.run.senders import ISender, ThreadSender

if TYPE_CHECKING:
    from devices.callers import Callers
    from devices.idirecttcp import IDirectTCPConnection
    from devices.interfaces import IAsyncDevice, ILane
    from protocols.directtcp import Address
    from protocols.header import Header
    from taper.core.splitting import SplitPlan
    from taper.plane.interfaces import ISource

_log = logging.getLogger(__name__)

T = TypeVar("T")

FindAndWarn = Callable[[Callable[[str], None]], "Coroutine[Deferred[Any], Any, Callers]"]
FindCallers = Callable[[], "Coroutine[Deferred[Any], Any, Callers]"]


class DataPort:
    """A device that listens for the data of one dump, and the connection that comes of it.

    :ivar connection: once ``accepted`` has fired.
    :ivar accepted: fires when there is one; fails with FeedError.
    :ivar began: fires when the peer has shown that it began: with its first data, or its
        IndirectTCP question. May never fire.
    """

    def __init__(self, reactor: Any, device: IAsyncDevice, find: FindCallers | None = None) -> None:
        """:param find: finds out who may connect where this process listens; None: users of this
        host who may anyway"""
        self.connection: IDirectTCPConnection | None = None
        self.accepted: Deferred[None] = Deferred(lambda _: self._give_up())
        self.began: Deferred[None] = Deferred(lambda _: None)
        self._reactor = reactor
        self._device = device
        self._find = find
        self._finding: Deferred[None] | None = None
        self._accepting: Deferred[IDirectTCPConnection] | None = None
        self._patience = 0.0
        self._deadline: Any = None
        self._taken = False

    async def listen(self) -> tuple[Address, ...]:
        """Where the peer may connect; from now on it is waited for.

        :raise FeedError: blames the device
        """
        device = IDirectTCPDevice(self._device)
        try:
            addresses = await device.listen(True)
        except DeviceError as fault:
            text = f"Error starting DirectTCP listen: {fault.text}"
            raise FeedError(text, device=True) from fault
        if not addresses:
            raise FeedError(
                f"Error starting DirectTCP listen: '{self._device.device.name}' has no address",
                device=True,
            )
        if self._find is None or not ISocketFedDevice.providedBy(device):
            self._accept()
        else:
            # whoever comes meanwhile waits at the door
            self._finding = Deferred.fromCoroutine(self._admit(self._find))
            self._finding.addErrback(self._failed)
        return addresses

    async def _admit(self, find: FindCallers) -> None:
        callers = await find()
        ISocketFedDevice(self._device).admit(callers)
        self._accept()

    def _accept(self) -> None:
        self._finding = None
        self._accepting = IDirectTCPDevice(self._device).accept()
        self._accepting.addCallbacks(self._keep, self._failed)

    def wait_at_most(self, seconds: float) -> None:
        """Give up when nobody is connected ``seconds`` from now, or later."""
        if not self.accepted.called:
            self._patience = seconds
            self._deadline = self._reactor.callLater(seconds, self._too_late)

    def _keep(self, connection: IDirectTCPConnection) -> None:
        _log.info("%s has its data connection", self._device.device.name)
        self._stop_waiting()
        self.connection = connection
        if IIndirectConnection.providedBy(connection):
            connection.on_question(self._begun)
        else:
            self._begun()  # it is accepted when its first bytes are there, by a mover or by us
        if not self.accepted.called:
            self.accepted.callback(None)

    def _begun(self) -> None:
        if not self.began.called:
            self.began.callback(None)

    def _failed(self, failure: Any) -> None:
        self._stop_waiting()
        failure.trap(DeviceError, CancelledError)
        if not self.accepted.called:
            text = f"accepting DirectTCP connection: {failure.getErrorMessage()}"
            peer = failure.check(ConnectionBroken) is not None
            self.accepted.errback(FeedError(text, device=not peer))

    def _too_late(self) -> None:
        self._deadline = None
        if ISocketFedDevice.providedBy(self._device) and self._accepting is not None:
            listening = ISocketFedDevice(self._device)
            if listening.being_called:
                # whoever sent him knows how long he may be silent
                self.wait_at_most(self._patience)
                return
            if listening.was_called:
                listening.take_silent()
                return
        if not self.accepted.called:
            self.accepted.errback(FeedError(ACCEPT_FAILED + "Connection timed out"))
        self._give_up()

    def _stop_waiting(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _give_up(self) -> None:
        self._stop_waiting()
        if self._finding is not None:
            self._finding.cancel()
            self._accept()  # which is what closes the ports
        if self._accepting is not None:
            self._accepting.cancel()

    async def adopt(self, device: IAsyncDevice) -> None:
        """Let ``device`` go on with the connection.

        :raise FeedError: it cannot; both devices are named
        """
        if device is self._device:
            return
        if self.connection is not None:
            if not IDirectTCPDevice.providedBy(device):
                text = f"'{device.device.name}' cannot take over a data connection"
                raise FeedError(text, device=True)
            try:
                await IDirectTCPDevice(device).use_connection(self.connection)
            except DeviceError as fault:
                raise FeedError(fault.text, device=True) from fault
        self._device = device

    def take(self) -> IDirectTCPConnection:
        """The connection; whoever takes it closes it."""
        assert self.connection is not None, "ready() comes first"
        self._taken = True
        return self.connection

    async def close(self) -> None:
        """Stop waiting; close a connection that nobody took."""
        self._give_up()
        self.accepted.addErrback(lambda _: None)  # told, or wanted no more
        connection, self.connection = self.connection, None
        if connection is not None and not self._taken:
            await connection.close()


@implementer(IFeed)
class DirectTCPFeed:
    """A dump whose data come to the device itself; only the header comes to us (PORT-WRITE).

    :param patience: seconds to wait for a connection (dtimeout and a second)
    :param lane: of its own, for closing
    :param one_address: the dumper connects by itself, and understands one only
    :param substitute: makes a header where a dumper sends none; None: it must come
    :param silence: seconds to wait for it once the client has begun
    :param find: finds out who may connect with the data; is given whom to warn
    """

    cache_inform = False
    result_follows = True
    ready_first = True

    def __init__(
        self,
        reactor: Any,
        device: IAsyncDevice,
        patience: float,
        lane: ILane,
        *,
        one_address: bool,
        substitute: Substitute | None,
        silence: float,
        find: Callable[[Callable[[str], None]], Coroutine[Deferred[Any], Any, Callers]]
        | None = None,
    ) -> None:
        self._reactor = reactor
        self._patience = patience
        self._lane = lane
        self._one_address = one_address
        self._substitute = substitute
        self._silence = silence
        self._header: HeaderPort | None = None
        self._warnings: list[str] = []
        self._data = DataPort(
            reactor, device, None if find is None else lambda: find(self._warnings.append)
        )

    @property
    def remark(self) -> str | None:
        of_header = None if self._header is None else self._header.remark
        return "; ".join([*self._warnings, *([of_header] if of_header else [])]) or None

    def offer(self) -> Deferred[Offer | None]:
        return Deferred.fromCoroutine(self._offer())

    async def _offer(self) -> Offer | None:
        try:
            self._header = HeaderPort(self._reactor, self._patience)
        except OSError as fault:
            text = f"cannot listen on localhost: {fault.strerror}"
            raise FeedError(text, device=True) from fault
        addresses = await self._data.listen()
        if self._one_address:
            addresses = addresses[:1]
        return Offer(self._header.port, tuple(str(address) for address in addresses))

    def header(self) -> Deferred[Header]:
        assert self._header is not None, "offer() comes first"
        return self._header.header(self._data.began, self._silence, self._substitute)

    def ready(self) -> Deferred[None]:
        self._data.wait_at_most(self._patience)
        return self._data.accepted

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        return Deferred.fromCoroutine(self._data.adopt(device))

    def transfer(self, plan: SplitPlan) -> ITransfer:
        connection = self._data.take()
        if ISocketConnection.providedBy(connection):
            held: socket.socket = connection.socket
            return LaneTransfer(Transfer(SocketSource(held), plan), self._lane)
        return MoverTransfer(connection, plan, self._reactor.seconds)

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self._header is not None:
            self._header.close()
        await self._data.close()
        await self._lane.stop()


class Pushing:
    """What we send ourselves to a device with a mover: we connect to it.

    :param lane: of its own, for connecting and closing
    """

    cache_inform = True
    result_follows = False
    ready_first = True
    remark: str | None = None

    def __init__(
        self, reactor: Any, source: ISource | None, device: IAsyncDevice, lane: ILane
    ) -> None:
        """:param source: None: it is known only with the header."""
        self._reactor = reactor
        self._lane = lane
        self._source = source
        self._data = DataPort(reactor, device)
        self._addresses: tuple[Address, ...] = ()
        self._connecting: Deferred[None] | None = None
        self._awaited: Deferred[None] | None = None
        self._sender: ISender | None = None
        self._transfer: MoverTransfer | None = None

    def offer(self) -> Deferred[Offer | None]:
        return Deferred.fromCoroutine(self._offer())

    async def _offer(self) -> Offer | None:
        self._addresses = await self._data.listen()
        return None

    def ready(self) -> Deferred[None]:
        """Connecting may take until the first part is begun (IndirectTCP)."""
        connecting = self._connecting = Deferred.fromCoroutine(self._connect())
        connecting.addBoth(self._connecting_over).addErrback(self._not_connected)
        return self._data.accepted.addErrback(self._ask_sender)

    def _ask_sender(self, failure: Any) -> Any:
        """No data came: the sender may know why."""
        fault, sender = failure.value, self._sender
        if sender is None or not isinstance(fault, FeedError) or fault.device:
            return failure

        def tell(_: None) -> None:
            errors = sender.take_errors() or [sender.broken or fault.text]
            raise FeedError("; ".join(errors))

        return sender.settled().addCallback(tell)

    def _connecting_over(self, result: T) -> T:
        """Before anybody hears of it: :meth:`close` may be what follows."""
        self._connecting = None
        if self._awaited is not None:
            self._awaited.callback(None)
        return result

    async def _connect(self) -> None:
        await self._push_to(await resolve(self._reactor, self._addresses, None))

    async def _push_to(self, addresses: tuple[Address, ...]) -> None:
        """Let somebody send the dump to where the device listens."""
        connecting = wait_in_lane(self._lane, functools.partial(connect_one, addresses))
        connected = await connecting
        assert self._source is not None, "header() comes first"
        pusher = Pusher(self._source, connected)
        try:
            pusher.start()
        except ThreadRefused:
            connected.close()  # the source is closed by whoever closes us
            raise
        self._sent_by(ThreadSender(pusher, self._lane))

    def _sent_by(self, sender: ISender | None) -> None:
        self._sender = sender
        if self._transfer is not None:
            self._transfer.pushed_by(sender)

    def _not_connected(self, failure: Any) -> None:
        if failure.check(CancelledError):
            return
        source = failure.trap(IndirectError, DeviceError, SourceError) is SourceError
        text = str(failure.value)
        if not source:
            text = f"cannot send the dump to the device: {text}"
        if self._transfer is not None and source:
            self._transfer.cancel("")  # the sender tells why
        elif self._transfer is not None:
            self._transfer.refuse(text)
        elif not self._data.accepted.called:
            self._data.accepted.errback(FeedError(text, device=not source))

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        return Deferred.fromCoroutine(self._data.adopt(device))

    def transfer(self, plan: SplitPlan) -> ITransfer:
        connection = self._data.take()
        self._transfer = MoverTransfer(connection, plan, self._reactor.seconds)
        self._transfer.pushed_by(self._sender)
        return self._transfer

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self._connecting is not None:
            self._awaited = Deferred()
            self._connecting.cancel()
            await self._awaited
        await self._data.close()
        if self._sender is not None:
            await self._sender.close()
        elif self._source is not None:
            await self._lane.call_surely(self._source.close)
        await self._lane.stop()


@implementer(IFeed)
class PushedFeed(Pushing):
    """Holding files for a device with a mover (FILE-WRITE)."""

    def __init__(self, reactor: Any, filename: str, device: IAsyncDevice, lane: ILane) -> None:
        self._holding = HoldingSource(filename)
        super().__init__(reactor, self._holding, device, lane)

    def header(self) -> Deferred[Header]:
        def blame(failure: Any) -> Header:
            failure.trap(SourceError)
            raise FeedError(str(failure.value)) from failure.value

        return self._lane.call(self._holding.read_header).addErrback(blame)
