"""The flow that passes through this process: from what can be read to what can be written."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred, execute, fail, succeed
from zope.interface import implementer

from devices.errors import DeviceError
from devices.interfaces import IPumpedDevice
from devices.threads import ThreadRefused
from taper.core.errors import DeviceFault, in_words
from taper.core.interfaces import IFlow, Offer, Rest
from taper.flow.base import BaseFlow
from taper.flow.interfaces import DOES_NOT_COUNT, ITransfer
from taper.plane.interfaces import IComparedSource, IKeptSource, Measured
from taper.plane.transfer import Transfer

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from devices.interfaces import IAsyncDevice, IDevice, ILane, PartResult
    from protocols.crc import Crc
    from protocols.header import Header
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext, IBlockOrigin, Stands
    from taper.plane.kept import Kept

_log = logging.getLogger(__name__)


@implementer(ITransfer)
class PumpedTransfer:
    """A transfer of the data plane with an asynchronous face.

    :param lane: where its closing waits for the reader thread
    :param storing: where parts are stored while the next is written; ours from now on
    """

    def __init__(self, transfer: Transfer, lane: ILane, storing: ILane) -> None:
        self._transfer = transfer
        self._lane = lane
        self._storing = storing
        self._begun = self._left = False

    @property
    def bytes_written(self) -> int:
        return self._transfer.bytes_written

    @property
    def measured(self) -> Measured:
        return self._transfer.measured

    def start(self) -> None:
        self._lane.begin()  # else all might be stored, and then no thread be there to end with
        self._transfer.start()
        self._begun = True

    @property
    def takes_back(self) -> bool:
        return self._transfer.takes_back

    def write_part(
        self, device: IAsyncDevice, header: Header, stands: Stands | None = None
    ) -> Deferred[PartResult]:
        if stands is None:
            return self._run(device, self._transfer.write_part, header)
        return Deferred.fromCoroutine(self._write_ahead(device, header, stands))

    async def _write_ahead(
        self, device: IAsyncDevice, header: Header, stands: Stands
    ) -> PartResult:
        """Write a part, and let it be stored and count only if its volume counts."""
        pumped = IPumpedDevice(device)
        write = functools.partial(self._transfer.write_part, ahead=True)
        result = await pumped.run(write, header)
        if await stands():
            return self._store_behind(pumped, result)
        self.take_back()
        if result.store is not None:  # it has a file open
            try:
                await self._store(pumped, result.store)
            except (DeviceError, OSError) as fault:
                _log.info("a part that does not count: %s", in_words(fault))
        self._transfer.revoke()
        return evolve(
            result,
            store=None,
            successful=False,
            eof=False,
            eom=True,
            error=DOES_NOT_COUNT,
        )

    def take_back(self) -> None:
        self._transfer.take_back()

    def resume_part(self, device: IAsyncDevice, more: bool) -> Deferred[PartResult]:
        return self._run(device, self._resume, more)

    def _run(
        self, device: IAsyncDevice, work: Callable[..., PartResult], *args: Any
    ) -> Deferred[PartResult]:
        """Let the device's thread work, and another one store what comes of it."""
        pumped = IPumpedDevice(device)
        written = pumped.run(work, *args)
        return written.addCallback(lambda result: self._store_behind(pumped, result))

    def _store_behind(self, pumped: IPumpedDevice, result: PartResult) -> PartResult:
        if result.store is None:
            return result
        return evolve(result, store=None, stored=self._store(pumped, result.store))

    def _store(self, pumped: IPumpedDevice, store: Callable[[], None]) -> Deferred[None]:
        stored = self._storing.call_surely(store)

        def store_there(failure: Failure) -> Deferred[None]:
            failure.trap(ThreadRefused)  # the device has one
            return pumped.run(lambda _: store())

        return stored.addErrback(store_there)

    def _resume(self, device: IDevice, more: bool) -> PartResult:
        return self._transfer.resume_part(device, more)

    def can_retry(self) -> bool:
        return self._transfer.can_retry()

    def leave(self, done: Crc) -> Rest | None:
        """What the transfer leaves behind ``done``, unless that cannot be had."""
        source = self._transfer.leave()
        self._left = source is not None
        return None if source is None else Rest(done=done, source=source)

    def revoke(self) -> None:
        self._transfer.revoke()

    def take_errors(self) -> list[str]:
        return self._transfer.take_errors()

    def cancel(self, reason: str) -> None:
        self._transfer.cancel(reason)

    def close(self) -> Deferred[None]:
        if self._left:
            closing = succeed(None)  # that is for whoever has the rest
        elif not self._begun:  # there is no reader to wait for
            closing = execute(self._transfer.close)
        else:
            closing = self._lane.call_surely(self._transfer.close)
        return closing.addBoth(self._stop_storing)

    def _stop_storing(self, outcome: Any) -> Deferred[Any]:
        return self._storing.stop().addCallback(lambda _: outcome)

    def source_crc(self) -> Crc:
        return self._transfer.source_crc()

    def dest_crc(self) -> Crc:
        return self._transfer.dest_crc()


@implementer(IFlow)
class PumpedFlow(BaseFlow):
    """What an origin gives is read and written here.

    :param rest: what it has to do of the dump
    """

    ready_first = False

    def __init__(
        self, context: FlowContext, origin: IBlockOrigin, plan: SplitPlan, rest: Rest
    ) -> None:
        super().__init__(context, plan)
        self._origin = origin
        self._rest = self._take_up(rest)
        self._source: Any = rest.source
        self._pumped: PumpedTransfer | None = None

    def leave(self) -> Deferred[Rest | None]:
        return self._leave().addCallback(self._leave_behind)

    def _leave(self) -> Deferred[Rest | None]:
        pumped = self._pumped
        done = self._rest.done if pumped is None else pumped.dest_crc()
        if self._origin.reads_again:
            return succeed(Rest(done=done))
        if pumped is None:
            return succeed(None)
        if IKeptSource.providedBy(self._source):
            return self._leave_kept(self._source.kept, done)
        return succeed(pumped.leave(done))

    def _leave_kept(self, kept: Kept, done: Crc) -> Deferred[Rest | None]:
        """Let somebody else read what was read ahead, too."""

        def left(found: Crc | None) -> Rest | None:
            return None if found is None else Rest(done=done, source=kept.reader())

        return self._lane.call(kept.leave, done.size).addCallback(left)

    def offer(self) -> Deferred[Offer | None]:
        return succeed(None) if self._rest.offered else self._origin.offer(self._plan)

    def _reachable(self) -> Deferred[None]:
        return self._origin.ready()

    def _make_transfer(self) -> ITransfer:
        done, source = self._rest.done, self._source
        if source is None:
            source = self._origin.source(done.size)
        transfer = Transfer(source, self._plan, done=done)
        if IKeptSource.providedBy(source):
            source.progress = lambda: (transfer.dest_crc().size, transfer.bytes_written)
        if IComparedSource.providedBy(source):
            source.counted = transfer.source_crc
        storing = self._context.make_lane("storing")
        self._pumped = PumpedTransfer(transfer, self._lane, storing)
        return self._pumped

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        if not IPumpedDevice.providedBy(device):
            text = f"'{device.facts.name}' takes data from a connection only, this dump has none"
            return fail(DeviceFault(text))
        return succeed(None)

    async def _close(self) -> None:
        await self._end_transfer()
        if self._source is not None and self._pumped is None:
            await self._lane.call_surely(self._source.close)
        await self._lane.stop()

    def take_errors(self) -> list[str]:
        errors = super().take_errors()
        errors += self._origin.judge(self.source_crc)
        if errors:
            self._origin.failed()
        return errors
