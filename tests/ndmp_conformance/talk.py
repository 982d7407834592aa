"""One client of a server under test: blocking, and free to say what no good client says."""

from __future__ import annotations

import socket
import time
from typing import Any, NamedTuple

from protocols.ndmp import messages as m
from protocols.ndmp.base import REQUESTS
from protocols.ndmp.codec import (
    BEFORE_OPEN,
    REPLY,
    REQUEST,
    Header,
    decode_body,
    decode_header,
    encode,
)
from protocols.ndmp.codes import ErrorCode
from protocols.ndmp.errors import NdmpGarbage
from protocols.ndmp.record import RecordReader, encode_record
from protocols.xdr import Writer

LOGS = (m.LogMessage, m.LogLog, m.LogDebug)
"""What a server may say at any time."""


class Wrong(AssertionError):
    """The server did something else than it should; the message says what."""


class Got(NamedTuple):
    """A reply.

    :ivar body: None: the header has an error, and nothing is behind it.
    """

    header: Header
    body: Any

    @property
    def error(self) -> int:
        """Of the header, or of the body."""
        return int(self.header.error if self.body is None else self.body.error)


class Talk:
    """A control connection; the greeting is taken at once.

    :ivar posts: what the server said by itself and nobody took yet, without lines for the log.
    :ivar logs: the texts of lines for the log.
    :ivar crossed: of these, what came before the reply to the request that was said last.
    :ivar version: of what is said and heard.
    :param patience: seconds to wait for anything
    """

    def __init__(self, address: tuple[str, int], patience: float) -> None:
        self.patience = patience
        self.socket = socket.create_connection(address, patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.version = BEFORE_OPEN
        self.posts: list[m.Post] = []
        self.crossed: list[m.Post] = []
        self.logs: list[str] = []
        self._replies: dict[int, Got] = {}
        self._asked: dict[int, int] = {}
        self._labels: dict[int, str] = {}
        self._records = RecordReader()
        self._sequence = 0
        self.greeting = self.next_post(m.NotifyConnectionStatus)

    @property
    def host(self) -> str:
        """Our own address."""
        return str(self.socket.getsockname()[0])

    # saying

    def say(self, request: m.Request[Any]) -> int:
        """Send a request. :return: its sequence"""
        self.crossed = []
        self._sequence += 1
        header = Header(self._sequence, int(time.time()), REQUEST, request.code)
        self._asked[self._sequence] = request.code
        self._labels[self._sequence] = request.label
        self.socket.sendall(encode(header, request, self.version))
        return self._sequence

    def say_raw(self, code: int, body: bytes, *, message_type: int = REQUEST) -> int:
        """Send a message with any code and body. :return: its sequence"""
        self._sequence += 1
        out = Writer()
        for number in Header(self._sequence, int(time.time()), message_type, code):
            out.uint(number)
        if message_type == REQUEST:
            self._asked[self._sequence] = code
            self._labels[self._sequence] = hex(code)
        self.socket.sendall(encode_record(out.data() + body))
        return self._sequence

    # hearing

    def reply(self, sequence: int) -> Got:
        """The reply to a request, when it comes."""
        what = f"the reply to {self._labels[sequence]}"
        self._until(lambda: sequence in self._replies, what)
        return self._replies.pop(sequence)

    def request(self, request: m.Request[Any]) -> Got:
        """Send a request, and wait for its reply."""
        return self.reply(self.say(request))

    def next_post(self, kind: type[m.Post]) -> Any:
        """What the server says next by itself, which must be this."""
        self._until(lambda: bool(self.posts), kind.label)
        post = self.posts.pop(0)
        if not isinstance(post, kind):
            raise Wrong(f"{post}, wanted {kind.label}")
        return post

    def ended(self) -> bool:
        """The server ends the connection; what it says before is taken."""
        try:
            while data := self.socket.recv(65536):
                for record in self._records.feed(data):
                    self._take(record)
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def _until(self, there: Any, what: str) -> None:
        while not there():
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                raise Wrong(f"{what} does not come") from None
            except ConnectionError as fault:
                raise Wrong(f"{fault.strerror} instead of {what}") from None
            if not data:
                raise Wrong(f"the server ended the connection instead of {what}")
            for record in self._records.feed(data):
                self._take(record)

    def _take(self, record: bytes) -> None:
        header = decode_header(record)
        if header.message_type == REPLY:
            if self._asked.get(header.reply_sequence) != header.code:
                raise Wrong(f"a reply {header.code:#x} to nothing that was asked")
            if header.reply_sequence != next(iter(self._asked)):
                raise Wrong(f"{self._labels[header.reply_sequence]} is answered out of order")
            del self._asked[header.reply_sequence]
            self._replies[header.reply_sequence] = Got(header, self._body(header, record))
            return
        post = decode_body(header, record, self.version)
        if isinstance(post, m.LogMessage | m.LogLog | m.LogDebug):
            self.logs.append(post.text)
        elif isinstance(post, m.Post):
            self.posts.append(post)
            self.crossed += [post] if self._asked else []
        else:
            raise Wrong(f"message {header.code:#x}, which version {self.version} does not have")

    def _body(self, header: Header, record: bytes) -> Any:
        if header.code == m.ConnectClose.code:
            return None  # whoever answers it has nothing to say
        if header.code not in REQUESTS:
            if not header.error:
                raise Wrong(f"{header.code:#x} was done")
            return None
        try:
            return decode_body(header, record, self.version)
        except NdmpGarbage as fault:
            raise Wrong(str(fault)) from None

    # the end

    def close(self) -> None:
        """Say good-bye, give back what we have, and wait until the server has noticed."""
        with self.socket:
            movers = (m.MoverAbort(), m.MoverStop(), m.DataAbort(), m.DataStop())
            last = [self.say(one) for one in (*movers, m.TapeClose(), m.ScsiClose())][-1]
            self.reply(last)
            self.say(m.ConnectClose())
            self.ended()

    def drop(self) -> None:
        """Go away without a word."""
        self.socket.close()


def name_of(error: int) -> str:
    """Of an error."""
    try:
        return ErrorCode(error).name
    except ValueError:
        return f"error {error}"
