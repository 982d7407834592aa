"""What all flows have in common: parts are moved by a transfer, made once the data can be had."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

from protocols.crc import UNKNOWN
from taper.plane.interfaces import Measured

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice, PartResult
    from protocols.crc import Crc
    from protocols.header import Header
    from taper.core.interfaces import IMeasured, Rest
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext, ITransfer, Stands

_log = logging.getLogger(__name__)

NOTHING = Measured(0)
"""Of a dump whose data do not flow yet."""


class BaseFlow(ABC):
    """The part of :class:`taper.core.interfaces.IFlow` that is the same for all.

    A flow has a lane of its own, for what blocks and is no device's business.
    """

    def __init__(self, context: FlowContext, plan: SplitPlan) -> None:
        self._context = context
        self._plan = plan
        self._lane = context.make_lane("flow")
        self._transfer: ITransfer | None = None
        self._before: Deferred[None] | None = None
        self._cancelled = False
        self._closed = False
        self._counted = True

    def follow(self, closing: Deferred[None]) -> None:
        """The flow before is being closed; we are, once that is over."""
        closing.addErrback(lambda failure: _log.error("a flow that was left: %s", failure))
        self._before = closing

    # of each flow

    @abstractmethod
    def _reachable(self) -> Deferred[None]:
        """Fires when the data can be had."""

    @abstractmethod
    def _make_transfer(self) -> ITransfer:
        """What moves the parts, once the data can be had."""

    # of all

    def ready(self) -> Deferred[None]:
        def begin(_: None) -> None:
            if self._cancelled:
                return  # whoever cancelled writes no part
            self._transfer = self._make_transfer()
            self._transfer.start()

        return self._reachable().addCallback(begin)

    @property
    def _parts(self) -> ITransfer:
        assert self._transfer is not None, "ready() comes first"
        return self._transfer

    @property
    def bytes_written(self) -> int:
        return 0 if self._transfer is None else self._transfer.bytes_written

    @property
    def measured(self) -> IMeasured:
        return NOTHING if self._transfer is None else self._transfer.measured

    @property
    def takes_back(self) -> bool:
        return self._transfer is not None and self._transfer.takes_back

    def write_part(
        self, device: IAsyncDevice, header: Header, stands: Stands | None = None
    ) -> Deferred[PartResult]:
        return self._parts.write_part(device, header, stands)

    def take_back(self) -> None:
        self._parts.take_back()

    def resume_part(self, device: IAsyncDevice, more: bool) -> Deferred[PartResult]:
        return self._parts.resume_part(device, more)

    def can_retry(self) -> bool:
        return self._parts.can_retry()

    def revoke(self) -> None:
        self._parts.revoke()

    def take_errors(self) -> list[str]:
        return [] if self._transfer is None else self._transfer.take_errors()

    def leave(self) -> Deferred[Rest | None]:
        return succeed(None)

    def cancel(self, reason: str) -> None:
        self._cancelled = True
        if self._transfer is not None:
            self._transfer.cancel(reason)

    def close(self) -> Deferred[None]:
        if self._closed:
            return succeed(None)
        self._closed = True
        return Deferred.fromCoroutine(self._close_all())

    async def _close_all(self) -> None:
        await self._close()
        if self._before is not None:
            await self._before

    async def _close(self) -> None:
        await self._end_transfer()
        await self._lane.stop()

    async def _end_transfer(self) -> None:
        self._cancelled = True
        if self._transfer is not None:
            await self._transfer.close()

    def _take_up(self, rest: Rest) -> Rest:
        """Go on with what another flow has left. :return: that"""
        self._counted = rest.counted
        return rest

    def _leave_behind(self, rest: Rest | None) -> Rest | None:
        """What another flow is to do: it has no checksum if we have none."""
        if rest is None or self._counted:
            return rest
        return rest.evolve(counted=False)

    def source_crc(self) -> Crc:
        unknown = self._transfer is None or not self._counted
        return UNKNOWN if unknown else self._parts.source_crc()

    def dest_crc(self) -> Crc:
        unknown = self._transfer is None or not self._counted
        return UNKNOWN if unknown else self._parts.dest_crc()
