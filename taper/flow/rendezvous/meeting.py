"""What one dump's application and we have told each other, over as many connections as it takes.

Theory of operation. Connections come and go; the first one whose application proves that it dumps
our disk binds the meeting to that run of it (its dump id). While none is there the application is
*away*, and the meeting waits for it as long as patience lasts. What may have been lost with a
connection is said again on the next one: an order without an answer, how far the dump is stored,
and its result. The application does the same with its answers and its end.

Orders are SEND and HALT. Whoever gives one waits for its answer; nothing else waits for anybody.
"""

from __future__ import annotations

import enum
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from automat import TypeMachineBuilder
from twisted.internet.defer import Deferred, fail, succeed

from protocols.crc import UNKNOWN, Crc
from protocols.rendezvous.frames import (
    Alive,
    Broken,
    Cannot,
    Delivered,
    End,
    EndResult,
    Halt,
    Halted,
    HeaderBlock,
    HeaderFields,
    Outcome,
    Refusal,
    Result,
    Send,
    Sending,
    Stored,
)
from taper.core.errors import SourceFault

if TYPE_CHECKING:
    from protocols.directtcp import Address
    from protocols.rendezvous.frames import Frame, Proof
    from taper.flow.rendezvous.link import Link

_log = logging.getLogger(__name__)


@frozen
class Names:
    """The dump that we are to write."""

    host: str
    disk: str
    level: str


class Presence(enum.Enum):
    """Whether the application is there; the values are for people."""

    AWAITED = "it has not come yet"
    THERE = "it is there"
    AWAY = "its connection broke"
    OVER = "it is waited for no more"


class _Presences(Protocol):
    """Inputs of the machine."""

    def now(self) -> Presence:
        """The state."""

    def come(self) -> None:
        """It has proved itself, perhaps on a second connection."""

    def leave(self) -> None:
        """Its connection is gone."""

    def end(self) -> None:
        """Nobody waits for it."""


class _Nothing:
    """The machine keeps no data."""


def _teller(state: Presence) -> Callable[[_Presences, _Nothing], Presence]:
    def tell(presences: _Presences, nothing: _Nothing) -> Presence:
        return state

    return tell


_builder = TypeMachineBuilder(_Presences, _Nothing)
_states = {presence: _builder.state(presence.name.lower()) for presence in Presence}
for _presence, _state in _states.items():
    _state.upon(_Presences.now).loop()(_teller(_presence))
    _state.upon(_Presences.end).to(_states[Presence.OVER]).returns(None)
for _presence in (Presence.AWAITED, Presence.THERE, Presence.AWAY):
    _states[_presence].upon(_Presences.come).to(_states[Presence.THERE]).returns(None)
_states[Presence.THERE].upon(_Presences.leave).to(_states[Presence.AWAY]).returns(None)
_states[Presence.OVER].upon(_Presences.leave).to(_states[Presence.OVER]).returns(None)
_make_presences = _builder.build()


class Meeting:
    """The rendezvous of one dump, without its connections.

    :param patience: seconds to wait for an application that is away
    :ivar window: bytes that it can keep.
    :ivar header: what it said of the dump's header.
    :ivar end: what it said of the dump's end.
    :ivar run: number of the last data connection that was ordered.
    :ivar answer: to the last order; None: none yet.
    :ivar broken: what it said of the break of that data connection.
    :ivar delivered: up to which byte it has seen taken what it sent on that data connection, once
        that has ended.
    :ivar sent: bytes that it had sent when it last said so.
    :ivar written: bytes that are written, as it was told.
    :ivar fault: why nothing more is to be expected of it.
    :ivar asked: called when it wants to know how far the dump is.
    :ivar told: called when anything has changed, by whoever uses the data connection.
    :ivar alarm: called with the fault, once.
    """

    def __init__(self, clock: Any, names: Names, patience: float) -> None:
        self.window = 0
        self.header: HeaderFields | HeaderBlock | None = None
        self.end: End | None = None
        self.run = 0
        self.answer: Sending | Cannot | Halted | None = None
        self.broken: Broken | None = None
        self.delivered: int | None = None
        self.sent = 0
        self.written = 0
        self.fault: str | None = None
        self.asked: Callable[[], object] = lambda: None
        self.told: Callable[[], object] = lambda: None
        self.alarm: Callable[[str], object] = lambda text: None
        self._clock = clock
        self._names = names
        self._patience = patience
        self._presences: _Presences = _make_presences(_Nothing())
        self._link: Link | None = None
        self._dump_id: bytes | None = None
        self._unanswered: deque[Send | Halt] = deque()
        self._stored: Stored | None = None
        self._result: Result | None = None
        self._away: Any = None
        self._complete = False
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    # who is there

    @property
    def presence(self) -> Presence:
        """Whether the application is there."""
        return self._presences.now()

    @property
    def host(self) -> str | None:
        """Address from which it called; None: it is not there."""
        return None if self._link is None else self._link.host

    @property
    def our_host(self) -> str | None:
        """Address at which it has reached us; None: it is not there."""
        return None if self._link is None else self._link.our_host

    def proven(self, link: Link) -> None:
        """Somebody who knows the key is there: take him in, or send him away."""
        assert link.proof is not None
        difference = self._difference(link.proof)
        if self.presence is Presence.OVER:
            link.refuse(Refusal.OVER, "the dump is over")
        elif difference is not None:
            link.refuse(Refusal.OTHER_DUMP, difference)
        elif self._dump_id not in (None, link.dump_id):
            link.refuse(Refusal.BUSY, "another application is at this dump")
        else:
            self.window = link.proof.window
            self._take(link)

    def _difference(self, proof: Proof) -> str | None:
        names = self._names
        for what, found, expected in (
            ("host", proof.host, names.host),
            ("disk", proof.disk, names.disk),
            ("level", str(proof.level), names.level),
        ):
            if found != expected:
                return f"{what} is '{found}', expected '{expected}'"
        return None

    def _take(self, link: Link) -> None:
        again = self._dump_id is not None
        _log.info("the application is %s, on %s", "back" if again else "there", link.host)
        self._dump_id = link.dump_id
        before, self._link = self._link, link
        self._presences.come()
        self._stop_waiting()
        if before is not None:
            before.abort()
        self._say_again(link)
        self._look()

    def _say_again(self, link: Link) -> None:
        """What may not have come through on the last connection."""
        if self._result is None:
            order = self._unanswered[-1] if self._unanswered else None
            self._unanswered.clear()
            if order is not None:
                self._unanswered.append(order)
                link.say(order)
            if self._stored is not None:
                link.say(self._stored)
        else:
            link.say(self._result)
            link.finish()

    def lost(self, link: Link, why: str) -> None:
        """A connection is gone."""
        if link is not self._link:
            return
        _log.info("the application's connection is gone: %s", why)
        self._link = None
        self._presences.leave()
        if self.presence is Presence.AWAY and not self._needs_nothing:
            self.wait_at_most(self._patience)
        self._look()

    @property
    def _needs_nothing(self) -> bool:
        """All that the dump needs of it is known."""
        return self._result is not None or self._complete

    def complete(self) -> None:
        """All data have come: it may stay away, until it is sent anywhere again."""
        self._complete = True
        self._stop_waiting()

    def wait_at_most(self, seconds: float) -> None:
        """Give up when nobody is there ``seconds`` from now."""
        self._stop_waiting()
        if self._link is None:
            self._away = self._clock.callLater(seconds, self._too_late, seconds)

    def _too_late(self, seconds: float) -> None:
        came = "come" if self._dump_id is None else "come back"
        self._give_up(f"the application has not {came} to the rendezvous in {seconds:g} s")

    def _give_up(self, text: str) -> None:
        if self.fault is None:
            self.fault = text
            self._look()
            self.alarm(text)

    def _stop_waiting(self) -> None:
        away, self._away = self._away, None
        if away is not None and away.active():
            away.cancel()

    # what it says

    def heard(self, link: Link, frame: Frame) -> None:
        """The application says something."""
        if link is not self._link or self.presence is Presence.OVER:
            return
        if isinstance(frame, HeaderFields | HeaderBlock):
            self.header = self.header or frame
        elif isinstance(frame, Sending | Cannot | Halted):
            self._answered(frame)
        elif isinstance(frame, Broken | Delivered):
            self._hear_end_of_run(frame)
        elif isinstance(frame, End):
            self.end = self.end or frame
        elif isinstance(frame, Alive):
            self.sent = max(self.sent, frame.bytes)
            self.asked()
        self._look()

    def _answered(self, answer: Sending | Cannot | Halted) -> None:
        if not self._unanswered:
            return
        self._unanswered.popleft()
        if not self._unanswered:
            self.answer = answer

    def _hear_end_of_run(self, told: Broken | Delivered) -> None:
        self.sent = max(self.sent, told.sent)
        if told.run != self.run:
            return
        if isinstance(told, Broken):
            self.broken = told
        else:
            self.delivered = told.sent

    @property
    def failure(self) -> str | None:
        """Why the dump cannot be whole."""
        if self.fault is not None:
            return self.fault
        if self.end is not None and self.end.result != EndResult.GOOD:
            return f"the application failed: {self.end.text or 'it gives no reason'}"
        return None

    @property
    def total(self) -> int | None:
        """Bytes of the whole dump, once it is at its good end."""
        good = self.end is not None and self.end.result == EndResult.GOOD
        return self.end.size if self.end is not None and good else None

    @property
    def crc(self) -> Crc:
        """Checksum of the whole dump, likewise."""
        if self.end is None or self.total is None:
            return UNKNOWN
        return Crc(self.end.crc, self.end.size)

    def difference(self, before: Crc) -> str | None:
        """Why it is another dump that it sends now, as far as its last answer tells.

        :param before: of the bytes that came before those which it was ordered to send
        """
        if not isinstance(self.answer, Sending) or not before.known:
            return None
        told = Crc(self.answer.crc, self.answer.offset)
        if told == before:
            return None
        return (
            f"the application's bytes cannot follow those that were read: of what was sent before, "
            f"source server crc ({before}) and application crc ({told}) differ"
        )

    # waiting

    def when(self, happened: Callable[[], bool]) -> Deferred[None]:
        """Fires once ``happened`` is true; fails with SourceFault when the dump cannot be whole."""
        if happened():
            return succeed(None)
        if self.failure is not None:
            return fail(SourceFault(self.failure))

        def give_up(waiting: Deferred[None]) -> None:
            self._waiting = [each for each in self._waiting if each[1] is not waiting]

        waiting: Deferred[None] = Deferred(give_up)
        self._waiting.append((happened, waiting))
        return waiting

    def _look(self) -> None:
        """Something has changed."""
        self.told()
        for entry in list(self._waiting):
            happened, waiting = entry
            if entry not in self._waiting:
                continue  # one before it saw to that
            if happened():
                self._waiting.remove(entry)
                waiting.callback(None)
            elif self.failure is not None:
                self._waiting.remove(entry)
                waiting.errback(SourceFault(self.failure))

    # what it is told

    def send(self, offset: int, addresses: tuple[Address, ...]) -> None:
        """Order it to connect to one of these, and to send from byte ``offset`` on."""
        self.run += 1
        if self._stored is not None and offset < self._stored.written:
            # what was written behind it is in no part, and may be asked for once more
            self._stored = Stored(min(self._stored.stored, offset), offset)
            self.written = offset
        self._order(Send(self.run, offset, addresses))

    def halt(self, offset: int) -> None:
        """Order it to leave the data connection and to say the checksum of ``offset`` bytes.

        Only after a :meth:`send`.
        """
        self._order(Halt(self.run, offset))

    def _order(self, order: Send | Halt) -> None:
        _log.info("order to the application: %s", order)
        self.answer = self.broken = self.delivered = None
        self._complete = False
        if self._link is not None:
            self._unanswered.append(order)
            self._link.say(order)
        else:
            self._unanswered = deque([order])
            if self.presence is Presence.AWAY and self._away is None:
                self.wait_at_most(self._patience)

    def stored(self, stored: int, written: int) -> None:
        """Tell it how far the dump has come: bytes in good parts, and bytes written."""
        if self.total is not None:
            # a mover counts the padding of its last record
            stored, written = min(stored, self.total), min(written, self.total)
        written = max(stored, written)
        before = self._stored or Stored(0, 0)
        now = Stored(max(stored, before.stored), max(written, before.written))
        if now == before or self._result is not None:
            return
        self._stored, self.written = now, now.written
        if self._link is not None:
            self._link.say(now)

    def result(self, outcome: Outcome, crc: Crc, size: int, text: str) -> None:
        """Tell it what became of the dump; the last word.

        :param crc: of what is stored, if known
        """
        if self._result is not None:
            return
        self._result = Result(outcome, size, crc.known, crc.value, text)
        self._stop_waiting()
        if self._link is not None:
            self._link.say(self._result)
            self._link.finish()

    def close(self) -> None:
        """Nobody waits any more; safe to repeat."""
        self._stop_waiting()
        self._presences.end()
        self.fault = self.fault or "the dump is over"
        self._look()
