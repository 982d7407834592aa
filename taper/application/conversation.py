"""The application's side of a rendezvous with the taper, sans-IO: what it says, does and waits for.

Theory of operation. The taper leads: it orders where the data go and from which byte on (SEND), and
when they shall stop (HALT); :mod:`taper.application.orders` answers. When the rendezvous was made
anew we say again what stands: the header, how a data connection ended, END; the taper repeats an
order whose answer it has not got. So nothing can be lost between two connections. The dump is good
after a RESULT that agrees with END, and in no other case.

The edge hands in what happens, with the time, and carries out the actions that come of it, in
their order. The data connection lives and dies apart from the rendezvous: data flow on while that
is made anew, as far as the window reaches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from protocols.crc import Crc
from protocols.rendezvous.application import ApplicationHalf
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.frames import (
    Alive,
    End,
    EndResult,
    Frame,
    Halt,
    HeaderFields,
    Outcome,
    Refused,
    Result,
    Send,
    Stored,
    Why,
)
from protocols.rendezvous.times import ALIVE_SECONDS, SILENCE
from protocols.rendezvous.window import Gone, Window
from taper.application.calls import Calls, Patience
from taper.application.orders import Orders
from taper.application.states import (
    Action,
    Call,
    Contact,
    Data,
    Dial,
    Finish,
    HangUp,
    Leave,
    make_data,
)

ASKS = 4
"""How often in the memory of a window we say how far we are, upon which the taper says how far it
is: so there is room before it is full, on a line of any speed, and the spool is seldom used."""

FIRST_REMINDER = 0.05
"""Seconds until a taper that has not stored what the window is full of is told that we are there,
and therefore waiting; then twice as long each time, up to ALIVE_SECONDS."""

LAST_WORD = 30.0
"""Seconds for the taper to take notice of a dump that failed here."""


class Conversation:
    """One dump at its rendezvous.

    :ivar window: what was read of the dump and may be asked for; the edge appends to it
    :ivar over: nothing more is to be done, but what actions say
    :ivar failure: why the dump is not good, as soon as that is known
    :ivar crc: of the dump, which is stored: it is good
    """

    def __init__(
        self,
        make_half: Callable[[], ApplicationHalf],
        header: HeaderFields,
        window: Window,
        patience: Patience,
        now: float,
    ) -> None:
        """
        :param make_half: called for each connection, with a nonce of its own
        :param now: seconds, as of all other calls
        """
        self.window = window
        self.over = False
        self.failure: str | None = None
        self.crc: Crc | None = None
        self._make_half = make_half
        self._header = header
        self._half: ApplicationHalf | None = None
        self._actions: deque[Action] = deque()
        self._calls = Calls(patience, now)
        self._data = make_data()
        self._heard = self._said = now
        self._reminder = FIRST_REMINDER
        self._last_by: float | None = None
        self._orders = Orders(window, self._say)
        self._end: End | None = None
        self._position = self._asked_at = 0
        self._call(now)

    # what the edge reads

    def take_action(self) -> Action | None:
        """The next thing to do; None: nothing for now."""
        return self._actions.popleft() if self._actions else None

    def output(self) -> bytes:
        """What is to be written to the rendezvous connection, once."""
        return self._half.output() if self._half is not None else b""

    @property
    def reads(self) -> int:
        """So many bytes of the source are wanted."""
        return 0 if self._end is not None or self.over else self.window.room

    @property
    def position(self) -> int:
        """The first byte that was not given to the data connection."""
        return self._position

    @property
    def sends(self) -> int:
        """So many bytes may be given to the data connection, from :attr:`position` on."""
        return self.window.end - self._position if self._data.state() is Data.SENDING else 0

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` is to be called at the latest."""
        times = [self._last_by, self._calls.deadline]
        if self.talks:
            times += [self._heard + SILENCE, self._said + self._alive_pause]
        return min((time for time in times if time is not None), default=None)

    @property
    def _alive_pause(self) -> float:
        held_up = self._end is None and not self.window.room and not self.sends
        return min(self._reminder, ALIVE_SECONDS) if held_up else ALIVE_SECONDS

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self._last_by is not None and now >= self._last_by:
            self._finish_all()
        elif (why := self._calls.hopeless(now)) is not None:
            self._give_up(why)
        elif self._calls.is_due(now):
            self._call(now)
        elif self._calls.is_unanswered(now):
            self._break_off("the taper did not answer HELLO", now)
        elif self.talks and now >= self._heard + SILENCE:
            self._break_off(f"the taper said nothing for {SILENCE:g} seconds", now)
        elif self.talks and now >= self._said + self._alive_pause:
            self._reminder = 2 * self._alive_pause
            self._say(Alive(self._position), now)

    @property
    def met(self) -> bool:
        """The taper has proved itself at least once."""
        return self._calls.met

    @property
    def talks(self) -> bool:
        """Both have proved themselves on the connection that is there."""
        return self._calls.state is Contact.TALKING

    # the rendezvous connection

    def _call(self, now: float) -> None:
        self._calls.begin(now)
        self._actions.append(Call())

    def called(self, now: float) -> None:
        """The rendezvous connection is made."""
        self._calls.made(now)
        self._half = self._make_half()
        self._half.begin()

    def received(self, data: bytes, now: float) -> None:
        """The taper said something."""
        if self._half is None or self.over:
            return
        self._heard = now
        try:
            frames = self._half.receive(data)
        except RendezvousError as error:
            self._break_off(str(error), now)
            return
        if self._half.established and not self.talks:
            self._begin_to_talk(now)
        for frame in frames:
            if self._half is None or self.over:
                break  # the connection is given up, and what else it said with it
            self._take(frame, now)

    def lost(self, why: str, now: float, by_tls: bool = False) -> None:
        """The rendezvous connection broke, or could not be made.

        :param why: for people
        :param by_tls: there was none, so nobody was asked for a key
        """
        if self.over:
            return
        self._half = None
        self._orders.connection_lost()
        self._calls.lost(why, now, by_tls)
        hopeless = self._calls.hopeless(now)
        if hopeless is not None:
            self._give_up(hopeless)

    def _break_off(self, why: str, now: float) -> None:
        self._actions.append(HangUp())
        self.lost(why, now)

    def _begin_to_talk(self, now: float) -> None:
        self._calls.proven()
        for frame in (self._header, self._orders.broken, self._orders.delivered, self._end):
            if frame is not None:
                self._say(frame, now)

    def _say(self, frame: Frame, now: float) -> None:
        """Say it if there is somebody to hear it."""
        if self._half is not None and self.talks:
            self._half.say(frame)
            self._said = now

    # what the taper says

    def _take(self, frame: Frame, now: float) -> None:
        match frame:
            case Send():
                self._take_send(frame, now)
            case Halt():
                self._take_halt(frame, now)
            case Stored(stored, written):
                self._take_stored(stored, written, now)
            case Result():
                self._take_result(frame)
            case Refused(_, text):
                self._give_up(f"the taper refused the rendezvous: {text}")

    def _take_stored(self, stored: int, written: int, now: float) -> None:
        if self._data.state() is not Data.NONE:
            # of what goes out again nothing is written before it is out
            written = max(stored, min(written, self._position))
        self._reminder = FIRST_REMINDER
        try:
            self.window.acknowledge(stored, written)
        except RendezvousError as error:
            self._break_off(str(error), now)

    def _take_send(self, send: Send, now: float) -> None:
        if not self._orders.take(send, now):
            self._orders.answer_again(now, dialing=self._data.state() is Data.DIALING)
            return
        self._leave()
        self._orders.begin(send)
        if self._end is not None and self._end.result != EndResult.GOOD:
            self._orders.cannot(Why.FAILED, self._end.text, now)
        elif self._orders.accept(send, now):
            self._position = self._asked_at = send.offset
            self.window.acknowledge(0, send.offset)  # what is behind it is not written any more
            self._data.dial()
            self._actions.append(Dial(send.run, send.addresses))

    def _take_halt(self, halt: Halt, now: float) -> None:
        self._orders.take(halt, now)
        self._leave()
        self._orders.begin(halt)
        self._orders.halted(halt, now)

    def _take_result(self, result: Result) -> None:
        end = self._end
        if result.result == Outcome.PARTIAL:
            self._give_up(f"the taper has stored {result.size} bytes, not all: {result.text}")
        elif result.result != Outcome.GOOD:
            self._give_up(f"the taper has not stored the dump: {result.text}")
        elif end is None or end.result != EndResult.GOOD:
            self._give_up("the taper has stored a dump that was not at its end")
        elif (result.size, result.crc if result.crc_known else end.crc) != (end.size, end.crc):
            stored = Crc(result.crc, result.size) if result.crc_known else f"{result.size} bytes"
            self._give_up(f"the taper has stored {stored}, but we sent {Crc(end.crc, end.size)}")
        else:
            self.crc = Crc(end.crc, end.size)
            self._finish_all()

    def _give_up(self, why: str) -> None:
        if self.failure is None:
            self.failure = why
        self._leave()
        self._finish_all()

    def _finish_all(self) -> None:
        self.over = True
        self._last_by = None
        self._calls.end()
        self._actions.append(HangUp())

    # the data connection

    def dialed(self, now: float) -> None:
        """The data connection is made."""
        if self._data.state() is not Data.DIALING:
            return
        self._data.made()
        self._orders.sending(now)
        self._finish_if_all_is_sent()

    def not_dialed(self, why: str, now: float) -> None:
        """No address takes the data connection."""
        if self._data.state() is Data.DIALING:
            self._data.leave()
            self._orders.cannot(Why.NOBODY_ANSWERS, why, now)

    def piece(self, most: int, now: float) -> bytes:
        """At most so many of the next bytes for the data connection."""
        try:
            return self.window.read(self._position, min(most, self.sends))
        except Gone as error:
            self.broke(str(error), now)
            return b""

    def sent(self, count: int) -> None:
        """So many of them were given to it."""
        self._position += count
        sent = self._position - self._asked_at
        if self._end is None and sent >= self.window.memory // ASKS:
            self._asked_at = self._position
            self._say(Alive(self._position), self._said)
        self._finish_if_all_is_sent()

    def broke(self, why: str, now: float) -> None:
        """The data connection broke."""
        if self._data.state() in (Data.SENDING, Data.ENDED):
            self._leave()
            self._orders.broke(self._position, why, now)

    def delivered(self, now: float) -> None:
        """The peer has all that was sent, and has ended the data connection as well."""
        if self._data.state() is Data.ENDED:
            self._data.delivered()
            self._orders.all_delivered(self._position, now)

    def _leave(self) -> None:
        if self._data.state() is not Data.NONE:
            self._data.leave()
            self._actions.append(Leave())

    def _finish_if_all_is_sent(self) -> None:
        if self._end is not None and not self.sends and self._data.state() is Data.SENDING:
            self._data.finish()
            self._actions.append(Finish())

    # the source

    def ended(self, now: float) -> None:
        """The source is at its end, and good."""
        whole = self.window.crc_at(self.window.end)
        self._end = End(whole.size, whole.value, EndResult.GOOD, "")
        self._say(self._end, now)
        self._finish_if_all_is_sent()

    def fail(self, why: str, now: float) -> None:
        """The dump failed here; the taper is told, if it is there to hear it.

        :param why: becomes :attr:`failure`, if there is none yet
        """
        if self.over:
            return
        self._leave()
        if self.failure is None:
            self.failure = why
        if self._end is None:
            self._end = End(self.window.end, 0, EndResult.FAILED, why)
            self._say(self._end, now)
        self._last_by = now + LAST_WORD
        if not self.met:
            self._finish_all()
