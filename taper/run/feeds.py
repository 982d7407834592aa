"""Where dumps come from, on the reactor's side: holding files, a pair of ports."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from protocols.header import parse_header
from taper.core.interfaces import FeedError, IFeed, IFeeds, ITransfer, Offer
from taper.core.splitting import DirectoryFacts
from taper.plane.interfaces import SourceError
from taper.plane.sources import HoldingSource, SocketSource
from taper.plane.transfer import Transfer
from taper.run.listeners import OneShotListener, receive_all

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from devices.interfaces import IAsyncDevice, ILane, PartResult
    from protocols.crc import Crc
    from protocols.header import Header
    from taper.core.splitting import SplitPlan
    from taper.plane.interfaces import ISource

HEADER_LIMIT = 1024 * 1024
"""Bytes of a header that we take; a dumper sends 32768."""


@implementer(ITransfer)
class LaneTransfer:
    """A transfer of the data plane with the core's asynchronous face.

    :param lane: where its closing waits for the reader thread
    """

    def __init__(self, transfer: Transfer, lane: ILane) -> None:
        self._transfer = transfer
        self._lane = lane

    @property
    def bytes_written(self) -> int:
        return self._transfer.bytes_written

    def start(self) -> None:
        self._transfer.start()

    def write_part(self, device: IAsyncDevice, header: Header) -> Deferred[PartResult]:
        return device.run(self._transfer.write_part, header)

    def can_retry(self) -> bool:
        return self._transfer.can_retry()

    def take_errors(self) -> list[str]:
        return self._transfer.take_errors()

    def cancel(self, reason: str) -> None:
        self._transfer.cancel(reason)

    def close(self) -> Deferred[None]:
        return self._lane.call(self._transfer.close)

    def source_crc(self) -> Crc:
        return self._transfer.source_crc()

    def dest_crc(self) -> Crc:
        return self._transfer.dest_crc()


@implementer(IFeed)
class HoldingFeed:
    """A dump in holding files (data-plane 4.1).

    :param lane: of its own, for reading the header and closing
    """

    cache_inform = True
    result_follows = False

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

    def transfer(self, plan: SplitPlan) -> ITransfer:
        self._flowing = True
        return LaneTransfer(Transfer(self._source, plan), self._lane)

    def close(self) -> Deferred[None]:
        if not self._flowing:  # a transfer closes its source itself
            self._flowing = True
            self._lane.call(self._source.close)
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

    def __init__(self, reactor: Any, patience: float, lane: ILane) -> None:
        self._reactor = reactor
        self._patience = patience
        self._lane = lane
        self._header: OneShotListener | None = None
        self._data: OneShotListener | None = None
        self._connection: socket.socket | None = None
        self._flowing = False

    def offer(self) -> Deferred[Offer | None]:
        try:
            self._header = OneShotListener(self._reactor)
            self._data = OneShotListener(self._reactor)
        except OSError as fault:
            return fail(FeedError(f"cannot listen on localhost: {fault.strerror}", device=True))
        self._data.accepted.addCallback(self._keep)
        return succeed(Offer(self._header.port, (self._data.address,)))

    def _keep(self, connection: socket.socket) -> None:
        self._connection = connection

    def header(self) -> Deferred[Header]:
        assert self._header is not None, "offer() comes first"
        self._header.wait_at_most(self._patience)
        return self._header.accepted.addCallback(self._receive_header)

    def _receive_header(self, connection: socket.socket) -> Deferred[Header]:
        received = receive_all(self._reactor, connection, HEADER_LIMIT)
        # a dumper holds this connection while its client gets going, and gives up by dtimeout
        deadline = self._reactor.callLater(2 * self._patience, received.cancel)
        waited = received.addErrback(self._late, deadline).addBoth(_settle, deadline)
        return waited.addCallback(self._parse)

    @staticmethod
    def _late(failure: Any, deadline: Any) -> Any:
        if not deadline.active() and failure.check(FeedError) is None:
            raise FeedError("Timeout while waiting for the header")
        return failure

    @staticmethod
    def _parse(received: bytes) -> Header:
        if not received:
            raise FeedError("Got empty header")
        return parse_header(received)

    def ready(self) -> Deferred[None]:
        assert self._data is not None, "offer() comes first"
        self._data.wait_at_most(self._patience)
        return self._data.accepted.addCallback(lambda _: None)

    def transfer(self, plan: SplitPlan) -> ITransfer:
        assert self._connection is not None, "ready() comes first"
        self._flowing = True
        source: ISource = SocketSource(self._connection)
        return LaneTransfer(Transfer(source, plan), self._lane)

    def close(self) -> Deferred[None]:
        for listener in (self._header, self._data):
            if listener is not None:
                listener.close()
                listener.accepted.addErrback(lambda _: None)  # told, or wanted no more
        if self._connection is not None and not self._flowing:
            self._connection.close()
        return self._lane.stop()


def _settle(result: Any, deadline: Any) -> Any:
    if deadline.active():
        deadline.cancel()
    return result


def look_at_directory(path: str) -> DirectoryFacts:
    """Whether ``path`` is a directory, and bytes free in it for ordinary users; blocks."""
    if not os.path.isdir(path):
        return DirectoryFacts(exists=False)
    try:
        found = os.statvfs(path)
    except OSError:
        return DirectoryFacts(exists=True)
    return DirectoryFacts(exists=True, free=found.f_frsize * found.f_bavail)


@implementer(IFeeds)
class Feeds:
    """Makes the feeds of one process.

    :param make_lane: makes a lane from a name
    :param dtimeout: seconds to wait for a dumper
    """

    def __init__(
        self, reactor: Any, make_lane: Callable[[str], ILane], dtimeout: float, look: ILane
    ) -> None:
        self._reactor = reactor
        self._make_lane = make_lane
        self._patience = dtimeout + 1
        self._look = look

    def holding(self, filename: str) -> IFeed:
        return HoldingFeed(filename, self._make_lane("holding"))

    def port(self) -> IFeed:
        return PortFeed(self._reactor, self._patience, self._make_lane("port"))

    def directory_facts(self, directory: str) -> Deferred[DirectoryFacts]:
        return self._look.call(look_at_directory, directory)
