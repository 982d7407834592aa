"""The control stream of a recovery, sans-IO [recovery 6.1].

Theory of operation. The peer speaks first: the lines of its request. From then on it only answers,
one line to each question; some answers come before their question, and wait for it. Which questions
are asked, and in which order, is for the caller to say; which of them a peer understands is told by
its features, and what it does not understand is not asked. A peer that says anything else, or too
much, breaks the conversation, which raises :class:`TalkBroken` from then on.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Protocol

from attrs import frozen
from automat import TypeMachineBuilder

from protocols.recovery.features import OLD, OURS, Feature, Features
from protocols.recovery.request import BadRequest, Request, RequestReader

MAX_REQUEST = 8 * 1024 * 1024
"""Bytes of a request."""

MAX_LINE = 65536
"""Bytes of a line after it."""

MAX_EARLY = 16
"""Lines that may wait for their question."""


class TalkBroken(Exception):
    """The peer said what it should not, or ended; the text is for people."""

    taper_code = 7007


class Turn(enum.Enum):
    """Whose turn it is; the values are for people."""

    REQUEST = "the request is read"
    OURS = "nothing is asked"
    THEIRS = "an answer is awaited"
    OVER = "the conversation is over"


class _Turns(Protocol):
    """Inputs of the machine."""

    def turn(self) -> Turn:
        """Whose turn it is."""

    def requested(self) -> None:
        """The request is complete."""

    def asked(self) -> None:
        """A question was asked."""

    def answered(self) -> None:
        """Its answer came."""

    def end(self) -> None:
        """Nothing more will come."""


class _Nothing:
    """The machine keeps no data."""


def _say(turn: Turn) -> None:
    def tell(turns: _Turns, nothing: _Nothing) -> Turn:
        return turn

    _states[turn].upon(_Turns.turn).loop()(tell)


_builder = TypeMachineBuilder(_Turns, _Nothing)
_states = {turn: _builder.state(turn.name) for turn in Turn}
for _turn in Turn:
    _say(_turn)
    _states[_turn].upon(_Turns.end).to(_states[Turn.OVER]).returns(None)
_states[Turn.REQUEST].upon(_Turns.requested).to(_states[Turn.OURS]).returns(None)
_states[Turn.OURS].upon(_Turns.asked).to(_states[Turn.THEIRS]).returns(None)
_states[Turn.THEIRS].upon(_Turns.answered).to(_states[Turn.OURS]).returns(None)
_make_turns = _builder.build()


@frozen(kw_only=True)
class Question:
    """One exchange.

    :ivar line: what we say; empty: nothing, the answer comes by itself.
    :ivar said_to: the feature of a peer that we say it to; None: to all.
    :ivar answers: how a good answer begins.
    :ivar answered_by: the feature of a peer that answers.
    """

    line: str = ""
    said_to: Feature | None = None
    answers: tuple[str, ...]
    answered_by: Feature


HEADER = Question(
    line="HEADER-SEND-SIZE",
    said_to=Feature.HEADER_SEND_SIZE,
    answers=("HEADER-READY",),
    answered_by=Feature.HEADER_READY,
)
HEADER_TAKEN = Question(answers=("HEADER-DONE",), answered_by=Feature.HEADER_DONE)
STATE = Question(
    line="STATE-SEND",
    said_to=Feature.STATE_SEND,
    answers=("STATE-READY",),
    answered_by=Feature.STATE_READY,
)
STATE_TAKEN = Question(answers=("STATE-DONE",), answered_by=Feature.STATE_DONE)
DIRECT_ACCESS = Question(
    line="USE-DAR NO",
    said_to=Feature.DAR,
    answers=("USE-DAR YES", "USE-DAR NO"),
    answered_by=Feature.DAR,
)
PATHS = Question(answers=("AVAIL-DATAPATH ",), answered_by=Feature.DATAPATH)
PATH = Question(
    line="USE-DATAPATH",
    said_to=Feature.DATAPATH,
    answers=("DATAPATH-OK",),
    answered_by=Feature.DATAPATH,
)
DATA = Question(
    line="DATA-SEND",
    said_to=Feature.DATA_SEND,
    answers=("DATA-READY",),
    answered_by=Feature.DATA_READY,
)
VOLUME = Question(
    line="FEEDME",
    said_to=Feature.FEEDME,
    answers=("OK", "TAPE "),
    answered_by=Feature.FEEDME,
)


class Talk:
    """The control stream of one recovery.

    :ivar features: of the peer.
    :ivar request: once it is complete.
    """

    def __init__(self, features: Features = OLD) -> None:
        """:param features: of the peer, as its first packet told them"""
        self.features = features
        self.request: Request | None = None
        self._turns = _make_turns(_Nothing())
        self._reader = RequestReader()
        self._unread = bytearray()
        self._searched = 0
        self._taken = 0
        self._early: deque[str] = deque()
        self._question: Question | None = None

    @property
    def turn(self) -> Turn:
        """Whose turn it is."""
        return self._turns.turn()

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the peer. :return: what is to be sent at once

        :raise BadRequest: the request makes no sense
        :raise TalkBroken: the peer says too much
        """
        self._unread += data
        replies = b""
        while (line := self._next_line()) is not None:
            if self.turn is Turn.REQUEST:
                replies += self._read_request(line)
            elif self.turn is not Turn.OVER:
                self._early.append(line)
                if len(self._early) > MAX_EARLY:
                    raise self._broken(f"more than {MAX_EARLY} lines came unasked")
        return replies

    def _next_line(self) -> str | None:
        in_request = self.turn is Turn.REQUEST
        end = self._unread.find(b"\n", self._searched)
        size = len(self._unread) if end < 0 else end
        if in_request and self._taken + size > MAX_REQUEST:
            raise self._broken(f"the request is longer than {MAX_REQUEST} bytes")
        if not in_request and size > MAX_LINE:
            raise self._broken(f"a line is longer than {MAX_LINE} bytes")
        if end < 0:
            self._searched = size
            return None
        line = bytes(self._unread[:end]).rstrip(b"\r").decode("utf-8", "surrogateescape")
        del self._unread[: end + 1]
        self._searched = 0
        self._taken += size + 1
        return line

    def _read_request(self, line: str) -> bytes:
        if line == "END" or (line.isascii() and line.isdigit()):
            told = self._reader.request(
                Feature.CORRECT_DISK_QUOTING in self.features,
                Feature.STORAGE_IN_MARSHALL in self.features,
            )
            self.request = told
            self._turns.requested()
            return b""
        if not self._reader.line(line):
            return b""
        self.features = self._reader.features
        return f"FEATURES={OURS.text()}\r\n".encode()

    def ask(self, question: Question, *words: str) -> bytes:
        """Ask. :return: what is to be sent; :attr:`turn` tells whether an answer will come"""
        if self.turn is not Turn.OURS:
            raise ValueError(f"it is not our turn: {self.turn.value}")
        if question.answered_by in self.features:
            self._question = question
            self._turns.asked()
        if not question.line or question.said_to not in self.features:
            return b""
        return _line(" ".join((question.line, *words)))

    def answer(self) -> str | None:
        """The answer to what was asked, or None as long as it has not come.

        :raise TalkBroken: it is none
        """
        if self._question is None or not self._early:
            return None
        question, self._question = self._question, None
        line = self._early.popleft()
        if not line.startswith(question.answers):
            told = line[:200]
            raise self._broken(f"expected {' or '.join(question.answers)}, got '{told}'")
        self._turns.answered()
        return line

    def message(self, text: str) -> bytes:
        """A text for the person at the other end, on one line; nothing, if that cannot show it."""
        if Feature.MESSAGE not in self.features:
            return b""
        return b"".join(_line(f"MESSAGE {line}") for line in text.splitlines() if line)

    def end(self) -> None:
        """The peer has ended, or nothing more is to be said."""
        self._turns.end()
        self._question = None

    def _broken(self, text: str) -> TalkBroken:
        self.end()
        return TalkBroken(text)


def _line(text: str) -> bytes:
    words = text.replace("\r", " ").replace("\n", " ")
    return words[:MAX_LINE].encode("utf-8", "surrogateescape") + b"\r\n"


__all__ = ["BadRequest", "Question", "Request", "Talk", "TalkBroken", "Turn"]
