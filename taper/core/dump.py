"""One dump, from the write command to its result [protocol 4.2, 4.3], [data-plane 3.2].

:meth:`Dump.run` reads top to bottom as the story it tells. Waiting is ``await``; whoever wants the
dump to end calls :meth:`Dump.interrupt`, which breaks the wait for anything but a running part;
that is cancelled in its transfer and comes back unsuccessful.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred

from devices.errors import DeviceError
from protocols.driver import commands
from protocols.errorcode import CHECKSUM, DUMPER_FAILED, SOURCE, coded
from protocols.tracelog import Info
from taper.core.errors import (
    DeviceFault,
    DumpFault,
    Interrupted,
    ScribeTaken,
    SourceFault,
    TapeTrouble,
    VolumeDenied,
    in_words,
)
from taper.core.interfaces import IToldOrigin, IUndecidedOrigin
from taper.core.interruption import Interruption
from taper.core.outcome import DumperResult, Ledger, Verdict
from taper.core.parts import Parts
from taper.core.preparing import check_header, plan_dump
from taper.core.report import Report
from taper.core.request import VolumeRequest

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from protocols.header import Header
    from taper.core.host import Host
    from taper.core.interfaces import IFlow, IMeasured, IOrigin, IStatusFile
    from taper.core.scribe import Scribe, Volume
    from taper.core.splitting import SplitPlan

MIXED_BLOCK_SIZES = "All devices used by the taper must have the same block size"

_log = logging.getLogger(__name__)


class Dump:
    """The dump of one write command.

    :param command: the command, for its names, split fields and ``orig_kb``
    :param origin: where header and data come from
    """

    def __init__(self, worker: Host, command: commands.WriteCommand, origin: IOrigin) -> None:
        self.worker = worker
        self.world = worker.world
        self.command = command
        self.handle = command.handle
        self.origin = origin
        self.ledger = Ledger()
        self._interruption = Interruption(self.world.clock)
        self.wait = self._interruption.wait
        self.report = Report(worker, command, self.ledger, self._interruption)
        self._header: Header | None = None
        self._plan: SplitPlan | None = None
        self._flow: IFlow | None = None
        self._flowing: Deferred[None] | None = None
        self._status_file: IStatusFile | None = None
        self.request = VolumeRequest(
            worker, self.handle, self.report, self._interruption, self._adopt
        )
        self._verdict_wanted: Deferred[None] | None = None
        self._ready_sent = False
        self._settled = False
        self._parts = Parts(
            worker,
            self.handle,
            self.ledger,
            self.report,
            self._interruption,
            self.request,
            end_follows=not origin.result_follows,
        )

    @property
    def scribe(self) -> Scribe:
        return self.worker.scribe

    # What others tell the dump

    def interrupt(
        self, reason: str, *, device: bool = False, code: int | BaseException = SOURCE
    ) -> None:
        """End the dump as soon as possible; ``reason`` is an input error, or one of the device.
        Only the first counts, and none once the result is being told.

        :param code: of the error, or the error itself
        """
        if self._interruption.reason is not None or self._settled:
            return
        self._note(reason, code)
        errors = self.ledger.device_errors if device else self.ledger.input_errors
        errors.append(reason)
        self._interruption.come(reason, self._stop)

    def _stop(self) -> None:
        if self._flow is not None:
            self._flow.cancel("")
        self.scribe.hurry()

    def dumper_done(self, command: commands.Done) -> None:
        """The driver says that the dumper is done."""
        if self.ledger.dumper is DumperResult.UNKNOWN and self.origin.result_follows:
            self.ledger.dumper = DumperResult.DONE
            self.report.dumper_done(command)
            self.ledger.dumper_crc = command.server_crc
            self._dumper_heard()

    def dumper_failed(self) -> None:
        """The driver says that the dumper failed."""
        if self.ledger.dumper is not DumperResult.UNKNOWN or not self.origin.result_follows:
            return
        self.ledger.dumper = DumperResult.FAILED
        if self._verdict_wanted is not None:
            self._dumper_heard()
        elif self._header is None:
            self.interrupt("Got empty header", code=DUMPER_FAILED)
        else:
            self.interrupt("dumper failed", code=DUMPER_FAILED)

    def _dumper_heard(self) -> None:
        wanted, self._verdict_wanted = self._verdict_wanted, None
        if wanted is not None:
            wanted.callback(None)

    # The story

    async def run(self) -> None:
        """Write the dump and report its end. Never fails."""
        command = self.command
        _log.info(
            "%s: %s of %s %s, level %s, from %s",
            self.handle,
            command.datestamp,
            command.hostname,
            command.diskname,
            command.level,
            type(self.origin).__name__,
        )
        try:
            await self._write()
        except Interrupted:
            pass  # the reason is among the input errors
        except VolumeDenied as fault:
            self._note(fault.reason, fault)
            self.ledger.denial = fault.reason
        except SourceFault as fault:
            self._note(fault.text, fault)
            self.ledger.input_errors.append(fault.text)
        except (TapeTrouble, DeviceFault, DeviceError) as fault:
            self._note(fault.text, fault)
            self.ledger.device_errors.append(fault.text)
        except Exception as fault:
            # One dump that goes wrong in an unforeseen way must not take the others with it.
            self.world.debug_failure(coded(f"dump {self.handle}: {fault!r}", fault))
            self.ledger.device_errors.append(_unforeseen(fault))
        await self._finish()

    def _note(self, text: str, code: int | BaseException) -> None:
        """Tell the debug log what ends the dump, with its code, which nobody else is told."""
        _log.info("%s: %s", self.handle, coded(text, code))

    async def _write(self) -> None:
        """Know first which volumes the dump is read from: none of them is written on meanwhile."""
        if IUndecidedOrigin.providedBy(self.origin):
            self.origin = await self.wait(IUndecidedOrigin(self.origin).decide())
        with self.worker.watch.waiting("source", "the dump is looked up"):
            labels = await self.wait(self.origin.find())
        reading = self.world.history.reading
        reading.update(labels)
        try:
            if labels:
                await self.wait(self.scribe.spare(labels))
            await self._write_found()
        finally:
            reading.subtract(labels)

    async def _write_found(self) -> None:
        device = await self._first_device()
        self._plan = plan = await plan_dump(
            self.world, self.command, self.origin, device, self.wait
        )
        for warning in plan.warnings:
            await self.report.warning(warning)
        self._flow = flow = self.world.flows.between(self.origin, device, plan)
        offer = await flow.offer()
        if offer is not None:
            self.worker.rules.header_awaited()
            _log.info("%s: %s", self.handle, offer)
            self.report.offer(offer)
        with self.worker.watch.waiting("header", "the dump's header has not come"):
            self._header = header = await self.wait(self.origin.header())
        check_header(header, self.command)
        if header.is_partial and not self.origin.result_follows:
            self.ledger.dumper = DumperResult.FAILED
        self.worker.rules.header_accepted()
        self.report.header_accepted(header)
        if self.origin.remark is not None:
            await self.world.note(Info(self.origin.remark))
        await self._show_progress()
        if IToldOrigin.providedBy(self.origin):
            IToldOrigin(self.origin).follow(self._how_far, self.interrupt)
        self.worker.watch.flows(self._measured)
        self.worker.watch.be("writing")
        await self._begin_to_flow(flow)
        try:
            while not await self._write_part(await self._volume(), plan):
                continue
        except Exception:
            try:
                await self._parts.over()
            finally:
                await self.request.settle(self.scribe)
            raise
        await self._parts.over()

    async def _first_device(self) -> IAsyncDevice:
        """The device that the dump begins on."""
        device = await self._device_at_hand(self._scanned())
        if self.world.flows.listens(self.origin, device):
            device = await self._device_at_hand(self._device_to_listen_on())
        return device

    async def _device_to_listen_on(self) -> IAsyncDevice:
        """The device that the next part will go to: no full volume's."""
        if self.scribe.volume is not None and not self.scribe.usable:
            await self.request.release(self.scribe)
        return await self._scanned()

    async def _scanned(self) -> IAsyncDevice:
        if self.scribe.volume is not None:
            return await self.wait(self.scribe.device_at_hand())
        with self.worker.watch.waiting("scan", "a volume is looked for"):
            return await self.wait(self.scribe.device_at_hand())

    async def _device_at_hand(
        self, sought: Coroutine[Deferred[Any], Any, IAsyncDevice]
    ) -> IAsyncDevice:
        try:
            return await sought
        except TapeTrouble as fault:
            raise TapeTrouble(f"error; got_device failed: {fault.text}") from fault

    async def _begin_to_flow(self, flow: IFlow) -> None:
        """Read ahead from the moment data can be had, permission or not."""

        def fail(failure: Any) -> None:
            if failure.check(DeviceError):
                self.interrupt(failure.value.text, device=True, code=failure.value)
            elif failure.trap(DumpFault, CancelledError) is DumpFault:
                fault = failure.value
                self.interrupt(fault.text, device=isinstance(fault, DeviceFault), code=fault)

        self._flowing = flow.ready().addErrback(fail)
        if flow.ready_first:
            await self._wait_for_data(self._flowing)

    async def _wait_for_data(self, flowing: Deferred[None]) -> None:
        with self.worker.watch.waiting("source", "nobody has connected to send the data"):
            await self.wait(flowing)

    async def _volume(self) -> Volume:
        """A volume that can take the next part."""
        while not self.scribe.usable:
            try:
                await self.request.obtain(self.scribe, self._parts.over, self._goes_ahead)
            except ScribeTaken:
                self._ready_sent = False
        volume = self.scribe.volume
        assert volume is not None
        await self._adopt(volume.device)  # one that was not labelled for us
        if not self._ready_sent:
            self._ready_sent = True
            self.report.ready()
        return volume

    def _goes_ahead(self) -> bool:
        """Let the source not stand still at a change of volumes until the new one is made known.
        Only if what is written meanwhile can be had again, should that fail."""
        flow, plan = self._flow, self._plan
        assert flow is not None
        assert plan is not None
        return self._ready_sent and flow.takes_back and not plan.pause_at_space

    async def _adopt(self, device: IAsyncDevice) -> None:
        """Let the dump go on on ``device``, by another flow if it must.

        :raise TapeTrouble: it cannot
        """
        flow, plan = self._flow, self._plan
        assert flow is not None
        assert plan is not None
        if device.facts.block_size != plan.block_size:
            # parts of one dump are cut for one block size; seen before a label is lost to it
            raise TapeTrouble(MIXED_BLOCK_SIZES, code=2009)
        try:
            self._flow = await self.world.flows.going_on(flow, self.origin, device, plan)
        except DeviceFault as fault:
            raise TapeTrouble(fault.text) from fault
        if self._flow is not flow:
            await self._begin_to_flow(self._flow)

    async def _write_part(self, volume: Volume, plan: SplitPlan) -> bool:
        """Write one part. :return: the dump is at its end, good or bad"""
        flow, header, flowing = self._flow, self._header, self._flowing
        assert flow is not None
        assert header is not None
        assert flowing is not None
        await self._wait_for_data(flowing)
        self._interruption.check()
        over = await self._parts.write(volume, flow, header, plan)
        if IToldOrigin.providedBy(self.origin):
            IToldOrigin(self.origin).tell_progress()
        return over

    # The end

    async def _finish(self) -> None:
        report, ledger = self.report, self.ledger
        self.worker.watch.be("finishing")
        try:
            await self._settle()
        except Exception as fault:
            self.world.debug_failure(coded(f"dump {self.handle}: {fault!r}", fault))
            ledger.device_errors.append(_unforeseen(fault))
        self._settled = True  # trace log and driver must be told the same
        if ledger.verdict is not Verdict.DONE:
            self._interruption.hurry()  # the driver may send it again; of a good one it cannot
        try:
            await report.log_result()
        except DeviceFault as fault:
            # The catalogue is made from the trace log: what is not in it cannot be restored.
            self.world.debug(coded(f"dump {self.handle}: {fault.text}", fault))
            if fault.text not in ledger.device_errors:
                ledger.device_errors.append(fault.text)
        except Exception as fault:
            # Whatever it was, the driver waits for an answer.
            self.world.debug_failure(coded(f"dump {self.handle}: {fault!r}", fault))
            ledger.device_errors.append(f"cannot write the trace log: {in_words(fault)}")
        shares = self.worker.watch.dump_over(ledger.verdict.value, ledger.messages)
        _log.info("%s: %s; its parts took %s", self.handle, ledger.verdict.value, shares)
        self.worker.rules.dump_ended()
        self.worker.dump_over(self.handle)
        report.result()
        if self._status_file is not None:
            try:
                await self._status_file.remove()
            except Exception as fault:
                self.world.debug_failure(f"dump {self.handle}: {fault!r}")

    async def _settle(self) -> None:
        """Gather what the ledger lacks: checksums, late errors, the dumper's result."""
        ledger, flow = self.ledger, self._flow
        told = IToldOrigin.providedBy(self.origin)
        self.report.transfer_ended()
        try:
            if flow is not None:
                await flow.close()
                errors = flow.take_errors()
                ledger.input_errors.extend(errors)
                for text in errors:
                    self._note(text, SOURCE)
                ledger.source_crc = flow.source_crc()
                ledger.dest_crc = flow.dest_crc()
            self._note_crcs(ledger.compare_crcs())
            ledger.count_without_padding()
            if told:
                self._tell_end(IToldOrigin(self.origin))
                await self._hear_dumper()
        finally:
            await self.origin.close()
        if not told:
            await self._hear_dumper()
        self._note_crcs(ledger.compare_dumper_crc())

    def _note_crcs(self, differences: list[str]) -> None:
        for text in differences:
            self._note(text, CHECKSUM)

    def _tell_end(self, origin: Any) -> None:
        ledger = self.ledger
        origin.tell_end(ledger.verdict, ledger.dest_crc, ledger.size, ledger.messages)

    async def _hear_dumper(self) -> None:
        """Wait for the dumper's result, if anything depends on it."""
        ledger = self.ledger
        if (
            ledger.verdict is Verdict.DONE
            and self.origin.result_follows
            and ledger.dumper is DumperResult.UNKNOWN
        ):
            self._verdict_wanted = wanted = Deferred[None]()
            self.report.dumper_status()
            try:
                with self.worker.watch.waiting("dumper", "the driver has not told its result"):
                    await self.wait(wanted)
            except Interrupted:
                self._verdict_wanted = None

    async def _show_progress(self) -> None:
        """Make the status file; without one amstatus shows less, and nothing else is lost."""
        try:
            self._status_file = await self.world.status_files.create(self._progress)
        except OSError as fault:
            self.world.debug_failure(coded(f"dump {self.handle}: no status file: {fault}", fault))
            return
        self.report.status_file(self._status_file.path)

    def _progress(self) -> int:
        return 0 if self._flow is None else self._flow.bytes_written

    def _measured(self) -> IMeasured:
        assert self._flow is not None, "it flows"
        measured: IMeasured = self._flow.measured
        return measured

    def _how_far(self) -> tuple[int, int]:
        """Bytes in good parts, and bytes written."""
        return self.ledger.size, self._progress()


def _unforeseen(fault: Exception) -> str:
    if isinstance(fault, MemoryError):
        return in_words(fault)
    return f"internal error: {type(fault).__name__}: {fault}"
