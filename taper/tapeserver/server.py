"""The server: its drives, its robots, and the sessions of its clients."""

from __future__ import annotations

import platform
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from attrs import field, frozen
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from devices.lane import Lane
from protocols.directtcp import Address
from protocols.ndmp.codes import CONNECTION_ADDRESSES
from protocols.ndmp.structs import CHALLENGE_SIZE
from protocols.ndmp_server.interfaces import Channel, Identity, Robot
from protocols.ndmp_server.profile import CONFORMING, Profile
from protocols.ndmp_server.session import Session
from taper import __version__
from taper.tapeserver.connection import Connection
from taper.tapeserver.drive import TapeDrive
from taper.tapeserver.listener import DataListener, DataTerms, connect, is_in

if TYPE_CHECKING:
    from devices.callers import Network

MOST_SESSIONS = 32
"""At a time."""
LOGIN_PATIENCE = 30.0
"""Seconds from a connection to its login."""
_BACKLOG = 50
log = Logger()


@frozen
class Terms:
    """Who may do what.

    :ivar accounts: passwords by user.
    :ivar anybody: a client that says no name and no password is let in.
    :ivar networks: from which clients may call; empty: all.
    :ivar ipv6: data connections may be by IPv6, for clients that choose that extension.
    """

    accounts: Mapping[str, str]
    anybody: bool = False
    networks: tuple[Network, ...] = ()
    data: DataTerms = field(factory=DataTerms)
    ipv6: bool = False
    login_patience: float | None = field(factory=lambda: LOGIN_PATIENCE)


class TapeServer:
    """See :class:`protocols.ndmp_server.interfaces.House`.

    :ivar sessions: those that are open.
    :param lanes: to be stopped with the drives' own ones
    """

    session_class: type[Session] = Session

    def __init__(
        self,
        reactor: Any,
        terms: Terms,
        drives: Mapping[str, TapeDrive],
        robots: Mapping[str, Robot] | None = None,
        profile: Profile = CONFORMING,
        *,
        lanes: Sequence[Lane] = (),
    ) -> None:
        self.reactor: Any = reactor
        self.terms = terms
        self.drives = dict(drives)
        self.robots = dict(robots or {})
        self.profile = profile
        self.identity = Identity(
            hostname=socket.gethostname(),
            os_type=platform.system(),
            os_version=platform.release(),
            vendor="TAPER",
            product="taper ndmp-tape",
            revision=__version__,
        )
        self.sessions: list[Session] = []
        self._connections: list[Connection] = []
        self._count = 0
        self._port: IListeningPort | None = None
        self._caller = Lane(self.reactor, "data connections")
        self._lanes = [self._caller, *lanes]
        self._stories: set[Deferred[None]] = set()

    # life

    def start(
        self, port: int = 0, host: str = "127.0.0.1", link: socket.socket | None = None
    ) -> int:
        """Listen.

        :param link: a socket that listens already, and is taken over; None: there is none
        :return: the port
        """
        factory = ServerFactory()
        factory.buildProtocol = self._connection  # type: ignore[method-assign,assignment]
        factory.noisy = False
        if link is None:
            self._port = self.reactor.listenTCP(port, factory, _BACKLOG, host)
        else:
            with link:  # the reactor has one of its own
                self._port = self.reactor.adoptStreamPort(link.fileno(), link.family, factory)
        return self.port

    @property
    def port(self) -> int:
        assert self._port is not None, "not started"
        return int(cast("Address", self._port.getHost()).port)

    def stop(self) -> Deferred[object]:
        """Listen no more, end every session with a reset, let every drive come to rest."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        for session in list(self.sessions):
            session.drop(reset=True)
        while self._connections:
            await self._connections[0].over
        while self._stories:
            await gatherResults([_watched(story) for story in self._stories])
        lanes = [*self._lanes, *(drive.lane for drive in self.drives.values())]
        await gatherResults([lane.stop() for lane in lanes])

    def _connection(self, peer: Any) -> Connection | None:
        if self.terms.networks and not is_in(peer.host, self.terms.networks):
            log.warn("connection from {host} refused: not among the clients", host=peer.host)
            return None
        if len(self._connections) >= MOST_SESSIONS:
            log.warn(
                "connection from {host} refused: {most} are open",
                host=peer.host,
                most=MOST_SESSIONS,
            )
            return None
        connection = Connection(self)
        self._connections.append(connection)
        return connection

    def make_session(self, connection: Connection, host: str) -> Session:
        """The session of a new connection."""
        self._count += 1
        session = self.session_class(
            self,
            self._count,
            self.profile,
            host=host,
            write=connection.say,
            hang_up=connection.hang_up,
            drained=connection.more,
        )
        self.sessions.append(session)
        return session

    def connection_over(self, connection: Connection, session: Session | None) -> None:
        """A control connection is gone."""
        self._connections.remove(connection)
        if session is not None:
            self.sessions.remove(session)
            session.ended()

    def failed(self, failure: Failure) -> None:
        """The server itself has a fault; the session that met it is in an unknown state."""
        log.failure("a session failed", failure)

    # House

    @property
    def anybody(self) -> bool:
        return self.terms.anybody

    def now(self) -> int:
        return int(time.time())

    def challenge(self) -> bytes:
        return secrets.token_bytes(CHALLENGE_SIZE)

    def password_of(self, name: str) -> str | None:
        return self.terms.accounts.get(name)

    def spawn(self, story: Coroutine[Any, Any, None]) -> None:
        running = Deferred.fromCoroutine(story)
        self._stories.add(running)

        def over(result: object) -> None:
            self._stories.discard(running)
            if isinstance(result, Failure):
                self.failed(result)

        running.addBoth(over)

    @property
    def extensions(self) -> Mapping[int, tuple[int, ...]]:
        return {CONNECTION_ADDRESSES: (1,)} if self.terms.ipv6 else {}

    def listen(
        self, host: str, came: Callable[[Channel | None], None], *, ipv6: bool = False
    ) -> DataListener:
        return DataListener(self.reactor, host, self.terms.data, came, ipv6=ipv6)

    def told_addresses(self, address: Address, version: int) -> tuple[Address, ...]:
        return (address,)

    def connect(self, addresses: Sequence[Address]) -> Deferred[Channel]:
        return self._caller.call_owning(Channel.close, connect, addresses, self.terms.data)


def _watched(story: Deferred[None]) -> Deferred[None]:
    """Fires when the story is over, and leaves its result alone."""
    seen: Deferred[None] = Deferred()

    def tell(result: object) -> object:
        seen.callback(None)
        return result

    story.addBoth(tell)
    return seen
