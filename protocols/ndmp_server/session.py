"""One client's conversation: its bytes in, replies and posts out [ndmp 4.1], [ndmp-server 1].

Requests are answered one after another, in the order of their arrival; a mover works beside that
and posts what happens to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from protocols.ndmp import messages as m
from protocols.ndmp.base import REQUESTS
from protocols.ndmp.codec import REPLY, REQUEST, Header, decode_body, decode_header, encode
from protocols.ndmp.codes import ConnectionStatus, ErrorCode, LogType
from protocols.ndmp.errors import NdmpGarbage
from protocols.ndmp.record import RecordReader
from protocols.ndmp_server.config_agent import ConfigAgent
from protocols.ndmp_server.interfaces import House, Refused
from protocols.ndmp_server.mover import Mover
from protocols.ndmp_server.profile import Profile
from protocols.ndmp_server.scsi_agent import ScsiAgent
from protocols.ndmp_server.tape_agent import TapeAgent

Handled = m.Reply | Awaitable[m.Reply]
"""What a handler of a request gives."""
Action = Callable[[], None]
ENOUGH = 16
"""Requests that may wait for those before them; a client that has more to say is to be held."""


class Session:
    """A client.

    :ivar number: of the session on its server, from 1.
    :ivar host: our address on the control connection.
    :ivar version: agreed on; before that the highest one offered.
    :ivar lost: the connection is over, or is about to be.
    :param write: sends bytes, in order
    :param hang_up: ends the control connection; the argument: with a reset
    :param drained: fewer than ENOUGH requests wait, so that more may come
    """

    def __init__(
        self,
        house: House,
        number: int,
        profile: Profile,
        *,
        host: str,
        write: Callable[[bytes], object],
        hang_up: Callable[[bool], object],
        drained: Callable[[], object] = lambda: None,
    ) -> None:
        self.house = house
        self.number = number
        self.profile = profile
        self.host = host
        self.version = max(profile.versions)
        self.lost = False
        self.config = ConfigAgent(self)
        self.tape = TapeAgent(self)
        self.scsi = ScsiAgent(self)
        self.mover = Mover(self)
        self.agents: list[object] = [self.config, self.tape, self.mover, self.scsi]
        self.write = write
        self._hang_up = hang_up
        self._drained = drained
        self._records = RecordReader()
        self._waiting: deque[bytes] = deque()
        self._serving = False
        self._held = False
        self._sequence = 0
        self._afterwards: list[Action] = []

    # what other kinds of server do in another way

    @property
    def data_is_idle(self) -> bool:
        """No data agent of this session is at work: we have none."""
        return True

    def note(self, what: Any, result: str) -> None:
        """Something was asked, answered or posted."""

    async def met_early_warning(self) -> None:
        """The mover has met the early warning and is about to say so."""

    async def clean_up(self) -> None:
        """The client is gone: give back what it had."""
        await self.mover.abandon()
        self.scsi.release()
        try:
            await self.tape.release()
        except Refused as refused:  # nobody is left to be told
            self.note("the client is gone, and its drive was closed", str(refused))

    def deliver(self, code: int, data: bytes, *, is_reply: bool) -> None:
        """Send a message; behind a reply comes what was to be done after it."""
        self.write(data)
        for action in self.take_afterwards() if is_reply else ():
            action()

    async def handle(self, header: Header, record: bytes) -> None:
        """Do what a request asks for, and answer it."""
        reply = await self.answer(header, record)
        if reply is not None and not self.lost:
            self.deliver(header.code, reply, is_reply=True)

    # what the agents use

    def post(self, message: m.Post) -> None:
        """Say something that nobody asked for; it goes out after what is on its way."""
        if self.lost:
            return
        self._sequence += 1
        self.note(message, "posted")
        header = Header(self._sequence, self.house.now(), REQUEST, message.code)
        self.deliver(message.code, encode(header, message, self.version), is_reply=False)

    def log(self, text: str, kind: LogType = LogType.DEBUG) -> None:
        """A line for the client's log."""
        if self.version < 3:
            self.post(m.LogLog(text=text))
        else:
            self.post(m.LogMessage(kind=kind, id=self.house.now() & 0xFFFFFFFF, text=text))

    def afterwards(self, action: Action) -> None:
        """Do this once the reply to the present request was sent."""
        self._afterwards.append(action)

    def take_afterwards(self) -> list[Action]:
        """What is to be done behind the reply that goes out now."""
        actions, self._afterwards = self._afterwards, []
        return actions

    def spawn(self, story: Coroutine[Any, Any, None]) -> None:
        """Let it run; a fault of ours in it ends the session, whose state nobody knows then."""
        self.house.spawn(self._guarded(story))

    async def _guarded(self, story: Coroutine[Any, Any, None]) -> None:
        try:
            await story
        except BaseException:
            self.drop(reset=True)
            raise

    # the connection

    def greet(self) -> None:
        """Say the first word."""
        status = ConnectionStatus.CONNECTED
        self.post(m.NotifyConnectionStatus(status, max(self.profile.versions), "Hello"))

    def feed(self, data: bytes) -> bool:
        """Take bytes of the client. :return: more may come at once"""
        if self.lost:
            return False
        try:
            self._waiting.extend(self._records.feed(data))
        except NdmpGarbage:
            self.drop()
            return False
        self._serve_on()
        return len(self._waiting) < ENOUGH

    def hold(self) -> None:
        """The client does not take what it is sent: let it ask no more until :meth:`go_on`."""
        self._held = True

    def go_on(self) -> None:
        """It has taken it."""
        self._held = False
        self._serve_on()

    def _serve_on(self) -> None:
        if self._waiting and not (self._serving or self._held or self.lost):
            self._serving = True
            self.spawn(self._serve_all())

    def drop(self, *, reset: bool = False) -> None:
        """End the control connection; :meth:`ended` is to follow."""
        self.lost = True
        self._waiting.clear()
        self._hang_up(reset)

    def ended(self) -> None:
        """The control connection is over."""
        self.lost = True
        self._waiting.clear()
        if not self._serving:
            self.house.spawn(self.clean_up())

    # requests

    async def _serve_all(self) -> None:
        try:
            while self._waiting and not self.lost and not self._held:
                await self._serve(self._waiting.popleft())
                if len(self._waiting) == ENOUGH - 1:
                    self._drained()
        finally:
            self._serving = False
            if self.lost:  # whoever ended meanwhile has left this to us
                self.house.spawn(self.clean_up())

    async def _serve(self, record: bytes) -> None:
        try:
            header = decode_header(record)
        except NdmpGarbage:
            self.drop()
            return
        if header.message_type == REQUEST:  # else a stray reply
            await self.handle(header, record)

    async def answer(self, header: Header, record: bytes) -> bytes | None:
        """The reply's bytes; None: there is none."""
        try:
            request = self._decode(header, record)
        except (NdmpGarbage, Refused) as fault:
            self.note(f"request {header.code:#x}", str(fault))
            if not self.profile.answers_unknown:
                return None
            garbage = isinstance(fault, NdmpGarbage)
            error = ErrorCode.XDR_DECODE if garbage else ErrorCode.NOT_SUPPORTED
            return self.refusal(header, error, in_header=True)
        try:
            reply = await self._do(request)
        except Refused as refused:
            self.note(request, refused.error.name)
            if refused.text:
                self.log(refused.text, LogType.ERROR)
            return self.refusal(header, refused.error, in_header=refused.in_header)
        self.note(request, "" if reply is None else ErrorCode(reply.error).name)
        return None if reply is None else self._encode_reply(header, reply)

    def _decode(self, header: Header, record: bytes) -> Any:
        request_class = REQUESTS.get(header.code)
        request = decode_body(header, record, self.version)
        if request is None or request_class is None or not isinstance(request, request_class):
            raise Refused(ErrorCode.NOT_SUPPORTED, in_header=True)
        return request

    async def _do(self, request: Any) -> m.Reply | None:
        if isinstance(request, m.ConnectClose):
            self._close()
            return None
        self.config.check(request)
        name = request.label.lower()
        for agent in self.agents:
            handler: Callable[[Any], Handled] | None = getattr(agent, name, None)
            if handler is not None:
                handled = handler(request)
                return handled if isinstance(handled, m.Reply) else await handled
        raise Refused(ErrorCode.NOT_SUPPORTED, in_header=True)

    def _close(self) -> None:
        if self.profile.answers_close:
            self.afterwards(self.drop)
            raise Refused(ErrorCode.NO_ERR, in_header=True)
        self.drop()

    def _encode_reply(self, header: Header, reply: m.Reply) -> bytes:
        self._sequence += 1
        own = Header(self._sequence, self.house.now(), REPLY, header.code, header.sequence)
        return encode(own, reply, self.version)

    def refusal(self, header: Header, error: ErrorCode, *, in_header: bool) -> bytes:
        """The reply that has this error."""
        request_class = REQUESTS.get(header.code)
        if not in_header and request_class is not None:
            return self._encode_reply(header, request_class.reply(error=error))
        self._sequence += 1
        own = Header(self._sequence, self.house.now(), REPLY, header.code, header.sequence, error)
        return encode(own, None, self.version)
