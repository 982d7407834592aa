"""The server's end of an NDMP session without input or output, and a talk with a client."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from protocols.ndmp import messages as m
from protocols.ndmp.auth import digest
from protocols.ndmp.client import Client
from protocols.ndmp.client_events import Event, Finished, Opened
from protocols.ndmp.client_phase import Phase
from protocols.ndmp.codec import REPLY, REQUEST, Header, decode_body, decode_header, encode
from protocols.ndmp.codes import AuthType, ErrorCode, MoverState
from protocols.ndmp.errors import NdmpError
from protocols.ndmp.opening import Opening
from protocols.ndmp.record import RecordReader

CHALLENGE = bytes(range(64))
PASSWORD = "secret"


class Peer:
    """Answers requests as a good server does; :meth:`hear` gives the bytes of its answers.

    :param offered: its highest version.
    :param accepted: versions that it takes.
    :ivar heard: every request, in order.
    :ivar answers: instead of the usual: what to answer to a request; None: nothing.
    """

    def __init__(self, offered: int = 4, accepted: Iterable[int] = (2, 3, 4)) -> None:
        self.offered = offered
        self.accepted = tuple(accepted)
        self.version = 4
        self.heard: list[m.Message] = []
        self.headers: list[Header] = []
        self.answers: Callable[[Header, m.Message], bytes | None] = self.usual
        self._records = RecordReader()
        self._sequence = 0

    def greeting(self) -> bytes:
        return self.post(m.NotifyConnectionStatus(0, self.offered, "Hello"))

    def post(self, post: m.Message) -> bytes:
        return self.message(post.code, post)

    def message(
        self,
        code: int,
        body: m.Message | None,
        *,
        kind: int = REQUEST,
        reply_sequence: int = 0,
        error: int = 0,
    ) -> bytes:
        self._sequence += 1
        header = Header(self._sequence, 1, kind, code, reply_sequence, error)
        return encode(header, body, self.version)

    def reply(self, header: Header, body: m.Message | None, error: int = 0) -> bytes:
        return self.message(
            header.code, body, kind=REPLY, reply_sequence=header.sequence, error=error
        )

    def hear(self, data: bytes) -> list[bytes]:
        """Answers to the requests in the client's bytes, a message each."""
        said: list[bytes] = []
        for record in self._records.feed(data):
            header = decode_header(record)
            request = decode_body(header, record, self.version)
            assert request is not None
            self.headers.append(header)
            self.heard.append(request)
            answer = self.answers(header, request)
            if answer is not None:
                said.append(answer)
        return said

    def usual(self, header: Header, request: m.Message) -> bytes | None:
        """The answer of a good server."""
        match request:
            case m.ConnectOpen(version):
                good = version in self.accepted
                answer = self.reply(
                    header, m.ErrorReply(ErrorCode.NO_ERR if good else ErrorCode.ILLEGAL_ARGS)
                )
                if good:
                    self.version = version
                return answer
            case m.ConfigGetAuthAttr():
                challenge = m.Challenge(AuthType.MD5, CHALLENGE)
                return self.reply(header, m.ConfigGetAuthAttrReply(challenge=challenge))
            case m.ConnectClientAuth(auth):
                right = (
                    auth.kind == AuthType.NONE
                    or auth.password == PASSWORD
                    or auth.digest == digest(PASSWORD, CHALLENGE)
                )
                error = ErrorCode.NO_ERR if right else ErrorCode.NOT_AUTHORIZED
                return self.reply(header, m.ErrorReply(error))
            case m.ConnectClose():
                return None
            case m.MoverGetState():
                return self.reply(header, m.MoverGetStateReply(state=MoverState.PAUSED))
            case m.TapeRead(count):
                return self.reply(header, m.TapeReadReply(data=bytes(count)))
        return self.reply(header, m.ErrorReply())


class Conversation:
    """A client and a peer, and what the client's owner is told."""

    def __init__(
        self,
        peer: Peer | None = None,
        *,
        auth: str = "md5",
        password: str = PASSWORD,
        versions: tuple[int, ...] = (4, 3, 2),
    ) -> None:
        self.peer = peer or Peer()
        self.client = Client(Opening("me", password, auth, versions), lambda: 5)
        self.events: list[Event] = []

    def tell(self, data: bytes) -> None:
        """The client hears it; then both talk until neither has more to say."""
        self.client.receive(data)
        self.go_on()

    def go_on(self) -> None:
        while said := self.client.take_bytes():
            for data in said:
                for answer in self.peer.hear(data):
                    self.client.receive(answer)
        self.events += self.client.take_events()

    def opened(self) -> Conversation:
        self.tell(self.peer.greeting())
        assert self.events == [Opened(self.peer.version)]
        self.events.clear()
        return self

    def end(self) -> NdmpError:
        """Why it is over."""
        last = self.events[-1]
        assert isinstance(last, Finished)
        assert self.client.phase is Phase.DEAD
        assert not self.client.awaited
        return last.error
