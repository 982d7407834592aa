"""The server: its drives, its sessions, and what tests may see and do."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, cast

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure

from protocols.directtcp import Address
from protocols.ndmp import messages as m
from tests.fakes.medium import Medium
from tests.fakes.ndmp_server.drives import Drive, Robot
from tests.fakes.ndmp_server.faults import Faults
from tests.fakes.ndmp_server.profile import LENIENT, Profile
from tests.fakes.ndmp_server.session import Session


@frozen
class Noted:
    """One line of what happened: a request and its error, a post, or a fault.

    :ivar session: number of the session.
    :ivar what: the request, the post, or a text.
    :ivar result: name of the error, ``NO_ERR``, or a text; of a post ``posted``.
    """

    session: int
    what: Any
    result: str

    @property
    def label(self) -> str:
        """The request's label, or the text."""
        return self.what if isinstance(self.what, str) else self.what.label

    def __str__(self) -> str:
        shown = self.what if isinstance(self.what, str) else _shown(self.what)
        return f"{self.session} {shown} {self.result}".rstrip()


def _shown(request: Any) -> str:
    """A request without the contents of its records."""
    values = []
    for name in request.fields:
        value = getattr(request, name)
        values.append(f"{name}={f'{len(value)} bytes' if isinstance(value, bytes) else value!r}")
    return f"{request.label}({', '.join(values)})"


class NdmpServer:
    """An NDMP tape server on real TCP.

    :ivar drives: device name to drive.
    :ivar robots: device name to changer.
    :ivar faults: plant them here.
    :ivar noted: everything that was asked, in order, at most ``history``; without written bytes.
    :ivar sessions: those that are open.
    :ivar failures: faults of the server itself, of which a good test has none.
    :ivar say_before: addresses that MOVER_LISTEN says before its own, in version 4.
    :ivar say_after: and behind it.
    :param username: with ``password`` None anybody may log in, without a password.
    """

    history = 100_000

    def __init__(
        self,
        reactor: IReactorTCP,
        drives: Mapping[str, Drive | Medium] | None = None,
        profile: Profile = LENIENT,
        *,
        robots: Mapping[str, Robot] | None = None,
        username: str = "ndmp",
        password: str | None = "ndmp",
        now: Callable[[], int] = lambda: 1,
        transcript: io.TextIOBase | None = None,
    ) -> None:
        self.reactor = reactor
        self.clock = cast("IReactorTime", reactor)
        self.profile = profile
        self.drives = {
            name: Drive(drive) if isinstance(drive, Medium) else drive
            for name, drive in (drives or {}).items()
        }
        self.robots = dict(robots or {})
        self.username = username
        self.password = password
        self.now = now
        self.faults = Faults()
        self.noted: list[Noted] = []
        self.sessions: list[Session] = []
        self.failures: list[Failure] = []
        self.say_before: tuple[Address, ...] = ()
        self.say_after: tuple[Address, ...] = ()
        self._transcript = transcript
        self._count = 0
        self._port: IListeningPort | None = None

    # life

    def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Listen. :return: the port"""
        factory = ServerFactory()
        factory.buildProtocol = self._session  # type: ignore[method-assign,assignment]
        factory.noisy = False
        self._port = self.reactor.listenTCP(port, factory, 50, host)
        return self.port

    @property
    def port(self) -> int:
        assert self._port is not None, "not started"
        return int(cast("Address", self._port.getHost()).port)

    def url(self, device: str) -> str:
        """The Amanda device name of a drive."""
        return f"ndmp:127.0.0.1:{self.port}@{device}"

    def stop(self) -> Deferred[object]:
        """Listen no more, end every session with a reset."""
        for session in list(self.sessions):
            session.drop(reset=True)
        port, self._port = self._port, None
        return maybeDeferred(port.stopListening if port is not None else lambda: None)

    def _session(self, peer: object) -> Session:
        self._count += 1
        session = Session(self, self._count)
        self.sessions.append(session)
        return session

    def session_ended(self, session: Session) -> None:
        """A control connection is gone."""
        self.sessions.remove(session)

    # what tests see and do

    def note(self, session: Session, what: Any, result: str) -> None:
        """Keep what happened, for the test and the transcript."""
        noted = Noted(session.number, what, result)
        if len(self.noted) < self.history:
            written = isinstance(what, m.TapeWrite)
            self.noted.append(evolve(noted, what=what.evolve(data=b"")) if written else noted)
        if self._transcript is not None:
            self._transcript.write(f"{noted}\n")
            self._transcript.flush()

    def labels(self) -> list[str]:
        """The labels of all requests, in order."""
        return [noted.label for noted in self.noted if isinstance(noted.what, m.Request)]

    def posts(self) -> list[m.Post]:
        """All posts, in order; greetings and log lines are not among them."""
        boring = (m.NotifyConnectionStatus, m.LogMessage, m.LogLog)
        return [
            noted.what
            for noted in self.noted
            if isinstance(noted.what, m.Post) and not isinstance(noted.what, boring)
        ]

    @property
    def mover_session(self) -> Session | None:
        """The session whose mover is not idle, the newest one; None: none."""
        busy = [session for session in self.sessions if session.mover.state]
        return busy[-1] if busy else None

    def unlock(self, device: str) -> None:
        """Free a drive that a lost session has left busy."""
        self.drives[device].user = None

    def unload(self, drive: Drive) -> None:
        """The tape leaves the drive; in a changer it waits there to be fetched."""
        if drive.medium is not None:
            drive.medium.rewind()
        if not any(drive in robot.drives for robot in self.robots.values()):
            drive.medium = None
