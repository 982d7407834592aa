"""A dump that a device's own mover takes from a connection [data-plane 2.4]."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from zope.interface import implementer

from devices.errors import ConnectionBroken, DeviceError
from devices.idirecttcp import IMoverDevice
from devices.values import PartResult
from protocols.crc import UNKNOWN, Crc
from taper.flow.interfaces import DOES_NOT_COUNT, ITransfer
from taper.flow.standing import Standing
from taper.flow.stream_end import StreamEnd
from taper.plane.interfaces import Measured

if TYPE_CHECKING:
    from devices.idirecttcp import IDirectTCPConnection, Moved
    from devices.interfaces import IAsyncDevice
    from protocols.header import Header
    from taper.core.interfaces import Rest
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import ISender, Stands

_log = logging.getLogger(__name__)

WRITING = "Error writing from DirectTCP connection: "
FINISHING = "Error finishing tape file: "
PROVING = "Error reading the last record once more: "
FULL = "No space left on device"
NEVER_BEGAN = "the device's stream ended before it began"

MOST_IN_VAIN = 3
"""Connections in a row that break before a byte is stored for good, until the dump is given up."""


@implementer(ITransfer)
class MoverTransfer:
    """Part by part, by way of the mover: no byte passes through us, so none can be had again and
    none is counted, unless its sender can do that.

    If it can, a connection that breaks ends the part where its data are certain, and a part that
    fails is no loss: the transfer is *spent* then, and another flow goes on with the rest.

    :param clock: seconds
    :param rest: what it has to do of the dump
    """

    def __init__(
        self,
        connection: IDirectTCPConnection,
        plan: SplitPlan,
        clock: Callable[[], float],
        rest: Rest,
    ) -> None:
        self._connection: IDirectTCPConnection | None = connection
        self._plan = plan
        self._clock = clock
        self._pushed = False
        self._sender: ISender | None = None
        self._stream_over = self._told_broken = False
        self._stored_all = False
        self._errors: list[str] = []
        self._device: IAsyncDevice | None = None
        self._moving: Deferred[Any] | None = None
        self._running: Any = None
        self._look_wanted = self._sender_lost = False
        self._standing = Standing()
        self._cancelled = False
        self._refusal: str | None = None
        self._begin = self._done = rest.done.size
        self._in_vain = rest.in_vain
        self._rest: Rest | None = None

    def pushed_by(self, sender: ISender | None) -> None:
        """We see to it that the connection is fed. :param sender: None if it is still to come"""
        self._pushed, self._sender = True, sender
        if sender is not None:
            sender.wants_progress = self._look
            sender.tells_broken = self._sender_broke
            self._look()  # it may have asked when nobody heard it

    def _look(self) -> None:
        """The sender wants to know how far the mover is."""
        self._look_wanted = True
        if not self._standing.unknown:
            self._look_if_wanted()

    def _look_if_wanted(self) -> None:
        if self._look_wanted and self._running is not None:
            self._running.look()

    def _sender_broke(self) -> None:
        """The mover may never see it, and wait for ever."""
        self._sender_lost = True
        if self._running is not None:
            self._running.break_off()

    @property
    def rest(self) -> Rest | None:
        """What another flow has to do, once that is certain."""
        return self._rest

    @property
    def spent(self) -> bool:
        """It writes no part any more: another flow has to."""
        return self._rest is not None

    @property
    def bytes_written(self) -> int:
        """Some origins tell it to whoever sends, who need not keep these bytes then."""
        if self._device is None or self._standing.unknown:
            return self._done
        current = self._device.facts.bytes_written
        return self._done + self._certain(current)

    @property
    def measured(self) -> Measured:
        """The bytes pass between others: what they wait for they alone know."""
        return Measured(self.bytes_written, None if self._sender is None else self._sender.size)

    def _certain(self, moved: int) -> int:
        """What would stay of the current part if its connection broke now, and the dump went on."""
        goes_on = self._sender is not None and self._sender.goes_on
        return max(moved - self._plan.block_size, 0) if goes_on else moved

    def start(self) -> None:
        """The mover has the data: nothing can be read ahead."""

    def resume_part(self, device: IAsyncDevice, more: bool) -> Deferred[PartResult]:
        raise ValueError(f"{device.facts.name}: a part that a mover writes is never paused")

    @property
    def takes_back(self) -> bool:
        """Whoever sends keeps what nobody has told it to be stored."""
        return self._pushed and (self._sender is None or self._sender.goes_on)

    def write_part(
        self, device: IAsyncDevice, header: Header, stands: Stands | None = None
    ) -> Deferred[PartResult]:
        return Deferred.fromCoroutine(self._write_part(device, header, stands))

    async def _write_part(
        self, device: IAsyncDevice, header: Header, stands: Stands | None
    ) -> PartResult:
        began = self._clock()
        self._device = device
        self._standing.begin(None if stands is None else stands(), self._look_if_wanted)
        try:
            result = await self._begin_part(device, header)
            result = evolve(result, duration=max(self._clock() - began, 0.0))
            if not await self._standing.counts():
                return await self._undo(result)
        finally:
            self._device = None
            self._standing.end()
        if result.successful:
            self._done += result.size
            self._stored_all = result.eof
            self._progress(0)
        return result

    def take_back(self) -> None:
        self._standing.taken_back = True
        if self._moving is not None:
            self._moving.cancel()

    async def _undo(self, result: PartResult) -> PartResult:
        """The volume does not count: another flow has to send what went there, if it can be had."""
        await self.leave()
        return evolve(result, successful=False, eof=False, eom=True, error=DOES_NOT_COUNT)

    async def _begin_part(self, device: IAsyncDevice, header: Header) -> PartResult:
        """A file that cannot be begun ends the volume, and nothing of the stream is touched."""
        if self._cancelled or self._standing.taken_back:
            return PartResult(successful=False, error=self._refusal)
        direct = IMoverDevice(device)
        try:
            start = await direct.start_file(header)
            if start.number and start.eom:
                await direct.finish_file()
        except DeviceError as fault:
            _log.info("%s", fault)
            return PartResult(successful=True, eom=True, error=fault.text, refused=True)
        if not start.number or start.eom:
            return PartResult(successful=True, eom=True, error=device.facts.error or FULL)
        return await self._move(device, start.number)

    async def _move(self, device: IAsyncDevice, number: int) -> PartResult:
        direct = IMoverDevice(device)
        failed = PartResult(fileno=number, successful=False)
        try:
            moved = await self._run(direct)
            if await self._is_cut_short(moved):
                raise ConnectionBroken("the data connection ended before its sender ended it")
        except CancelledError:
            # such a device can only be finished
            size = device.facts.bytes_written
            return evolve(failed, size=size, eom=True, error=self._refusal)
        except ConnectionBroken as fault:
            _log.info("%s", fault)
            if self._standing.taken_back:
                return evolve(failed, size=device.facts.bytes_written, eom=True)
            return await self._break(device, number, fault.text, device.facts.bytes_written)
        except DeviceError as fault:
            _log.info("%s", fault)
            failed = evolve(failed, size=device.facts.bytes_written, error=WRITING + fault.text)
            await self._finish_failed(direct)
            rest = await self.leave()
            # nothing is lost then, and another volume may be better
            return evolve(failed, eom=bool(device.facts.is_eom) or rest is not None)
        try:
            await direct.finish_file()
        except DeviceError as fault:
            _log.info("%s", fault)
            rest = await self.leave()
            error = FINISHING + fault.text
            return evolve(failed, size=moved.size, error=error, eom=rest is not None)
        if moved.eof and self._pushed and self._sender is None:
            return evolve(failed, size=moved.size, error=WRITING + NEVER_BEGAN)
        end = await self._end_of(moved)
        missing = None if end is None else end.missing
        if end is not None and missing is not None and not end.comes_again:
            return evolve(failed, size=moved.size, error=WRITING + missing)
        try:
            wrong = missing if end is None or missing else await end.difference(device)
        except DeviceError as fault:
            _log.warning("%s", fault)
            rest = await self.leave()
            self._rest = None if rest is None else rest.evolve(by_mover=False)
            return evolve(failed, size=moved.size, error=PROVING + fault.text, eom=True)
        if wrong is not None:
            return await self._break(device, number, wrong, moved.size)
        eom = moved.eom or device.facts.is_eom  # the filemark may have met the early warning
        return PartResult(successful=True, fileno=number, size=moved.size, eom=eom, eof=moved.eof)

    async def _run(self, direct: Any) -> Moved:
        if self._cancelled or self._standing.taken_back:  # meanwhile
            raise CancelledError
        self._running = direct
        try:
            self._moving = direct.write_from_connection(self._plan.part_size, self._progress)
            if not self._standing.unknown:
                self._look_if_wanted()
            if self._sender_lost:
                direct.break_off()
            return await self._moving  # type: ignore[no-any-return]
        finally:
            self._moving = self._running = None

    def _progress(self, moved: int) -> None:
        """Tell the sender how much of the current part is on the volume for certain."""
        if self._sender is not None and not self._standing.unknown:
            self._look_wanted = False
            done = self._done
            self._sender.acknowledge(done, done + self._certain(moved), done + moved)

    async def _is_cut_short(self, moved: Moved) -> bool:
        """At the end of the stream: somebody else than its sender has ended it."""
        sender = self._sender
        if not moved.eof or sender is None or not sender.goes_on:
            return False
        await self._close_connection()  # if the mover has not yet; the sender waits for its end
        await self._verdict()
        return sender.goes_on and not sender.delivered

    async def _break(self, device: IAsyncDevice, number: int, text: str, moved: int) -> PartResult:
        """The connection broke. What is certain stays, if the rest can be sent again."""
        direct, sender = IMoverDevice(device), self._sender
        failed = PartResult(fileno=number, successful=False, size=moved)
        await self._verdict()
        if not await self._standing.counts():  # nothing of it is certain, whatever is there
            return evolve(failed, eom=True)
        in_vain = self._in_vain >= MOST_IN_VAIN and self._done == self._begin
        if sender is None or not sender.goes_on or self._cancelled or in_vain:
            await self._explain(text)
            if device.facts.in_file:
                await self._finish_failed(direct)
            return evolve(failed, error=WRITING + text, eom=bool(device.facts.is_eom))
        try:
            size = await direct.end_broken_file()
        except DeviceError as fault:
            _log.warning("a part that a broken connection ended: %s", fault)
            error = f"{WRITING}{text}; {fault.text}"
            await self.leave()
            return evolve(failed, size=device.facts.bytes_written, error=error, eom=True)
        rest = await sender.leave(self._done + size)
        if rest is None:
            await self._explain(text)
            return evolve(failed, size=size, error=WRITING + text, eom=bool(device.facts.is_eom))
        _log.warning("part ends after %d bytes, and the rest is sent anew: %s", size, text)
        gained = size or self._done > self._begin
        self._rest = rest if gained else rest.evolve(in_vain=self._in_vain + 1)
        await self._close_connection()  # the same drive may be the next one to listen
        eom = bool(device.facts.is_eom)
        return PartResult(successful=True, fileno=number, size=size, eom=eom)

    async def _finish_failed(self, direct: Any) -> None:
        try:
            await direct.finish_file()
        except DeviceError as late:
            _log.warning("after a failed part: %s", late)

    async def leave(self) -> Rest | None:
        """Leave the connection, if what no good part has can be sent again. :return: that"""
        sender = self._sender
        if self._rest is None and sender is not None and sender.goes_on and not self._cancelled:
            rest = await sender.leave(self._done)
            if rest is not None and self._done == self._begin:
                rest = rest.evolve(in_vain=self._in_vain)
            self._rest = rest
        return self._rest

    async def _explain(self, text: str) -> None:
        """The connection broke. :param text: what to say if the sender knows no better"""
        self._stream_over = True
        await self._verdict()
        errors = [] if self._sender is None else self._sender.take_errors()
        told = self._sender is not None and self._sender.broken is not None
        self._errors += errors or ([] if told else [text])

    async def _verdict(self) -> None:
        """Wait until the sender knows how it ended; :meth:`cancel` ends that too."""
        if self._sender is None or self._cancelled or self._standing.taken_back:
            return
        self._moving = self._sender.settled()
        try:
            await self._moving
        except CancelledError:
            _log.info("the end of the sender was not waited for")
        finally:
            self._moving = None

    async def _end_of(self, moved: Moved) -> StreamEnd | None:
        """Once its sender knows how it ended; None: it is not over, or nobody knows its sender."""
        if not moved.eof or self._sender is None:
            return None
        self._stream_over = True
        await self._verdict()
        return StreamEnd(self._sender, self._done, moved.size, self._plan.block_size)

    def can_retry(self) -> bool:
        return self.spent

    def revoke(self) -> None:
        raise ValueError("a part that a mover wrote is stored once it is over")

    def take_errors(self) -> list[str]:
        errors, self._errors = self._errors, []
        if self._sender is not None:
            errors += self._sender.take_errors()
            broken = self._sender.broken
            # a connection that the device broke by failing is not the source's fault
            if broken is not None and self._stream_over and not self._told_broken:
                self._told_broken = True
                errors.append(broken)
        return errors

    def refuse(self, text: str) -> None:
        """Stop: nobody can send to the device, which is to blame."""
        self._refusal = text
        self.cancel("")

    def cancel(self, reason: str) -> None:
        if reason:
            self._errors.append(reason)
        self._cancelled = True
        if self._sender is not None:
            self._sender.cancel()
        if self._moving is not None:
            self._moving.cancel()
        elif self._device is not None:
            self._device.hurry()

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        await self._close_connection()
        if self._sender is not None:
            await self._sender.close()

    async def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await connection.close()
        except DeviceError as fault:
            # what counts was decided before; the next listening will tell if it is broken
            _log.warning("closing the data connection of %s: %s", connection.device_name, fault)

    def source_crc(self) -> Crc:
        return UNKNOWN if self._sender is None else self._sender.crc()

    def dest_crc(self) -> Crc:
        """What we sent, if all of it is stored; the mover counts nothing."""
        return self.source_crc() if self._stored_all else UNKNOWN
