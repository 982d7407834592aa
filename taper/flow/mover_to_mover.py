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
from taper.flow.mover_reader import move_whole_file
from taper.flow.verdict import Waiting
from taper.plane.interfaces import SourceError
from taper.plane.volumes import judge_part, reading_failed, too_long, truncated, with_place

if TYPE_CHECKING:
    from devices.idirecttcp import IDirectTCPConnection
    from devices.interfaces import IAsyncDevice
    from protocols.directtcp import Address
    from protocols.stored import StoredDump, StoredPart
    from taper.core.interfaces import Rest

VERDICT_PATIENCE = 30.0
"""Seconds after the end of the stream for the mover that sent it to say how it ended; some never
notice that their reader is gone."""

ChangeTo = Callable[[str, Callable[["IAsyncDevice"], "Deferred[None]"]], "Deferred[IAsyncDevice]"]
"""Fetches the volume of a label; the device is given to the function before it is started."""

_log = logging.getLogger(__name__)


def pads_alike(dump: StoredDump, total: int | None, source_block: int, block: int) -> bool:
    """Whether a dump may go from mover to mover though nobody cuts its padding on the way.

    It may if the other mover's padding hides it: what comes to stand on the volume is then the
    same as if it had been cut. Only the last part may be padded, or there is no telling.

    :param total: bytes of the dump, if known; if not, nobody could cut it
    :param source_block: bytes of the blocks that it is read in
    :param block: bytes of those that it is written in
    """
    sizes = [part.size for part in dump.parts[:-1]]
    if any(size is not None and size % source_block for size in sizes):
        return False
    if total is None:
        return True
    return _padded(_padded(total, source_block), block) == _padded(total, block)


def _padded(size: int, block: int) -> int:
    return -(-size // block) * block


class MoverSender:
    """Lets the source's mover read part after part into a connection that another mover holds.

    The connection is ended in good order even if not all was read, since movers know no other
    end: so :attr:`finished` counts, and the number of bytes.

    :param device: started for reading, and at the first part
    :param total: bytes of the dump, if known
    :param change_to: fetches another volume; fails with DumpFault
    :ivar finished: all was read, and every size is right.
    :ivar size: bytes read, padding included.
    :ivar broken: the connection broke, and the source is well as far as it knows.
    :ivar well: the device can be read from again.
    :ivar progress: hears now and then how many bytes of the current part were moved.
    """

    def __init__(
        self,
        reactor: Any,
        device: IAsyncDevice,
        dump: StoredDump,
        total: int | None,
        change_to: ChangeTo,
    ) -> None:
        self.finished = False
        self.size = 0
        self.broken: str | None = None
        self.well = True
        self.progress: Callable[[int], None] | None = None
        self.wants_progress = self.tells_broken = lambda: None
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
        self._part = dump.parts[0]

    async def connect(self, addresses: tuple[Address, ...]) -> None:
        """Let the source's mover connect to where the other one listens, and read.

        :raise PeerUnreachable: it cannot; the source is as it was
        :raise SourceError: it went wrong otherwise, as ``take_errors`` tells too
        """
        part = self._dump.parts[0]
        try:
            self._connection = await IMoverDevice(self._device).connect(False, addresses)
        except PeerUnreachable:
            raise
        except DeviceError as error:
            self.well = False
            text = f"{part.place}: error making DirectTCP connection: {error.text}"
            self._errors.append(text)
            self._settle()
            raise SourceError(text) from error
        except CancelledError:
            self.well = False
            raise
        self._begin()

    def send_into(self, connection: IDirectTCPConnection) -> None:
        """Let the source's mover read into a connection that it has accepted; in the place of
        :meth:`connect`."""
        self._connection = connection
        self._begin()

    def _begin(self) -> None:
        self._story = Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        try:
            await self._read_all()
            self.finished = True
        except SourceError as error:
            self._errors.append(str(error))
        except ConnectionBroken as error:
            self.broken = error.text
        except CancelledError:
            _log.info("%s reads no more: the dump is over", self._device.facts.name)
        except Exception as error:
            # whatever it was, it is this dump's failure
            self._errors.append(f"internal error: {error!r}")
        finally:
            self._ending = True
            self.well = self.finished
            self._settle()  # before the other mover can see the end
            await self._hang_up()

    async def _read_all(self) -> None:
        label = self._dump.parts[0].label
        for index, part in enumerate(self._dump.parts):
            self._part = part
            if part.label != label:
                self._device = await self._fetch(part)
                label = part.label
            if index:
                await self._seek(part)
            await self._read(part)
        if self._total is not None and self.size != self._whole(self._total):
            last = self._dump.parts[-1]
            raise SourceError(
                f"the dump that ends in {last.place} has {self.size} bytes with padding, "
                f"{self._total} expected",
                code=7008,
            )

    async def _fetch(self, part: StoredPart) -> IAsyncDevice:
        try:
            return await self._change_to(part.label, self._go_on_with)
        except DumpFault as error:
            raise SourceError(with_place(part, error.text)) from error

    def _go_on_with(self, device: IAsyncDevice) -> Deferred[None]:
        """Give the connection to the next volume's device."""
        return Deferred.fromCoroutine(self._hand_over(device))

    async def _hand_over(self, device: IAsyncDevice) -> None:
        if not IMoverDevice.providedBy(device):
            text = f"Cannot continue onto new volume: '{device.facts.name}' has no mover"
            raise SourceFault(text)
        connection = self._connection
        assert connection is not None, "connect() comes first"
        try:
            await IMoverDevice(device).use_connection(connection)
        except DeviceError as error:
            raise SourceFault(f"Cannot continue onto new volume: {error.text}") from error

    async def _seek(self, part: StoredPart) -> None:
        try:
            header = await IMoverDevice(self._device).seek_file(part.fileno)
        except DeviceError as error:
            raise SourceError(f"{part.place}: {error.text}") from error
        judge_part(header, self._device.facts.file, self._dump, part)

    async def _read(self, part: StoredPart) -> None:
        """Read one part to its filemark, and see that it has its size."""
        found = await self._move(part)
        self.size += found
        if part.size is not None and found != self._whole(part.size):
            if found < part.size:
                raise truncated(part, found, part.size)
            raise too_long(part, part.size)

    def _whole(self, size: int) -> int:
        return _padded(size, self._device.facts.block_size)

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
        story = self._story
        if story is not None:
            over: Deferred[None] = Deferred()
            story.addBoth(lambda _: over.callback(None))
            await over

    def take_errors(self) -> list[str]:
        errors, self._errors = self._errors, []
        return errors

    def settled(self) -> Deferred[None]:
        if self._over:
            return succeed(None)
        return self._waiting.wait(VERDICT_PATIENCE)

    def _too_late(self) -> None:
        self.broken = (
            f"{self._part.place}: the data connection ended before "
            f"'{self._device.facts.name}' had sent all"
        )
        self._settle()
        self.cancel()

    def _settle(self) -> None:
        self._over = True
        self._waiting.tell()

    @property
    def delivered(self) -> bool:
        """No mover knows more of what it has sent."""
        return self.finished

    @property
    def goes_on(self) -> bool:
        """What was sent is kept nowhere on this host, and the volume stands behind it."""
        return False

    def acknowledge(self, stored: int, written: int) -> None:
        """Nothing is kept."""

    def leave(self, stored: int) -> Deferred[Rest | None]:
        return succeed(None)

    def cancel(self) -> None:
        if self._story is not None and not self._ending:
            self._story.cancel()

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._settle()
        self.cancel()
        story, self._story = self._story, None
        if story is not None:
            await story
