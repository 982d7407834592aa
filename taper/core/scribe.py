"""The scribe: one worker's volumes, from the scan to the release [data-plane 3].

A scribe holds at most one started volume and at most one *candidate*: a volume that a scan found
and reserved, peeked at but untouched until the driver permits a new volume.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, DeferredLock

from devices.errors import ChangerError, DeviceError, NotOnVolume
from devices.interfaces import IAsyncDevice, IAsyncReservation
from protocols.errorcode import coded
from protocols.tapelist import TapelistError
from protocols.tracelog import Error, Info, TapeInfo
from taper.core.erasing import await_space, blank, frees_space, make_room
from taper.core.errors import Interrupted, TapeTrouble, in_words
from taper.core.labelling import LabellingFailed, permit_label, record_label, write_label
from taper.core.moment import NotInTime
from taper.core.scan import ScanFailed, ScanResult
from taper.core.scan.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Container

    from protocols.tapelist import Tapelist
    from taper.core.interruption import Interruption
    from taper.core.labelling import Permission
    from taper.core.world import World


class Volume:
    """A labelled volume in hand, open for writing.

    :ivar permission: by which it was labelled.
    :ivar payload: bytes of good parts written to it in this tenure.
    :ivar good_parts: how many there are.
    :ivar full: at the end of medium; it takes no further part.
    :ivar trouble: why the device could not write the last part, if it could not.
    :ivar remark: what the trace log was told of what is on it.
    """

    def __init__(self, reservation: IAsyncReservation, permission: Permission) -> None:
        self.reservation = reservation
        self.permission = permission
        self.label = permission.label
        self.payload = 0
        self.good_parts = 0
        self.full = False
        self.trouble: str | None = None
        self.remark: str | None = None

    @property
    def released(self) -> Info | TapeInfo:
        """What the trace log says when it is given back. amtoc takes what ends in ``[OK]`` for a
        volume with dumps, so one that has failed before its first good part is not called that."""
        file = self.device.facts.file
        if self.trouble is None or self.good_parts:
            return TapeInfo(label=self.label, kb=self.payload // 1024, fm=file)
        return Info(f"tape {self.label} kb 0 fm {max(file, 0)} [{one_line(self.trouble)}]")

    @property
    def device(self) -> IAsyncDevice:
        return self.reservation.device


class Scribe:
    """One worker's volumes.

    :param timestamp: the run's timestamp, written on every volume it labels
    """

    def __init__(self, world: World, timestamp: str) -> None:
        self._world = world
        self.timestamp = timestamp
        self.volume: Volume | None = None
        self._candidate: ScanResult | None = None
        self._ending: Volume | None = None
        self._releasing = DeferredLock()
        self._scanning: Deferred[None] | None = None
        self._waiters: list[Deferred[None]] = []
        self._failure: str | None = None

    # Scanning

    def begin_scan(self) -> None:
        """Look for a volume, unless one is being looked for or waits to be labelled."""
        if self._scanning is None and self._candidate is None:
            self._failure = None
            scanning = Deferred.fromCoroutine(self._scan())
            if not scanning.called:
                self._scanning = scanning

    async def _scan(self) -> None:
        try:
            self._candidate = await self._world.scan.scan(self.timestamp)
        except ScanFailed as fault:
            self._failure = fault.text
        except CancelledError:
            self._failure = "the scan was cancelled"
        except Exception as fault:
            # A scan that breaks is this scan's failure, never the end of the taper.
            self._world.debug_failure(coded(f"scan: {fault!r}", fault))
            self._failure = in_words(fault)
        self._scanning = None
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    async def _scan_over(self) -> None:
        if self._scanning is not None:
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await waiter

    async def find_volume(self) -> ScanResult:
        """The candidate; scans first if there is none.

        :raise TapeTrouble: the scan failed
        """
        if self._failure is None:
            self.begin_scan()
        await self._scan_over()
        if self._candidate is None:
            text, self._failure = self._failure, None
            raise TapeTrouble(text or "No acceptable volumes found")
        return self._candidate

    async def spare(self, labels: Container[str]) -> None:
        """Give a candidate back that is one of these volumes: they are wanted for reading."""
        await self._scan_over()
        if self._candidate is not None and self._candidate.reservation.reading.label in labels:
            await self.drop_candidate()

    async def device_at_hand(self) -> IAsyncDevice:
        """The device the next part will most likely go to, for its facts.

        :raise TapeTrouble: no volume is in hand and none was found
        """
        if self.volume is not None:
            return self.volume.device
        self._failure = None  # of a scan for another dump; things may be better now
        return (await self.find_volume()).reservation.device

    @property
    def usable(self) -> bool:
        """A started volume that can take a part is in hand."""
        return self.volume is not None and not self.volume.full

    # Volumes

    async def label_found(self, found: ScanResult, interruption: Interruption) -> Volume:
        """Write the label of the candidate, which is the volume in hand then; :meth:`record`
        follows.

        :param interruption: of the dump, by which it waits for what may take long
        :raise LabellingFailed: the candidate was given back
        :raise Interrupted: the dump is to end, and the next one may have the candidate
        """
        world = self._world
        if frees_space(world):
            await_space(found.reservation.device.facts)
        try:
            permission = await interruption.wait(permit_label(world, found, self.timestamp))
            await write_label(world, found, permission, self.timestamp, interruption)
        except Interrupted:
            raise
        except LabellingFailed as fault:
            await world.note(Info(fault.text))
            await self._lose(found, interruption)
            raise
        except Exception:
            await self._lose(found, interruption)
            raise
        self._candidate = None
        self.volume = Volume(found.reservation, permission)
        return self.volume

    async def record(self, volume: Volume, interruption: Interruption) -> None:
        """Let the tapelist say that the volume in hand is labelled.

        :raise LabellingFailed: :meth:`lose` follows, once nothing is written to it any more
        """
        await record_label(
            self._world, volume.reservation, volume.permission, self.timestamp, interruption
        )

    async def lose(self, fault: BaseException, interruption: Interruption) -> None:
        """Give the volume in hand back: it could not be recorded."""
        volume, self.volume = self.volume, None
        assert volume is not None, "one was to be recorded"
        if isinstance(fault, LabellingFailed):
            await self._world.note(Info(fault.text))
        await self._let_go(volume.reservation, interruption)

    async def _lose(self, found: ScanResult, interruption: Interruption) -> None:
        self._candidate = None
        await self._let_go(found.reservation, interruption)

    async def _let_go(self, reservation: IAsyncReservation, interruption: Interruption) -> None:
        with suppress(NotInTime):  # it is given back some time
            await interruption.see_through(self._give_back(reservation))

    async def drop_candidate(self) -> None:
        """Give an unused candidate back, so that it may be found again; a scan that runs is waited
        for."""
        await self._scan_over()
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            self._world.scan.untouched(candidate)
            await self._give_back(candidate.reservation)

    async def _give_back(self, reservation: IAsyncReservation) -> None:
        try:
            await reservation.release()
        except (ChangerError, DeviceError, OSError) as fault:
            await self._world.note(Info(f"while releasing a volume: {fault}"))

    async def release_volume(self) -> None:
        """Finish the volume in hand and give its slot back; nothing without one, but to wait for
        a release that is not over.

        :raise TapeTrouble: that failed; the volume is no longer in hand all the same
        """
        await self._releasing.acquire()
        volume, self.volume = self.volume, None
        try:
            if volume is not None:
                self._ending = volume
                await self._release(volume)
        finally:
            self._ending = None
            self._releasing.release()

    async def _release(self, volume: Volume) -> None:
        world, storage = self._world, self._world.storage
        # a dump may wait for the next volume: the line is written while this one is given back
        noted = Deferred.fromCoroutine(world.note(volume.released))
        errors: list[str] = []
        erase = storage.erase_on_failure and volume.good_parts == 0
        try:
            await volume.device.finish()
            if erase:
                # as if never written [config 4.4]
                await blank(world, volume.device, volume.label, lambda tapelist: None)
            elif storage.set_no_reuse:
                await self._forbid_reuse(volume)
        except NotOnVolume as fault:
            errors.append(str(fault))
            await world.note(Error(str(fault)))
        except (DeviceError, TapelistError, OSError) as fault:
            errors.append(str(fault))
        try:
            await volume.reservation.release(eject=storage.eject_volume)
        except (ChangerError, DeviceError, OSError) as fault:
            errors.append(str(fault))
        await noted
        if errors:
            raise TapeTrouble("; ".join(errors))

    async def make_room(self) -> bool:
        """Free space that the volume in hand shares with others. :return: there is more now"""
        volume = self.volume
        if volume is None:
            return False
        return await make_room(self._world, volume.reservation.slot, volume.label, self.timestamp)

    async def _forbid_reuse(self, volume: Volume) -> None:
        def kept(tapelist: Tapelist) -> Tapelist:
            entry = tapelist.lookup(volume.label)
            if entry is None:
                return tapelist
            return tapelist.replacing(entry.no_reuse())

        await self._world.tapelists.update(kept)

    def hurry(self) -> None:
        """A dump is to end: let no device of ours keep it waiting for long."""
        for volume in (self.volume, self._ending):
            if volume is not None:
                volume.device.hurry()
        if self._candidate is not None:
            self._candidate.reservation.device.hurry()

    def stop_scan(self) -> None:
        """Give up a running scan: whoever waits for it is told that it failed."""
        if self._scanning is not None:
            self._scanning.cancel()

    async def quit(self) -> None:
        """Stop scanning and give everything back.

        :raise TapeTrouble: the volume in hand could not be released well
        """
        self.stop_scan()
        await self._scan_over()
        await self.drop_candidate()
        await self.release_volume()
