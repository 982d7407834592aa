"""Several drives for one recovery: while a volume is read, the next ones are loaded in others, so
that nobody waits for a mount."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from devices.errors import DeviceError
from devices.idirecttcp import IMoverDevice
from devices.interfaces import IPumpedDevice
from taper.core.errors import SourceFault
from taper.core.interfaces import IClerk

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from taper.recovery.volumes import Ask, AskingClerk, Busy

_log = logging.getLogger(__name__)


@frozen
class Coming:
    """A volume that is going to be read.

    :ivar fileno: of the part that is read first on it.
    """

    label: str
    fileno: int


class IOnlooker(Protocol):
    """Is told what is done with which drive; they are counted from 1 on."""

    def loading(self, drive: int, label: str, *, ahead: bool) -> None:
        """A volume is looked for.

        :param ahead: nobody waits for it
        """

    def ready(self, drive: int, label: str, slot: str | None) -> None:
        """It is there, and it is not its turn yet."""

    def reading(self, drive: int, label: str, slot: str | None) -> None:
        """It is open, and is read from now on."""

    def empty(self, drive: int) -> None:
        """No volume is open."""


class _Drive:
    """What one clerk has.

    :ivar coming: label of the volume that it has ahead, or is loading.
    :ivar work: fires when it is neither loading nor giving back; never fails.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.clerk: AskingClerk
        self.coming: str | None = None
        self.work: Deferred[None] | None = None

    @property
    def has_something(self) -> bool:
        """A volume, or one that it has not yet given back."""
        return bool(self.coming or self.work or self.clerk.label)

    async def settled(self) -> None:
        """Wait until nothing is done with it any more."""
        if self.work is not None:
            over: Deferred[None] = Deferred()
            self.work.addCallback(over.callback)
            await over


Make = Callable[
    ["Ask", Callable[[str], object], Callable[[str], object], "Busy | None"], "AskingClerk"
]
"""Makes a clerk, of what asks for volumes, what is told of those wanted and opened, and what waits
for those in use."""


@implementer(IClerk)
class LoadingAhead:
    """A clerk with several drives. What others hold it never takes; where no drive is free for a
    volume to come, that volume is loaded when it is its turn, as with a single drive."""

    busy = False

    def __init__(
        self,
        make: Make,
        ask: Ask,
        drives: int,
        order: Sequence[Coming],
        onlooker: IOnlooker,
        in_use: Busy | None = None,
    ) -> None:
        """:param drives: that may be used at a time
        :param order: in which volumes will be wanted, as far as they are thought to be there
        :param in_use: waits for a volume that somebody else has; None: it is asked for
        """
        self._ask = ask
        self._in_use = in_use
        self._order = order
        self._place = 0
        self._onlooker = onlooker
        self._may_ask = self._over = False
        self._drives = [self._make(make, number) for number in range(1, drives + 1)]

    def _make(self, make: Make, number: int) -> _Drive:
        drive = _Drive(number)

        def ask(label: str, why: str) -> Deferred[str]:
            if self._may_ask and drive is self._now:
                return self._ask(label, why)
            return fail(SourceFault(why))

        def in_use(label: str, why: str) -> Deferred[None]:
            if self._in_use is not None and self._may_ask and drive is self._now:
                return self._in_use(label, why)
            return fail(SourceFault(why))  # it may be we who use it

        def wanted(label: str) -> None:
            self._onlooker.loading(number, label, ahead=drive is not self._now)

        def opened(label: str) -> None:
            if drive is self._now:
                self._onlooker.reading(number, label, drive.clerk.slot)

        drive.clerk = make(ask, wanted, opened, None if self._in_use is None else in_use)
        return drive

    @property
    def _now(self) -> _Drive:
        """The drive with the volume that is read."""
        return self._drives[0]

    @property
    def label(self) -> str | None:
        return self._now.clerk.label

    async def begin(self, storage: str) -> None:
        """The dump's storage; whether it is where the volumes are is found out by ``fetch``."""

    async def fetch(
        self,
        label: str,
        handle: str,
        ready: Callable[[IAsyncDevice], Deferred[None]] | None = None,
    ) -> IAsyncDevice:
        device = None if ready is not None else await self._fetch_ahead(label, handle)
        if device is None:
            device = await self._fetch_now(label, handle, ready)
        self._load_ahead(label)
        return device

    async def _fetch_ahead(self, label: str, handle: str) -> IAsyncDevice | None:
        """The volume, if it was loaded ahead."""
        drive = next((one for one in self._drives[1:] if one.coming == label), None)
        if drive is None:
            return None
        if drive.work is not None:
            self._onlooker.loading(drive.number, label, ahead=False)
        await drive.settled()
        if drive.coming != label or self._over:
            return None
        drive.coming = None
        self._drives.remove(drive)
        self._drives.insert(0, drive)
        device = await self._fetch_now(label, handle, None)
        self._onlooker.reading(drive.number, label, drive.clerk.slot)
        return device

    async def _fetch_now(
        self,
        label: str,
        handle: str,
        ready: Callable[[IAsyncDevice], Deferred[None]] | None,
    ) -> IAsyncDevice:
        if any(drive.has_something for drive in self._drives[1:]):
            try:
                return await self._now.clerk.fetch(label, handle, ready)
            except SourceFault:
                if self._over:
                    raise
                await self._give_back(self._drives[1:])  # it may be for want of a drive
        self._may_ask = True
        try:
            return await self._now.clerk.fetch(label, handle, ready)
        finally:
            self._may_ask = False

    # ahead

    def _load_ahead(self, label: str) -> None:
        """Have the volumes that come after this one, as far as there are drives."""
        coming = self._after(label)
        wanted = {one.label for one in coming}
        having = {drive.coming for drive in self._drives[1:]}
        lacking = [one for one in coming if one.label not in having]
        for drive in self._drives[1:]:
            if drive.coming in wanted or drive.work is not None:
                continue
            story = self._load(drive, lacking.pop(0) if lacking else None)
            drive.work = Deferred.fromCoroutine(story)

            def over(_: object, drive: _Drive = drive) -> None:
                drive.work = None

            drive.work.addErrback(_unforeseen).addCallback(over)

    def _after(self, label: str) -> list[Coming]:
        """What comes after a volume, as many as may be loaded."""
        for place in range(self._place, len(self._order)):
            if self._order[place].label == label:
                self._place = place
                break
        found: dict[str, Coming] = {}
        for one in self._order[self._place + 1 :]:
            if one.label != label:
                found.setdefault(one.label, one)
        return list(found.values())[: len(self._drives) - 1]

    async def _load(self, drive: _Drive, coming: Coming | None) -> None:
        clerk = drive.clerk
        drive.coming = None if coming is None else coming.label
        if coming is None:
            await clerk.close_volume(tell=False)
            self._onlooker.empty(drive.number)
            return
        try:
            device = await clerk.fetch(coming.label, "ahead")
            await _position(device, coming.fileno)
        except SourceFault as fault:
            _log.info("volume '%s' is not loaded ahead: %s", coming.label, fault)
            drive.coming = None
            self._onlooker.empty(drive.number)
            return
        except (DeviceError, OSError) as fault:
            # whoever reads it will be told; until then nobody knows where it stands
            _log.info("the place on volume '%s' is not found ahead: %s", coming.label, fault)
            clerk.end(well=False)
        self._onlooker.ready(drive.number, coming.label, clerk.slot)

    async def _give_back(self, drives: Sequence[_Drive]) -> None:
        for drive in drives:
            await drive.settled()
            drive.coming = None
            await drive.clerk.close_volume(tell=False)
            self._onlooker.empty(drive.number)

    # the end

    def end(self, *, well: bool) -> None:
        self._now.clerk.end(well=well)

    def interrupt(self) -> None:
        self._over = True
        for drive in self._drives:
            drive.clerk.interrupt()

    async def close_volume(self, *, tell: bool) -> bool:
        await self._give_back(self._drives)
        return False

    async def quit(self) -> None:
        """Give everything back."""
        self.interrupt()
        for drive in self._drives:
            await drive.settled()
            await drive.clerk.quit()
            self._onlooker.empty(drive.number)


async def _position(device: IAsyncDevice, fileno: int) -> None:
    if IMoverDevice.providedBy(device):
        await IMoverDevice(device).seek_file(fileno)
    else:
        await IPumpedDevice(device).run(lambda reader: reader.seek_file(fileno))


def _unforeseen(failure: Any) -> None:
    """The volume is loaded when it is its turn; what is wrong is told then, too."""
    _log.warning("loading ahead has failed: %s", failure.getErrorMessage(), exc_info=failure.value)
