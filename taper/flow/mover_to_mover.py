"""A vaulted dump from one mover to another, past this host [data-plane 4.4, 6]."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, succeed

from devices.errors import ConnectionBroken, DeviceError, PeerUnreachable
from devices.idirecttcp import IMoverDevice
from protocols.crc import UNKNOWN, Crc
from taper.core.errors import DumpFault, SourceFault
from taper.core.interfaces import Rest
from taper.flow.last_record import Trail
from taper.flow.mover_reader import move_whole_file
from taper.flow.other_count import OtherCount
from taper.flow.verdict import Waiting
from taper.flow.whole_records import padded
from taper.plane.interfaces import SourceError
from taper.plane.volumes import (
    find_byte,
    judge_part,
    reading_failed,
    too_long,
    truncated,
    with_place,
)

if TYPE_CHECKING:
    from devices.idirecttcp import IDirectTCPConnection
    from devices.interfaces import IAsyncDevice
    from protocols.directtcp import Address
    from protocols.stored import StoredDump, StoredPart
    from taper.flow.last_record import Tail

VERDICT_PATIENCE = 2.0
"""Seconds after the end of the stream for the mover that sent it to say how it ended; some never
notice that their reader is gone. Whoever goes on too early meets the source's failure again."""

Stand = Callable[[], "Deferred[IAsyncDevice]"]
"""Brings a source volume to the first byte that is wanted; fails as the clerk and devices do."""

ChangeTo = Callable[[str, Callable[["IAsyncDevice"], "Deferred[None]"]], "Deferred[IAsyncDevice]"]
"""Fetches the volume of a label; the device is given to the function before it is started."""

_log = logging.getLogger(__name__)


class MoverSender:
    """Lets the source's mover read part after part into a connection that another mover holds.

    The connection is ended in good order even if not all was read, since movers know no other
    end: so :attr:`finished` counts, and the number of bytes. And since a mover fills up its last
    record, and counts that, whoever has connected to one ends the connection only when it has said
    that all whole records are there, and has :attr:`tail` to compare the last one with.

    Nothing is kept, but all can be read again: whoever goes on begins at the byte behind what is
    stored, with another of these or through this host.

    :param device: started for reading, and at the first part
    :param total: bytes of the dump, if known
    :param change_to: fetches another volume; fails with DumpFault
    :param done: checksum and number of the bytes that are not wanted, whole records
    :param block: bytes of the records of a mover at the other end
    :param stand: gives the device that stands where to begin; None: ``device`` stands there
    :ivar finished: all was read, and every size is right.
    :ivar size: bytes of the dump that were read, those before and padding included.
    :ivar broken: the connection broke, and the source is well as far as it knows.
    :ivar well: the device can be read from again.
    :ivar progress: hears now and then how many bytes of the current part were moved.
    :ivar tail: the last bytes sent, read once more.
    :ivar barred: the part whose device cannot take the connection, if that ended it.
    """

    def __init__(
        self,
        reactor: Any,
        device: IAsyncDevice,
        dump: StoredDump,
        total: int | None,
        change_to: ChangeTo,
        *,
        done: Crc = UNKNOWN,
        block: int = 0,
        stand: Stand | None = None,
    ) -> None:
        self.finished = False
        self.size = done.size
        self.broken: str | None = None
        self.well = True
        self.tail: Tail | None = None
        self.barred: StoredPart | None = None
        self.progress: Callable[[int], None] | None = None
        self.wants_progress: Callable[[], None] = lambda: None
        self.tells_broken: Callable[[], None] = lambda: None
        self._done = done
        self._block = block
        self._trail = Trail(done.size, max(block, 1))
        self._stand = stand
        self._count = OtherCount(done.size)
        self._fetching = self._leaving = False
        self._failed = self._cancelled = False
        self._reactor = reactor
        self._device = device
        self._dump = dump
        self._total = total
        self._change_to = change_to
        self._connection: IDirectTCPConnection | None = None
        self._errors: list[str] = []
        self._over = self._ending = False
        self._waiting = Waiting(reactor, self._too_late)
        self._story: Deferred[None] | None = None
        self._making: Deferred[IDirectTCPConnection] | None = None
        self._made: Deferred[None] | None = None
        first, self._skipped = find_byte(dump, done.size)
        self._parts = dump.parts[first:]
        self._part = self._parts[0]

    async def prepare(self) -> None:
        """Have the volume where to begin.

        :raise PeerUnreachable: it cannot be had so; reading through this host may do
        """
        if self._stand is None:
            return
        try:
            self._device = await self._stand()
        except (DumpFault, DeviceError, SourceError) as fault:
            self.well = False
            text = f"{self._part.place}: no mover can begin in it: {fault}"
            raise PeerUnreachable(text) from fault
        except CancelledError:
            self.well = False
            raise

    async def connect(self, addresses: tuple[Address, ...]) -> None:
        """Let the source's mover connect to where the other one listens, and read.

        :raise PeerUnreachable: it cannot; the source is as it was
        :raise SourceError: it went wrong otherwise, as ``take_errors`` tells too
        """
        part = self._part
        self._making = IMoverDevice(self._device).connect(False, addresses)
        self._made = Deferred()
        try:
            self._connection = await self._making
            if self._leaving or self._cancelled:  # whoever goes on may have the device by now
                self.well = False
                await self._hang_up()
                raise CancelledError
        except PeerUnreachable:
            raise
        except DeviceError as error:
            self.well = False
            text = f"{part.place}: error making DirectTCP connection: {error.text}"
            self._fail(text)
            self._settle()
            raise SourceError(text) from error
        except CancelledError:
            self.well = False
            raise
        finally:
            made, self._made, self._making = self._made, None, None
            made.callback(None)
        self._begin()

    def send_into(self, connection: IDirectTCPConnection) -> None:
        """Let the source's mover read into a connection that it has accepted; in the place of
        :meth:`connect`. Whoever has connected tells no count."""
        self._block = 0
        self._connection = connection
        self._begin()

    def _begin(self) -> None:
        self._story = Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        try:
            await self._read_all()
            if self._block:
                self.tail = await self._trail.tail(self._device)
            await self._all_counted()
            if self._trail.blind:
                raise ConnectionBroken(
                    f"{self._part.place}: '{self._device.facts.name}' does not read once more what "
                    "the last record is to be compared with"
                )
            self.finished = True
        except SourceError as error:
            self._fail(str(error))
        except ConnectionBroken as error:
            self.broken = error.text
        except CancelledError:
            _log.info("%s reads no more into this connection", self._device.facts.name)
        except Exception as error:
            # whatever it was, it is this dump's failure
            self._fail(f"internal error: {error!r}")
        finally:
            self._ending = True
            self.well = self.finished
            self._settle()  # before the other mover can see the end
            await self._hang_up()
        if self._leaving:
            return
        if self.broken is not None:
            self.tells_broken()
        elif self.finished and self._block:
            self._count.look_again()
            self.wants_progress()  # while it answers, it has not seen the end

    def _fail(self, text: str) -> None:
        self._failed = True
        self._errors.append(text)

    async def _read_all(self) -> None:
        label = self._part.label
        for part in self._parts:
            self._part = part
            if part.label != label:
                if self._block:
                    await self._trail.leave(self._device)
                await self._all_counted()  # else this volume might be wanted once more
                self._device = await self._fetch(part)
                label = part.label
            if part is not self._parts[0]:
                await self._seek(part)
            await self._read(part)
            self._skipped = 0
        if self._total is not None and self.size not in self._sizes(self._total):
            last = self._dump.parts[-1]
            raise SourceError(
                f"the dump that ends in {last.place} has {self.size} bytes with padding, "
                f"{self._total} expected",
                code=7008,
            )

    async def _all_counted(self) -> None:
        """Wait until the other mover has all that was sent, but for the rest of a record.

        :raise ConnectionBroken: it gets no more
        """
        if not self._block:
            return
        whole = self.size // self._block * self._block
        if not await self._count.reach(whole, lambda: self.wants_progress()):
            raise ConnectionBroken(
                f"{self._part.place}: of {self.size} bytes that '{self._device.facts.name}' has "
                f"sent, the other mover has got {self._count.bytes}"
            )

    async def _fetch(self, part: StoredPart) -> IAsyncDevice:
        self._fetching = True
        try:
            device = await self._change_to(part.label, self._go_on_with)
        except DumpFault as error:
            text = with_place(part, error.text)
            if self.barred is not None and self._block:
                raise ConnectionBroken(text) from error
            raise SourceError(text) from error
        finally:
            self._fetching = False
        if self._leaving:
            raise CancelledError
        return device

    def _go_on_with(self, device: IAsyncDevice) -> Deferred[None]:
        """Give the connection to the next volume's device."""
        return Deferred.fromCoroutine(self._hand_over(device))

    async def _hand_over(self, device: IAsyncDevice) -> None:
        if self._leaving:
            return  # whoever goes on has the volume, and makes a connection of his own
        self.barred = self._part
        if not IMoverDevice.providedBy(device):
            text = f"Cannot continue onto new volume: '{device.facts.name}' has no mover"
            raise SourceFault(text)
        connection = self._connection
        assert connection is not None, "connect() comes first"
        try:
            await IMoverDevice(device).use_connection(connection)
        except DeviceError as error:
            raise SourceFault(f"Cannot continue onto new volume: {error.text}") from error
        self.barred = None

    async def _seek(self, part: StoredPart) -> None:
        try:
            header = await IMoverDevice(self._device).seek_file(part.fileno)
        except DeviceError as error:
            raise SourceError(f"{part.place}: {error.text}") from error
        judge_part(header, self._device.facts.file, self._dump, part)

    async def _read(self, part: StoredPart) -> None:
        """Read one part to its filemark, and see that it has its size."""
        moved = await self._move(part)
        self.size += moved
        self._trail.passed(part, self._skipped, moved)
        found = self._skipped + moved
        if part.size is not None and found not in self._sizes(part.size):
            if found < part.size:
                raise truncated(part, found, part.size)
            raise too_long(part, part.size)

    def _sizes(self, size: int) -> tuple[int, int]:
        """What a mover may read where so many bytes were written: programs that write a volume
        without one do not fill up its last record."""
        return size, padded(size, self._device.facts.block_size)

    async def _move(self, part: StoredPart) -> int:
        try:
            return await move_whole_file(self._device, self.progress)
        except DeviceError as error:
            fault = reading_failed(part, self._device.facts.name, error)
            if isinstance(error, ConnectionBroken):
                raise ConnectionBroken(str(fault)) from error
            raise fault from error

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None, "connect() comes first"
        try:
            await connection.close()
        except DeviceError as error:
            self.well = False
            _log.warning("closing the data connection of %s: %s", connection.device_name, error)

    # what the other end is told

    def crc(self) -> Crc:
        return UNKNOWN

    async def ended(self) -> None:
        """Wait until it reads no more and the connection is given back; however long it takes."""
        if self._made is not None:
            await self._until_made()
        story = self._story
        if story is not None:
            over: Deferred[None] = Deferred()
            story.addBoth(lambda _: over.callback(None))
            await over

    async def _until_made(self) -> None:
        made: Deferred[None] = Deferred()
        assert self._made is not None
        self._made.addCallback(lambda _: made.callback(None))
        await made

    def take_errors(self) -> list[str]:
        errors, self._errors = self._errors, []
        return errors

    def settled(self) -> Deferred[None]:
        if self._count.awaited:
            self._too_late()  # whoever has ended the connection, we have not
        if self._over:
            return succeed(None)
        return self._waiting.wait(VERDICT_PATIENCE)

    def _too_late(self) -> None:
        self.broken = (
            f"{self._part.place}: the data connection ended before "
            f"'{self._device.facts.name}' had sent all"
        )
        self._settle()
        self._stop()

    def _settle(self) -> None:
        self._over = True
        self._waiting.tell()

    @property
    def delivered(self) -> bool:
        """No mover knows more of what it has sent."""
        return self.finished

    @property
    def goes_on(self) -> bool:
        """What was sent in vain can be read again."""
        return not (self._failed or self._cancelled)

    def acknowledge(self, stored: int, written: int, counted: int) -> None:
        if self._count.hear(stored, counted) or not self.finished:
            return
        if self._count.stands_still:
            self.tells_broken()
        else:
            self.wants_progress()

    def leave(self, stored: int) -> Deferred[Rest | None]:
        return Deferred.fromCoroutine(self._depart(stored))

    async def _depart(self, stored: int) -> Rest | None:
        """A volume that is being fetched will be wanted by whoever goes on, or is one that must be
        given back in peace."""
        self._leaving = True
        if not self._fetching:
            self._stop()
        await self.ended()
        if not self.goes_on:
            return None
        by_mover = not self._trail.blind
        if stored == self._done.size:
            return Rest(done=self._done, by_mover=by_mover)
        return Rest(done=Crc(0, stored), counted=False, by_mover=by_mover)

    def cancel(self) -> None:
        self._cancelled = True
        self._stop()

    def _stop(self) -> None:
        if self._making is not None:
            self._making.cancel()
        if self._story is not None and not self._ending:
            self._story.cancel()

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._settle()
        self.cancel()
        if self._made is not None:
            await self._until_made()
        story, self._story = self._story, None
        if story is not None:
            await story
