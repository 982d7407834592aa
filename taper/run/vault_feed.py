"""A dump that comes from volumes of another storage, on the reactor's side (VAULT-WRITE)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from zope.interface import implementer

from devices.errors import DeviceError
from devices.idirecttcp import IDirectTCPDevice
from protocols.stored import DumpName, StoredDump, full_stamp
from taper.core.interfaces import FeedError, ITransfer, IVaultFeed
from taper.core.straight import has_mover
from taper.plane.interfaces import SourceError
from taper.plane.transfer import Transfer
from taper.plane.volumes import VolumeSource, judge_part, known_size, seek_part
from taper.run.lane_transfer import LaneTransfer, must_be_fed
from taper.run.moved_volume import GIVEN_UP, MovedVolume

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from devices.interfaces import IAsyncDevice, ILane
    from protocols.driver.commands import VaultWrite
    from protocols.header import Header
    from protocols.stored import StoredPart
    from taper.core.clerk import Clerk
    from taper.core.interfaces import Offer
    from taper.core.splitting import SplitPlan
    from taper.plane.volumes import IReader

T = TypeVar("T")


class VolumeChange:
    """The reading thread's way to the clerk, who lives on the reactor's side.

    :param fetch: asks the clerk; fails with FeedError
    :param stop_reading: ends a wait for the bytes of the volume at hand. Any thread; never blocks
    """

    def __init__(
        self,
        reactor: Any,
        fetch: Callable[[str], Deferred[IReader]],
        stop_reading: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._fetch = fetch
        self._stop_reading = stop_reading
        self._answered = threading.Condition()
        self._answer: IReader | SourceError | None = None
        self._cancelled = False

    def change_to(self, label: str) -> IReader:
        """See :class:`taper.plane.volumes.IVolumes`."""
        self._answer = None
        self._reactor.callFromThread(self._ask, label)
        with self._answered:
            while self._answer is None and not self._cancelled:
                self._answered.wait()
            answer = self._answer
        if answer is None:
            raise SourceError(GIVEN_UP)
        if isinstance(answer, SourceError):
            raise answer
        return answer

    def cancel(self) -> None:
        """See :class:`taper.plane.volumes.IVolumes`."""
        with self._answered:
            self._cancelled = True
            self._answered.notify_all()
        self._stop_reading()

    def _ask(self, label: str) -> None:
        if not self._cancelled:
            self._fetch(label).addCallbacks(self._tell, self._failed)

    def _failed(self, failure: Failure) -> None:
        fault = failure.value
        text = fault.text if isinstance(fault, FeedError) else f"internal error: {fault!r}"
        self._tell(SourceError(text))

    def _tell(self, answer: IReader | SourceError) -> None:
        with self._answered:
            self._answer = answer
            self._answered.notify_all()


class VaultTransfer(LaneTransfer):
    """The flow of a vaulted dump; its checksum is compared with that of the catalogue where the
    dump's header has none.

    :ivar failed: something was wrong with the source.
    """

    def __init__(
        self, source: VolumeSource, plan: SplitPlan, lane: ILane, dump: StoredDump, header: Header
    ) -> None:
        super().__init__(Transfer(source, plan), lane)
        self.failed = False
        self._source = source
        self._expected = None if header.server_crc.known or not dump.crc.known else dump.crc

    def take_errors(self) -> list[str]:
        errors = super().take_errors()
        found = self.source_crc()
        if self._expected is not None and self._source.finished and found != self._expected:
            errors.append(
                f"source server crc ({found}) and input server crc ({self._expected}) differ)"
            )
            self._expected = None
        self.failed = self.failed or bool(errors)
        return errors


async def seek_first(device: IAsyncDevice, dump: StoredDump, part: StoredPart) -> Header:
    """Position a started device at a part, and see that it is the right one.

    :raise SourceError: there is no such file, or it holds something else
    :raise DeviceError: the device cannot even be asked
    """
    if not has_mover(device):
        return await device.run(seek_part, dump, part)
    try:
        header = await IDirectTCPDevice(device).seek_file(part.fileno)
    except DeviceError as error:
        raise SourceError(f"{part.place}: {error.text}") from error
    return judge_part(header, device.device.file, dump, part)


@implementer(IVaultFeed)
class VaultFeed:
    """A dump on volumes that a clerk finds and opens.

    What the clerk does for us is never cut in the middle: whoever cancels waits no longer, and
    :meth:`close` waits until it is over.

    :param search: looks in the catalogue
    :param lane: of its own, for closing
    """

    cache_inform = False
    result_follows = False
    ready_first = False
    remark: str | None = None

    def __init__(
        self,
        reactor: Any,
        command: VaultWrite,
        clerk: Clerk,
        search: Callable[[DumpName], Deferred[StoredDump | None]],
        lane: ILane,
    ) -> None:
        self._reactor = reactor
        self._command = command
        self._clerk = clerk
        self._search = search
        self._lane = lane
        self._dump: StoredDump | None = None
        self._header: Header | None = None
        self._device: IAsyncDevice | None = None
        self._moved: MovedVolume | None = None
        self._transfer: VaultTransfer | None = None
        self._running: Deferred[None] | None = None
        self._failed = False

    def find(self) -> Deferred[tuple[str, ...]]:
        return self._do(self._find())

    async def _find(self) -> tuple[str, ...]:
        command = self._command
        await self._clerk.begin(command.src_storage)
        wanted = DumpName(
            storage=command.src_storage,
            host=command.hostname,
            disk=command.diskname,
            datestamp=full_stamp(command.datestamp),
            level=command.level,
        )
        try:
            self._dump = await self._search(wanted)
        except Exception as fault:
            # whatever a damaged log or tapelist leads to, it is this dump's failure, and none of
            # the volume that would be written on
            raise FeedError(f"Dump not found: {fault}") from fault
        if self._dump is None:
            raise FeedError("Dump not found")
        return self._dump.labels

    def offer(self) -> Deferred[Offer | None]:
        return succeed(None)

    def header(self) -> Deferred[Header]:
        return self._do(self._read_header())

    async def _read_header(self) -> Header:
        assert self._dump is not None, "find() comes first"
        first = self._dump.parts[0]
        self._device = await self._clerk.fetch(first.label, self._command.handle)
        try:
            self._header = await seek_first(self._device, self._dump, first)
        except (SourceError, DeviceError) as fault:
            self._failed = True
            raise FeedError(str(fault)) from fault
        return self._header

    def _reader_of(self, device: IAsyncDevice) -> IReader:
        """What the reading thread is to use."""
        if not has_mover(device):
            return device.device
        self._moved = MovedVolume(self._reactor, device, self._lane)
        return self._moved

    def _stop_reading(self) -> None:
        """Any thread."""
        moved = self._moved
        if moved is not None:
            moved.cancel()

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        return must_be_fed(device)

    def source(self) -> VolumeSource:
        """The bytes of the dump; after ``header``, once."""
        reader = self._reader_of(self.device)
        volumes = VolumeChange(self._reactor, self._fetch, self._stop_reading)
        return VolumeSource(self.dump, self.total, reader, volumes)

    @property
    def dump(self) -> StoredDump:
        """What is to be read; after ``find``."""
        assert self._dump is not None, "find() comes first"
        return self._dump

    @property
    def device(self) -> IAsyncDevice:
        """What the first part is read with; after ``header`` it stands there."""
        assert self._device is not None, "header() comes first"
        return self._device

    @property
    def total(self) -> int | None:
        """Bytes of the dump, if known; after ``header``."""
        assert self._header is not None, "header() comes first"
        return known_size(self.dump, self._header, self.device.device.block_size)

    def change_to(
        self, label: str, ready: Callable[[IAsyncDevice], Deferred[None]]
    ) -> Deferred[IAsyncDevice]:
        """Another source volume, for whoever reads without ``source``.

        :param ready: is given the device before it is started
        """
        return self._do(self._clerk.fetch(label, self._command.handle, ready))

    def transfer(self, plan: SplitPlan) -> ITransfer:
        source = self.source()
        assert self._header is not None, "header() comes first"
        self._transfer = VaultTransfer(source, plan, self._lane, self.dump, self._header)
        return self._transfer

    def _fetch(self, label: str) -> Deferred[IReader]:
        return self._do(self._change_to(label))

    async def _change_to(self, label: str) -> IReader:
        await self._leave_mover()
        return self._reader_of(await self._clerk.fetch(label, self._command.handle))

    async def _leave_mover(self) -> None:
        """End the data connection of the volume that was read last, if it had one."""
        moved, self._moved = self._moved, None
        if moved is not None:
            await moved.close()
            self._failed = self._failed or not moved.well

    def _do(self, story: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Let the clerk work; who cancels what comes back only stops waiting."""
        abandoned = False

        def abandon(_: Deferred[T]) -> None:
            nonlocal abandoned
            abandoned = True
            self._clerk.interrupt()

        def deliver(result: T) -> None:
            self._running = None  # before anybody hears of it: close() may be what follows
            if not abandoned:
                waiting.callback(result)
            ended.callback(None)

        def fail(failure: Failure) -> None:
            self._running = None
            if not abandoned:
                waiting.errback(failure)
            ended.callback(None)
            if abandoned:
                failure.trap(FeedError, CancelledError)

        waiting: Deferred[T] = Deferred(abandon)
        ended: Deferred[None] = Deferred()
        self._running = ended
        Deferred.fromCoroutine(story).addCallbacks(deliver, fail)
        return waiting

    def reading_failed(self) -> None:
        """Whoever took the source could not read it to its end."""
        self._failed = True

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        running = self._running
        if running is not None:
            self._clerk.interrupt()
            await running
        await self._leave_mover()
        failed = self._failed or (self._transfer is not None and self._transfer.failed)
        self._clerk.end(well=not failed)
        await self._lane.stop()
