"""The daemon's door: who has come, who waits, and who is let in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from typing import Protocol as Shape

from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from protocols.greeting import Greeting
    from taper.run.conversation import Conversation
    from taper.run.guest import Guest, Offer
    from taper.run.setup import Setup

BUSY = "this taper serves another driver"
ENDS = "this taper ends"
KEEPS = "this taper gives back the volume that it has kept"

log = Logger()


class IUsher(Shape):
    """Receives one driver."""

    @property
    def name(self) -> str:
        """Of the driver, for people."""

    def enter(self) -> None:
        """It is his turn."""

    def wait(self, reason: str) -> None:
        """It will be his turn."""

    def refuse(self, reason: str) -> None:
        """Say why he is not served."""

    def let_go(self, why: str) -> None:
        """Hang up on one of whom nobody knows what he wants."""


class Serving(Shape):
    """The service behind the door.

    :ivar opened_to_others: who could open the unix socket may drive us
    :ivar setup: for drivers who come by themselves; None: there are none
    """

    opened_to_others: bool

    @property
    def setup(self) -> Setup | None: ...

    def offer_for(self, greeting: Greeting, guest: Guest) -> Offer: ...

    def open_conversation(
        self, setup: Setup, refuse: Callable[[str], object] | None = None
    ) -> Conversation: ...

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any: ...

    def between(self) -> None:
        """Nobody is served just now."""

    def idle(self) -> None:
        """Nobody waits, either."""

    def make_way(self) -> Deferred[None] | None:
        """Let go of what is kept while nobody is served. :return: fires then; None: it is so"""

    def changed(self) -> None:
        """Somebody came, waits, or went."""


class Door(Factory):
    """Gives each driver an usher, and lets one in at a time.

    :param usher: makes one, of the door and the service
    :param room: for so many that wait in turn; whoever finds none is refused
    :ivar service: what they drive; to be set before the first of them comes
    :ivar unknown: those who have not shown who they are and what they want so far, the first to
        come first
    :ivar waiting: for their turn
    :ivar inside: who is served, or offered to be
    """

    noisy = False

    def __init__(self, usher: Callable[[Door, Serving], IUsher], room: int = 0) -> None:
        self._usher = usher
        self._room = room
        self._closed = False
        self.service: Serving | None = None
        self.unknown: list[IUsher] = []
        self.waiting: deque[IUsher] = deque()
        self.inside: IUsher | None = None

    def buildProtocol(self, addr: Any) -> Any:
        assert self.service is not None
        return self._usher(self, self.service)

    def admit(self, who: IUsher) -> None:
        """Let him in, let him wait, or refuse him."""
        if self._closed:
            who.refuse(ENDS)
        elif self.inside is None and not self.waiting:
            self._let_in(who)
        elif len(self.waiting) < self._room:
            self.waiting.append(who)
            who.wait(BUSY)
        elif self._room:
            who.refuse(f"{BUSY}, and {len(self.waiting)} more wait")
        else:
            who.refuse(BUSY)
        self._tell()

    def _let_in(self, who: IUsher) -> None:
        assert self.service is not None
        self.inside = who
        self.service.between()
        way = self.service.make_way()
        if way is None:
            self._enter(who)
            return
        # a robot may take minutes, and who goes on without us would find the drive taken
        who.wait(KEEPS)
        way.addBoth(self._way_is_free, who)

    def make_way(self) -> None:
        """One has come whom we cannot serve, and does not wait to hear it."""
        if self.inside is None and self.service is not None:
            self.service.make_way()

    def _way_is_free(self, result: object, who: IUsher) -> None:
        if isinstance(result, Failure):
            log.failure("what was kept was not given back well", result)
        if self.inside is not who:
            return  # he did not wait for it
        if self._closed:
            who.refuse(ENDS)
        else:
            self._enter(who)

    def _enter(self, who: IUsher) -> None:
        try:
            who.enter()
        except Exception:
            # he must not stay inside, where nobody serves him and nobody else comes in
            log.failure("a driver cannot be let in")
            who.let_go("an internal error")

    def left(self, who: IUsher) -> None:
        """He is gone, wherever he was; safe to repeat."""
        if who in self.unknown:
            self.unknown.remove(who)
        if who in self.waiting:
            self.waiting.remove(who)
        if self.inside is who:
            self.inside = None
            assert self.service is not None
            # later: whoever calls this is still busy with him
            self.service.call_later(0, self._next)
        self._tell()

    def _next(self) -> None:
        assert self.service is not None
        if self.inside is not None or self._closed:
            return
        self.service.between()
        if self.waiting:
            self._let_in(self.waiting.popleft())
            self._tell()
        else:
            self.service.idle()

    def close(self) -> None:
        """Nobody is let in any more, and nobody waits."""
        self._closed = True
        while self.waiting:
            self.waiting.popleft().refuse(ENDS)

    def _tell(self) -> None:
        if self.service is not None:
            self.service.changed()
