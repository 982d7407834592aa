"""The IndirectTCP conversation on Twisted transports, from either end [ndmp 2]."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.protocol import connectionDone as _connection_done

from protocols.directtcp import Address, AddressError, AnswerReader, format_answer

if TYPE_CHECKING:
    from twisted.python.failure import Failure

LOOPBACK = "127.0.0.1"

MOST_ASKERS = 32
"""Consumers that are attended to at a time."""

Admits = Callable[[tuple[str, int], tuple[str, int]], bool]


class IndirectError(Exception):
    """The real addresses could not be had.

    :ivar text: why.
    """

    taper_code = 6004

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


# Asking


class _Asker(Protocol):
    """Reads the answer to its end."""

    def __init__(self, resolution: _Resolution) -> None:
        self._resolution = resolution
        self._reader = AnswerReader()

    def dataReceived(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except AddressError as fault:
            self._resolution.fail(str(fault))

    def connectionLost(self, reason: Failure = _connection_done) -> None:
        if reason.check(ConnectionDone) is None:
            self._resolution.fail(f"the connection broke: {reason.getErrorMessage()}")
            return
        try:
            addresses = self._reader.finish()
        except AddressError as fault:
            self._resolution.fail(str(fault))
        else:
            self._resolution.succeed(addresses)


class _Resolution(ClientFactory):
    """One question and its answer."""

    noisy = False

    def __init__(self, reactor: Any, port: int, timeout: float | None) -> None:
        self._where = f"{LOOPBACK}:{port}"
        self.done: Deferred[tuple[Address, ...]] = Deferred(lambda _: self._hang_up())
        self._over = False
        self._timeout = timeout
        self._deadline = None if timeout is None else reactor.callLater(timeout, self._too_late)
        self._connector = reactor.connectTCP(LOOPBACK, port, self, timeout=timeout or 30)

    def buildProtocol(self, addr: Any) -> Protocol:
        return _Asker(self)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.fail(f"cannot connect: {reason.getErrorMessage()}")

    def succeed(self, addresses: tuple[Address, ...]) -> None:
        if not self._over:
            self._over = True
            self._settle()
            self.done.callback(addresses)

    def fail(self, text: str) -> None:
        if not self._over:
            self._hang_up()
            self.done.errback(IndirectError(f"asking {self._where} for an address: {text}"))

    def _too_late(self) -> None:
        self.fail(f"no answer in {self._timeout:g} s")

    def _settle(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def _hang_up(self) -> None:
        self._settle()
        self._over = True  # hanging up is told to us as a failure
        self._connector.disconnect()


def resolve(
    reactor: Any, addresses: tuple[Address, ...], timeout: float | None
) -> Deferred[tuple[Address, ...]]:
    """The addresses to connect to: those given, or what the port of an indirect one answers.

    The answer comes when the header is on the volume, so it may take as long as a volume takes.

    :param timeout: seconds for connecting and for the whole answer; None: as long as it takes
    :return: fails with :class:`IndirectError`
    """
    indirect = next((address for address in addresses if address.is_indirect), None)
    if indirect is None:
        return succeed(addresses)
    return _Resolution(reactor, indirect.port, timeout).done


# Answering


class _Asked(Protocol):
    """Somebody who asks; what he says is ignored."""

    def __init__(self, listener: IndirectListener) -> None:
        self._listener = listener
        self.told = False

    def connectionMade(self) -> None:
        self._listener.came(self)

    def connectionLost(self, reason: Failure = _connection_done) -> None:
        self._listener.left(self, well=reason.check(ConnectionDone) is not None)

    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """IP address and port of who asks, and ours."""
        assert self.transport is not None
        peer, ours = self.transport.getPeer(), self.transport.getHost()
        return (peer.host, peer.port), (ours.host, ours.port)  # type: ignore[attr-defined]

    def tell(self, answer: bytes) -> None:
        """Say it all and hang up."""
        assert self.transport is not None
        self.told = True
        self.transport.write(answer)
        self.transport.loseConnection()

    def refuse(self) -> None:
        """Hang up at once."""
        assert self.transport is not None
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def finish(self) -> None:
        """Hang up at once on who was told nothing."""
        if not self.told:
            self.refuse()


class IndirectListener:
    """Answers consumers, on the loopback address, with the real addresses.

    Who only looks in, or asks and goes, takes the answer from nobody: all who may ask are told,
    until the listener is closed.

    :param admits: whether a connection from the first address to the second may ask; both are
        pairs of IP address and port
    :ivar port: what to advertise, with :data:`protocols.directtcp.INDIRECT_HOST`.
    :ivar asked: fires with None when somebody asks, at once or later; cancelling it closes.
    """

    def __init__(self, reactor: Any, admits: Admits) -> None:
        """:raise CannotListenError: no port is to be had (:mod:`twisted.internet.error`)"""
        self.asked: Deferred[None] = Deferred(lambda _: self.close())
        self._admits = admits
        self._askers: list[_Asked] = []
        self._answer: bytes | None = None
        self._told: Deferred[None] | None = None
        self._done = False
        factory = Factory.forProtocol(lambda: _Asked(self))
        factory.noisy = False
        self._listening = reactor.listenTCP(0, factory, backlog=MOST_ASKERS, interface=LOOPBACK)
        self.port: int = self._listening.getHost().port

    def answer(self, addresses: tuple[Address, ...]) -> Deferred[None]:
        """Tell whoever asks or will ask; once.

        :return: fires when the first was told; cancelling it closes
        """
        if self._answer is not None:
            raise ValueError("an IndirectTCP listener has one answer")
        if not addresses:
            raise ValueError("an IndirectTCP answer needs an address")
        self._answer = format_answer(addresses)
        told = self._told = Deferred[None](lambda _: self.close())
        for asker in self._askers:
            asker.tell(self._answer)
        return told

    def close(self) -> None:
        """Stop listening, and hang up on who waits; what has not fired will not fire."""
        if self._done:
            return
        self._done = True
        self._listening.stopListening()
        for asker in list(self._askers):
            asker.finish()

    # from the connections

    def came(self, asker: _Asked) -> None:
        """Somebody connected."""
        if self._done or len(self._askers) >= MOST_ASKERS or not self._admits(*asker.ends()):
            asker.refuse()
            return
        self._askers.append(asker)
        if self._answer is not None:
            asker.tell(self._answer)
        if not self.asked.called:
            self.asked.callback(None)

    def left(self, asker: _Asked, *, well: bool) -> None:
        """A connection ended. :param well: not broken"""
        if asker not in self._askers:
            return
        self._askers.remove(asker)
        told = self._told
        if asker.told and well and told is not None and not told.called and not self._done:
            told.callback(None)
