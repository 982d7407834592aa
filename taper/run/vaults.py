"""Where vaulted dumps come from: the storages that they are read from (data-plane 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from devices.registry import only_drive
from taper.core.interfaces import FeedError, IVaultFeed, IVaults
from taper.run.setup import SetupFailed

if TYPE_CHECKING:
    from devices.interfaces import IAsyncChanger, IAsyncDevice, ILane
    from protocols.conf import Config, Storage
    from protocols.driver.commands import VaultWrite
    from taper.core.clerk import Clerk
    from taper.core.interfaces import IFeed


@implementer(IVaults)
class Vaults:
    """The storages of one configuration, as sources.

    :param own: the storage that is written to
    :param make_lane: makes a lane from a name
    :param open_changer: makes a changer of its own for a storage; fails with SetupFailed
    """

    def __init__(
        self,
        reactor: Any,
        config: Config,
        own: Storage,
        make_lane: Callable[[str], ILane],
        open_changer: Callable[[Storage], IAsyncChanger],
    ) -> None:
        self._reactor = reactor
        self._config = config
        self._own = own
        self._make_lane = make_lane
        self._open_changer = open_changer

    def open_changer(self, storage: str) -> IAsyncChanger:
        found = self._config.storage(storage)
        if found is None:
            raise FeedError(f"Storage '{storage}' not found")
        drive = only_drive(self._config, found)
        if drive is not None and drive == only_drive(self._config, self._own):
            raise FeedError(
                f"{storage} and {self._own.name} have the same single drive '{drive}': "
                "a dump cannot be copied within one drive"
            )
        try:
            return self._open_changer(found)
        except SetupFailed as fault:
            raise FeedError(fault.text) from fault

    def feed(self, command: VaultWrite, clerk: Clerk) -> IVaultFeed:
        # here, as most tapers never vault
        from taper.run.vault_catalog import find_stored
        from taper.run.vault_feed import VaultFeed

        lane = self._make_lane("vault")
        return VaultFeed(
            self._reactor,
            command,
            clerk,
            lambda wanted: lane.call(find_stored, self._config, wanted),
            lane,
        )

    def pushed(self, feed: IVaultFeed, device: IAsyncDevice) -> IFeed:
        from taper.run.vault_feed import VaultFeed
        from taper.run.vault_pushed import PushedVaultFeed

        assert isinstance(feed, VaultFeed), "one of ours"
        return PushedVaultFeed(self._reactor, feed, device, self._make_lane("pushed"))
