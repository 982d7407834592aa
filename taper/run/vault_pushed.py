"""A dump on volumes of another storage, for a device with a mover (VAULT-WRITE)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from taper.core.interfaces import IFeed
from taper.run.straight_feeds import Pushing

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice, ILane
    from protocols.header import Header
    from taper.plane.volumes import VolumeSource
    from taper.run.vault_feed import VaultFeed


@implementer(IFeed)
class PushedVaultFeed(Pushing):
    """We read the volumes and send the dump to the mover.

    :param vault: has found the dump; ours from now on
    """

    cache_inform = False

    def __init__(self, reactor: Any, vault: VaultFeed, device: IAsyncDevice, lane: ILane) -> None:
        super().__init__(reactor, None, device, lane)
        self._vault = vault
        self._volumes: VolumeSource | None = None

    def header(self) -> Deferred[Header]:
        return self._vault.header().addCallback(self._keep)

    def _keep(self, header: Header) -> Header:
        self._source = self._volumes = self._vault.source()
        return header

    async def _close(self) -> None:
        await super()._close()
        if self._volumes is not None and not self._volumes.finished:
            self._vault.reading_failed()
        await self._vault.close()
