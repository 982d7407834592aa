"""A device that listens for the data of a dump, and the connection that comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred

from devices.errors import ConnectionBroken, DeviceError
from devices.idirecttcp import IDirectTCPDevice, IIndirectConnection, ISocketConnection
from taper.core.errors import DeviceFault, DumpFault, SourceFault
from taper.flow.listeners import ACCEPT_FAILED, FirstByte

if TYPE_CHECKING:
    from devices.idirecttcp import IDirectTCPConnection
    from devices.interfaces import IAsyncDevice
    from protocols.directtcp import Address


class DataPort:
    """A device that listens for the data of one dump, and the connection that comes of it.

    :ivar connection: once ``accepted`` has fired.
    :ivar accepted: fires when there is one; fails with DumpFault.
    :ivar began: fires when the peer has shown that it began: with its first data, or its
        IndirectTCP question. May never fire.
    """

    def __init__(self, reactor: Any, device: IAsyncDevice) -> None:
        self.connection: IDirectTCPConnection | None = None
        self.accepted: Deferred[None] = Deferred(lambda _: self._give_up())
        self.began: Deferred[None] = Deferred(lambda _: None)
        self._reactor = reactor
        self._device = device
        self._accepting: Deferred[IDirectTCPConnection] | None = None
        self._first_byte: FirstByte | None = None
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
                f"Error starting DirectTCP listen: '{self._device.facts.name}' has no address"
            )
        self._accepting = device.accept()
        self._accepting.addCallbacks(self._keep, self._failed)
        return addresses

    def wait_at_most(self, seconds: float) -> None:
        """Give up when there is no connection ``seconds`` from now."""
        if not self.accepted.called:
            self._deadline = self._reactor.callLater(seconds, self._too_late)

    def _keep(self, connection: IDirectTCPConnection) -> None:
        self._stop_waiting()
        self.connection = connection
        if IIndirectConnection.providedBy(connection):
            connection.on_question(self._begun)
        elif ISocketConnection.providedBy(connection):
            self._first_byte = FirstByte(self._reactor, connection.socket)
            self._first_byte.there.addCallback(lambda _: self._begun())
            self._first_byte.there.addErrback(lambda failure: failure.trap(CancelledError) and None)
        else:
            self._begun()  # a mover accepts when its first record is there
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
        if not self.accepted.called:
            self.accepted.errback(SourceFault(ACCEPT_FAILED + "Connection timed out"))
        self._give_up()

    def _stop_waiting(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _give_up(self) -> None:
        self._stop_waiting()
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
        if self._first_byte is not None:
            self._first_byte.there.cancel()
        return self.connection

    async def close(self) -> None:
        """Stop waiting; close a connection that nobody took."""
        self._give_up()
        if self._first_byte is not None:
            self._first_byte.there.cancel()
        self.accepted.addErrback(lambda _: None)  # told, or wanted no more
        connection, self.connection = self.connection, None
        if connection is not None and not self._taken:
            await connection.close()
