"""A device that listens for the data of a dump, and the connection that comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred

from devices.errors import ConnectionBroken, DeviceError
from devices.idirecttcp import IDirectTCPDevice, IIndirectConnection, ISocketFedDevice
from taper.core.errors import DeviceFault, DumpFault, SourceFault
from taper.flow.listeners import ACCEPT_FAILED

if TYPE_CHECKING:
    from devices.callers import Callers
    from devices.idirecttcp import IDirectTCPConnection
    from devices.interfaces import IAsyncDevice
    from protocols.directtcp import Address

_log = logging.getLogger(__name__)

FindCallers = Callable[[], "Coroutine[Deferred[Any], Any, Callers]"]


class DataPort:
    """A device that listens for the data of one dump, and the connection that comes of it.

    :ivar connection: once ``accepted`` has fired.
    :ivar accepted: fires when there is one; fails with DumpFault.
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

        :raise DeviceFault: it cannot
        """
        device = IDirectTCPDevice(self._device)
        try:
            addresses = await device.listen(True)
        except DeviceError as fault:
            text = f"Error starting DirectTCP listen: {fault.text}"
            raise DeviceFault(text) from fault
        if not addresses:
            raise DeviceFault(
                f"Error starting DirectTCP listen: '{self._device.facts.name}' has no address",
                code=5004,
            )
        if self._find is None or not ISocketFedDevice.providedBy(device):
            self._accept()
        else:
            # whoever comes meanwhile waits at the door
            finding = Deferred.fromCoroutine(self._admit(self._find))
            if not finding.called:
                self._finding = finding
            finding.addErrback(self._failed)
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
        _log.info("%s has its data connection", self._device.facts.name)
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
            broken = failure.check(ConnectionBroken) is not None
            fault: DumpFault = SourceFault(text) if broken else DeviceFault(text)
            self.accepted.errback(fault)

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
            self.accepted.errback(SourceFault(ACCEPT_FAILED + "Connection timed out"))
        self._give_up()

    def break_off(self) -> None:
        """The connection broke before the device has accepted it, which may never see that."""
        if not self.accepted.called:
            self.accepted.errback(SourceFault(ACCEPT_FAILED + "the data connection broke"))
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

        :raise DeviceFault: it cannot; both devices are named
        """
        if device is self._device:
            return
        if self.connection is not None:
            if not IDirectTCPDevice.providedBy(device):
                text = f"'{device.facts.name}' cannot take over a data connection"
                raise DeviceFault(text)
            try:
                await IDirectTCPDevice(device).use_connection(self.connection)
            except DeviceError as fault:
                raise DeviceFault(fault.text) from fault
        self._device = device

    def take(self) -> IDirectTCPConnection:
        """The connection; whoever takes it closes it."""
        assert self.connection is not None, "ready() comes first"
        self._taken = True
        return self.connection

    async def anew(self) -> DataPort:
        """Another one for the same device, which can listen again; this one is closed."""
        await self.close()
        return DataPort(self._reactor, self._device, self._find)

    async def close(self) -> None:
        """Stop waiting; close a connection that nobody took."""
        self._give_up()
        self.accepted.addErrback(lambda _: None)  # told, or wanted no more
        connection, self.connection = self.connection, None
        if connection is not None and not self._taken:
            await connection.close()
