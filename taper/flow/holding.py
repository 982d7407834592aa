"""A dump in holding files (FILE-WRITE; [data-plane 4.1])."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.threads import ThreadRefused
from taper.core.errors import SourceFault
from taper.flow.interfaces import IBlockOrigin
from taper.plane.interfaces import ISource, SourceError
from taper.plane.sources import HoldingSource

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from protocols.crc import Crc
    from protocols.driver.commands import FileWrite
    from protocols.header import Header
    from taper.core.interfaces import IClerk, Offer
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext


@implementer(IBlockOrigin)
class HoldingOrigin:
    """A chain of holding files, which can be read as often as one likes."""

    reads_again = True
    result_follows = False
    remark: str | None = None

    def __init__(self, context: FlowContext, filename: str) -> None:
        self._filename = filename
        self._lane = context.make_lane("holding")
        self._first: HoldingSource | None = HoldingSource(filename)

    def find(self) -> Deferred[tuple[str, ...]]:
        return succeed(())

    def header(self) -> Deferred[Header]:
        def blame(failure: Failure) -> Header:
            failure.trap(SourceError)
            raise SourceFault(str(failure.value)) from failure.value

        assert self._first is not None, "the header comes first"
        return self._lane.call(self._first.read_header).addErrback(blame)

    def offer(self, plan: SplitPlan) -> Deferred[Offer | None]:
        return succeed(None)

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def source(self, position: int = 0) -> ISource:
        if position or self._first is None:
            return HoldingSource(self._filename, position)
        first, self._first = self._first, None
        return first

    def judge(self, read: Callable[[], Crc]) -> list[str]:
        return []

    def failed(self) -> None:
        """The files are only read: there is nothing to be done."""

    def close(self) -> Deferred[None]:
        first, self._first = self._first, None
        if first is not None:
            closing = self._lane.call_surely(first.close)
            closing.addErrback(lambda failure: failure.trap(ThreadRefused) and None)
        return self._lane.stop()


def from_holding(
    context: FlowContext, command: FileWrite, clerk: Callable[[], IClerk]
) -> HoldingOrigin:
    """See :mod:`taper.flow.origins`."""
    return HoldingOrigin(context, command.filename)
