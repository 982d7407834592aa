"""The clerk: one worker's source volume, for vaulting [data-plane 4.4], [changers 5].

A clerk keeps its volume between dumps, until it needs another one, CLOSE-SOURCE-VOLUME or the end;
only another worker's need makes it give an idle one up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from devices.errors import ChangerError, ChangerReason, DeviceError
from devices.interfaces import (
    AccessMode,
    IAsyncChanger,
    IAsyncDevice,
    IAsyncReservation,
    InventoryEntry,
    LoadRequest,
    Relative,
    SlotState,
)
from protocols.driver import replies
from protocols.errorcode import coded
from taper.core.errors import SourceFault
from taper.core.interfaces import IClerk

if TYPE_CHECKING:
    from collections.abc import Callable

    from taper.core.interfaces import IDriver, IVaults

T = TypeVar("T")


class Surroundings(Protocol):
    """What of the world a clerk works with; see :class:`taper.core.world.World`."""

    @property
    def driver(self) -> IDriver: ...
    @property
    def vaults(self) -> IVaults: ...
    @property
    def clerks(self) -> list[IClerk]: ...

    def debug_failure(self, text: str) -> None: ...


@implementer(IClerk)
class Clerk:
    """The clerk of one worker.

    :param worker: whose voice it has
    """

    def __init__(self, world: Surroundings, worker: str) -> None:
        self._world = world
        self._worker = worker
        self.label: str | None = None
        self._reservation: IAsyncReservation | None = None
        self._storage: str | None = None
        self._changer: IAsyncChanger | None = None
        self.busy = False
        self._doubtful = False
        self._interrupted = False
        self._waiting: Deferred[Any] | None = None
        self._leaving: list[Deferred[bool]] | None = None
        world.clerks.append(self)

    @property
    def slot(self) -> str | None:
        """Of the volume that is open."""
        return None if self._reservation is None else self._reservation.slot

    # One dump

    async def begin(self, storage: str) -> None:
        self.busy, self._interrupted = True, False
        if storage == self._storage:
            return
        await self._close_storage(tell=True)
        self._changer = self._world.vaults.open_changer(storage)
        self._storage = storage

    def end(self, *, well: bool) -> None:
        self.busy = False
        self._doubtful = self._doubtful or not well

    def interrupt(self) -> None:
        self._interrupted = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def fetch(
        self,
        label: str,
        handle: str,
        ready: Callable[[IAsyncDevice], Deferred[None]] | None = None,
    ) -> IAsyncDevice:
        if self._reservation is not None and self.label == label and not self._doubtful:
            return self._reservation.device
        await self.close_volume(tell=True)
        try:
            await self._take_from_others(label)
            reservation = await self._find(label)
            await self._open(reservation, label, ready)
        except CancelledError as fault:
            raise SourceFault(
                f"looking for source volume '{label}' was given up", code=4011
            ) from fault
        except ChangerError as fault:
            if fault.fatal:  # this changer object is of no further use
                await self._close_storage(tell=False)
            raise SourceFault(_why(fault, label)) from fault
        except (DeviceError, OSError) as fault:
            raise SourceFault(str(fault)) from fault
        self._reservation, self.label, self._doubtful = reservation, label, False
        self._world.driver.send(replies.OpenedSourceVolume(self._worker, handle, label))
        return reservation.device

    async def _open(
        self,
        reservation: IAsyncReservation,
        label: str,
        ready: Callable[[IAsyncDevice], Deferred[None]] | None,
    ) -> None:
        """Start reading; a volume that turns out to be wrong is given back."""
        device = reservation.device
        try:
            if ready is not None:
                await self._wait(ready(device))
            await self._wait(device.start(AccessMode.READ))
            found = device.facts.label
            if found != label:
                raise SourceFault(
                    f"expected volume label '{label}', but found volume label '{found}'", code=4009
                )
        except BaseException:
            await self._give_back(reservation)
            raise

    # Finding a volume

    async def _take_from_others(self, label: str) -> None:
        """A volume that an idle worker merely keeps is given up for us."""
        for other in self._world.clerks:
            if other is not self and other.label == label and not other.busy:
                await other.close_volume(tell=True)

    async def _find(self, label: str) -> IAsyncReservation:
        """Load the volume: where the inventory has it, else from slots of unknown content."""
        assert self._changer is not None, "begin() comes first"
        seen: set[str] = set()
        last_error = f"Source Volume '{label}' not found"
        while True:
            try:
                entries = await self._wait(self._changer.inventory())
            except ChangerError as fault:
                if fault.reason is not ChangerReason.NOTIMPL:
                    raise
                return await self._find_in_turn(label)
            entry = _choose(entries, label, seen)
            if entry is None:
                raise SourceFault(last_error, code=4009)
            seen.add(entry.slot)
            try:
                found = await self._load(LoadRequest(slot=entry.slot, mode=AccessMode.READ))
            except ChangerError as fault:
                if fault.fatal or (entry.label == label and _in_use(fault)):
                    raise
                last_error = _why(fault, label)
                continue
            if found.reading.label == label:
                return found
            last_error = found.reading.error or last_error
            await self._give_back(found)

    async def _find_in_turn(self, label: str) -> IAsyncReservation:
        """Without an inventory: the current slot, then one after another."""
        seen: set[str] = set()
        request = LoadRequest(relative=Relative.CURRENT, mode=AccessMode.READ)
        while True:
            try:
                found = await self._load(request)
            except ChangerError as fault:
                if fault.fatal or fault.slot is None or fault.slot in seen:
                    raise SourceFault(f"label '{label}' not found", code=4009) from fault
                slot = fault.slot
            else:
                if found.reading.label == label:
                    return found
                slot = found.slot
                await self._give_back(found)
            if slot in seen:
                raise SourceFault(f"label '{label}' not found", code=4009)
            seen.add(slot)
            request = LoadRequest(
                relative=Relative.NEXT,
                after=slot,
                except_slots=frozenset(seen),
                mode=AccessMode.READ,
            )

    async def _load(self, request: LoadRequest) -> IAsyncReservation:
        assert self._changer is not None, "begin() comes first"
        return await self._wait(self._changer.load(request))

    async def _wait(self, awaited: Deferred[T]) -> T:
        """Wait for what :meth:`interrupt` may cut short."""
        self._waiting = awaited
        if self._interrupted:
            awaited.cancel()
        try:
            return await awaited
        finally:
            self._waiting = None

    # Giving back

    async def _give_back(self, reservation: IAsyncReservation) -> None:
        try:
            await reservation.release()
        except (ChangerError, DeviceError, OSError) as fault:
            # it was only read: nothing depends on how it ended
            self._world.debug_failure(
                coded(f"{self._worker}: releasing a source volume: {fault}", fault)
            )

    async def close_volume(self, *, tell: bool) -> bool:
        reservation, self._reservation = self._reservation, None
        self.label, self._doubtful = None, False
        if reservation is None:
            return await self._left()
        waiting: list[Deferred[bool]] = []
        self._leaving = waiting
        await self._give_back(reservation)
        self._leaving = None
        if tell:
            self._world.driver.send(replies.ClosedSourceVolume(self._worker))
        for waiter in waiting:
            waiter.callback(tell)
        return tell

    async def _left(self) -> bool:
        if self._leaving is None:
            return False
        waiter: Deferred[bool] = Deferred()
        self._leaving.append(waiter)
        return await waiter

    async def _close_storage(self, *, tell: bool) -> None:
        await self.close_volume(tell=tell)
        changer, self._changer, self._storage = self._changer, None, None
        if changer is None:
            return
        try:
            await changer.close()
        except (ChangerError, DeviceError, OSError) as fault:
            self._world.debug_failure(
                coded(f"{self._worker}: closing a source changer: {fault}", fault)
            )

    async def quit(self) -> None:
        """Give everything back, without a word."""
        if self in self._world.clerks:
            self._world.clerks.remove(self)
        self.interrupt()
        await self._close_storage(tell=False)


def _in_use(fault: ChangerError) -> bool:
    return fault.reason in (ChangerReason.VOLINUSE, ChangerReason.DRIVEINUSE)


def _why(fault: ChangerError, label: str) -> str:
    if fault.reason is ChangerReason.DRIVEINUSE:
        return f"no drive to read source volume '{label}' in: {fault.message}"
    return fault.message


def _choose(entries: list[InventoryEntry], label: str, seen: set[str]) -> InventoryEntry | None:
    """The slot to load next: the one with the label, else the next of unknown content from the
    current one on.

    :raise SourceFault: somebody else holds the volume
    """
    unseen = [entry for entry in entries if entry.slot not in seen]
    for entry in unseen:
        if entry.label == label and entry.state is not SlotState.EMPTY:
            if entry.reserved:
                raise SourceFault(
                    f"Source volume '{label}' in slot {entry.slot} is reserved", code=3004
                )
            return entry
    current = next((place for place, entry in enumerate(entries) if entry.current), 0)
    for entry in entries[current:] + entries[:current]:
        known = entry.label is not None or entry.state is SlotState.EMPTY or entry.reserved
        if entry in unseen and not known:
            return entry
    return None
