"""Where vaulted dumps come from: the storages that they are read from [data-plane 4.4]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zope.interface import implementer

from devices.registry import only_drive
from taper.core.errors import SourceFault
from taper.core.interfaces import IVaults
from taper.run.setup import SetupFailed

if TYPE_CHECKING:
    from devices.interfaces import IAsyncChanger
    from protocols.conf import Config, Storage


@implementer(IVaults)
class Vaults:
    """The storages of one configuration, as sources.

    :param own: the storage that is written to
    :param open_changer: makes a changer of its own for a storage; fails with SetupFailed
    """

    def __init__(
        self, config: Config, own: Storage, open_changer: Callable[[Storage], IAsyncChanger]
    ) -> None:
        self._config = config
        self._own = own
        self._open_changer = open_changer

    def open_changer(self, storage: str) -> IAsyncChanger:
        found = self._config.storage(storage)
        if found is None:
            raise SourceFault(f"Storage '{storage}' not found", code=1004)
        drive = only_drive(self._config, found)
        if drive is not None and drive == only_drive(self._config, self._own):
            raise SourceFault(
                f"{storage} and {self._own.name} have the same single drive '{drive}': "
                "a dump cannot be copied within one drive",
                code=1016,
            )
        try:
            return self._open_changer(found)
        except SetupFailed as fault:
            raise SourceFault(fault.text) from fault
