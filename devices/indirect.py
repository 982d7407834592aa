"""IndirectTCP: a wrapper for devices that cannot listen before the header is on the volume.

Facts: [ndmp 2]. The driver must be told addresses before there is a header, and some
servers take no tape request between listening and the first data. So a one-shot listener on
localhost stands for the device until somebody asks it, and the device listens only when somebody
asked *and* the first part has begun. Nobody else knows of this: the wrapper is a device like any
other, and its connection a connection like any other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import CannotListenError
from zope.interface import implementer

from devices.callers import Callers, Verdict
from devices.door import judge_addresses
from devices.errors import ConnectionBroken, DeviceError, DriveFailed
from devices.idirecttcp import (
    IDirectTCPConnection,
    IIndirectConnection,
    IMoverDevice,
    Moved,
)
from devices.interfaces import AccessMode, FileStart, IAsyncDevice, IDeviceFacts, VolumeReading
from protocols.directtcp import INDIRECT_HOST, Address
from protocols.twisted_transports.indirect import IndirectListener

if TYPE_CHECKING:
    from devices.callers import Where
    from protocols.header import Header

T = TypeVar("T")

_log = logging.getLogger(__name__)


def may_ask(peer: Where, ours: Where) -> bool:
    """Whether the address is told to this caller: he is our own user or root, and is still there.

    Who has hung up cannot be identified, and wants no answer.
    """
    verdict, who = judge_addresses(Callers(), peer, ours)
    if verdict is not Verdict.ADMITTED:
        _log.warning("a question for the address of the data is refused: it is from %s", who)
    return verdict is Verdict.ADMITTED


class CannotListenYet(DeviceError):
    """The device can listen, but only once the header is on the volume."""

    taper_code = 6004


class ILateListener(IMoverDevice, IAsyncDevice):
    """A device that can be wrapped. Its ``listen`` may fail with :class:`CannotListenYet`."""

    def listen_now(size: int) -> Deferred[tuple[Address, ...]]:
        """Inside a file that is being written: begin to listen for a peer.

        The next ``write_from_connection`` of the same size then waits for the peer and goes on.
        """

    def late_connection() -> IDirectTCPConnection:
        """The data connection, after ``listen_now``."""


@implementer(IIndirectConnection)
class IndirectConnection:
    """A connection that is perhaps yet to come.

    :ivar listener: waits for somebody to ask; None once the device has listened.
    :ivar made: the device's own connection, None before it has one.
    :ivar closed: by ``close``; the device may listen again.
    """

    def __init__(self, device_name: str, listener: IndirectListener) -> None:
        self.device_name = device_name
        self.listener: IndirectListener | None = listener
        self.made: IDirectTCPConnection | None = None
        self.closed = False
        self._told: Deferred[None] | None = None

    def on_question(self, told: Callable[[], object]) -> None:
        if self.listener is None:
            return

        def tell(result: None) -> None:
            told()

        self.listener.asked.addCallback(tell)

    def answer(self, addresses: tuple[Address, ...], made: IDirectTCPConnection) -> None:
        """The device listens: tell whoever asks, now or until we are closed."""
        assert self.listener is not None
        self.made = made
        self._told = self.listener.answer(addresses)
        self._told.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def refuse(self) -> None:
        """Hang up on whoever asks, and listen no longer."""
        if self.listener is not None:
            self.listener.close()
            self.listener.asked.addErrback(lambda failure: failure.trap(CancelledError) and None)
            self.listener = None

    def close(self) -> Deferred[None]:
        self.closed = True
        self.refuse()
        return succeed(None) if self.made is None else self.made.close()


@implementer(IAsyncDevice, IMoverDevice)
class IndirectTCP:
    """A device that listens late if it must.

    :param device: the device, which all else is passed to
    :param patience: seconds to wait, inside the first part, for somebody to ask
    """

    def __init__(self, device: ILateListener, reactor: Any, patience: float) -> None:
        self._inner = device
        self._reactor = reactor
        self._patience = patience
        self._pending: IndirectConnection | None = None
        self._handed_out = False
        self.facts: IDeviceFacts = device.facts

    # listening

    def listen(self, for_writing: bool) -> Deferred[tuple[Address, ...]]:
        return Deferred.fromCoroutine(self._listen(for_writing))

    async def _listen(self, for_writing: bool) -> tuple[Address, ...]:
        if self._pending is not None and not self._pending.closed:
            raise ValueError(f"{self.facts.name} listens already")
        self._pending, self._handed_out = None, False
        try:
            addresses = await self._inner.listen(for_writing)
        except CannotListenYet as refusal:
            _log.info("%s: IndirectTCP, since %s", self.facts.name, refusal)
            self.facts.reset()
        else:
            return addresses
        try:
            listener = IndirectListener(self._reactor, may_ask)
        except CannotListenError as error:
            text = f"Could not bind indirecttcp socket: {error.socketError}"
            raise DriveFailed(text) from error
        self._pending = IndirectConnection(self.facts.name, listener)
        return (Address(INDIRECT_HOST, listener.port),)

    def accept(self) -> Deferred[IDirectTCPConnection]:
        if self._pending is None:
            return self._inner.accept()
        self._handed_out = True
        return succeed(self._pending)

    def use_connection(self, connection: IDirectTCPConnection) -> Deferred[None]:
        if not isinstance(connection, IndirectConnection):
            return self._inner.use_connection(connection)
        if connection.made is not None:
            return self._inner.use_connection(connection.made)
        # nobody listens yet: it makes no difference which device will
        self._pending, self._handed_out = connection, True
        return succeed(None)

    def write_from_connection(
        self, size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        if self._pending is None or self._pending.made is not None:
            return self._inner.write_from_connection(size, progress)
        return Deferred.fromCoroutine(self._first_part(self._pending, size, progress))

    async def _first_part(
        self, connection: IndirectConnection, size: int, progress: Callable[[int], None] | None
    ) -> Moved:
        """The header is on the volume: listen as soon as somebody asks where."""
        try:
            await self._await_question(connection)
            addresses = await self._inner.listen_now(size)
        except BaseException:
            connection.refuse()
            raise
        connection.answer(addresses, self._inner.late_connection())
        try:
            return await self._inner.write_from_connection(size, progress)
        finally:
            connection.refuse()

    async def _await_question(self, connection: IndirectConnection) -> None:
        if connection.listener is None:
            raise DriveFailed("Could not accept indirecttcp socket: it is closed")
        asked: Deferred[None] = Deferred()
        # ours alone: giving up this wait does not take the question from another volume
        connection.listener.asked.chainDeferred(asked)
        late = self._reactor.callLater(self._patience, asked.cancel)
        try:
            await asked
        except CancelledError:
            if late.active():
                raise
            text = f"Could not accept indirecttcp socket: nobody asked in {self._patience:g} s"
            raise ConnectionBroken(text) from None
        finally:
            if late.active():
                late.cancel()

    # all else is the device's own

    def read_label(self) -> Deferred[VolumeReading]:
        return self._inner.read_label()

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> Deferred[None]:
        return self._inner.start(mode, label, timestamp)

    def erase(self) -> Deferred[None]:
        return self._inner.erase()

    def eject(self) -> Deferred[None]:
        return self._inner.eject()

    def close(self) -> Deferred[None]:
        return self._inner.close()

    def hurry(self) -> None:
        self._inner.hurry()

    def finish(self) -> Deferred[None]:
        """A connection that nobody was given ends with the device."""
        if self._pending is not None and not self._handed_out:
            self._pending.refuse()
        self._pending, self._handed_out = None, False
        return self._inner.finish()

    def connect(
        self, for_writing: bool, addresses: tuple[Address, ...]
    ) -> Deferred[IDirectTCPConnection]:
        return self._inner.connect(for_writing, addresses)

    def start_file(self, header: Header) -> Deferred[FileStart]:
        return self._inner.start_file(header)

    def finish_file(self) -> Deferred[None]:
        return self._inner.finish_file()

    def end_broken_file(self) -> Deferred[int]:
        return self._inner.end_broken_file()

    def read_last_record(self) -> Deferred[bytes]:
        return self._inner.read_last_record()

    def look(self) -> None:
        self._inner.look()

    def break_off(self) -> None:
        self._inner.break_off()

    def seek_file(self, number: int) -> Deferred[Header | None]:
        return self._inner.seek_file(number)

    def seek_data(self, number: int) -> Deferred[int | None]:
        return self._inner.seek_data(number)

    def skip_records(self, count: int) -> Deferred[None]:
        return self._inner.skip_records(count)

    def read_to_connection(
        self, size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        return self._inner.read_to_connection(size, progress)

    def read_end(self, number: int, count: int) -> Deferred[bytes]:
        return self._inner.read_end(number, count)
