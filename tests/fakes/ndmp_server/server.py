"""The server: its drives, its sessions, and what tests may see and do."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any, cast

from attrs import evolve, frozen
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.python.failure import Failure

from devices.callers import Callers
from protocols.directtcp import Address
from protocols.ndmp import messages as m
from protocols.ndmp.codes import MoverState
from protocols.ndmp_server.interfaces import Identity
from taper.tapeserver.channel import DataChannel
from taper.tapeserver.listener import DataTerms
from taper.tapeserver.server import TapeServer, Terms
from tests.fakes.medium import Medium
from tests.fakes.ndmp_server.drives import Drive, Robot
from tests.fakes.ndmp_server.faults import BreakableChannel, Faults
from tests.fakes.ndmp_server.profile import LENIENT, Profile
from tests.fakes.ndmp_server.session import FaultySession

ANYBODY = (ip_network("0.0.0.0/0"), ip_network("::/0"))


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


class NdmpServer(TapeServer):
    """An NDMP tape server on real TCP: the product's, with faults, and with eyes.

    :ivar drives: device name to drive.
    :ivar robots: device name to changer.
    :ivar faults: plant them here.
    :ivar noted: everything that was asked, in order, at most ``history``; without written bytes.
    :ivar sessions: those that are open.
    :ivar failures: faults of the server itself, of which a good test has none.
    :ivar say_before: addresses that MOVER_LISTEN says before its own, in version 4.
    :ivar say_after: and behind it.
    :ivar on_the_way: is told where it listens, and says what it says instead.
    :param username: with ``password`` None anybody may log in, without a password.
    """

    history = 100_000
    session_class = FaultySession
    drives: dict[str, Drive]  # type: ignore[assignment]
    robots: dict[str, Robot]  # type: ignore[assignment]
    sessions: list[FaultySession]  # type: ignore[assignment]

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
        self.clock = cast("IReactorTime", reactor)
        made = {
            name: Drive(reactor, drive) if isinstance(drive, Medium) else drive
            for name, drive in (drives or {}).items()
        }
        data = DataTerms(Callers(networks=ANYBODY), channel=_make_channel)
        super().__init__(reactor, Terms({}, data=data, login_patience=None), made, robots, profile)
        self.identity = Identity(
            hostname="localhost",
            os_type="test",
            os_version="1",
            vendor="taper tests",
            product=f"{profile.name} NDMP server",
            revision="1",
        )
        self.username = username
        self.password = password
        self._now = now
        self.faults = Faults()
        self.noted: list[Noted] = []
        self.failures: list[Failure] = []
        self.say_before: tuple[Address, ...] = ()
        self.say_after: tuple[Address, ...] = ()
        self.on_the_way: Callable[[Address], Address] | None = None
        self._transcript = transcript

    # the house

    @property
    def anybody(self) -> bool:
        return self.password is None

    def now(self) -> int:
        return self._now()

    def challenge(self) -> bytes:
        # another one for each session, the same in each run
        return hashlib.sha512(str(self._count).encode()).digest()

    def password_of(self, name: str) -> str | None:
        return self.password if name == self.username else None

    def told_addresses(self, address: Address, version: int) -> tuple[Address, ...]:
        if self.on_the_way is not None:
            return (self.on_the_way(address),)
        if version < 4:  # there is room for one only
            return (address,)
        return (*self.say_before, address, *self.say_after)

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)

    # what tests see and do

    def url(self, device: str) -> str:
        """The Amanda device name of a drive."""
        return f"ndmp:127.0.0.1:{self.port}@{device}"

    def note(self, session: FaultySession, what: Any, result: str) -> None:
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
    def mover_session(self) -> FaultySession | None:
        """The session whose mover is not idle, the newest one; None: none."""
        busy = [session for session in self.sessions if session.mover.state is not MoverState.IDLE]
        return busy[-1] if busy else None

    def unlock(self, device: str) -> None:
        """Free a drive that a lost session has left busy."""
        self.drives[device].user = None


def _make_channel(link: Any, patience: float | None) -> DataChannel:
    return BreakableChannel(link, patience)
