"""What changers have in common that are asynchronous by nature (scan-and-changers 2)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred, DeferredLock, succeed
from zope.interface import implementer

from devices.asynchronous import Surroundings
from devices.configure import configure_device
from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import IAsyncDevice, IAsyncReservation, VolumeReading

if TYPE_CHECKING:
    from devices.changers.base import ChangerSetup
    from devices.interfaces import ChangerInfo, InventoryEntry, LoadRequest

T = TypeVar("T")
OpenDevice = Callable[[str], IAsyncDevice]
Coro = Coroutine["Deferred[Any]", Any, T]

_log = logging.getLogger(__name__)


def surely(coroutine: Coro[T]) -> Deferred[T]:
    """Begin it; cancelling what is returned does not stop it."""
    told: Deferred[T] = Deferred()
    Deferred.fromCoroutine(coroutine).addCallbacks(told.callback, told.errback)
    return told


@implementer(IAsyncReservation)
class AsyncReservation:
    """A slot held, with its device.

    :param give_back: the changer's part of a release, called with (reservation, eject,
        need_another) after the device was finished, also when finishing failed.
    """

    def __init__(
        self,
        changer: AsyncChanger,
        slot: str,
        device: IAsyncDevice,
        reading: VolumeReading,
        give_back: Callable[[bool, bool], Coro[None]],
        *,
        barcode: str | None = None,
    ) -> None:
        self.slot = slot
        self.device = device
        self.reading = reading
        self.barcode = barcode
        self.meta: str | None = None
        self._changer = changer
        self._give_back = give_back
        self._released = False
        self._waiting: list[Deferred[None]] | None = None
        changer.held.add(self)

    def release(self, eject: bool = False, need_another: bool = False) -> Deferred[None]:
        if self._released:
            return succeed(None)
        done: Deferred[None] = Deferred()
        if self._waiting is not None:
            self._waiting.append(done)
            return done
        self._waiting = [done]
        Deferred.fromCoroutine(self._release(eject, need_another)).addBoth(self._tell)
        return done

    async def _release(self, eject: bool, need_another: bool) -> None:
        try:
            await self.device.finish()
        finally:
            try:
                await self._give_back(eject, need_another)
            finally:
                await self.device.close()

    def _tell(self, outcome: Any) -> None:
        """Fire all who wait for the release; the first of them gets what went wrong."""
        self._released = True
        self._changer.held.discard(self)
        waiting, self._waiting = self._waiting or [], None
        for done in waiting:
            done.callback(outcome)
            outcome = None

    def set_label(self, label: str | None) -> Deferred[None]:
        return surely(self._changer.note_label(self.slot, label))

    def set_device_error(self, reading: VolumeReading) -> Deferred[None]:
        return surely(self._changer.note_error(self.slot, reading))

    def get_meta_label(self) -> Deferred[str | None]:
        """These changers keep no meta labels."""
        return succeed(None)

    def set_meta_label(self, meta: str | None) -> Deferred[None]:
        """These changers keep no meta labels."""
        return succeed(None)


class AsyncChanger:
    """Base: one operation at a time; what is not overridden is refused with NOTIMPL."""

    has_inventory = True
    scan_require_update = False
    global_space = False

    def __init__(
        self, setup: ChangerSetup, surroundings: Surroundings, open_device: OpenDevice
    ) -> None:
        self.setup = setup
        self.name = setup.name
        self.held: set[AsyncReservation] = set()
        self._surroundings = surroundings
        self._open_device = open_device
        self._turn = DeferredLock()
        self._running: set[Deferred[Any]] = set()

    def _do(self, operation: Callable[[], Coro[T]]) -> Deferred[T]:
        """Begin an operation when it is its turn; ``close`` cancels it."""

        async def in_turn() -> T:
            await self._turn.acquire()
            try:
                return await operation()
            finally:
                self._turn.release()

        running = Deferred.fromCoroutine(in_turn())
        self._running.add(running)

        def forget(result: T) -> T:
            self._running.discard(running)
            return result

        return running.addBoth(forget)

    def _refuse(self, operation: str) -> NoReturn:
        text = f"'chg-{self.setup.kind}' does not support {operation}"
        raise ChangerError(text, ChangerReason.NOTIMPL)

    def load(self, request: LoadRequest) -> Deferred[Any]:
        return self._do(lambda: self._load(request))

    async def _load(self, request: LoadRequest) -> AsyncReservation:
        self._refuse("loading volumes")

    def info(self) -> Deferred[ChangerInfo]:
        return self._do(self._info)

    async def _info(self) -> ChangerInfo:
        self._refuse("info")

    def inventory(self) -> Deferred[list[InventoryEntry]]:
        return self._do(self._inventory)

    async def _inventory(self) -> list[InventoryEntry]:
        self._refuse("inventory")

    def update(self, changed: str | None = None) -> Deferred[None]:
        return self._do(lambda: self._update(changed))

    async def _update(self, changed: str | None) -> None:
        self._refuse("update")

    def reset(self) -> Deferred[None]:
        """As :meth:`devices.interfaces.IChanger.reset`."""
        return self._do(self._reset)

    async def _reset(self) -> None:
        self._refuse("reset")

    def eject(self, drive: str | None = None) -> Deferred[None]:
        """As :meth:`devices.interfaces.IChanger.eject`."""
        return self._do(lambda: self._eject(drive))

    async def _eject(self, drive: str | None) -> None:
        self._refuse("eject")

    def move(self, source: str, target: str) -> Deferred[None]:
        """As :meth:`devices.interfaces.IChanger.move`."""
        return self._do(lambda: self._move(source, target))

    async def _move(self, source: str, target: str) -> None:
        self._refuse("move")

    async def note_label(self, slot: str, label: str | None) -> None:
        """The volume of ``slot`` now bears ``label``."""

    async def note_error(self, slot: str, reading: VolumeReading) -> None:
        """Labelling the volume of ``slot`` failed."""

    def close(self) -> Deferred[None]:
        return surely(self._close())

    async def _close(self) -> None:
        self.setup.stop.set()
        for running in list(self._running):
            running.cancel()
        first: Exception | None = None
        for reservation in list(self.held):
            try:
                await reservation.release()
            except Exception as error:
                # the others are given back all the same; the first error is told at the end
                first = first or error
        await self._turn.acquire()  # what was cancelled may still be putting things away
        try:
            await self._end()
        finally:
            self._turn.release()
        if first is not None:
            raise first

    async def _end(self) -> None:
        """Last thing of ``close``."""

    def _open_configured(self, name: str) -> IAsyncDevice:
        """Open a device and set its properties from all their sources.

        :raise DeviceError: it cannot be opened
        :raise ChangerError: a property was refused
        """
        setup = self.setup
        device = self._open_device(name)
        section = setup.config.device(name)
        try:
            self._prepare(device)
            configure_device(
                device.facts, setup.config, setup.storage, section, setup.device_properties
            )
        except (DeviceError, ChangerError):
            device.close()
            raise
        return device

    def _prepare(self, device: IAsyncDevice) -> None:
        """Properties that the changer itself has for its devices."""

    async def _put_away(self, device: IAsyncDevice) -> None:
        """Finish a device that nobody was given."""
        try:
            await device.finish()
        except DeviceError as error:
            _log.warning("finishing '%s': %s", device.facts.name, error.text)
        finally:
            await device.close()
