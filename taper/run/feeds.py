"""Where dumps come from, on the reactor's side: holding files, a pair of ports."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from devices.threads import ThreadRefused
from taper.core.interfaces import FeedError, IFeed, IFeeds, IPlannedFeed, ITransfer, Offer
from taper.core.splitting import DirectoryFacts
from taper.plane.interfaces import SourceError
from taper.plane.sources import HoldingSource, SocketSource
from taper.plane.transfer import Transfer
from taper.run.headers import HeaderPort
from taper.run.lane_transfer import LaneTransfer, must_be_fed
from taper.run.listeners import OneShotListener
from taper.run.story import peer

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from devices.callers import Callers
    from devices.interfaces import IAsyncDevice, ILane
    from protocols.conf import Config
    from protocols.driver.commands import PortWrite
    from protocols.header import Header
    from taper.core.splitting import SplitPlan
    from taper.plane.interfaces import ISource


_log = logging.getLogger(__name__)

HEADER_SILENCE = 3.0


@implementer(IFeed)
class HoldingFeed:
    """A dump in holding files (data-plane 4.1).

    :param lane: of its own, for reading the header and closing
    """

    cache_inform = True
    result_follows = False
    ready_first = False
    remark: str | None = None

    def __init__(self, filename: str, lane: ILane) -> None:
        self._source = HoldingSource(filename)
        self._lane = lane
        self._flowing = False

    def offer(self) -> Deferred[Offer | None]:
        return succeed(None)

    def header(self) -> Deferred[Header]:
        def blame(failure: Failure) -> Header:
            failure.trap(SourceError)
            raise FeedError(str(failure.value)) from failure.value

        return self._lane.call(self._source.read_header).addErrback(blame)

    def ready(self) -> Deferred[None]:
        return succeed(None)

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        return must_be_fed(device)

    def transfer(self, plan: SplitPlan) -> ITransfer:
        transfer = Transfer(self._source, plan)
        self._flowing = True
        return LaneTransfer(transfer, self._lane)

    def close(self) -> Deferred[None]:
        if not self._flowing:  # a transfer closes its source itself
            self._flowing = True
            closing = self._lane.call_surely(self._source.close)
            closing.addErrback(lambda failure: failure.trap(ThreadRefused) and None)
        return self._lane.stop()


@implementer(IFeed)
class PortFeed:
    """A dump over TCP: the header on one connection, the data on another (data-plane 4.2).

    The wait for the data is counted from the header on, since a dumper connects for the data only
    when its client delivers.

    :param patience: seconds to wait for a connection (dtimeout and a second)
    :param lane: of its own, for closing
    """

    cache_inform = False
    result_follows = True
    ready_first = False
    remark: str | None = None

    def __init__(self, reactor: Any, patience: float, lane: ILane) -> None:
        self._reactor = reactor
        self._patience = patience
        self._lane = lane
        self._header: HeaderPort | None = None
        self._data: OneShotListener | None = None
        self._connection: socket.socket | None = None
        self._flowing = False

    def offer(self) -> Deferred[Offer | None]:
        try:
            self._header = HeaderPort(self._reactor, self._patience)
            self._data = OneShotListener(self._reactor)
        except OSError as fault:
            return fail(FeedError(f"cannot listen on localhost: {fault.strerror}", device=True))
        self._data.accepted.addCallback(self._keep)
        return succeed(Offer(self._header.port, (self._data.address,)))

    def _keep(self, connection: socket.socket) -> None:
        _log.info("the data come from %s", peer(connection))
        self._connection = connection

    def header(self) -> Deferred[Header]:
        assert self._header is not None, "offer() comes first"
        return self._header.header()

    def ready(self) -> Deferred[None]:
        assert self._data is not None, "offer() comes first"
        self._data.wait_at_most(self._patience)
        return self._data.accepted.addCallback(lambda _: None)

    def adopt(self, device: IAsyncDevice) -> Deferred[None]:
        return must_be_fed(device)

    def transfer(self, plan: SplitPlan) -> ITransfer:
        assert self._connection is not None, "ready() comes first"
        source: ISource = SocketSource(self._connection)
        transfer = Transfer(source, plan)
        self._flowing = True
        return LaneTransfer(transfer, self._lane)

    def close(self) -> Deferred[None]:
        if self._header is not None:
            self._header.close()
        if self._data is not None:
            self._data.close()
            self._data.accepted.addErrback(lambda _: None)  # told, or wanted no more
        if self._connection is not None and not self._flowing:
            self._connection.close()
        return self._lane.stop()


def look_at_directory(path: str) -> DirectoryFacts:
    """Whether ``path`` is a directory, and bytes free in it for ordinary users; blocks."""
    if not os.path.isdir(path):
        return DirectoryFacts(exists=False)
    try:
        found = os.statvfs(path)
    except OSError:
        return DirectoryFacts(exists=True)
    return DirectoryFacts(exists=True, free=found.f_frsize * found.f_bavail)


def header_silence(config: Config | None) -> float:
    """Seconds after which a header is made for a dumper that sends none: property
    ``directtcp-header-wait`` of amanda.conf."""
    values = () if config is None else config.general.property.get("directtcp-header-wait", ())
    for text in values:
        if text.isascii() and text.isdigit() and len(text) < 6:
            return float(text)
    return HEADER_SILENCE


@implementer(IFeeds)
class Feeds:
    """Makes the feeds of one process.

    :param make_lane: makes a lane from a name
    :param dtimeout: seconds to wait for a dumper
    :param look: lane for files that are looked at
    :param config: where headers are made from that do not come; None: they must come
    """

    def __init__(
        self,
        reactor: Any,
        make_lane: Callable[[str], ILane],
        dtimeout: float,
        look: ILane,
        config: Config | None = None,
    ) -> None:
        self._reactor = reactor
        self._make_lane = make_lane
        self._patience = dtimeout + 1
        self._look = look
        self._config = config

    def holding(self, filename: str) -> IFeed:
        return HoldingFeed(filename, self._make_lane("holding"))

    def port(self) -> IFeed:
        return PortFeed(self._reactor, self._patience, self._make_lane("port"))

    def shm(self) -> IPlannedFeed:
        from taper.run.shm_feed import ShmFeed  # only for such dumps

        return ShmFeed(self._reactor, self._patience, self._make_lane("shm"))

    def pushed(self, filename: str, device: IAsyncDevice) -> IFeed:
        from taper.run.straight_feeds import PushedFeed  # only for devices with a mover

        return PushedFeed(self._reactor, filename, device, self._make_lane("pushed"))

    def pushed_shm(self, device: IAsyncDevice) -> IPlannedFeed:
        from taper.run.pushed_shm import PushedShmFeed  # only for devices with a mover

        lane = self._make_lane("pushed shm")
        return PushedShmFeed(self._reactor, self._patience, device, lane)

    def directtcp(self, command: PortWrite, device: IAsyncDevice) -> IFeed:
        from taper.run.resolving import find_callers  # these only for such dumps
        from taper.run.straight_feeds import DirectTCPFeed

        def find(warn: Callable[[str], None]) -> Coroutine[Deferred[Any], Any, Callers]:
            lane = self._make_lane("resolver")
            return find_callers(self._reactor, command.hostname, lane, warn)

        substitute = None
        if command.data_path == "DIRECTTCP" and self._config is not None:
            substitute = self._look_up_header(command, self._config)
        return DirectTCPFeed(
            self._reactor,
            device,
            self._patience,
            self._make_lane("directtcp"),
            one_address=command.data_path != "DIRECTTCP",
            substitute=substitute,
            silence=header_silence(self._config),
            find=find,
        )

    def _look_up_header(self, command: PortWrite, config: Config) -> Callable[[], Deferred[Header]]:
        from taper.run.substitute import make_header

        return lambda: self._look.call(make_header, command, config)

    def directory_facts(self, directory: str) -> Deferred[DirectoryFacts]:
        return self._look.call(look_at_directory, directory)
