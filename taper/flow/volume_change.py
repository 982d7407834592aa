"""A reading thread's way to the clerk, who lives on the reactor's side [data-plane 4.4]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taper.core.errors import DumpFault
from taper.flow.mover_reader import GIVEN_UP
from taper.flow.reactor_side import GivenUp, ReactorSide
from taper.plane.interfaces import SourceError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from taper.plane.volumes import IReader


class VolumeChange:
    """The reading thread's way to the clerk, who lives on the reactor's side.

    :param fetch: asks the clerk; fails with DumpFault
    :param stop_reading: ends a wait for the bytes of the volume at hand. Any thread; never blocks
    """

    def __init__(
        self,
        reactor: Any,
        fetch: Callable[[str], Deferred[IReader]],
        stop_reading: Callable[[], None],
    ) -> None:
        self._reactor_side = ReactorSide(reactor)
        self._fetch = fetch
        self._stop_reading = stop_reading

    def change_to(self, label: str) -> IReader:
        """See :class:`taper.plane.volumes.IVolumes`."""
        try:
            return self._reactor_side.ask(lambda: self._fetch(label))
        except GivenUp:
            raise SourceError(GIVEN_UP, code=4011) from None
        except DumpFault as fault:
            raise SourceError(fault.text) from fault
        except Exception as fault:
            raise SourceError(f"internal error: {fault!r}") from fault

    def cancel(self) -> None:
        """See :class:`taper.plane.volumes.IVolumes`."""
        self._reactor_side.give_up()
        self._stop_reading()
