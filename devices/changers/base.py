"""What all changers have in common [changers 2].

A changer is built from one :class:`devices.changers.setup.ChangerSetup`; operations it lacks fail
with NOTIMPL. One whose work blocks is written as a
:class:`devices.changers.blocking.BlockingChanger`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred, DeferredLock, succeed
from zope.interface import implementer

from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import IAsyncChanger, IAsyncReservation
from devices.threads import ThreadRefused

if TYPE_CHECKING:
    from devices.changers.setup import ChangerSetup
    from devices.interfaces import (
        ChangerInfo,
        IAsyncDevice,
        InventoryEntry,
        LoadRequest,
        VolumeReading,
    )

T = TypeVar("T")
Coro = Coroutine["Deferred[Any]", Any, T]

_log = logging.getLogger(__name__)


def check_request(request: LoadRequest) -> None:
    """:raise ValueError: the request names not exactly one of label, slot, relative"""
    named = [part for part in (request.label, request.slot, request.relative) if part is not None]
    if len(named) != 1:
        raise ValueError(f"a load should name one of label, slot, relative: {request}")


def surely(coroutine: Coro[T]) -> Deferred[T]:
    """Begin it; cancelling what is returned does not stop it."""
    told: Deferred[T] = Deferred()
    Deferred.fromCoroutine(coroutine).addCallbacks(told.callback, told.errback)
    return told


@implementer(IAsyncReservation)
class Reservation:
    """A slot held, with its device: given back once, whoever asks for it, and never by halves.

    :param changer: knows what it handed out.
    :param give_back: the changer's part of a release, called with (eject, need_another) after
        the device was finished, also when finishing failed.
    :ivar released: the slot was given back.
    """

    def __init__(
        self,
        changer: Changer,
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
        self.released = False
        self._changer = changer
        self._give_back = give_back
        self._waiting: list[Deferred[None]] | None = None
        changer.held.add(self)

    @property
    def meta(self) -> str | None:
        """Most changers keep no meta labels."""
        return None

    def release(self, eject: bool = False, need_another: bool = False) -> Deferred[None]:
        if self.released:
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
            await self._finish()
        finally:
            try:
                await self._give_back(eject, need_another)
            finally:
                await self.device.close()

    async def _finish(self) -> None:
        await self.device.finish()

    def _tell(self, outcome: Any) -> None:
        """Fire all who wait for the release; the first of them gets what went wrong."""
        self.released = True
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
        """Most changers keep no meta labels."""
        return succeed(None)

    def set_meta_label(self, meta: str | None) -> Deferred[None]:
        """Most changers keep no meta labels."""
        return succeed(None)


@implementer(IAsyncChanger)
class Changer:
    """Base of all: one operation at a time; what is not overridden is refused with NOTIMPL."""

    has_inventory = True
    scan_require_update = False
    global_space = False

    def __init__(self, setup: ChangerSetup) -> None:
        self.setup = setup
        self.name = setup.name
        self.held: set[Reservation] = set()
        self._turn = DeferredLock()
        # a dict, as it keeps their order
        self._running: dict[Deferred[Any], None] = {}

    def _do(self, operation: Callable[[], Coro[T]]) -> Deferred[T]:
        """Begin an operation when it is its turn; ``close`` cancels it."""
        running = Deferred.fromCoroutine(self._in_turn(operation))
        self._running[running] = None

        def forget(result: T) -> T:
            del self._running[running]
            return result

        return running.addBoth(forget)

    async def _in_turn(self, operation: Callable[[], Coro[T]]) -> T:
        """Do it when nothing that was asked for before is going on any more."""
        await self._turn.acquire()
        try:
            return await operation()
        finally:
            self._turn.release()

    def _refuse(self, operation: str) -> NoReturn:
        text = f"'chg-{self.setup.kind}' does not support {operation}"
        raise ChangerError(text, ChangerReason.NOTIMPL)

    def load(self, request: LoadRequest) -> Deferred[Any]:
        return self._do(lambda: self._load(request))

    async def _load(self, request: LoadRequest) -> Reservation:
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
        return self._do(self._reset)

    async def _reset(self) -> None:
        self._refuse("reset")

    def eject(self, drive: str | None = None) -> Deferred[None]:
        return self._do(lambda: self._eject(drive))

    async def _eject(self, drive: str | None) -> None:
        self._refuse("eject")

    def move(self, source: str, target: str) -> Deferred[None]:
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
        first: Exception | None = None
        self.setup.stop.set()
        # the latest first, so that none begins because the one before it has ended
        for running in reversed(list(self._running)):
            running.cancel()
        try:
            await self._settle()
        except ThreadRefused as error:
            first = error
        self.setup.stop.clear()  # giving back has all its time, unless the whole taper is to end
        for reservation in list(self.held):
            try:
                await reservation.release()
            except Exception as error:
                # the others are given back all the same; the first error is told at the end
                first = first or error
        await self._in_turn(self._end)
        if first is not None:
            raise first

    async def _settle(self) -> None:
        """Wait until what was cancelled has put everything away."""
        await self._in_turn(_nothing)

    async def _end(self) -> None:
        """Last thing of ``close``."""

    def _open_configured(self, name: str) -> IAsyncDevice:
        """Open a device and set its properties from all their sources.

        :raise DeviceError: it cannot be opened
        :raise ChangerError: a property was refused
        """
        device = self.setup.open_device(name)
        try:
            self._prepare(device)
            self.setup.configure(device.facts)
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
            _log.warning("finishing '%s': %s", device.facts.name, error)
        finally:
            await device.close()


async def _nothing() -> None:
    """An operation that is over when its turn has come."""
