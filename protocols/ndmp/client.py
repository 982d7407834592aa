"""The client's side of a session: bytes in, bytes and events out [ndmp 4.1, 4.3].

Theory of operation. The owner hands over what arrives (:meth:`Client.receive`, :meth:`Client.lost`)
and what is wanted (:meth:`Client.request`, :meth:`Client.leave`), then takes what is to be sent
(:meth:`Client.take_bytes`, a message each) and what happened (:meth:`Client.take_events`). It has
the clock: :attr:`Client.awaited` says what is waited for; whatever stays there too long is given to
:meth:`Client.expire`. A reply belongs to the request whose sequence it names. A reply to nothing,
one with another code, and anything that cannot be decoded ends the session: such a server cannot
be believed. Unknown posts, log lines that cannot be read and the late answers to requests given
up are ignored.
"""

from __future__ import annotations

from collections.abc import Callable

from protocols.ndmp.client_events import Answered, Event, Failed, Finished, Opened, Posted
from protocols.ndmp.client_phase import Phase, make_life
from protocols.ndmp.codec import (
    BEFORE_OPEN,
    REPLY,
    REQUEST,
    Header,
    decode_body,
    decode_header,
    encode,
)
from protocols.ndmp.codes import ConnectionStatus, ErrorCode
from protocols.ndmp.errors import NdmpError, NdmpGarbage, NdmpLost, NdmpRefused, NdmpTimeout
from protocols.ndmp.messages import (
    ConnectClose,
    ConnectOpen,
    NotifyConnectionStatus,
    Post,
    Reply,
    Request,
)
from protocols.ndmp.opening import Opening
from protocols.ndmp.record import RecordReader

GREETING = 0
"""Key of the greeting in :attr:`Client.awaited`; the others are sequence numbers."""

_SEQUENCES = 2**32 - 1
_LOG_CODES = range(0x600, 0x700)


class Client:
    """One session.

    :param opening: says the requests that open it.
    :param stamp: seconds since 1970, for the headers.
    :ivar version: agreed upon, once open.
    :ivar offered: the highest version of the server, once it greeted.
    :ivar awaited: what is waited for: key to a text for people.
    """

    def __init__(self, opening: Opening, stamp: Callable[[], int]) -> None:
        self._opening = opening
        self._stamp = stamp
        self._life = make_life()
        self._records = RecordReader()
        self._sequence = 0
        self._waiting: dict[int, Request[Reply]] = {}
        self._given_up: set[int] = set()
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self.version = BEFORE_OPEN
        self.offered = 0
        self.awaited: dict[int, str] = {GREETING: "the greeting"}

    @property
    def phase(self) -> Phase:
        return self._life.phase()

    @property
    def alive(self) -> bool:
        """Something may still come of it."""
        return self.phase is not Phase.DEAD

    def take_bytes(self) -> list[bytes]:
        """What is to be sent; each element in one write."""
        taken, self._out = self._out, []
        return taken

    def take_events(self) -> list[Event]:
        """What happened since the last call, in order."""
        taken, self._events = self._events, []
        return taken

    # Wishes

    def request(self, message: Request[Reply]) -> int:
        """Send a request of an open session.

        :return: its sequence, which the event of its end will name
        :raise NdmpLost: the session is not open
        :raise NdmpInvalid: the message cannot be sent
        """
        if self.phase is not Phase.OPEN:
            raise NdmpLost(f"{message.label} cannot be sent: the session is {self.phase.value}")
        return self._send(message)

    def give_up(self, sequence: int) -> None:
        """Nobody waits for this answer any more; nothing is told about it."""
        if self._waiting.pop(sequence, None) is not None:
            del self.awaited[sequence]
            self._given_up.add(sequence)

    def leave(self) -> None:
        """Say CONNECT_CLOSE, if there is a session to close; what is pending fails."""
        if self.phase is not Phase.OPEN:
            self.end(NdmpLost("the session was closed"))
            return
        self._fail_all(NdmpLost("the session was closed"))
        self._send(ConnectClose())
        self._life.leave()

    def end(self, error: NdmpError) -> None:
        """The session is over; everything pending fails with ``error``. Once."""
        if not self.alive:
            return
        self._fail_all(error)
        self._life.die()
        self.awaited.clear()
        self._events.append(Finished(error))

    def expire(self, key: int) -> None:
        """What is waited for did not come in time. While the session opens, that is its end."""
        what = self.awaited.get(key)
        if what is None:
            return
        error = NdmpTimeout(f"{what} did not come in time")
        if self.phase is Phase.OPEN:
            self.give_up(key)
            self._events.append(Failed(key, error))
        else:
            self.end(error)

    # What arrives

    def receive(self, data: bytes) -> None:
        """Bytes of the server, cut anywhere. After the end they go nowhere."""
        if not self.alive:
            return
        try:
            for record in self._records.feed(data):
                self._take(record)
        except NdmpError as error:
            self.end(error)

    def lost(self, reason: str) -> None:
        """The connection is gone."""
        waited = ", ".join(self.awaited.values())
        where = f" while waiting for {waited}" if waited else ""
        self.end(NdmpLost(f"connection lost{where}: {reason}"))

    def _take(self, record: bytes) -> None:
        header = decode_header(record)
        if header.message_type == REPLY:
            self._take_reply(header, record)
            return
        try:
            message = decode_body(header, record, self.version)
        except NdmpGarbage:
            if header.code not in _LOG_CODES or self.phase is Phase.GREETING:
                raise
            return  # no dump shall fail for a line of a log
        if isinstance(message, NotifyConnectionStatus):
            self._take_status(message)
        elif self.phase is Phase.GREETING:
            raise NdmpGarbage(f"message 0x{header.code:x}, expected the greeting")
        elif isinstance(message, Post):
            self._events.append(Posted(message))

    def _take_status(self, status: NotifyConnectionStatus) -> None:
        if status.reason != ConnectionStatus.CONNECTED:
            refused = status.reason == ConnectionStatus.REFUSED
            what = "refuses us" if refused else "ends the session"
            raise NdmpLost(f"the server {what}: {status.text or 'no reason given'}")
        if self.phase is Phase.GREETING:
            del self.awaited[GREETING]
            self.offered = status.protocol_version
            self._life.greeted()
            self._send(self._opening.greeted(self.offered))

    def _take_reply(self, header: Header, record: bytes) -> None:
        sequence = header.reply_sequence
        if sequence in self._given_up:
            self._given_up.remove(sequence)
            return
        request = self._waiting.get(sequence)
        if request is None:
            raise NdmpGarbage(f"reply to request {sequence}, which is not waiting for one")
        if header.code != request.code:
            raise NdmpGarbage(f"reply 0x{header.code:x} to {request.label} (0x{request.code:x})")
        if isinstance(request, ConnectClose):
            raise NdmpLost("the session was closed")  # some answer it, with or without a body
        reply = decode_body(header, record, self.version)
        if reply is not None and not isinstance(reply, Reply):
            raise TypeError(f"reply to {request.label} was decoded as {reply!r}")
        del self._waiting[sequence], self.awaited[sequence]
        self._settle(sequence, request, reply, header.error)

    def _settle(
        self, sequence: int, request: Request[Reply], reply: Reply | None, header_error: int
    ) -> None:
        """A request has its answer: our own ones lead on, the owner's ones are told."""
        error = header_error if reply is None else reply.error
        refusal = NdmpRefused(_known(error), request, reply) if error else None
        if self.phase is Phase.OPENING:
            self._settle_version(request, refusal)
        elif self.phase is Phase.LOGIN:
            self._go_on(self._opening.login_answered(reply, refusal))
        elif refusal is not None:
            self._events.append(Failed(sequence, refusal))
        elif reply is not None:
            self._events.append(Answered(sequence, reply))

    def _settle_version(self, request: Request[Reply], refusal: NdmpRefused | None) -> None:
        if refusal is not None:
            self._send(self._opening.version_refused(refusal))
        elif isinstance(request, ConnectOpen):
            self.version = request.protocol_version
            self._life.version_fixed()
            self._go_on(self._opening.version_taken())

    def _go_on(self, step: Request[Reply] | None) -> None:
        if step is not None:
            self._send(step)
        else:
            self._life.logged_in()
            self._events.append(Opened(self.version))

    # What is sent

    def _send(self, message: Request[Reply]) -> int:
        sequence = self._sequence % _SEQUENCES + 1
        header = Header(sequence, self._stamp(), REQUEST, message.code)
        self._out.append(encode(header, message, self.version))
        self._sequence = sequence
        self._waiting[sequence] = message
        self.awaited[sequence] = f"the reply to {message.label}"
        return sequence

    def _fail_all(self, error: NdmpError) -> None:
        """Every request of the owner fails; those of the opening and the leave are ours."""
        for sequence in self._waiting:
            self._given_up.add(sequence)
            del self.awaited[sequence]
            if self.phase is Phase.OPEN:
                self._events.append(Failed(sequence, error))
        self._waiting.clear()


def _known(error: int) -> ErrorCode | int:
    try:
        return ErrorCode(error)
    except ValueError:
        return error
