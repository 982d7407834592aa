"""Write commands that cannot be served: the dump fails, the worker stays of use.

A BAD-COMMAND would be the end of the driver, and of all its other dumps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from taper.core.interfaces import FeedError, IFeed, ITransfer, Offer

if TYPE_CHECKING:
    from devices.interfaces import IAsyncDevice
    from protocols.header import Header
    from taper.core.splitting import SplitPlan


@implementer(IFeed)
class RefusedFeed:
    """A dump that cannot be had: fails before anybody is asked for anything.

    :param reason: for driver and trace log
    """

    cache_inform = False
    result_follows = True
    ready_first = False
    remark: str | None = None

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def offer(self) -> Deferred[Offer | None]:
        return fail(FeedError(self._reason, device=True))

    def header(self) -> Deferred[Header]:
        raise ValueError("nothing was offered")

    def ready(self) -> Deferred[None]:
        raise ValueError("nothing was offered")

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        raise ValueError("nothing was offered")

    def transfer(self, plan: SplitPlan) -> ITransfer:
        raise ValueError("nothing was offered")

    def close(self) -> Deferred[None]:
        return succeed(None)
