"""A dump on volumes of which some are damaged or missing, read as far as it can be."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from devices.errors import DeviceError
from taper.core.errors import SourceFault
from taper.flow.stored import StoredOrigin, seek_first
from taper.plane.interfaces import SourceError
from taper.plane.salvage import SalvagedSource
from taper.plane.volumes import HeaderUnread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocols.header import Header
    from protocols.stored import StoredPart
    from taper.core.interfaces import IClerk
    from taper.flow.interfaces import FlowContext
    from taper.flow.stored import Wanted
    from taper.flow.volume_change import VolumeChange
    from taper.plane.interfaces import ISource
    from taper.plane.salvage import Loss


class NoHeader(SourceFault):
    """No part of a dump has a header that can be read; what is behind them may be there."""

    taper_code = 7013


class SalvagedOrigin(StoredOrigin):
    """As :class:`~taper.flow.stored.StoredOrigin`, but what cannot be read is passed over.

    Any part's header will do. Where none can be read, ``header`` fails with :class:`NoHeader`; the
    dump can be read all the same, after :meth:`go_by`.

    :ivar fill: give bytes in the place of those that are lost; to be settled before ``source``.
    :ivar known_gone: labels of volumes that are not asked for at all, and why; that of no volume
        is empty. To be settled before ``header``.
    """

    fill = True
    known_gone: Mapping[str, str] = MappingProxyType({})
    _salvaged: SalvagedSource | None = None
    _peeked: SalvagedSource | None = None

    def __init__(self, context: FlowContext, command: Wanted, clerk: IClerk) -> None:
        super().__init__(context, command, clerk)
        self._peeking = context.make_lane("peek")
        self._peeks = False
        self._peeked_total: int | None = None

    def go_by(self, header: Header) -> None:
        """Take this for the dump's header, of which none can be read."""
        self._header = header

    async def peek(self, size: int) -> bytes:
        """The first bytes of the dump, as far as they can be read; after :meth:`go_by`, and before
        ``source``, which gives them again."""
        super().source()
        source = self._salvaged
        assert source is not None, "it was made"
        self._peeked, self._peeks, self._peeked_total = source, True, self.total
        head = await self._peeking.call(source.peek, size)
        self._peeks = False
        return head

    def source(self, position: int = 0) -> ISource:
        peeked, self._peeked = self._peeked, None
        if peeked is None or position or self.total != self._peeked_total:
            return super().source(position)  # what is known of its end by now is another one
        peeked.fill = self.fill
        return peeked

    async def _close(self) -> None:
        if self._peeks and self._salvaged is not None:
            self._salvaged.cancel()
        await self._peeking.stop()
        await super()._close()

    @property
    def salvaged(self) -> SalvagedSource | None:
        """The source that was made."""
        return self._salvaged

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What could not be read; complete when the source was read to its end."""
        return () if self._salvaged is None else tuple(self._salvaged.losses)

    @property
    def total(self) -> int | None:
        """As of any origin; but where a loss of unknown size is known before, what follows it must
        not be measured by it."""
        parts = self.dump.parts
        if any(part.size is None and part.label in self.known_gone for part in parts):
            return None
        return super().total

    @property
    def headless(self) -> tuple[StoredPart, ...]:
        """Parts that were taken though their headers are damaged, as far as it was read."""
        return () if self._salvaged is None else tuple(self._salvaged.headless)

    async def _read_header(self) -> Header:
        self._gone: dict[str, str] = dict(self.known_gone)
        faults: list[str] = []
        self._unread = False
        for part in self.dump.parts:
            header = await self._header_of(part, faults)
            if header is not None:
                self._header = header
                return header
        text = f"no part of the dump can be read: {'; '.join(faults[:3])}"
        raise NoHeader(text) if self._unread else SourceFault(text, code=7008)

    async def _header_of(self, part: StoredPart, faults: list[str]) -> Header | None:
        if part.label in self._gone:
            return None
        try:
            device = await self._clerk.fetch(part.label, self._command.handle)
        except SourceFault as fault:
            if self._given_up:
                raise
            self._gone[part.label] = fault.text
            faults.append(fault.text)
            return None
        self._device = self._read = device
        try:
            return await seek_first(device, self.dump, part)
        except (SourceError, DeviceError) as fault:
            if self._given_up:
                raise SourceFault(str(fault)) from fault
            self._failed = True
            self._unread = self._unread or isinstance(fault, HeaderUnread)
            faults.append(str(fault))
            return None

    def _make_source(self, volumes: VolumeChange, position: int) -> SalvagedSource:
        self._salvaged = SalvagedSource(self.dump, self.total, volumes, self._gone, fill=self.fill)
        return self._salvaged
