"""Which origin a write command means: one row for each command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from zope.interface import implementer

from devices.registry import load_factory
from protocols.driver import commands
from taper.core.interfaces import IOrigin, IOrigins

if TYPE_CHECKING:
    from taper.core.interfaces import IClerk
    from taper.flow.interfaces import FlowContext

ORIGINS: dict[type[commands.WriteCommand], str] = {
    commands.FileWrite: "taper.flow.holding:from_holding",
    commands.PortWrite: "taper.flow.port:from_port",
    commands.ShmWrite: "taper.flow.ring:from_ring",
    commands.VaultWrite: "taper.flow.stored:from_volumes",
}
"""By command, ``MODULE:FUNCTION``, imported when the first such command comes: no start should
wait for what it may not need. The function is given the context, the command, and a function that
gives the worker's clerk."""


@implementer(IOrigins)
class Origins:
    """Makes the origins of one process."""

    def __init__(self, context: FlowContext) -> None:
        self._context = context

    def of(self, command: commands.WriteCommand, clerk: Callable[[], IClerk]) -> IOrigin:
        make = load_factory(ORIGINS[type(command)])
        return cast("IOrigin", make(self._context, command, clerk))
