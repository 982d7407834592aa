"""The taper's side of a rendezvous, over sockets, by the library's half of it: what it does is told
by a test, call by call. And the application's side in a thread of the test's own process."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from typing import Any, TypeVar

from attrs import define, field
from crc32c import crc32c

from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import (
    Frame,
    HeaderBlock,
    HeaderFields,
    Outcome,
    Result,
    Send,
    Sending,
)
from protocols.rendezvous.taper import TaperHalf
from protocols.rendezvous.window import Window
from taper.application.calls import Patience
from taper.application.connection import RESET_ON_CLOSE
from taper.application.conversation import Conversation
from taper.application.errors import ApplicationError
from taper.application.meeting import Meeting
from taper.application.tls import Trust
from tests.application.driving import SECONDS

KEY = b"the tests' own key"
HEADER = HeaderFields((("program", "APPLICATION"),))
PATIENCE = Patience(first=SECONDS, again=SECONDS)
F = TypeVar("F", bound=Frame)


class Ended(Exception):
    """The application ended the connection."""


@define
class TaperSide:
    """Listens for an application, and for its data.

    :ivar received: what came over data connections, put where it belongs
    :ivar crossed: bytes of data that came, those that came twice counted twice
    """

    key: bytes = KEY
    received: bytearray = field(factory=bytearray)
    crossed: int = 0
    run: int = 0
    half: TaperHalf = field(init=False)
    _door: socket.socket = field(init=False)
    _talk: socket.socket | None = None
    _heard: deque[Frame] = field(factory=deque)
    _data_door: socket.socket | None = None
    data: socket.socket | None = None

    def __attrs_post_init__(self) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(SECONDS)

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self._door.getsockname()[1])

    def close(self) -> None:
        """All of it; safe to repeat."""
        for each in (self._door, self._talk, self._data_door, self.data):
            if each is not None:
                each.close()

    # the rendezvous connection

    def meet(self) -> None:
        """Wait for the application, and prove each other."""
        self._talk, _ = self._door.accept()
        self._talk.settimeout(SECONDS)
        self.half = TaperHalf(self.key, os.urandom(32))
        self._heard.clear()
        while self.half.peer is None:
            self._listen()

    def cut(self) -> None:
        """The rendezvous connection breaks."""
        assert self._talk is not None
        self._talk.close()

    def vanish(self) -> None:
        """It breaks, and nobody listens any more."""
        self._door.close()
        self.cut()

    def _listen(self) -> None:
        assert self._talk is not None
        data = self._talk.recv(1 << 16)
        if not data:
            raise Ended
        self._heard.extend(self.half.receive(data))
        self._talk.sendall(self.half.output())

    def say(self, *frames: Frame) -> None:
        assert self._talk is not None
        for frame in frames:
            self.half.say(frame)
        self._talk.sendall(self.half.output())

    def hear(self, kind: type[F]) -> F:
        """The next frame of a kind; others wait for whoever wants them."""
        while True:
            for frame in self._heard:
                if isinstance(frame, kind):
                    self._heard.remove(frame)
                    return frame
            self._listen()

    # data connections

    def order(self, offset: int) -> None:
        """Have the application send from ``offset`` on."""
        self.run += 1
        self._data_door = socket.create_server(("127.0.0.1", 0))
        self._data_door.settimeout(SECONDS)
        address = Address("127.0.0.1", self._data_door.getsockname()[1])
        self.say(Send(self.run, offset, (address,)))

    def accept(self, offset: int) -> None:
        """It connects, and says that it does."""
        assert self._data_door is not None
        self.data, _ = self._data_door.accept()
        self.data.settimeout(SECONDS)
        self._data_door.close()
        sending = self.hear(Sending)
        assert (sending.run, sending.offset) == (self.run, offset)
        del self.received[offset:]
        assert sending.crc == crc32c(bytes(self.received))

    def send(self, offset: int = 0) -> None:
        """Order, and accept."""
        self.order(offset)
        self.accept(offset)

    def take(self, most: int | None = None) -> int:
        """Take so many bytes of data, or all to the end. :return: how many there were"""
        assert self.data is not None
        taken = 0
        while most is None or taken < most:
            data = self.data.recv(1 << 16 if most is None else min(most - taken, 1 << 16))
            if not data:
                break
            taken += len(data)
            self.received += data
        self.crossed += taken
        return taken

    def drop(self) -> int:
        """Reset the data connection. :return: bytes that had come, and are lost"""
        assert self.data is not None
        self.data.setblocking(False)
        lost = 0
        try:
            while data := self.data.recv(1 << 16):
                lost += len(data)
        except BlockingIOError:
            pass
        self.data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.data.close()
        self.crossed += lost
        return lost

    def good(self) -> None:
        """All is stored."""
        data = bytes(self.received)
        self.say(Result(Outcome.GOOD, len(data), True, crc32c(data), ""))


@define
class Application:
    """A dump by rendezvous in a thread.

    :ivar failure: why it was not good
    :ivar trust: who may be the taper, by TLS
    """

    address: Address
    memory: int = 1 << 20
    patience: Patience = PATIENCE
    key: bytes = KEY
    failure: str | None = None
    wrong: str | None = None
    names: Names = field(factory=lambda: Names("client", "/data", 0, "amdirecttar"))
    header: HeaderFields | HeaderBlock = HEADER
    trust: Trust | None = None
    meeting: Meeting = field(init=False)
    _pipe: tuple[int, int] = field(init=False)
    _ended: threading.Event = field(factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        window = Window(self.memory, lambda data, crc: crc32c(bytes(data), crc))

        def half() -> ApplicationHalf:
            nonce = os.urandom(32)
            return ApplicationHalf(self.key, self.names, b"i" * 16, nonce, window.capacity)

        header: Any = self.header
        conversation = Conversation(half, header, window, self.patience, time.monotonic())
        self.meeting = Meeting(conversation, [self.address], 5, self.trust)
        self._pipe = os.pipe()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self.meeting:
                self.meeting.meet()
                self.meeting.send(self._pipe[0], lambda: None, self._judge)
        except ApplicationError as error:
            self.failure = str(error)
        finally:
            os.close(self._pipe[0])

    def _judge(self, _size: int) -> None:
        if self.wrong is not None:
            raise ApplicationError(self.wrong)

    def write(self, data: bytes, end: bool = True) -> None:
        """The source gives these bytes, from another thread."""

        def write() -> None:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._pipe[1], view) :]
            except BrokenPipeError:
                pass
            if end:
                os.close(self._pipe[1])

        threading.Thread(target=write).start()

    def join(self) -> None:
        """It ends."""
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
