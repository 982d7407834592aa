"""One control connection: requests in, replies and posts out, faults in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from protocols.ndmp import messages as m
from protocols.ndmp.base import REQUESTS
from protocols.ndmp.codec import REPLY, REQUEST, Header, decode_body, decode_header, encode
from protocols.ndmp.codes import ConnectionStatus, ErrorCode, LogType
from protocols.ndmp.errors import NdmpGarbage
from protocols.ndmp.record import RecordReader
from tests.fakes.ndmp_server.config_agent import ConfigAgent
from tests.fakes.ndmp_server.data_agent import DataAgent
from tests.fakes.ndmp_server.drives import Refused
from tests.fakes.ndmp_server.faults import Phase, Wrong
from tests.fakes.ndmp_server.mover import Mover
from tests.fakes.ndmp_server.scsi_agent import ScsiAgent
from tests.fakes.ndmp_server.tape_agent import TapeAgent

if TYPE_CHECKING:
    from tests.fakes.ndmp_server.server import NdmpServer

Handled = m.Reply | Awaitable[m.Reply]
"""What a handler of a request gives."""
Action = Callable[[], None]


class Session(Protocol):
    """A client's control connection.

    :ivar number: of the session on its server, from 1.
    :ivar version: agreed on; before that the highest one offered.
    :ivar lost: the connection is over.
    """

    transport: ITCPTransport

    def __init__(self, server: NdmpServer, number: int) -> None:
        self.server = server
        self.profile = server.profile
        self.number = number
        self.version = max(self.profile.versions)
        self.lost = False
        self.config = ConfigAgent(self)
        self.tape = TapeAgent(self)
        self.scsi = ScsiAgent(self)
        self.data = DataAgent(self)
        self.mover = Mover(self)
        self._records = RecordReader()
        self._waiting: deque[bytes] = deque()
        self._serving = False
        self._outgoing: deque[tuple[Phase, int, bytes, list[Action]]] = deque()
        self._sending = False
        self._sequence = 0
        self._afterwards: list[Action] = []

    @property
    def host(self) -> str:
        """Our address on the control connection."""
        return str(self.transport.getHost().host)

    # what the agents use

    def post(self, message: m.Post) -> None:
        """Say something that nobody asked for; it goes out after what is on its way."""
        self._sequence += 1
        self.server.note(self, message, "posted")
        header = Header(self._sequence, self.server.now(), REQUEST, message.code)
        self._send(Phase.POST, message.code, encode(header, message, self.version))

    def log(self, text: str) -> None:
        """A line for the client's log."""
        if self.version < 3:
            self.post(m.LogLog(text=text))
        else:
            self.post(m.LogMessage(kind=LogType.DEBUG, id=self.server.now(), text=text))

    def afterwards(self, action: Action) -> None:
        """Do this once the reply to the present request was sent."""
        self._afterwards.append(action)

    def _send(self, phase: Phase, code: int, data: bytes) -> None:
        """Send bytes, in order, after the faults that wait for them; then what was to be done."""
        actions: list[Action] = []
        if phase is Phase.REPLY:
            actions, self._afterwards = self._afterwards, []
        self._outgoing.append((phase, code, data, actions))
        if not self._sending:
            self._sending = True
            Deferred.fromCoroutine(self._send_all()).addErrback(self._failed)

    # connection

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        text = "Hello"
        reason = ConnectionStatus.CONNECTED
        self.post(m.NotifyConnectionStatus(reason, max(self.profile.versions), text))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        self._waiting.clear()
        self._outgoing.clear()
        self.mover.session_lost()
        self.data.drop_connection()
        self.scsi.release()
        if self.profile.frees_drives:
            self.tape.release()
        self.server.session_ended(self)

    def drop(self, *, reset: bool = False) -> None:
        """End the control connection, as a server that dies."""
        self.lost = True
        self._waiting.clear()
        self._outgoing.clear()
        if reset:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        try:
            self._waiting.extend(self._records.feed(data))
        except NdmpGarbage:
            self.drop()
            return
        if not self._serving:
            self._serving = True
            Deferred.fromCoroutine(self._serve_all()).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.server.failures.append(failure)
        self.server.note(self, "failure", failure.getTraceback())
        self.drop(reset=True)

    # requests

    async def _serve_all(self) -> None:
        try:
            while self._waiting and not self.lost:
                await self._serve(self._waiting.popleft())
        finally:
            self._serving = False

    async def _serve(self, record: bytes) -> None:
        try:
            header = decode_header(record)
        except NdmpGarbage:
            self.drop()
            return
        if header.message_type != REQUEST:
            return  # a stray reply
        wrong: Wrong | None = None
        for action in self.server.faults.due(Phase.REQUEST, header.code, self.number):
            if isinstance(action, Wrong):
                wrong = action
            elif await self._act(action, b"") is None:
                return
        if self.lost:
            return
        reply = self._refusal(header, wrong) if wrong else await self._answer(header, record)
        if reply is not None and not self.lost:
            self._send(Phase.REPLY, header.code, reply)

    async def _answer(self, header: Header, record: bytes) -> bytes | None:
        """The reply's bytes; None: there is none."""
        request_class = REQUESTS.get(header.code)
        try:
            request = decode_body(header, record, self.version)
            if request is None or request_class is None or not isinstance(request, request_class):
                raise Refused(ErrorCode.NOT_SUPPORTED, in_header=True)
        except (NdmpGarbage, Refused) as fault:
            self.server.note(self, f"request {header.code:#x}", str(fault))
            if not self.profile.answers_unknown:
                return None
            garbage = isinstance(fault, NdmpGarbage)
            error = ErrorCode.XDR_DECODE if garbage else ErrorCode.NOT_SUPPORTED
            return self._refusal(header, Wrong(error, in_header=True))
        try:
            reply = await self._handle(request)
        except Refused as refused:
            self.server.note(self, request, refused.error.name)
            return self._refusal(header, Wrong(refused.error, in_header=refused.in_header))
        self.server.note(self, request, "" if reply is None else ErrorCode(reply.error).name)
        return None if reply is None else self._encode_reply(header, reply)

    async def _handle(self, request: Any) -> m.Reply | None:
        if isinstance(request, m.ConnectClose):
            return self._close(request)
        self.config.check(request)
        name = request.label.lower()
        for agent in (self.config, self.tape, self.mover, self.scsi, self.data):
            handler: Callable[[Any], Handled] | None = getattr(agent, name, None)
            if handler is not None:
                handled = handler(request)
                return handled if isinstance(handled, m.Reply) else await handled
        raise Refused(ErrorCode.NOT_SUPPORTED, in_header=True)

    def _close(self, request: m.ConnectClose) -> m.Reply | None:
        if self.profile.answers_close:
            raise Refused(ErrorCode.NO_ERR, in_header=True)
        self.drop()
        return None

    def _encode_reply(self, header: Header, reply: m.Reply) -> bytes:
        self._sequence += 1
        own = Header(self._sequence, self.server.now(), REPLY, header.code, header.sequence)
        return encode(own, reply, self.version)

    def _refusal(self, header: Header, wrong: Wrong) -> bytes:
        request_class = REQUESTS.get(header.code)
        if not wrong.in_header and request_class is not None:
            return self._encode_reply(header, request_class.reply(error=wrong.error))
        self._sequence += 1
        own = Header(
            self._sequence, self.server.now(), REPLY, header.code, header.sequence, wrong.error
        )
        if header.code == m.ConnectClose.code:
            self.afterwards(self.drop)
        return encode(own, None, self.version)

    # output and faults

    async def _send_all(self) -> None:
        try:
            while self._outgoing and not self.lost:
                phase, code, data, afterwards = self._outgoing.popleft()
                for action in self.server.faults.due(phase, code, self.number):
                    data = await self._act(action, data) or b""
                    if not data:
                        break
                if data and not self.lost:
                    self.transport.write(data)
                    await self._sent(phase, code)
                for action in afterwards if not self.lost else ():
                    action()
        finally:
            self._sending = False

    async def _sent(self, phase: Phase, code: int) -> None:
        if phase is Phase.REPLY:
            for action in self.server.faults.due(Phase.AFTER, code, self.number):
                await self._act(action, b"")

    async def _act(self, action: Any, data: bytes) -> bytes | None:
        """Let a fault happen. :return: the bytes to send; None: this is all"""
        self.server.note(self, "fault", repr(action))
        result: bytes | Deferred[bytes] | None = action.apply(self, data)
        return await result if isinstance(result, Deferred) else result
