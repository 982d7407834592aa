"""The parts of one dump: written one after another, judged, and told once they are stored
[data-plane 3.2]."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from protocols.errorcode import (
    DEVICE,
    LARGER_THAN_VOLUME,
    NOT_CACHED,
    NOT_MADE_TO_SPLIT,
    PART_LOST,
    SOURCE,
    coded,
)
from protocols.tracelog import Info
from taper.core.behind import MOST_BEHIND, Behind, Part
from taper.core.errors import Interrupted
from taper.core.preparing import part_header
from taper.core.report import FULL
from taper.core.scan.texts import one_line

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice, PartResult
    from protocols.header import Header
    from taper.core.host import Host
    from taper.core.interfaces import IFlow
    from taper.core.interruption import Interruption
    from taper.core.outcome import Ledger
    from taper.core.report import Report
    from taper.core.request import VolumeRequest
    from taper.core.scribe import Volume
    from taper.core.splitting import SplitPlan

_log = logging.getLogger(__name__)

MOST_IN_VAIN = 2
"""Volumes erased in a row without a byte gained, before the part ends for lack of space."""


class Parts:
    """Writes the parts of one dump, and knows which comes next.

    Whoever ends the dump, lets go of the volume, or does what could cost another copy, first waits
    until everything is stored; :meth:`write` comes back so where one of these may follow. Where the
    volume is let go of, the last part of it may still be on its way into the trace log, and
    :meth:`over` follows before anything else is asked of the driver.

    :param worker: whose volumes they go to
    :param handle: of the dump
    :param request: what volumes came by, of which the one in hand may not be made known yet
    :param end_follows: the dump's end is told soon after its last part, and together with it
    """

    def __init__(
        self,
        worker: Host,
        handle: str,
        ledger: Ledger,
        report: Report,
        interruption: Interruption,
        request: VolumeRequest,
        *,
        end_follows: bool,
    ) -> None:
        self._worker = worker
        self._handle = handle
        self._ledger = ledger
        self._report = report
        self._interruption = interruption
        self._request = request
        self._end_follows = end_follows
        self._number = 1
        self._barren = 0
        self._flow: IFlow | None = None
        self._behind = Behind(self._record, self._stop)

    async def write(self, volume: Volume, flow: IFlow, header: Header, plan: SplitPlan) -> bool:
        """Write one part and judge it. :return: the dump is at its end, good or bad"""
        self._flow, number, behind = flow, self._number, self._behind
        first_file = volume.device.facts.file < 1
        _log.info("%s: part %d begins on %s", self._handle, number, volume.label)
        self._worker.watch.part_begins(number, volume.label)
        result = await self._move(flow, volume.device, part_header(header, number))
        shares = self._worker.watch.part_written()
        self._take_errors(flow)
        _log.info("%s: part %d: %s", self._handle, number, result)
        refusal = await self._request.settle(self._worker.scribe)
        if refusal is not None:
            return self._taken_back(flow, refusal)
        _log.info("%s: part %d took %s", self._handle, number, shares)
        await self._tell_remark(volume)
        part = Part(
            volume=volume, number=number, result=result, first_file=first_file, shares=shares
        )
        leaves = result.successful and result.eom and not (result.eof or self._ending)
        if result.stored is not None or leaves:
            behind.add(part)
        goes_on = result.stored is not None and not (result.eof or result.eom)
        if goes_on and not self._ending:
            await behind.wait(MOST_BEHIND)
        elif leaves:
            with self._worker.watch.waiting("disk", "what was written is not stored yet"):
                await behind.wait(told=False)
        else:
            with self._worker.watch.waiting("disk", "what was written is not stored yet"):
                await behind.wait()
        lost = behind.take_trouble() if behind.troubled else None
        if lost is not None:
            return await self._write_again(lost, plan, flow)
        if result.stored is None and not leaves:
            await self._record(part)
        if result.successful and result.size:
            self._number += 1
        return await self._judge(part, plan, flow)

    async def _tell_remark(self, volume: Volume) -> None:
        """Let the trace log have what whoever reads the volume must know of it, once."""
        remark = volume.device.facts.remark
        if remark is not None and remark != volume.remark:
            volume.remark = remark
            await self._worker.world.note(Info(one_line(remark)))

    async def over(self) -> None:
        """Nothing is written any more: wait until all that was is stored and told.

        :raise DeviceFault: it cannot be told
        """
        await self._behind.wait()
        lost = self._behind.take_trouble()
        if lost is not None:
            self._fail(lost.result.error or FULL, PART_LOST)

    @property
    def _ending(self) -> bool:
        """The dump is to end, however good its parts are."""
        return self._interruption.reason is not None or bool(self._ledger.input_errors)

    def _fail(self, text: str, code: int) -> None:
        """The storage side is to blame; the debug log alone is told the code."""
        _log.info("%s: %s", self._handle, coded(text, code))
        self._ledger.device_errors.append(text)

    def _stop(self) -> None:
        """Let the running part end."""
        if self._flow is not None:
            self._flow.cancel("")

    # One part

    async def _move(self, flow: IFlow, device: IAsyncDevice, header: Header) -> PartResult:
        """Write one part. Where shared space is full, make room and go on, while that helps."""
        result = await self._begin(flow, device, header)
        in_vain, size = 0, -1
        while result.space and (result.paused or not result.fileno):
            # what frees nothing here may lie on another disk
            in_vain, size = (in_vain + 1 if result.size == size else 0), result.size
            helps = self._interruption.reason is None and in_vain < MOST_IN_VAIN
            more = helps and await self._make_room()
            if result.paused:
                result = await flow.resume_part(device, more)
            elif more:
                result = await flow.write_part(device, header)
            else:
                break
        return result

    async def _begin(self, flow: IFlow, device: IAsyncDevice, header: Header) -> PartResult:
        announcement = self._request.announcement
        if announcement is None:
            return await flow.write_part(device, header)
        _log.info("%s: the part is begun before its volume is known", self._handle)
        announcement.on_failure(flow.take_back)
        return await flow.write_part(device, header, announcement.stands)

    def _taken_back(self, flow: IFlow, refusal: str) -> bool:
        """What was written on a volume that does not count never happened. :return: the dump is at
        its end"""
        if not self._ending and not flow.can_retry():
            self._fail(f"{refusal}: the failed part was not cached, cannot retry", NOT_CACHED)
            return True
        return self._ending

    async def _make_room(self) -> bool:
        await self._behind.wait()
        if self._behind.troubled:
            return False  # the part is in vain
        try:
            with self._worker.watch.waiting("space", "an old volume is erased to make room"):
                return await self._interruption.wait(self._worker.scribe.make_room())
        except Interrupted:
            return False

    async def _record(self, part: Part) -> None:
        """Log and report a part; one of which only the header fitted never happened."""
        result, volume, ledger = part.result, part.volume, self._ledger
        if result.fileno == 0 or (result.successful and not result.size and not result.eof):
            return
        ledger.parts = part.number
        ledger.last_part_good = result.successful
        if result.successful:
            ledger.size += result.size
            volume.payload += result.size
            volume.good_parts += 1
        why = self._interruption.reason
        if why is None and result.error is None and ledger.input_errors:
            why = ledger.input_errors[-1]
        last = result.successful and result.eof and self._end_follows
        await self._report.part(volume.label, part.number, result, why, last=last)
        self._tell_over(part, why)

    def _tell_over(self, part: Part, why: str | None) -> None:
        """Let whoever watches know what became of a part."""
        result, volume, watch = part.result, part.volume, self._worker.watch
        watch.part_over(
            number=part.number,
            label=volume.label,
            file=result.fileno,
            size=result.size,
            error=None if result.successful else why or result.error or FULL,
            shares=part.shares,
        )
        watch.hold(self._worker.scribe.volume)

    # What follows from it

    async def _judge(self, part: Part, plan: SplitPlan, flow: IFlow) -> bool:
        """:return: the dump is at its end, good or bad"""
        result, volume = part.result, part.volume
        if result.eom:
            volume.full = True
            self._worker.watch.hold(self._worker.scribe.volume)
        if result.refused or (not result.successful and self._interruption.reason is None):
            # with a part cache nothing but the text tells an error from the end of the medium
            volume.trouble = None if (result.error or FULL).startswith(FULL) else result.error
        if self._ending:
            return True
        if result.successful and result.eof:
            return True
        if result.eom:
            return await self._at_end_of_medium(part, plan, flow)
        if not result.successful:
            self._fail(result.error or "the part could not be written", DEVICE)
            return True
        return False

    async def _write_again(self, lost: Part, plan: SplitPlan, flow: IFlow) -> bool:
        """A part was not stored: it is the next one to be written, if that is possible."""
        _log.warning("%s: part %d is not stored: %s", self._handle, lost.number, lost.result.error)
        flow.revoke()
        self._number = lost.number
        if self._ending:
            self._fail(lost.result.error or FULL, PART_LOST)
        return await self._judge(lost, plan, flow)

    async def _at_end_of_medium(self, part: Part, plan: SplitPlan, flow: IFlow) -> bool:
        """Go on with another volume, if that can lead anywhere."""
        result, label = part.result, part.volume.label
        trouble = result.error or FULL
        if result.refused and result.successful:
            # no part tells of it, and nothing is lost yet; but the volume should be looked at
            text = f"volume {label} takes no further file: {trouble}"
            await self._worker.world.note(Info(text))
        # one bad volume must not end a dump that has lost nothing; a second one in a row does
        took_nothing = part.first_file and result.successful and not result.size
        self._barren = self._barren + 1 if took_nothing else 0
        if not plan.allow_split:
            self._fail(f"{trouble}, splitting not enabled", NOT_MADE_TO_SPLIT)
        elif part.first_file and (not result.successful or self._barren > 1):
            how = "does not fit" if trouble.startswith(FULL) else "cannot be stored"
            text = f"{trouble}: part {part.number} {how} on the empty volume {label}"
            self._fail(text, LARGER_THAN_VOLUME)
        elif result.successful:
            return False
        elif plan.retry and flow.can_retry():
            await self._report.will_retry()
            return False
        elif not (plan.retry and self._source_failed(flow)):
            self._fail(f"{trouble}: the failed part was not cached, cannot retry", NOT_CACHED)
        return True

    def _source_failed(self, flow: IFlow) -> bool:
        """Give the source up, and note what was wrong with what was read ahead of the last part."""
        flow.cancel("")
        return self._take_errors(flow)

    def _take_errors(self, flow: IFlow) -> bool:
        """Blame the source for what was wrong with it. :return: something was"""
        errors = flow.take_errors()
        for text in errors:
            _log.info("%s: %s", self._handle, coded(text, SOURCE))
        self._ledger.input_errors.extend(errors)
        return bool(errors)
