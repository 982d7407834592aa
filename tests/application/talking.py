"""A conversation at a rendezvous without sockets: the taper's half is the library's."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from attrs import define, field
from crc32c import crc32c

from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import End, EndResult, Frame, HeaderFields, Outcome, Result, Send
from protocols.rendezvous.taper import TaperHalf
from protocols.rendezvous.window import Window
from taper.application.calls import Patience
from taper.application.conversation import Conversation
from taper.application.states import Action

KEY = b"a key of the tests"
NAMES = Names("client", "/data", 1, "amdirecttar")
HEADER = HeaderFields((("program", "APPLICATION"),))
DUMP_ID = b"d" * 16
PATIENCE = Patience(first=60, again=300)
ADDRESSES = (Address("127.0.0.1", 7),)


@define
class Talk:
    """A conversation, the time, and the taper's half of its present connection."""

    memory: int = 1 << 20
    now: float = 1000.0
    window: Window = field(init=False)
    conversation: Conversation = field(init=False)
    half: TaperHalf = field(init=False)
    connections: int = 0

    def __attrs_post_init__(self) -> None:
        self.window = Window(self.memory, lambda data, crc: crc32c(bytes(data), crc))
        self.conversation = Conversation(self._half, HEADER, self.window, PATIENCE, self.now)

    def _half(self) -> ApplicationHalf:
        self.connections += 1
        nonce = self.connections.to_bytes(32, "big")
        return ApplicationHalf(KEY, NAMES, DUMP_ID, nonce, self.window.capacity)

    def actions(self) -> list[Action]:
        """What is to be done now."""
        return list(self._actions())

    def _actions(self) -> Iterator[Action]:
        while (action := self.conversation.take_action()) is not None:
            yield action

    def connect(self, key: bytes = KEY) -> list[Frame]:
        """The rendezvous connection is made, and both prove themselves. :return: what is heard"""
        self.half = TaperHalf(key, (1000 + self.connections).to_bytes(32, "big"))
        self.conversation.called(self.now)
        return self.heard()

    def heard(self) -> list[Frame]:
        """What the application says, with the taper's greeting in between."""
        frames: list[Frame] = []
        while data := self.conversation.output():
            frames += self.half.receive(data)
            self.conversation.received(self.half.output(), self.now)
        return frames

    def say(self, *frames: Frame) -> list[Frame]:
        """The taper says something. :return: what is heard upon it"""
        for frame in frames:
            self.half.say(frame)
        self.conversation.received(self.half.output(), self.now)
        return self.heard()

    def lose(self) -> None:
        """The rendezvous connection breaks."""
        self.conversation.lost("cut", self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, as the edge does."""
        end = self.now + seconds
        while (deadline := self.conversation.deadline) is not None and deadline <= end:
            self.now = max(deadline, self.now)
            self.conversation.tick(self.now)
            if self.conversation.deadline == deadline:
                break
        self.now = end

    def begin(self, data: bytes = b"", offset: int = 0, run: int = 1) -> list[Frame]:
        """Connected, ``data`` read, and a data connection from ``offset`` on."""
        self.actions()
        self.connect()
        self.window.append(data)
        self.say(Send(run, offset, ADDRESSES))
        self.actions()
        self.conversation.dialed(self.now)
        return self.heard()

    def flow(self, most: int = 1 << 20) -> bytes:
        """What the data connection takes at once."""
        taken = b""
        while len(taken) < most and self.conversation.sends:
            piece = self.conversation.piece(most - len(taken), self.now)
            if not piece:
                break
            self.conversation.sent(len(piece))
            taken += piece
        return taken


DATA = Random(3).randbytes(300_000)


def good(data: bytes = DATA) -> Result:
    return Result(Outcome.GOOD, len(data), True, crc32c(data), "")


def end(data: bytes = DATA) -> End:
    return End(len(data), crc32c(data), EndResult.GOOD, "")
