"""The taper's orders at a rendezvous, one after another, and how each is answered, sans-IO.

SEND says where the data go and from which byte on, HALT that they stop. Each gets one answer.
Whoever has not got it, as the rendezvous broke, says the order again; it is done once, and answered
again.
"""

from __future__ import annotations

from collections.abc import Callable

from protocols.rendezvous.frames import (
    Broken,
    Cannot,
    Delivered,
    Frame,
    Halt,
    Halted,
    Send,
    Sending,
    Why,
)
from protocols.rendezvous.window import Gone, Window


class Orders:
    """All of one dump.

    :ivar broken: how the data connection of the present order ended; so ``delivered``.
    """

    def __init__(self, window: Window, say: Callable[[Frame, float], None]) -> None:
        """:param say: says a frame if there is somebody to hear it"""
        self.broken: Broken | None = None
        self.delivered: Delivered | None = None
        self._window = window
        self._say = say
        self._run = 0
        self._asked: Send | None = None
        self._sending: Sending | None = None
        self._refusal: Cannot | None = None
        self._owed: Send | Halt | None = None  # on this connection

    def connection_lost(self) -> None:
        """The taper has yet to say again what it has no answer to."""
        self._owed = None

    def take(self, order: Send | Halt, now: float) -> bool:
        """The taper gives an order. :return: it is to be done, as it was not given before"""
        if self._owed is not None:
            self.cannot(Why.NOBODY_ANSWERS, "another order came meanwhile", now)
        self._owed = order
        return order != self._asked

    def begin(self, order: Send | Halt) -> None:
        """From now on it counts; what was said of the data connection before holds no more."""
        self._run, self._asked = order.run, order if isinstance(order, Send) else None
        self._refusal = self.broken = self.delivered = None

    def accept(self, send: Send, now: float) -> bool:
        """See whether the data can go on where they shall. :return: they can"""
        crc = self._sum_of(send.offset, now)
        if crc is None:
            return False
        self._sending = Sending(send.run, send.offset, crc)
        return True

    def halted(self, halt: Halt, now: float) -> None:
        """The data have stopped."""
        crc = self._sum_of(halt.offset, now)
        if crc is not None:
            self._answer(Halted(halt.run, halt.offset, crc), now)

    def sending(self, now: float) -> None:
        """The data connection is made."""
        assert self._sending is not None, "a SEND was accepted"
        self._answer(self._sending, now)

    def cannot(self, why: Why, text: str, now: float) -> None:
        """The order cannot be done."""
        self._refusal = Cannot(self._run, why, self._window.start, text)
        self._answer(self._refusal, now)

    def answer_again(self, now: float, *, dialing: bool) -> None:
        """The rendezvous broke before the taper got the answer.

        :param dialing: there is none yet, as the data connection is still being made
        """
        if self._refusal is not None:
            self._answer(self._refusal, now)
        elif self.broken is not None:
            self.cannot(Why.NOBODY_ANSWERS, self.broken.text, now)
        elif not dialing and self._sending is not None:
            self._answer(self._sending, now)

    def broke(self, position: int, why: str, now: float) -> None:
        """The data connection broke."""
        self.broken = Broken(self._run, position, why)
        self._say(self.broken, now)

    def all_delivered(self, position: int, now: float) -> None:
        """The peer has all that was sent."""
        self.delivered = Delivered(self._run, position)
        self._say(self.delivered, now)

    def _sum_of(self, offset: int, now: float) -> int | None:
        """The checksum of the first bytes; None: it is not known, and the taper was told why."""
        try:
            if offset <= self._window.end:
                return self._window.crc_at(offset).value
        except Gone:
            text = f"byte {offset} is kept no more, only from {self._window.start} on"
            self.cannot(Why.KEPT_NO_MORE, text, now)
        else:
            text = f"byte {offset} is not there yet, only {self._window.end} are"
            self.cannot(Why.FAILED, text, now)
        return None

    def _answer(self, frame: Sending | Halted | Cannot, now: float) -> None:
        """Answer the order, unless the taper has yet to repeat it."""
        if self._owed is not None:
            self._owed = None
            self._say(frame, now)
