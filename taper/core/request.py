"""How a dump gets a volume: it asks, the volume is found, adopted, labelled, told
[protocol 4.2], [data-plane 3.2]."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from devices.errors import ChangerError
from protocols.errorcode import coded
from protocols.tracelog import Info, Start
from taper.core.announcing import Announcement
from taper.core.errors import Interrupted, ScribeTaken, TapeTrouble, VolumeDenied
from taper.core.labelling import LabellingFailed
from taper.core.moment import NotInTime

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from taper.core.host import Host
    from taper.core.interruption import Interruption
    from taper.core.report import Report
    from taper.core.scan import ScanResult
    from taper.core.scribe import Scribe, Volume

    Adopt = Callable[[IAsyncDevice], Awaitable[None]]


class _NoStart(Exception):
    """The trace log does not name the volume."""


class VolumeRequest:
    """What one dump asks the driver about volumes; one request at a time.

    :param interruption: of the dump, which breaks every wait
    :param adopt: is given the device whose volume is about to be labelled; fails with TapeTrouble
        if the dump cannot go on there
    :ivar announcement: of the volume in hand, until :meth:`settle`.
    """

    def __init__(
        self,
        worker: Host,
        handle: str,
        report: Report,
        interruption: Interruption,
        adopt: Adopt,
    ) -> None:
        self._worker = worker
        self._handle = handle
        self._report = report
        self._interruption = interruption
        self._adopt = adopt
        self._answer: Deferred[None] | None = None
        self.announcement: Announcement | None = None

    # The answers

    @property
    def open(self) -> bool:
        """It is unanswered."""
        return self._answer is not None

    def granted(self) -> None:
        """NEW-TAPE came."""
        self._take_answer().callback(None)

    def denied(self, reason: str) -> None:
        """NO-NEW-TAPE came."""
        self._take_answer().errback(VolumeDenied(reason))

    def scribe_given(self) -> None:
        """TAKE-SCRIBE-FROM came; the worker's scribe is already the other one."""
        self._take_answer().errback(ScribeTaken())

    def _take_answer(self) -> Deferred[None]:
        answer, self._answer = self._answer, None
        assert answer is not None, "the rules allow an answer only to a request"
        return answer

    # The conversation

    async def obtain(
        self, scribe: Scribe, told: Callable[[], Awaitable[None]], ahead: Callable[[], bool]
    ) -> None:
        """Have a labelled volume in hand, by the driver's permission.

        :param told: waits until all is told of the volume before
        :param ahead: asked once it bears its label: whether the dump will write while it is made
            known. Then :meth:`settle` follows, before anything of that counts
        :raise VolumeDenied: the driver refused
        :raise ScribeTaken: it gave another worker's scribe instead
        :raise TapeTrouble: none was found, or the old one could not be released
        :raise Interrupted: the dump is to end; a scan goes on, for the next one
        """
        watch = self._worker.watch
        await self.release(scribe)
        await told()
        while scribe.volume is None:
            with watch.waiting("driver", "the driver is asked for one more volume"):
                await self._ask(scribe)
            try:
                with watch.waiting("scan", "a volume is looked for"):
                    found = await self._find(scribe)
                with watch.waiting("volume", f"{found.label} is labelled"):
                    volume = await scribe.label_found(found, self._interruption)
            except LabellingFailed:
                self._report.no_new_tape()  # the trace log says why; another volume may do
                continue
            except BaseException:
                self._report.no_new_tape()
                raise
            watch.hold(volume)
            self.announcement = Announcement(self._make_known(scribe, volume))
            if not ahead():
                await self.settle(scribe)

    async def settle(self, scribe: Scribe) -> str | None:
        """Wait until a labelled volume is made known; nobody may write to it just now.

        :return: why it cannot be: it was given back, and another one may do
        :raise TapeTrouble: it cannot be, and no other could
        """
        announcement, volume = self.announcement, scribe.volume
        if announcement is None:
            return None
        assert volume is not None, "nothing has let go of it"
        if not announcement.over:
            with self._worker.watch.waiting("volume", f"{volume.label} is made known"):
                await announcement.stands()
        self.announcement = None
        return None if announcement.fault is None else await self._withdraw(scribe, announcement)

    async def _withdraw(self, scribe: Scribe, announcement: Announcement) -> str:
        fault = announcement.fault
        assert fault is not None, "a volume that is known is kept"
        if isinstance(fault, _NoStart):
            self._report.no_new_tape()
            self._interruption.hurry()
            await self.release(scribe)
            raise TapeTrouble(f"cannot write the trace log: {fault}", code=8006) from fault
        await scribe.lose(fault, self._interruption)
        self._worker.watch.hold(scribe.volume)
        self._report.no_new_tape()
        if isinstance(fault, LabellingFailed):
            return fault.text  # the trace log says so, too
        raise fault

    async def release(self, scribe: Scribe) -> None:
        """Give the volume in hand back; other programs may hold up what belongs to it.

        :raise TapeTrouble: that failed, or is not done soon enough for a dump that is to end
        """
        watch = self._worker.watch
        if scribe.volume is None:
            reason = "a volume that was given back before is not free yet"
        else:
            reason = f"{scribe.volume.label} is given back"
        try:
            with watch.waiting("volume", reason):
                await self._interruption.see_through(scribe.release_volume())
        except NotInTime as fault:
            raise TapeTrouble(f"while releasing a volume: {fault}") from fault
        finally:
            watch.hold(scribe.volume)

    async def _ask(self, scribe: Scribe) -> None:
        """Send REQUEST-NEW-TAPE and wait for the answer; interrupted, the request stands."""
        self._interruption.check()
        self._answer = answer = Deferred[None]()
        self._worker.rules.volume_requested()
        self._report.request_new_tape()
        try:
            await self._interruption.wait(answer)
        except VolumeDenied as fault:
            self._interruption.hurry()
            await self._report.volume_denied(fault.reason)
            await self._drop_candidate(scribe)
            raise
        except Interrupted:
            if self._answer is not None:
                self._answer = None
                self._worker.request_withdrawn(self._handle)
            raise

    async def _find(self, scribe: Scribe) -> ScanResult:
        """A volume on which the dump can go on."""
        try:
            found = await self._interruption.wait(scribe.find_volume())
            await self._adopt(found.reservation.device)
        except TapeTrouble as fault:
            self._interruption.hurry()
            await self._drop_candidate(scribe)
            await self._worker.world.note(Info(fault.text))
            raise
        return found

    async def _drop_candidate(self, scribe: Scribe) -> None:
        try:
            await self._interruption.see_through(scribe.drop_candidate())
        except NotInTime as fault:
            self._worker.world.debug(coded(f"while releasing a volume: {fault}", fault))

    async def _make_known(self, scribe: Scribe, volume: Volume) -> None:
        await scribe.record(volume, self._interruption)
        await self._log_start(scribe, volume)
        self._tell(volume)

    async def _log_start(self, scribe: Scribe, volume: Volume) -> None:
        """Parts on a volume that the trace log does not name could not be found again.

        :raise _NoStart: it does not
        """
        world = self._worker.world
        start = Start(
            datestamp=scribe.timestamp,
            storage=world.storage.name,
            pool=world.storage.tapepool,
            label=volume.label,
            tape=next(world.tapes),
        )
        try:
            await self._interruption.see_through(world.trace_log.append(start))
        except OSError as fault:
            raise _NoStart(str(fault)) from fault

    def _tell(self, volume: Volume) -> None:
        """No dump stands still for what the changer is told, which only finds volumes sooner by it;
        what it is asked next comes after that."""
        world = self._worker.world
        world.console.write_line(f"taper: wrote label '{volume.label}'")
        self._report.new_tape(volume.label)
        Deferred.fromCoroutine(self._tell_changer(volume)).addErrback(world.log_failure)

    async def _tell_changer(self, volume: Volume) -> None:
        try:
            await volume.reservation.set_label(volume.label)
        except (ChangerError, OSError) as fault:
            await self._worker.world.note(Info(f"Error from set_label: {fault}"))
