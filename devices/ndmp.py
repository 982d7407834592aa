"""The device ``ndmp:``: a drive of an NDMP server [ndmp 3].

Asynchronous by nature: waiting for a mover holds no thread and can be cancelled at any moment.
What the taper itself writes, labels and headers, goes record by record through TAPE requests; the
data of a dump goes from its source straight to the mover.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from zope.interface import implementer

from devices import ndmp_session
from devices.errors import (
    ConnectionBroken,
    DriveFailed,
    IncompatibleConnection,
    Status,
    VolumeFailed,
)
from devices.idirecttcp import IDirectTCPConnection, IMoverDevice, Moved
from devices.indirect import CannotListenYet, ILateListener, IndirectTCP
from devices.interfaces import AccessMode, IAsyncDevice
from devices.ndmp_control import Link, parse_server_name
from devices.ndmp_facts import NdmpFacts
from devices.ndmp_mover import NdmpConnection, WindowRefused
from devices.ndmp_volume import NdmpVolume
from devices.shield import undisturbed
from protocols.ndmp.codes import INFINITY

if TYPE_CHECKING:
    from devices.context import DeviceContext
    from protocols.directtcp import Address
    from protocols.twisted_transports.haste import Haste
    from protocols.twisted_transports.ndmp import NdmpSession

_log = logging.getLogger(__name__)

CONNECT_PATIENCE = 60.0
"""Seconds to wait for a server to answer and to let us in."""


def open_ndmp(name: str, node: str, context: DeviceContext) -> IndirectTCP:
    """The device as the registry opens it, with IndirectTCP for servers that need it.

    Whoever asks for the addresses, and connects, is waited for with the context's patience.
    """
    reactor, patience = context.reactor, context.patience
    device = NdmpDevice(name, node, reactor, patience=patience, haste=context.haste)
    return IndirectTCP(device, reactor, patience)


@implementer(IAsyncDevice, IMoverDevice, ILateListener)
class NdmpDevice(NdmpVolume):
    """One drive.

    :param node: ``HOST[:PORT]@DEVICE``
    :param patience: seconds a mover listens for a peer that was told its address
    :param connect: makes sessions, as :func:`protocols.twisted_transports.ndmp.connect_session`
    """

    def __init__(
        self,
        name: str,
        node: str,
        reactor: Any,
        *,
        patience: float | None = None,
        connect: Callable[..., Deferred[NdmpSession]] | None = None,
        haste: Haste | None = None,
    ) -> None:
        server, drive = parse_server_name(name, node)
        facts = NdmpFacts(name)
        super().__init__(facts, Link(self._new_session, facts, server, drive))
        self._reactor = reactor
        self._patience = patience
        self._haste = haste
        self._connect = connect or ndmp_session.connect
        self._connection: NdmpConnection | None = None
        self._handed_out = False

    def _new_session(self) -> Deferred[NdmpSession]:
        server, text = self._link.server, self.facts.text
        return self._connect(
            self._reactor,
            server.host,
            server.real_port,
            username=text("ndmp_username"),
            password=text("ndmp_password"),
            auth=text("ndmp_auth").lower(),
            timeout=CONNECT_PATIENCE,
            haste=self._haste,
        )

    def close(self) -> Deferred[None]:
        """A finished device holds nothing."""
        return succeed(None)

    # the data connection

    def listen(self, for_writing: bool) -> Deferred[tuple[Address, ...]]:
        """See IDirectTCPDevice. Fails with CannotListenYet where that must wait."""
        return self._do(lambda: self._listen(for_writing))

    async def _listen(self, for_writing: bool) -> tuple[Address, ...]:
        await self._link.opened()
        if for_writing and self.facts.properties.flag("indirect"):
            raise CannotListenYet("property INDIRECT is on")
        try:
            return await self._begin(for_writing, 0 if for_writing else INFINITY)
        except WindowRefused as refusal:
            raise CannotListenYet(refusal.text) from refusal

    async def _begin(self, for_writing: bool, room: int) -> tuple[Address, ...]:
        connection = await self._new_connection(for_writing)
        try:
            addresses = await connection.listen(room)
        except BaseException:
            await self._give_up(connection)
            raise
        self._connection = connection
        return addresses

    async def _new_connection(self, for_writing: bool) -> NdmpConnection:
        if self._connection is not None and not self._connection.closed:
            raise ValueError(f"{self.facts.name} has a data connection already")
        self._connection, self._handed_out = None, False
        facts = self.facts
        if not for_writing:
            self._need_whole_records()
        return NdmpConnection(
            self._reactor,
            await self._link.opened(),
            facts.name,
            facts.block_size,
            writing=for_writing,
        )

    async def _let_go(self) -> None:
        """A data connection that nobody was given ends with the device."""
        connection, self._connection = self._connection, None
        if connection is not None and not self._handed_out:
            await connection.close()
        self._handed_out = False
        await super()._let_go()

    async def _give_up(self, connection: NdmpConnection) -> None:
        """Stop the mover, even if whoever waits is cancelled: half stopped, it would refuse the
        next listener."""
        self._connection = None
        try:
            await undisturbed(connection.close())
        except CancelledError:
            _log.info("cancelled while a data connection ended: it was waited for")
        except Exception as error:
            _log.info("ending a data connection: %s", error)

    def listen_now(self, size: int) -> Deferred[tuple[Address, ...]]:
        return self._do(lambda: self._listen_now(size))

    async def _listen_now(self, size: int) -> tuple[Address, ...]:
        self.facts.need_file("listen_now", True)
        block = self.facts.block_size
        return await self._begin(True, -(-size // block) * block if size else INFINITY)

    def late_connection(self) -> IDirectTCPConnection:
        if self._connection is None:
            raise ValueError(f"{self.facts.name} does not listen")
        self._handed_out = True
        return self._connection

    def accept(self) -> Deferred[IDirectTCPConnection]:
        return self._do(self._accept)

    async def _accept(self) -> IDirectTCPConnection:
        connection = self._connection
        if connection is None:
            raise ValueError(f"accept on {self.facts.name} before listen")
        return await self._met(connection)

    async def _met(self, connection: NdmpConnection) -> IDirectTCPConnection:
        try:
            if connection.writing:
                await connection.await_data()
            else:
                await connection.await_reader()
        except BaseException:
            await self._give_up(connection)
            raise
        self._handed_out = True
        return connection

    def connect(
        self, for_writing: bool, addresses: tuple[Address, ...]
    ) -> Deferred[IDirectTCPConnection]:
        return self._do(lambda: self._reach(for_writing, addresses))

    async def _reach(
        self, for_writing: bool, addresses: tuple[Address, ...]
    ) -> IDirectTCPConnection:
        connection = await self._new_connection(for_writing)
        try:
            await connection.connect(addresses)
        except BaseException:
            await self._give_up(connection)
            raise
        self._connection = connection
        return await self._met(connection)

    def use_connection(self, connection: IDirectTCPConnection) -> Deferred[None]:
        return self._do(lambda: self._use_connection(connection))

    async def _use_connection(self, connection: IDirectTCPConnection) -> None:
        facts = self.facts
        facts.need_mode("use_connection", AccessMode.NULL)
        if not isinstance(connection, NdmpConnection) or not self._link.leads_to(
            connection.control
        ):
            raise IncompatibleConnection(facts.name, connection.device_name)
        if connection.record_size != facts.block_size:
            raise DriveFailed(
                f"the data connection has records of {connection.record_size} bytes, "
                f"{facts.name} has blocks of {facts.block_size}",
                code=2009,
            )
        if connection.control is not self._link.control:
            await self._link.adopt(connection.control)
        self._connection, self._handed_out = connection, True

    def write_from_connection(
        self, size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        """See IMoverDevice; ``size`` is rounded up to whole blocks."""
        return self._do(lambda: self._write_from_connection(size, progress))

    async def _write_from_connection(self, size: int, told: Callable[[int], None] | None) -> Moved:
        facts = self.facts
        facts.need_mode("write_from_connection", AccessMode.WRITE)
        facts.need_file("write_from_connection", True)
        connection = self._usable("write_from_connection", writing=True)
        before = facts.file_bytes

        def progress(moved: int) -> None:
            facts.show(before + moved)
            if told is not None:
                told(moved)

        try:
            moved = await connection.write(size, progress, self._patience)
        except CancelledError:
            await connection.abort()
            raise
        except ConnectionBroken:
            facts.show(before + connection.moved_last)
            await connection.abort()
            raise
        facts.show(before + moved.size)
        facts.is_eom = moved.eom
        return moved

    def look(self) -> None:
        if self._connection is not None:
            self._connection.look()

    def break_off(self) -> None:
        if self._connection is not None:
            self._connection.break_off()

    def read_to_connection(
        self, size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        return self._do(lambda: self._read_to_connection(size, progress))

    async def _read_to_connection(self, size: int, progress: Callable[[int], None] | None) -> Moved:
        facts = self.facts
        facts.need_mode("read_to_connection", AccessMode.READ)
        facts.need_file("read_to_connection", True)
        connection = self._usable("read_to_connection", writing=False)
        self._need_whole_records()
        try:
            moved = await connection.read(size, progress)
        except (CancelledError, ConnectionBroken):
            await connection.abort()
            raise
        facts.show(facts.file_bytes + moved.size)
        facts.in_file = not moved.eof
        return moved

    def _need_whole_records(self) -> None:
        """Movers cut what they read into records of our size, and some never end with others.

        :raise VolumeFailed: the header of the current file had another size
        """
        facts, found = self.facts, self._header_size
        if facts.in_file and found != facts.block_size:
            raise VolumeFailed(
                f"the volume has blocks of {found} bytes, {facts.name} reads {facts.block_size}",
                Status.VOLUME_ERROR,
                code=2009,
            )

    def _usable(self, what: str, *, writing: bool) -> NdmpConnection:
        """The data connection, on a device that is not in error."""
        facts, connection = self.facts, self._connection
        if facts.status == Status.DEVICE_ERROR:
            raise DriveFailed(facts.error or "device already in error")
        if connection is None or connection.writing is not writing:
            raise ValueError(f"{what} on {facts.name} without a data connection for it")
        return connection
