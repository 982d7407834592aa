"""A dump by DirectTCP whose application meets us before it sends (PORT-WRITE).

Phase one brings the header, phase two the data: the application is sent to a device, or to us, when
that is ready for it, and again whenever the data connection breaks or the next device is another
one. What both say is :mod:`protocols.rendezvous`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from devices.callers import Verdict
from devices.door import judge_addresses
from protocols.crc import UNKNOWN, Crc
from protocols.header import parse_header
from protocols.rendezvous.frames import HeaderBlock, HeaderFields, Outcome
from protocols.rendezvous.times import STORED_SECONDS
from taper.core.errors import DeviceFault, SourceFault
from taper.core.interfaces import IToldOrigin, Offer
from taper.core.outcome import Verdict as Fate
from taper.core.splitting import MIN_BUFFER_BLOCKS
from taper.flow.headers import HeaderPort
from taper.flow.interfaces import IMoverOrigin
from taper.flow.made_header import make_header
from taper.flow.rendezvous.feeding import Feeding
from taper.flow.rendezvous.link import Lobby
from taper.flow.rendezvous.meeting import Meeting, Names
from taper.flow.rendezvous.ports import open_ports
from taper.flow.rendezvous.sender import ApplicationSender
from taper.flow.rendezvous.source import ResumingSource
from taper.flow.resolving import find_callers
from taper.plane.transfer import RING_SIZE

if TYPE_CHECKING:
    import socket

    from devices.callers import Callers, Where
    from protocols.driver.commands import PortWrite
    from protocols.header import Header
    from taper.core.splitting import SplitPlan
    from taper.flow.interfaces import FlowContext
    from taper.flow.rendezvous.terms import Terms
    from taper.plane.interfaces import ISource

_OUTCOMES = {
    Fate.DONE: Outcome.GOOD,
    Fate.PARTIAL: Outcome.PARTIAL,
    Fate.FAILED: Outcome.FAILED,
}

_log = logging.getLogger(__name__)


def prepare(terms: Terms) -> None:
    """Import what a rendezvous on these terms needs besides. Blocks."""
    if terms.tls is not None:
        importlib.import_module("taper.flow.rendezvous.tls")  # brings pyOpenSSL


@implementer(IMoverOrigin, IToldOrigin)
class RendezvousOrigin:
    """An application that is sent to whoever takes the dump.

    What was sent can be sent again as far as the application keeps it, which is what it does with
    all that is not stored.
    """

    reads_again = True
    result_follows = True

    def __init__(self, context: FlowContext, command: PortWrite, terms: Terms) -> None:
        self._context = context
        self._command = command
        self._terms = terms
        self._warnings: list[str] = []
        names = Names(command.hostname, command.diskname, command.level)
        self._meeting = Meeting(context.reactor, names, context.patience)
        self._callers: Callers | None = None
        self._meeting.asked = self._asked
        self._lobby = Lobby(context.reactor, terms.key, self._meeting, self._refuses)
        self._ports: list[Any] = []
        self._finding: Deferred[None] | None = None
        self._header: HeaderPort | None = None
        self._feeding: Feeding | None = None
        self._sender: ApplicationSender | None = None
        self._progress: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._ticking: Any = None
        self._retired: list[Feeding] = []
        self._padding = self._least_window = 0
        self._judged = False
        self._closed = False

    @property
    def remark(self) -> str | None:
        return "; ".join(self._warnings) or None

    def find(self) -> Deferred[tuple[str, ...]]:
        return succeed(())

    # where the application is told to come

    def offer(self, plan: SplitPlan) -> Deferred[Offer | None]:
        # what a device may want to have before it begins, which nobody calls written then
        self._least_window = max(plan.buffer_size, RING_SIZE) + MIN_BUFFER_BLOCKS * plan.block_size
        return Deferred.fromCoroutine(self._offer())

    async def _offer(self) -> Offer:
        try:
            self._header = HeaderPort(self._context.reactor, self._context.patience)
        except OSError as fault:
            raise DeviceFault(f"cannot listen on localhost: {fault.strerror}") from fault
        terms = self._terms
        try:
            listeners, addresses = open_ports(terms.hosts, terms.ports)
        except OSError as fault:
            text = f"cannot listen on {', '.join(terms.hosts)}: {fault.strerror}"
            raise DeviceFault(text) from fault
        self._take_in(listeners)
        return Offer(self._header.port, tuple(map(str, addresses)))

    def _take_in(self, listeners: list[socket.socket]) -> None:
        """Listen; whoever comes before it is known who may waits at the door."""
        factory = self._factory()
        for listener in listeners:
            self._ports.append(
                self._context.reactor.adoptStreamPort(listener.fileno(), listener.family, factory)
            )
            self._ports[-1].stopReading()
            listener.close()  # the port has a descriptor of its own
        finding = Deferred.fromCoroutine(self._find_callers())
        if not finding.called:
            self._finding = finding
        finding.addErrback(self._no_callers)

    def _factory(self) -> Any:
        """What a port leads to."""
        if self._terms.tls is None:
            return self._lobby
        from taper.flow.rendezvous.tls import by_tls  # see prepare()

        return by_tls(self._context.reactor, self._terms.tls, self._lobby)

    async def _find_callers(self) -> None:
        context = self._context
        found = await find_callers(
            context.reactor,
            self._command.hostname,
            context.make_lane("resolver"),
            self._warnings.append,
        )
        self._finding = None
        self._callers = evolve(found, networks=found.networks + self._terms.networks)
        for port in self._ports:
            port.startReading()

    def _no_callers(self, failure: Any) -> None:
        self._finding = None
        if not self._closed:
            _log.error("nobody can come to the rendezvous: %s", failure.getErrorMessage())

    def _refuses(self, caller: Where, ours: Where) -> str | None:
        assert self._callers is not None, "nobody is taken in before they are known"
        verdict, who = judge_addresses(self._callers, caller, ours)
        return None if verdict is Verdict.ADMITTED else f"refused, it is from {who}"

    # phase one

    def header(self) -> Deferred[Header]:
        return Deferred.fromCoroutine(self._await_header())

    async def _await_header(self) -> Header:
        """The dumper's or the application's, whichever comes first; and no volume is spent before
        the application is there."""
        port, meeting = self._header, self._meeting
        assert port is not None, "the offer comes first"
        wanted = port.header()
        told = meeting.when(lambda: meeting.header is not None)
        told.addCallback(lambda _: self._make_header()).addCallbacks(port.take, port.refuse)
        try:
            header = await wanted
        finally:
            told.cancel()
        meeting.wait_at_most(self._context.patience)
        await meeting.when(lambda: meeting.host is not None)
        if meeting.window < self._least_window:
            raise SourceFault(
                f"the application can keep {meeting.window} bytes for a second time, at least "
                f"{self._least_window} are needed here: see its property RENDEZVOUS-WINDOW",
                code=6007,
            )
        return header

    def _make_header(self) -> Header | Deferred[Header]:
        told = self._meeting.header
        if isinstance(told, HeaderBlock):
            return parse_header(told.block)
        assert isinstance(told, HeaderFields)
        config, fields = self._context.config, dict(told.fields)
        making = self._context.look(make_header, self._command, config)
        return making.addCallback(_compared, fields)

    # phase two

    def ready(self) -> Deferred[None]:
        return succeed(None)  # whoever reads first sends for the data

    def source(self, position: int = 0) -> ISource:
        self._retire()
        self._sender = None
        self._feeding = feeding = Feeding(self._context, self._meeting, self._terms)
        context = self._context
        return ResumingSource(
            context.reactor, feeding.next, lambda: self._meeting.sent, context.patience, position
        )

    def own_sender(self, block_size: int, done: Crc = UNKNOWN) -> ApplicationSender:
        self._padding = block_size
        context = self._context
        self._sender = ApplicationSender(
            context.reactor,
            self._meeting,
            done,
            context.patience,
            begin=self._retire,
            acknowledge=self._tell,
        )
        return self._sender

    def _retire(self) -> None:
        """Whoever had the data until now sends for no more: another one is about to."""
        feeding, self._feeding = self._feeding, None
        if feeding is not None:
            feeding.retire()
            self._retired.append(feeding)

    def judge(self, read: Callable[[], Crc]) -> list[str]:
        total, found = self._meeting.total, read()
        if self._judged or total is None or found.size != total or found == self._meeting.crc:
            return []
        self._judged = True
        return [f"source server crc ({found}) and application crc ({self._meeting.crc}) differ"]

    def failed(self) -> None:
        """The application hears of it with the result."""

    # what the application is told

    def follow(
        self, progress: Callable[[], tuple[int, int]], interrupt: Callable[[str], None]
    ) -> None:
        self._progress = progress
        self._meeting.alarm = interrupt
        if self._ticking is None:
            self._tick()

    def _tick(self) -> None:
        self._ticking = self._context.reactor.callLater(STORED_SECONDS, self._tick)
        self.tell_progress()

    def tell_progress(self) -> None:
        self._tell(*self._progress())

    def _tell(self, stored: int, written: int) -> None:
        """Never more than the application has: a mover fills up its last record."""
        if self._meeting.total is None:
            stored, written = (max(size - self._padding, 0) for size in (stored, written))
        self._meeting.stored(stored, written)

    def _asked(self) -> None:
        """The application is about to be short of room."""
        self.tell_progress()
        if self._sender is not None:
            self._sender.wants_progress()  # a mover has to be asked for it

    def tell_end(self, fate: Fate, crc: Crc, size: int, text: str) -> None:
        self._stop_ticking()
        self._meeting.result(_OUTCOMES[fate], crc, size, text)

    def _stop_ticking(self) -> None:
        ticking, self._ticking = self._ticking, None
        if ticking is not None and ticking.active():
            ticking.cancel()

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._closed = True
        self._stop_ticking()
        finding, self._finding = self._finding, None
        if finding is not None:
            finding.cancel()
        if self._header is not None:
            self._header.close()
        self._retire()
        retired, self._retired = self._retired, []
        self._meeting.result(Outcome.FAILED, UNKNOWN, 0, "the dump was given up")  # if not told
        self._meeting.close()
        ports, self._ports = self._ports, []
        for port in ports:
            await port.stopListening()
        for feeding in retired:
            await feeding.close()
        await self._lobby.close()


def _compared(header: Header, fields: dict[str, str]) -> Header:
    """What we made of the configuration, if the application says the same."""
    for what, ours in (
        ("program", header.program),
        ("application", header.application),
    ):
        told = fields.get(what, ours)
        if told != ours:
            raise SourceFault(
                f"the application says that the dump's {what} is '{told}', "
                f"the configuration that it is '{ours}'",
                code=4002,
            )
    return header
