"""The control stream on the reactor: questions out, answers in."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO

from protocols.recovery.talk import BadRequest, Question, Talk, TalkBroken, Turn
from taper.recovery.errors import RecoveryFailed

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from protocols.recovery.features import Features
    from protocols.recovery.request import Request

FLUSH_SECONDS = 10.0
"""How long a peer that does not read may keep us from ending."""

REMIND_SECONDS = 600.0
"""Seconds between two texts for a person who has not answered."""

_log = logging.getLogger(__name__)


class Control(Protocol):
    """The control stream of one recovery.

    :ivar requested: fires with the request; fails with RecoveryFailed.
    """

    def __init__(self, reactor: Any, features: Features, left: Callable[[], object]) -> None:
        """:param left: called once if the peer ends before we do"""
        self._reactor = reactor
        self._talk = Talk(features)
        self._left = left
        self._answer: Deferred[str] | None = None
        self._reminder: Any = None
        self._ending = False
        self._lost: Deferred[None] = Deferred()
        self.requested: Deferred[Request] = Deferred()

    def open(self, write: int, read: int) -> None:
        """Speak on these descriptors."""
        make: Any = StandardIO
        make(self, stdin=read, stdout=write, reactor=self._reactor)

    @property
    def features(self) -> Features:
        """Of the peer."""
        return self._talk.features

    def ask(self, question: Question, *words: str) -> Deferred[str]:
        """Ask, or wait for what comes unasked.

        :return: fires with the whole answer; empty: this peer gives none. Fails with
            RecoveryFailed
        """
        if self._talk.turn is Turn.OVER:
            return fail(RecoveryFailed("amrecover is gone"))
        self._send(self._talk.ask(question, *words))
        answer: Deferred[str] = Deferred()
        if self._talk.turn is Turn.OURS:
            answer.callback("")
            return answer
        self._answer = answer
        self._look()
        return answer

    def message(self, text: str) -> None:
        """Show a text to the person at the other end."""
        _log.info("told: %s", text)
        self._send(self._talk.message(text))

    def remind(self, waiting: Deferred[str], text: str) -> None:
        """Show a text again and again for as long as an answer is waited for.

        A peer that is dead is noticed by that: amandad ends no stream before it cannot pass on
        what we say.
        """

        def again() -> None:
            self._reminder = self._reactor.callLater(REMIND_SECONDS, again)
            self.message(text)

        def over(result: str) -> str:
            self._reminder.cancel()
            return result

        self._reminder = self._reactor.callLater(REMIND_SECONDS, again)
        waiting.addBoth(over)

    def _send(self, data: bytes) -> None:
        if data and self.transport is not None:
            _log.debug("CTL >> %r", data)
            self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        _log.debug("CTL << %r", data)
        if self._talk.turn is Turn.OVER:
            return
        try:
            self._send(self._talk.receive(data))
        except (BadRequest, TalkBroken) as fault:
            self._fail(fault)
            return
        request = self._talk.request
        if request is not None and not self.requested.called:
            self.requested.callback(request)
        self._look()

    def _look(self) -> None:
        """Hand over the answer, if there is one."""
        if self._answer is None:
            return
        try:
            line = self._talk.answer()
        except TalkBroken as fault:
            self._fail(fault)
            return
        if line is not None:
            answer, self._answer = self._answer, None
            answer.callback(line)

    def _fail(self, broken: BadRequest | TalkBroken) -> None:
        fault = RecoveryFailed(str(broken), code=broken.taper_code)
        answer, self._answer = self._answer, None
        if not self.requested.called:
            self.requested.errback(fault)
        elif answer is not None:
            answer.errback(fault)
        elif not self._ending:
            _log.info("%s", broken)
            self._left()

    def connectionLost(self, reason: Failure | None = None) -> None:
        ending = self._ending
        self._talk.end()
        if not ending:
            self._fail(TalkBroken("amrecover has ended the conversation"))
            self._left()
        if not self._lost.called:
            self._lost.callback(None)

    def close(self) -> Deferred[None]:
        """Say what is still to be said, and end. :return: fires when it is over"""
        self._ending = True
        late = self._reactor.callLater(FLUSH_SECONDS, self._lost.cancel)
        if self.transport is not None and not self._lost.called:
            self.transport.loseConnection()

        def over(_: object) -> None:
            if late.active():
                late.cancel()

        return self._lost.addBoth(over)
