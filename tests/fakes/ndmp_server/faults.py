"""Faults that a test plants at a message: what happens, where, and the how-manieth time.

A fault is due when its place was reached ``nth`` times, counted over all sessions of the server
(or one, ``session``), and for ``times`` times. It is deterministic as long as the client is.
"""

from __future__ import annotations

import enum
import os
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from protocols.ndmp import messages as m
from protocols.ndmp.base import POSTS, REQUESTS
from protocols.ndmp.codes import ErrorCode, HaltReason, PauseReason
from protocols.ndmp_server.interfaces import MoveEnd
from taper.tapeserver.channel import DataChannel

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.session import FaultySession as Session

_MARK = 4
_HEADER = 24
_LAST = 1 << 31


class Phase(enum.Enum):
    """Where at a message a fault sits."""

    REQUEST = "request"
    """It has come and nothing was done yet."""
    REPLY = "reply"
    """It was handled; its reply is about to be sent."""
    AFTER = "after"
    """Its reply was sent."""
    POST = "post"
    """A post is about to be sent."""


@frozen
class Drop:
    """End the control connection."""

    def apply(self, session: Session, data: bytes) -> None:
        session.drop()


@frozen
class Reset:
    """End the control connection with a reset."""

    def apply(self, session: Session, data: bytes) -> None:
        session.drop(reset=True)


@frozen
class Silence:
    """Say nothing: the request is not handled, the reply or the post not sent."""

    def apply(self, session: Session, data: bytes) -> None:
        return None


@frozen
class Delay:
    """Wait, and everything behind waits too."""

    seconds: float

    def apply(self, session: Session, data: bytes) -> Deferred[bytes]:
        return deferLater(session.server.clock, self.seconds, lambda: data)


@define(eq=False)
class Hold:
    """Wait until :meth:`release`, and everything behind waits too.

    :ivar reached: fires when somebody waits here.
    """

    reached: Deferred[None] = field(factory=Deferred, init=False, repr=False)
    _held: Deferred[bytes] | None = field(default=None, init=False, repr=False)
    _data: bytes = field(default=b"", init=False, repr=False)

    def apply(self, session: Session, data: bytes) -> Deferred[bytes]:
        held: Deferred[bytes] = Deferred()
        self._held, self._data = held, data
        self.reached.callback(None)  # who waits for this may release it at once
        return held

    @property
    def waiting(self) -> bool:
        """Somebody waits here."""
        return self._held is not None

    def release(self) -> None:
        """Let it go on."""
        assert self._held is not None, "nothing is held"
        held, self._held = self._held, None
        held.callback(self._data)


@frozen
class Truncate:
    """Send only the first bytes of the message, its mark counted, then end the connection."""

    keep: int

    def apply(self, session: Session, data: bytes) -> None:
        session.write(data[: self.keep])
        session.drop()


@frozen
class Shorten:
    """Send a well-marked message that ends too early: ``keep`` bytes behind the mark."""

    keep: int

    def apply(self, session: Session, data: bytes) -> bytes:
        return _marked(data[_MARK : _MARK + self.keep])


@frozen
class Flip:
    """Flip bits of one byte; offset 0 is the first one of the mark, 28 of the body."""

    offset: int
    mask: int = 0xFF

    def apply(self, session: Session, data: bytes) -> bytes:
        changed = bytearray(data)
        if self.offset < len(changed):
            changed[self.offset] ^= self.mask
        return bytes(changed)


@frozen
class Wrong:
    """Answer with this error: at REQUEST nothing is done, at REPLY it was done nevertheless."""

    error: ErrorCode
    in_header: bool = False

    def apply(self, session: Session, data: bytes) -> bytes:
        word = int(self.error).to_bytes(4, "big")
        if self.in_header:
            return _marked(data[_MARK : _MARK + _HEADER - 4] + word)
        body = _MARK + _HEADER
        return data[:body] + word + data[body + 4 :]


@frozen
class Send:
    """Send these bytes first."""

    data: bytes

    def apply(self, session: Session, data: bytes) -> bytes:
        session.write(self.data)
        return data


@frozen
class Say:
    """Post this: at REPLY it comes behind the reply, at REQUEST before it."""

    message: m.Post

    def apply(self, session: Session, data: bytes) -> bytes:
        session.post(self.message)
        return data


@frozen
class Halt:
    """The mover halts, unless it is idle."""

    reason: HaltReason = HaltReason.INTERNAL_ERROR

    def apply(self, session: Session, data: bytes) -> bytes:
        session.mover.interrupt(halt=self.reason)
        return data


@frozen
class Pause:
    """The mover pauses, if it is active."""

    reason: PauseReason = PauseReason.MEDIA_ERROR

    def apply(self, session: Session, data: bytes) -> bytes:
        session.mover.interrupt(pause=self.reason)
        return data


class BreakableChannel(DataChannel):
    """A data connection that a test can cut."""

    def kill(self, *, quiet: bool) -> None:
        """Cut it, so that both ends see a reset; ``quiet``: the end of the data."""
        self.ended = MoveEnd.CLOSED if quiet else MoveEnd.RESET
        if not quiet:  # the kernel then sends a reset, which a mere shutdown does not
            self.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # whoever waits for it in the drive's lane still has the old descriptor's number
        hole = socket.socket()
        os.dup2(hole.fileno(), self.link.fileno())
        hole.close()
        self.wake()


@frozen
class KillData:
    """The data connection is reset, for both ends; ``quiet``: closed as if its end were good."""

    quiet: bool = False

    def apply(self, session: Session, data: bytes) -> bytes:
        channel = session.mover.channel
        if isinstance(channel, BreakableChannel):
            channel.kill(quiet=self.quiet)
        return data


@frozen
class ForgetRecordSize:
    """The mover forgets the record size."""

    def apply(self, session: Session, data: bytes) -> bytes:
        session.mover.forget_record_size()
        return data


@frozen
class Call:
    """Call a function with the session; what it does is the fault."""

    function: Callable[[Session], object]

    def apply(self, session: Session, data: bytes) -> bytes:
        self.function(session)
        return data


@define(eq=False)
class Fault:
    """An action and where it is due.

    :ivar message: a request's or post's class, label or code; None: any.
    :ivar nth: from 1.
    :ivar times: how often it happens from then on; None: always.
    :ivar session: number of the session that counts; None: all.
    :ivar happened: how often it did.
    """

    action: Any
    message: type[m.Message] | str | int | None = None
    phase: Phase = Phase.REPLY
    nth: int = 1
    times: int | None = 1
    session: int | None = None
    happened: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False)
    _code: int | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._code = None if self.message is None else code_of(self.message)

    def is_due(self, phase: Phase, code: int, session: int) -> bool:
        """Count this message. :return: the action is due at it"""
        if phase is not self.phase or self._code not in (None, code):
            return False
        if self.session not in (None, session):
            return False
        self._seen += 1
        due = self._seen >= self.nth and (self.times is None or self.happened < self.times)
        self.happened += due
        return due


class Faults:
    """All faults planted in a server, in order."""

    def __init__(self) -> None:
        self._planted: list[Fault] = []

    def plant(
        self,
        action: Any,
        message: type[m.Message] | str | int | None = None,
        phase: Phase = Phase.REPLY,
        *,
        nth: int = 1,
        times: int | None = 1,
        session: int | None = None,
    ) -> Fault:
        """Plant a fault, see :class:`Fault`. :return: it, to see whether it happened"""
        fault = Fault(action, message, phase, nth, times, session)
        self._planted.append(fault)
        return fault

    def clear(self) -> None:
        """Take all of them away."""
        self._planted.clear()

    def due(self, phase: Phase, code: int, session: int) -> list[Any]:
        """The actions that are due at this message."""
        return [fault.action for fault in self._planted if fault.is_due(phase, code, session)]


def code_of(message: type[m.Message] | str | int) -> int:
    """The code of a message, of which the class, the label or the number is given.

    :raise ValueError: there is no such message
    """
    if isinstance(message, int):
        return message
    if not isinstance(message, str):
        return message.code
    for code, known in (REQUESTS | POSTS).items():
        if known.label == message.upper():
            return code
    return int(message, 16)


def _marked(data: bytes) -> bytes:
    return (_LAST | len(data)).to_bytes(_MARK, "big") + data


def parse_fault(text: str) -> dict[str, Any]:
    """The arguments of :meth:`Faults.plant` from ``PHASE:MESSAGE:NTH:ACTION[=VALUE]``.

    MESSAGE is a label, a hexadecimal code or ``*``; NTH may end in ``+``: from then on always.
    ACTION: drop, reset, silence, delay=SECONDS, truncate=BYTES, shorten=BYTES, flip=OFFSET,
    wrong=ERROR, wrong-header=ERROR, send=HEX, halt=REASON, pause=REASON, kill-data, end-data,
    forget.

    :raise ValueError: the text is none of this
    """
    phase, message, nth, action = text.split(":", 3)
    name, _, value = action.partition("=")
    makers: dict[str, Callable[[str], Any]] = {
        "drop": lambda _: Drop(),
        "reset": lambda _: Reset(),
        "silence": lambda _: Silence(),
        "delay": lambda value: Delay(float(value)),
        "truncate": lambda value: Truncate(int(value)),
        "shorten": lambda value: Shorten(int(value)),
        "flip": lambda value: Flip(int(value)),
        "wrong": lambda value: Wrong(ErrorCode[value]),
        "wrong-header": lambda value: Wrong(ErrorCode[value], in_header=True),
        "send": lambda value: Send(bytes.fromhex(value)),
        "halt": lambda value: Halt(HaltReason[value]),
        "pause": lambda value: Pause(PauseReason[value]),
        "kill-data": lambda _: KillData(),
        "end-data": lambda _: KillData(quiet=True),
        "forget": lambda _: ForgetRecordSize(),
    }
    if name not in makers:
        raise ValueError(f"unknown fault {name!r} in {text!r}, expected one of {', '.join(makers)}")
    return {
        "action": makers[name](value),
        "message": None if message == "*" else code_of(message),
        "phase": Phase(phase),
        "nth": int(nth.rstrip("+")),
        "times": None if nth.endswith("+") else 1,
    }
