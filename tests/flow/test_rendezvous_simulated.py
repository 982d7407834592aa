"""Both ends of a rendezvous as they are, on lines that are cut at any byte.

The application is its real conversation, the taper its real meeting; sockets, and the device that
reads, are played here. Whatever breaks, and whoever hears of it late: the dump comes through whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random

import pytest
from attrs import define, field
from crc32c import crc32c
from twisted.internet.task import Clock

from protocols.crc import Crc
from protocols.directtcp import Address
from protocols.rendezvous import window
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import Cannot, HeaderFields, Outcome
from protocols.rendezvous.window import Window
from taper.application.calls import Patience
from taper.application.conversation import Conversation
from taper.application.states import Call, Dial, Finish, HangUp, Leave
from taper.flow.rendezvous.link import Lobby
from taper.flow.rendezvous.meeting import Meeting
from taper.flow.rendezvous.meeting import Names as Wanted
from tests.flow.rendezvous_wire import KEY, Wire

NAMES = Names("client", "/home", 0, "amdirecttar")
HEADER = HeaderFields((("program", "APPLICATION"),))
THERE = (Address("192.0.2.7", 5000),)
DATA = Random(7).randbytes(800)
IN_FLIGHT = 150
"""Bytes that a data connection holds."""
MEMORY = 400
"""Of the window, and the bytes of its blocks."""
BLOCK = 16


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "BLOCK", BLOCK)
        yield


@define(eq=False)
class Pipe:
    """One data connection.

    :ivar flowing: bytes that are sent and not read.
    :ivar ended: no more will come, in good order.
    :ivar broken: nothing comes through any more.
    :ivar unseen: whoever reads does not notice.
    """

    flowing: bytearray = field(factory=bytearray)
    ended: bool = False
    broken: bool = False
    unseen: bool = False


class World:
    """An application, a taper, and what is between them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wires: list[Wire] = []
        # the taper
        self.meeting = Meeting(self.clock, Wanted("client", "/home", "0"), 1000.0)
        self.meeting.alarm = self._alarm
        self.lobby = Lobby(self.clock, KEY, self.meeting, lambda caller, ours: None)
        self.stored = bytearray()
        self.reading: Pipe | None = None
        self._ordered = False
        self._finished = False
        # the application
        self._nonces = (number.to_bytes(32, "big") for number in itertools.count(1))
        self._window = Window(MEMORY, lambda data, crc: crc32c(bytes(data), crc))
        self.application = Conversation(
            self._half, HEADER, self._window, Patience(first=1000, again=1000), 0.0
        )
        self.wire: Wire | None = None
        self.there, self.back = bytearray(), bytearray()
        self.calling = False
        self.dialing: Dial | None = None
        self.sending: Pipe | None = None
        self.read = self.sent = 0
        self._ended = False
        self._act()

    def _half(self) -> ApplicationHalf:
        return ApplicationHalf(KEY, NAMES, bytes(16), next(self._nonces), self._window.capacity)

    def _alarm(self, text: str) -> None:
        raise AssertionError(text)

    @property
    def now(self) -> float:
        return float(self.clock.seconds())

    # the edge of the application

    def _act(self) -> None:
        application = self.application
        while (action := application.take_action()) is not None:
            match action:
                case Call():
                    self.calling = True
                case HangUp():
                    self.hang_up()
                case Dial():
                    self.dialing = action
                case Leave():
                    self.dialing = None
                    if self.sending is not None:
                        self.sending.broken = True
                    self.sending = None
                case Finish():
                    assert self.sending is not None
                    self.sending.ended = True
        said = application.output()
        if self.wire is not None:
            self.there += said
        self._order()

    def hang_up(self) -> None:
        """What is on its way is lost; the taper hears of it later."""
        self.wire = None
        self.there.clear()
        self.back.clear()

    def connect(self, size: int) -> None:
        """The rendezvous connection is made, or is not."""
        if self.calling:
            self.calling = False
            if size % 4 == 3:
                self.application.lost("nobody answers", self.now)
            else:
                self.wire = Wire(self.lobby, self.wires, "192.0.2.1")
                self.application.called(self.now)
        self._act()

    def talk(self, size: int) -> None:
        """So many bytes come through, in both directions."""
        if self.wire is not None:
            said, self.there = self.there[:size], self.there[size:]
            self.wire.give(bytes(said))
            self.back += self.wire.take()
            if self.wire.gone:
                self.cut_talk(0)
                return
            heard, self.back = self.back[:size], self.back[size:]
            if heard:
                self.application.received(bytes(heard), self.now)
        self._act()

    def cut_talk(self, size: int) -> None:
        """The rendezvous breaks; the taper does not always know."""
        wire = self.wire
        if wire is not None:
            self.hang_up()
            if size % 2:
                wire.lose()
            self.application.lost("cut", self.now)
        self._act()

    def hear_of_cuts(self, size: int) -> None:
        """The taper knows, too."""
        for wire in self.wires:
            if not wire.gone and wire is not self.wire:
                wire.lose()
        self._act()

    def dial(self, size: int) -> None:
        """The data connection is made, or is not."""
        dialing, self.dialing = self.dialing, None
        if dialing is not None:
            if dialing.run != self.meeting.run or self.reading is not None or size % 4 == 3:
                self.application.not_dialed("nobody answers", self.now)
            else:
                self.sending = self.reading = Pipe()
                self._ordered = False
                self.application.dialed(self.now)
        self._act()

    def produce(self, size: int) -> None:
        """The source has so many bytes more."""
        size = min(size, self.application.reads, len(DATA) - self.read)
        self._window.append(DATA[self.read : self.read + size])
        self.read += size
        if self.read == len(DATA) and not self._ended and not self.application.over:
            self._ended = True
            self.application.ended(self.now)
        self._act()

    def send(self, size: int) -> None:
        """The data connection takes so many bytes; or it is found out that it is broken."""
        pipe = self.sending
        if pipe is not None and pipe.broken:
            self.sending = None
            self.application.broke("reset", self.now)
        elif pipe is not None:
            size = min(size, IN_FLIGHT - len(pipe.flowing))
            piece = self.application.piece(size, self.now) if size > 0 else b""
            pipe.flowing += piece
            self.sent += len(piece)
            self.application.sent(len(piece))
        self._act()

    # the taper

    def take(self, size: int) -> None:
        """The device reads so many bytes, or sees that no more will come."""
        pipe = self.reading
        if pipe is not None:
            if pipe.broken:
                if not pipe.unseen or self.meeting.broken is not None:
                    self.reading = None
            elif pipe.flowing:
                self.stored += pipe.flowing[:size]
                del pipe.flowing[:size]
            elif pipe.ended:
                self.reading = None
            written = len(self.stored)
            self.meeting.stored(written // 100 * 100, written)
        self._act()

    def _order(self) -> None:
        """What :class:`taper.flow.rendezvous.feeding.Feeding` does."""
        meeting, offset = self.meeting, len(self.stored)
        if meeting.total == offset:
            if not self._finished and self.reading is None:
                self._finished = True
                crc = Crc(crc32c(self.stored), offset)
                meeting.stored(offset, offset)
                meeting.result(Outcome.GOOD, crc, offset, "")
            return
        if self.reading is not None or meeting.host is None or meeting.header is None:
            return
        again = isinstance(meeting.answer, Cannot) or meeting.broken is not None
        if again or not self._ordered:
            self._ordered = True
            meeting.send(offset, THERE)
            self._act()

    def cut_data(self, size: int) -> None:
        """The data connection breaks; what is on its way is lost."""
        pipe = self.sending or self.reading
        if pipe is not None:
            pipe.broken = True
            pipe.unseen = self.sending is pipe and size % 3 == 0
            pipe.flowing.clear()
            if size % 2 and self.sending is pipe:
                self.send(0)
        self._act()

    # time

    def wait(self, size: int) -> None:
        """So many thousandths of a second."""
        self.clock.advance(size / 1000)
        deadline = self.application.deadline
        if deadline is not None and deadline <= self.now:
            self.application.tick(self.now)
        self._act()


GOOD = (
    World.connect,
    World.talk,
    World.hear_of_cuts,
    World.dial,
    World.produce,
    World.talk,
    World.send,
    World.take,
    World.wait,
)
"""What happens when nothing breaks."""
CUTS = (World.cut_talk, World.cut_data)

HISTORIES = 60
"""Each is another one."""
ROUNDS = 400
"""After the last break, until the dump must be whole."""


def break_down(world: World, dice: Random) -> None:
    """Stretches in which all is well, then some events more in any order, and what breaks then."""
    for _ in range(dice.randrange(9)):
        for event in GOOD * dice.randrange(16):
            event(world, 60 if event is World.talk else 200)  # a frame takes a while
        for event in dice.choices(GOOD, k=dice.randrange(13)):
            event(world, dice.randrange(900))
        for event in dice.choices(CUTS, k=dice.randrange(1, 3)):
            event(world, dice.randrange(900))
        assert DATA.startswith(world.stored)


def test_the_dump_is_whole() -> None:
    """And both know it; nothing is sent twice but what was on its way."""
    for seed in range(HISTORIES):
        world = World()
        break_down(world, Random(seed))
        for _ in range(ROUNDS):
            for event in GOOD:
                event(world, 400)
            if world.application.over:
                break
        application = world.application
        assert application.failure is None, seed
        assert application.over, f"{seed}: it never came to its end"
        assert world.stored == DATA
        assert application.crc == Crc(crc32c(DATA), len(DATA))
        assert world.sent <= len(DATA) + (world.meeting.run - 1) * IN_FLIGHT
