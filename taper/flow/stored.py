"""A dump that comes from volumes of another storage (VAULT-WRITE; [data-plane 4.4])."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.errors import DeviceError, PeerUnreachable
from devices.idirecttcp import IMoverDevice
from devices.interfaces import IPumpedDevice
from devices.shield import shield
from protocols.crc import UNKNOWN, Crc
from protocols.stored import DumpName, StoredDump, full_stamp
from taper.core.errors import SourceFault
from taper.flow.interfaces import IMoverOrigin
from taper.flow.mover_reader import MoverReader
from taper.flow.mover_to_mover import MoverSender
from taper.flow.volume_change import VolumeChange
from taper.flow.whole_records import can_begin_at, pads_alike
from taper.plane.interfaces import SourceError
from taper.plane.volumes import (
    HeaderUnread,
    VolumeSource,
    find_byte,
    judge_part,
    known_size,
    seek_part,
)

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from protocols.driver.commands import VaultWrite
    from protocols.header import Header
    from protocols.stored import StoredPart
    from taper.core.interfaces import IClerk, Offer
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext
    from taper.plane.interfaces import ISource
    from taper.plane.volumes import IReader

T = TypeVar("T")


class Wanted(Protocol):
    """The dump that is to be read from volumes, as a command names it."""

    @property
    def handle(self) -> str: ...
    @property
    def src_storage(self) -> str: ...
    @property
    def hostname(self) -> str: ...
    @property
    def diskname(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def datestamp(self) -> str: ...


async def seek_first(device: IAsyncDevice, dump: StoredDump, part: StoredPart) -> Header:
    """Position a started device at a part, and see that it is the right one.

    :raise SourceError: there is no such file, or it holds something else
    :raise DeviceError: the device cannot even be asked
    """
    if not IMoverDevice.providedBy(device):
        return await IPumpedDevice(device).run(seek_part, dump, part)
    try:
        header = await IMoverDevice(device).seek_file(part.fileno)
    except DeviceError as error:
        raise HeaderUnread(f"{part.place}: {error.text}") from error
    return judge_part(header, device.facts.file, dump, part)


async def _behind(before: Deferred[None], story: Coroutine[Deferred[Any], Any, T]) -> T:
    """Begin when another one is over, which nobody may cut short."""
    over: Deferred[None] = Deferred()
    before.addCallback(lambda _: over.callback(None))
    await over
    return await story


@implementer(IMoverOrigin)
class StoredOrigin:
    """A dump on volumes that a clerk finds and opens.

    What the clerk does for us is never cut in the middle: whoever cancels waits no longer, and
    :meth:`close` waits until it is over.
    """

    reads_again = False
    result_follows = False
    remark: str | None = None

    def __init__(self, context: FlowContext, command: Wanted, clerk: IClerk) -> None:
        self._reactor = context.reactor
        self._command = command
        self._clerk = clerk
        self._search = context.search
        self._lane = context.make_lane("vault")
        self._dump: StoredDump | None = None
        self._header: Header | None = None
        self._device: IAsyncDevice | None = None
        self._moved: MoverReader | None = None
        self._read: IAsyncDevice | None = None
        self._source: VolumeSource | None = None
        self._sender: MoverSender | None = None
        self._running: Deferred[None] | None = None
        self._judged = False
        self._failed = False
        self._given_up = False
        self._untouched = True
        self._barred: set[int] = set()

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
            raise SourceFault(f"Dump not found: {fault}", code=7002) from fault
        if self._dump is None:
            raise SourceFault("Dump not found", code=7002)
        return self._dump.labels

    def offer(self, plan: SplitPlan) -> Deferred[Offer | None]:
        return succeed(None)

    def header(self) -> Deferred[Header]:
        return self._do(self._read_header())

    async def _read_header(self) -> Header:
        assert self._dump is not None, "find() comes first"
        first = self._dump.parts[0]
        self._device = self._read = await self._clerk.fetch(first.label, self._command.handle)
        try:
            self._header = await seek_first(self._device, self._dump, first)
        except (SourceError, DeviceError) as fault:
            self._failed = True
            raise SourceFault(str(fault)) from fault
        return self._header

    def _reader_of(self, device: IAsyncDevice) -> IReader:
        """What the reading thread is to use."""
        self._read = device
        if not IMoverDevice.providedBy(device):
            return IPumpedDevice(device).blocking
        self._moved = MoverReader(self._reactor, device, self._lane)
        return self._moved

    def _stop_reading(self) -> None:
        """Any thread."""
        moved, read = self._moved, self._read
        if moved is not None:
            moved.cancel()
        elif read is not None and IPumpedDevice.providedBy(read):
            read.hurry()

    def _interrupt(self) -> None:
        """Whatever the clerk or the device at hand waits for, nobody does any more."""
        self._given_up = True
        self._clerk.interrupt()
        if self._read is not None:
            self._read.hurry()

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def source(self, position: int = 0) -> ISource:
        volumes = VolumeChange(self._reactor, self._fetch, self._stop_reading)
        self._retire_sender()
        self._source = self._make_source(volumes, position)
        return self._source

    def _make_source(self, volumes: VolumeChange, position: int) -> VolumeSource:
        reader = None if position or not self._take_untouched() else self._reader_of(self.device)
        return VolumeSource(self.dump, self.total, reader, volumes, position)

    def _take_untouched(self) -> bool:
        """Whether the device still stands at the first part; from now on somebody reads there."""
        untouched, self._untouched = self._untouched, False
        return untouched

    def _retire_sender(self) -> None:
        """Another one goes on, and no mover by itself from before a part that bars its way."""
        sender, self._sender = self._sender, None
        if sender is not None and sender.barred is not None:
            self._barred.add(self.dump.parts.index(sender.barred))

    def own_sender(self, block_size: int, done: Crc = UNKNOWN) -> MoverSender | None:
        self._retire_sender()
        device = self.device
        source_block = device.facts.block_size
        if not IMoverDevice.providedBy(device):
            return None
        if not pads_alike(self.dump, self.total, source_block, block_size):
            return None
        if not can_begin_at(self.dump, self.total, done.size, source_block):
            return None
        index, skipped = find_byte(self.dump, done.size)
        if any(index < barred for barred in self._barred):
            return None
        part = self.dump.parts[index]
        stands = not done.size and self._take_untouched()
        self._sender = MoverSender(
            self._reactor,
            device,
            self.dump,
            self.total,
            self._change_by_mover,
            done=done,
            block=block_size,
            stand=None if stands else lambda: self._do(self._stand_in(part, skipped, source_block)),
        )
        return self._sender

    async def _stand_in(self, part: StoredPart, skipped: int, block: int) -> IAsyncDevice:
        """Let a device with a mover stand behind so many bytes of a part.

        :param block: bytes of the records that were reckoned with
        """
        await self._leave_mover()
        self._read = device = await self._clerk.fetch(part.label, self._command.handle)
        mover = IMoverDevice(device, None)
        if mover is None:
            raise PeerUnreachable(f"{device.facts.name} has no mover")
        if device.facts.block_size != block:
            raise PeerUnreachable(f"{device.facts.name} has other records")
        await seek_first(device, self.dump, part)
        if skipped:
            await mover.skip_records(skipped // block)
        return device

    def judge(self, read: Callable[[], Crc]) -> list[str]:
        """The catalogue's checksum counts where the dump's header has none."""
        source, header = self._source, self._header
        if source is None or not source.finished or self._judged:
            return []
        self._judged = True
        expected, found = self.dump.crc, read()
        if header is None or header.server_crc.known or not expected.known or found == expected:
            return []
        if not found.known:
            return []  # not all of it came by here
        return [f"source server crc ({found}) and input server crc ({expected}) differ)"]

    def failed(self) -> None:
        self._failed = True

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
        return known_size(self.dump, self._header, self.device.facts.block_size)

    def _change_by_mover(
        self, label: str, ready: Callable[[IAsyncDevice], Deferred[None]]
    ) -> Deferred[IAsyncDevice]:
        """Another source volume, for our own mover.

        :param ready: is given the device before it is started
        """
        return self._do(self._change_straight(label, ready))

    async def _change_straight(
        self, label: str, ready: Callable[[IAsyncDevice], Deferred[None]]
    ) -> IAsyncDevice:
        self._read = device = await self._clerk.fetch(label, self._command.handle, ready)
        return device

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
        """Let the clerk work, one story at a time; who cancels what comes back only stops
        waiting."""
        before = self._running
        if before is not None:
            story = _behind(before, story)
        ended: Deferred[None] = Deferred()
        self._running = ended

        def over(result: T) -> T:
            if self._running is ended:
                self._running = None  # before anybody hears of it: close() may be what follows
            return result

        work = Deferred.fromCoroutine(story).addBoth(over)
        waiting = shield(work, self._interrupt)
        work.addCallback(lambda _: ended.callback(None))
        return waiting

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        running = self._running
        if running is not None:
            self._interrupt()
            await running
        await self._leave_mover()
        unread = self._source is not None and self._source.failed
        unsent = self._sender is not None and not self._sender.well
        self._clerk.end(well=not (self._failed or unread or unsent))
        await self._lane.stop()


def from_volumes(
    context: FlowContext, command: VaultWrite, clerk: Callable[[], IClerk]
) -> StoredOrigin:
    """See :mod:`taper.flow.origins`."""
    return StoredOrigin(context, command, clerk())
