"""A dump on volumes of another storage, for a device with a mover (VAULT-WRITE)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices.errors import PeerUnreachable
from taper.core.interfaces import IFeed
from taper.core.straight import has_mover
from taper.run.straight_feeds import Pushing
from taper.run.vault_movers import MoverSender, pads_alike

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice, ILane
    from protocols.directtcp import Address
    from protocols.header import Header
    from taper.plane.volumes import VolumeSource
    from taper.run.vault_feed import VaultFeed

_log = logging.getLogger(__name__)


@implementer(IFeed)
class PushedVaultFeed(Pushing):
    """The source's own mover sends the dump to the device, if it has one that can; else we read
    the volumes and send it.

    :param vault: has found the dump; ours from now on
    """

    cache_inform = False

    def __init__(self, reactor: Any, vault: VaultFeed, device: IAsyncDevice, lane: ILane) -> None:
        super().__init__(reactor, None, device, lane)
        self._vault = vault
        self._block_size = device.device.block_size
        self._volumes: VolumeSource | None = None
        self._mover: MoverSender | None = None

    def header(self) -> Deferred[Header]:
        return self._vault.header()

    async def _push_to(self, addresses: tuple[Address, ...]) -> None:
        if self._can_go_straight():
            try:
                await self._go_straight(addresses)
            except PeerUnreachable as refusal:
                _log.info("the dump passes through this host: %s", refusal.text)
            else:
                return
        self._source = self._volumes = self._vault.source()
        await super()._push_to(addresses)

    def _can_go_straight(self) -> bool:
        vault, source = self._vault, self._vault.device
        return has_mover(source) and pads_alike(
            vault.dump, vault.total, source.device.block_size, self._block_size
        )

    async def _go_straight(self, addresses: tuple[Address, ...]) -> None:
        vault = self._vault
        sender = MoverSender(self._reactor, vault.device, vault.dump, vault.total, vault.change_to)
        self._mover = sender
        self._sent_by(sender)  # the device may hear of an end before we do
        try:
            await sender.connect(addresses)
        except PeerUnreachable:
            self._mover = None
            self._sent_by(None)
            raise

    async def _close(self) -> None:
        await super()._close()
        unread = self._volumes is not None and not self._volumes.finished
        if unread or (self._mover is not None and not self._mover.well):
            self._vault.reading_failed()
        await self._vault.close()
