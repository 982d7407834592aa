"""The ways by which a dump gets to whoever recovers it: by amandad's stream, by a socket of ours,
by the mover that reads it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred

from devices.directtcp import SocketFed
from devices.errors import DeviceError
from devices.idirecttcp import IMoverDevice, ISocketConnection
from taper.recovery.errors import NotTaken, RecoveryFailed
from taper.recovery.feed import Feed

if TYPE_CHECKING:
    from devices.callers import Callers
    from devices.idirecttcp import IDirectTCPConnection, IDirectTCPDevice
    from devices.interfaces import IDeviceFacts, ILane
    from protocols.crc import Crc
    from protocols.directtcp import Address
    from taper.flow.mover_to_mover import MoverSender
    from taper.plane.interfaces import ISource

_log = logging.getLogger(__name__)


class IWay(Protocol):
    """A way for the data of one dump."""

    async def open(self) -> tuple[Address, ...]:
        """Get ready. :return: where the application may connect; none: by amandad's stream

        :raise RecoveryFailed: it cannot
        """

    async def send(self) -> Crc | None:
        """Send all. :return: checksum of what was sent; None: nobody counted

        :raise NotTaken: whoever reads took less
        :raise RecoveryFailed: not all was sent
        """

    def cancel(self) -> None:
        """Let :meth:`send` fail soon. Safe to repeat."""

    async def close(self, *, well: bool) -> None:
        """Release everything.

        :param well: whoever reads may take what it has for the whole
        """


class _Feeding:
    """What sends by a thread of ours."""

    def __init__(self, reactor: Any, patience: float) -> None:
        self._reactor = reactor
        self._patience = patience
        self._feed: Feed | None = None
        self._through: Deferred[None] | None = None
        self._cancelled = False

    async def _send(
        self, source: ISource, descriptor: int, taker: str, *, to_the_end: bool = False
    ) -> Crc:
        if self._cancelled:
            raise RecoveryFailed("the recovery was given up", code=4011)
        through: Deferred[None] = Deferred(lambda _: None)
        self._through = through

        def over() -> None:
            self._reactor.callFromThread(through.callback, None)

        feed = self._feed = Feed(source, descriptor, self._patience, over, to_the_end=to_the_end)
        try:
            feed.start()
        except DeviceError as fault:
            through.callback(None)
            raise RecoveryFailed(fault.text) from fault
        await _wait_for(through)
        if feed.error is None:
            return feed.crc()
        if feed.by_taker:
            raise NotTaken(f"{taker} took only {feed.crc().size} bytes: {feed.error}")
        raise RecoveryFailed(feed.error)

    def cancel(self) -> None:
        self._cancelled = True
        if self._feed is not None:
            self._feed.cancel()

    async def _end(self, *, well: bool) -> None:
        feed, self._feed = self._feed, None
        if feed is None:
            return
        if not well:
            feed.cancel()
        assert self._through is not None, "made with the feed"
        await _wait_for(self._through)
        if well:
            feed.end_well()
        feed.close()


async def _wait_for(through: Deferred[None]) -> None:
    """Wait for a thread, which is to be stopped otherwise than by cancelling."""
    over: Deferred[None] = Deferred()

    def tell(_: object) -> None:
        over.callback(None)

    through.addCallback(tell)
    await over


class AmandaWay(_Feeding):
    """Amanda's own data path: by amandad's stream, which amrecover reads, or by a pipe to another
    program.

    :param descriptor: of the stream, ours from now on
    :param taker: who reads it
    :param to_the_end: what the taker does not want is read all the same
    """

    def __init__(
        self,
        reactor: Any,
        make: Callable[[], ISource],
        descriptor: int,
        patience: float,
        taker: str = "amrecover",
        *,
        to_the_end: bool = False,
    ) -> None:
        super().__init__(reactor, patience)
        self._taker = taker
        self._to_the_end = to_the_end
        self._make = make
        self._descriptor = descriptor

    async def open(self) -> tuple[Address, ...]:
        return ()

    @property
    def began(self) -> bool:
        """The descriptor is, or was, in use."""
        return self._through is not None

    async def send(self) -> Crc | None:
        return await self._send(
            self._make(), self._descriptor, self._taker, to_the_end=self._to_the_end
        )

    async def close(self, *, well: bool) -> None:
        await self._end(well=well)


class _Port(SocketFed):
    """DirectTCP for a device that is read from, by a socket of ours, in a lane of its own."""

    def __init__(self, facts: IDeviceFacts, lane: ILane) -> None:
        self.facts = facts
        self.lane = lane
        super().__init__()


class _Accepting:
    """Waits for the application, so long and no longer."""

    def __init__(self, reactor: Any, patience: float) -> None:
        self._reactor = reactor
        self._patience = patience
        self._waiting: Deferred[IDirectTCPConnection] | None = None

    async def accept(self, device: IDirectTCPDevice) -> IDirectTCPConnection:
        """:raise RecoveryFailed: nobody came"""
        waiting = self._waiting = device.accept()
        late = self._reactor.callLater(self._patience, waiting.cancel)
        try:
            return await waiting
        except CancelledError as fault:
            if late.active():
                raise RecoveryFailed("the recovery was given up", code=4011) from fault
            text = f"the application did not connect within {self._patience:g} s"
            raise RecoveryFailed(text) from fault
        except DeviceError as fault:
            text = "the recovery was given up" if not late.active() else fault.text
            raise RecoveryFailed(f"no connection from the application: {text}") from fault
        finally:
            self._waiting = None
            if late.active():
                late.cancel()

    def cancel(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()


class SocketWay(_Feeding):
    """DirectTCP by a socket of ours, for every device.

    :param facts: of the device that the dump is read with, which names addresses to listen on
    :param lane: where listening blocks
    """

    def __init__(
        self,
        reactor: Any,
        make: Callable[[], ISource],
        facts: IDeviceFacts,
        lane: ILane,
        callers: Callers,
        patience: float,
    ) -> None:
        super().__init__(reactor, patience)
        self._make = make
        self._port: Any = _Port(facts, lane)
        self._port.admit(callers)
        self._accepting = _Accepting(reactor, patience)
        self._connection: IDirectTCPConnection | None = None

    async def open(self) -> tuple[Address, ...]:
        try:
            return await self._port.listen(False)  # type: ignore[no-any-return]
        except DeviceError as fault:
            raise RecoveryFailed(fault.text) from fault

    async def send(self) -> Crc | None:
        connection = await self._accepting.accept(self._port)
        descriptor = ISocketConnection(connection).socket.detach()
        return await self._send(self._make(), descriptor, "the application")

    def cancel(self) -> None:
        super().cancel()
        self._accepting.cancel()

    async def close(self, *, well: bool) -> None:
        await self._end(well=well)


class MoverWay:
    """DirectTCP from the mover that reads the volume: no byte passes this host.

    :param sender: reads part after part, and fetches volumes
    """

    def __init__(self, reactor: Any, sender: MoverSender, device: Any, patience: float) -> None:
        self._sender = sender
        self._device: Any = IMoverDevice(device)
        self._accepting = _Accepting(reactor, patience)
        self._reactor = reactor
        self._patience = patience
        self._moved = -1
        self._since = 0.0
        self._stalled = False

    async def open(self) -> tuple[Address, ...]:
        try:
            return await self._device.listen(False)  # type: ignore[no-any-return]
        except DeviceError as fault:
            raise RecoveryFailed(fault.text) from fault

    async def send(self) -> Crc | None:
        connection = await self._accepting.accept(self._device)
        sender = self._sender
        sender.progress = self._look
        self._since = self._reactor.seconds()
        sender.send_into(connection)
        await sender.ended()
        if self._stalled:
            raise RecoveryFailed(
                f"the mover has sent nothing for {self._patience:g} s, {sender.size + self._moved} "
                "bytes on: the application takes no more, or the drive hangs",
                code=5012,
            )
        errors = sender.take_errors()
        if errors:
            raise RecoveryFailed("; ".join(errors))
        if sender.broken is not None:
            raise RecoveryFailed(f"{sender.broken}, {sender.size} bytes were read before")
        if not sender.finished:
            raise RecoveryFailed("the recovery was given up", code=4011)
        _log.info("the mover has sent %d bytes, padding included", sender.size)
        return None

    def _look(self, moved: int) -> None:
        """Some movers never notice that their reader is gone."""
        now = self._reactor.seconds()
        if moved != self._moved:
            self._moved, self._since = moved, now
        elif now - self._since >= self._patience and not self._stalled:
            self._stalled = True
            # not at once: it is the sender that tells us, and waits for nothing meanwhile
            self._reactor.callLater(0, self._sender.cancel)

    def cancel(self) -> None:
        self._accepting.cancel()
        self._sender.cancel()

    async def close(self, *, well: bool) -> None:
        await self._sender.close()
