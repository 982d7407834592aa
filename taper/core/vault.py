"""One dump that is copied from volumes of another storage (taper-protocol 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taper.core.dump import Dump
from taper.core.straight import has_mover

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from protocols.driver import commands
    from taper.core.interfaces import IVaultFeed
    from taper.core.worker import Worker


class VaultDump(Dump):
    """The dump of a VAULT-WRITE.

    The volumes it is read from are known before a volume to write on is looked for; none of them
    is written on meanwhile.
    """

    def __init__(self, worker: Worker, command: commands.VaultWrite, feed: IVaultFeed) -> None:
        super().__init__(worker, command, feed)
        self._vault_feed = feed

    async def _write(self) -> None:
        labels = await self.wait(self._vault_feed.find())
        reading = self.world.history.reading
        reading.update(labels)
        try:
            await self.wait(self.scribe.spare(labels))
            await super()._write()
        finally:
            reading.subtract(labels)

    async def _first_device(self) -> IAsyncDevice:
        device = await super()._first_device()
        if has_mover(device):
            device = await self._device_at_hand(self.scribe.device_to_listen_on())
            self.feed = self.world.vaults.pushed(self._vault_feed, device)
        return device
