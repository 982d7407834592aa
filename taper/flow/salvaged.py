"""A dump on volumes of which some are damaged or missing, read as far as it can be."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from devices.errors import DeviceError
from taper.core.errors import SourceFault
from taper.flow.stored import StoredOrigin, seek_first
from taper.plane.interfaces import SourceError
from taper.plane.salvage import SalvagedSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocols.header import Header
    from protocols.stored import StoredPart
    from taper.flow.volume_change import VolumeChange
    from taper.plane.salvage import Loss


class SalvagedOrigin(StoredOrigin):
    """As :class:`~taper.flow.stored.StoredOrigin`, but what cannot be read is passed over.

    Any part's header will do.

    :ivar fill: give bytes in the place of those that are lost; to be settled before ``source``.
    :ivar known_gone: labels of volumes that are not asked for at all, and why; that of no volume
        is empty. To be settled before ``header``.
    """

    fill = True
    known_gone: Mapping[str, str] = MappingProxyType({})
    _salvaged: SalvagedSource | None = None

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
        for part in self.dump.parts:
            header = await self._header_of(part, faults)
            if header is not None:
                self._header = header
                return header
        raise SourceFault(f"no part of the dump can be read: {'; '.join(faults[:3])}", code=7008)

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
            faults.append(str(fault))
            return None

    def _make_source(self, volumes: VolumeChange, position: int) -> SalvagedSource:
        self._salvaged = SalvagedSource(self.dump, self.total, volumes, self._gone, fill=self.fill)
        return self._salvaged
