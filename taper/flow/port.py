"""Dumps whose dumper delivers the header on a port of ours (PORT-WRITE; [data-plane 4.2])."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.door import peer
from taper.core.errors import DeviceFault, SourceFault
from taper.core.interfaces import IOrigin, IUndecidedOrigin, Offer
from taper.flow.headers import HeaderPort, MakeHeader
from taper.flow.interfaces import IBlockOrigin, IConnectingOrigin
from taper.flow.listeners import OneShotListener
from taper.plane.sources import SocketSource

if TYPE_CHECKING:
    from devices.callers import Callers
    from protocols.conf import Config
    from protocols.crc import Crc
    from protocols.directtcp import Address
    from protocols.driver.commands import PortWrite
    from protocols.header import Header
    from taper.core.interfaces import IClerk
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext
    from taper.plane.interfaces import ISource

_log = logging.getLogger(__name__)

HEADER_SILENCE = 3.0


@implementer(IConnectingOrigin)
class ClientOrigin:
    """A client that connects to the device by itself; only the header comes to us.

    :param host: the dump's, from which alone its data may come
    :param make: makes a header where a dumper sends none; None: it must come
    :param silence: seconds to wait for it once the client has begun
    """

    reads_again = False
    result_follows = True
    most_addresses: int | None = None

    def __init__(
        self,
        context: FlowContext,
        host: str,
        make: MakeHeader | None = None,
        silence: float = HEADER_SILENCE,
    ) -> None:
        self._context = context
        self._host = host
        self._warnings: list[str] = []
        self._make = make
        self._silence = silence
        self._header: HeaderPort | None = None
        self._began: Deferred[None] = Deferred(lambda _: None)

    @property
    def remark(self) -> str | None:
        of_header = None if self._header is None else self._header.remark
        return "; ".join([*self._warnings, *([of_header] if of_header else [])]) or None

    def find(self) -> Deferred[tuple[str, ...]]:
        return succeed(())

    def _listen_for_header(self) -> HeaderPort:
        try:
            self._header = HeaderPort(self._context.reactor, self._context.patience)
        except OSError as fault:
            raise DeviceFault(f"cannot listen on localhost: {fault.strerror}") from fault
        return self._header

    async def callers(self) -> Callers:
        from taper.flow.resolving import find_callers  # only for who connects to a device

        lane = self._context.make_lane("resolver")
        return await find_callers(self._context.reactor, self._host, lane, self._warnings.append)

    def offer_at(self, addresses: tuple[Address, ...]) -> Offer:
        port = self._listen_for_header().port
        return Offer(port, tuple(map(str, addresses[: self.most_addresses])))

    def began(self) -> None:
        self._began.callback(None)

    def header(self) -> Deferred[Header]:
        assert self._header is not None, "the offer comes first"
        return self._header.header(self._began, self._silence, self._make)

    def close(self) -> Deferred[None]:
        if self._header is not None:
            self._header.close()
        return succeed(None)


@implementer(IUndecidedOrigin)
class UndecidedOrigin(ClientOrigin):
    """A client whose application may know what a rendezvous is: its disk's dumptype tells.

    :param command: names the disk
    """

    def __init__(self, context: FlowContext, command: PortWrite, config: Config) -> None:
        def make() -> Deferred[Header]:
            from taper.flow.made_header import make_header  # only for a dumper that sends none

            return context.look(make_header, command, config)

        super().__init__(context, command.hostname, make, header_silence(config))
        self._command = command
        self._config = config

    def decide(self) -> Deferred[IOrigin]:
        return Deferred.fromCoroutine(self._decide())

    async def _decide(self) -> IOrigin:
        meets = await self._context.look(_rendezvous, self._command, self._config)
        return self if meets is None else meets(self._context)


def _rendezvous(command: PortWrite, config: Config) -> Callable[[FlowContext], IOrigin] | None:
    """What makes the rendezvous of a dump whose application asks for one. Blocks.

    What that needs is imported here too, as it takes longer than a turn of the reactor may.

    :raise SourceFault: none can be offered
    """
    from taper.flow.rendezvous.terms import NoRendezvous, find_terms

    try:
        terms = find_terms(command, config)
    except NoRendezvous as refusal:
        # an application that wants one cannot tell a device from a taper that has none
        raise SourceFault(f"no rendezvous can be offered: {refusal}") from refusal
    if terms is None:
        return None
    from taper.flow.rendezvous.origin import RendezvousOrigin, prepare

    prepare(terms)
    return lambda context: RendezvousOrigin(context, command, terms)


@implementer(IBlockOrigin, IConnectingOrigin)
class PortOrigin(ClientOrigin):
    """A dumper that connects by itself, to a port of ours or to the device.

    It understands one address only. The wait for its data is counted from the header on, since it
    connects for them only when its client delivers.
    """

    most_addresses = 1

    def __init__(self, context: FlowContext, host: str) -> None:
        super().__init__(context, host)
        self._data: OneShotListener | None = None
        self._connection: socket.socket | None = None

    def offer(self, plan: SplitPlan) -> Deferred[Offer | None]:
        return Deferred.fromCoroutine(self._offer())

    async def _offer(self) -> Offer:
        header = self._listen_for_header()
        try:
            self._data = OneShotListener(self._context.reactor)
        except OSError as fault:
            raise DeviceFault(f"cannot listen on localhost: {fault.strerror}") from fault
        self._data.accepted.addCallback(self._keep)
        return Offer(header.port, (self._data.address,))

    def _keep(self, connection: socket.socket) -> None:
        _log.info("the data come from %s", peer(connection))
        self._connection = connection

    def ready(self) -> Deferred[None]:
        assert self._data is not None, "offer() comes first"
        self._data.wait_at_most(self._context.patience)
        return self._data.accepted.addCallback(lambda _: None)

    def source(self, position: int = 0) -> ISource:
        connection, self._connection = self._connection, None
        assert connection is not None, "ready() comes first, and this once"
        return SocketSource(connection)

    def judge(self, read: Callable[[], Crc]) -> list[str]:
        return []

    def failed(self) -> None:
        """The connection is closed, whatever came."""

    def close(self) -> Deferred[None]:
        if self._data is not None:
            self._data.close()
            self._data.accepted.addErrback(lambda _: None)  # told, or wanted no more
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        return super().close()


def header_silence(config: Config | None) -> float:
    """Seconds after which a header is made for a dumper that sends none: property
    ``directtcp-header-wait`` of amanda.conf."""
    values = () if config is None else config.general.property.get("directtcp-header-wait", ())
    for text in values:
        if text.isascii() and text.isdigit() and len(text) < 6:
            return float(text)
    return HEADER_SILENCE


def from_port(
    context: FlowContext, command: PortWrite, clerk: Callable[[], IClerk]
) -> ClientOrigin | PortOrigin:
    """See :mod:`taper.flow.origins`."""
    if command.data_path != "DIRECTTCP":
        return PortOrigin(context, command.hostname)
    if context.config is None:
        return ClientOrigin(context, command.hostname)
    return UndecidedOrigin(context, command, context.config)
