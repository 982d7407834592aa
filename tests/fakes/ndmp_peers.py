"""Both ends of an NDMP conversation for tests: servers of ours, sessions to them, raw sockets."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.codes import MoverMode, TapeMode
from protocols.twisted_transports.ndmp import NdmpSession, connect_session
from tests.fakes.ndmp_server import LENIENT, Medium, NdmpServer, Profile

TIMEOUT = 20.0
RECORD = 1024


class Peer(Protocol):
    """The other end of a data connection.

    :ivar received: all bytes that came.
    :ivar ended: fires when the connection is over: True if it ended cleanly.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended: Deferred[bool] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.check(ConnectionDone) is not None)

    def send(self, data: bytes) -> None:
        self._tcp.write(data)

    def finish(self) -> None:
        self._tcp.loseConnection()

    def reset(self) -> None:
        self._tcp.abortConnection()

    @property
    def _tcp(self) -> Any:
        return self.transport


async def call(address: Address) -> Peer:
    """Connect to a mover that listens."""
    endpoint = TCP4ClientEndpoint(cast(Any, reactor), address.host, address.port)
    return cast(Peer, await connectProtocol(endpoint, Peer()))


class Conversation:
    """A server with tapes ``t0``, ``t1``, ..., and sessions to it."""

    def __init__(self, profile: Profile = LENIENT, *tapes: Medium) -> None:
        self.tapes = tapes or (Medium(), Medium())
        drives = {f"t{number}": tape for number, tape in enumerate(self.tapes)}
        self.server = NdmpServer(cast(Any, reactor), drives, profile)
        self.server.start()
        self._sessions: list[NdmpSession] = []

    async def session(
        self, *, auth: str = "md5", versions: tuple[int, ...] = (4, 3, 2), timeout: float = TIMEOUT
    ) -> NdmpSession:
        """A session that is logged in."""
        session = await connect_session(
            reactor,
            "127.0.0.1",
            self.server.port,
            username="ndmp",
            password="ndmp",
            auth=auth,
            versions=versions,
            timeout=timeout,
        )
        self._sessions.append(session)
        return session

    async def end(self) -> None:
        """End all; the server itself must have had no fault."""
        for session in self._sessions:
            await session.close()
        await self.server.stop()
        assert self.server.failures == []


async def listening(
    session: NdmpSession,
    *,
    mode: MoverMode = MoverMode.READ,
    window: tuple[int, int] | None = (0, 0),
    device: str = "t0",
) -> Peer:
    """Open the drive, let the mover listen, and connect to it."""
    await session.request(m.TapeOpen(device=device, mode=TapeMode.RAW))
    await session.request(m.MoverSetRecordSize(size=RECORD))
    if window is not None:
        await session.request(m.MoverSetWindow(offset=window[0], length=window[1]))
    reply = await session.request(m.MoverListen(mode=mode))
    return await call(reply.address.addresses[0])
