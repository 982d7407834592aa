"""Dumps of one configuration, opened for reading: from volumes, or from the holding disk."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import succeed

from devices.lane import Lane
from taper.flow.holding import HoldingOrigin
from taper.flow.interfaces import FlowContext
from taper.flow.stored import StoredOrigin
from taper.recovery.volumes import AskingClerk
from taper.recovery.wanted import Wanted

if TYPE_CHECKING:
    from devices.interfaces import ILane
    from protocols.conf import Config
    from protocols.stored import StoredDump
    from taper.core.interfaces import IClerk
    from taper.recovery.volumes import Ask, Busy, Shelves

T = TypeVar("T", bound=StoredOrigin)


class Opener:
    """Opens dumps."""

    def __init__(self, reactor: Any, config: Config, shelves: Shelves, lane: ILane) -> None:
        """:param shelves: storages and changers of the configuration
        :param lane: where files are looked at
        """
        self._reactor = reactor
        self._config = config
        self._lane = lane
        self._shelves = shelves

    def clerk(
        self,
        where: str,
        ask: Ask,
        wanted: Callable[[str], object] = lambda label: None,
        opened: Callable[[str], object] = lambda label: None,
        in_use: Busy | None = None,
    ) -> AskingClerk:
        """Who fetches volumes, for one dump or for several of one storage.

        :param where: the storage or changer in which volumes are looked for first
        :param ask: asks a person for those that are not there
        :param wanted: is told the label of each volume that is going to be loaded
        :param opened: is told it when the volume is open
        :param in_use: waits for volumes that somebody else has; None: a person is asked
        """
        return AskingClerk(self._shelves, where, ask, wanted, opened, in_use)

    def from_volumes(self, dump: StoredDump, clerk: IClerk, kind: type[T]) -> T:
        """A dump on volumes; the origin's ``find`` comes next.

        :param kind: of origin
        """
        name = dump.name
        wanted = Wanted(
            src_storage=name.storage,
            hostname=name.host,
            diskname=name.disk,
            level=name.level,
            datestamp=name.datestamp,
        )
        return kind(self._context(dump), wanted, clerk)

    def from_holding(self, path: str) -> HoldingOrigin:
        """A dump in holding files, of which this is the first."""
        return HoldingOrigin(self._context(None), path)

    def _context(self, dump: StoredDump | None) -> FlowContext:
        return FlowContext(
            reactor=self._reactor,
            make_lane=functools.partial(Lane, self._reactor),
            patience=self._config.general.dtimeout + 1,
            look=self._lane.call,
            search=lambda _: succeed(dump),
            config=self._config,
        )
