"""A rendezvous that is cut at any moment, and windows that fill up."""

from __future__ import annotations

from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crc import Crc
from protocols.rendezvous.frames import (
    Alive,
    Broken,
    Cannot,
    End,
    Frame,
    Send,
    Sending,
    Stored,
)
from protocols.rendezvous.window import BLOCK
from taper.application.states import Call, Dial, HangUp, Leave
from tests.application.talking import ADDRESSES, DATA, Talk, good


class World:
    """A taper with a device that stores, an application with a source, and cuts between them.

    :ivar stored: what the device has for good
    :ivar crossed: bytes that went over data connections
    """

    def __init__(self, data: bytes, memory: int) -> None:
        self.data = data
        self.talk = Talk(memory=memory)
        self.stored = b""
        self.crossed = 0
        self.run = self.said = 0
        self.way: bytes | None = None
        self.read = 0
        self.there = False
        self.whole: End | None = None
        self.ordered: Send | None = None

    def step(self) -> None:
        """Let everything go on that can."""
        talk = self.talk
        for action in talk.actions():
            match action:
                case Call() if self.there:
                    raise AssertionError("there is a connection already")
                case Call():
                    self.there, self.said = True, 0
                    self.listen(talk.connect())
                    self.order()
                case Dial(run, _) if run == self.run:
                    self.way = b""
                    talk.conversation.dialed(talk.now)
                case Dial():
                    talk.conversation.not_dialed("nobody listens any more", talk.now)
                case Leave():
                    self.way = None
                case HangUp():
                    self.there = False
        room = min(talk.conversation.reads, 7 * 4096, len(self.data) - self.read)
        if room:
            talk.window.append(self.data[self.read : self.read + room])
            self.read += room
            if self.read == len(self.data):
                talk.conversation.ended(talk.now)
        if self.way is not None:
            piece = talk.flow(5 * 4096)
            self.crossed += len(piece)
            self.way += piece
        if self.there:
            self.listen(talk.heard())
        if not self.there:
            talk.wait(0.1)

    def listen(self, frames: list[Frame]) -> None:
        for frame in frames:
            match frame:
                case Sending(run, offset, crc) if run == self.run:
                    assert crc == crc32c(self.data[:offset])
                    self.ordered = None
                case Broken(run) | Cannot(run) if run == self.run:
                    self.ordered = None
                    self.order()
                case End():
                    self.whole = frame

    def order(self) -> None:
        """SEND, or what of it may not have come through."""
        if self.ordered is None and self.way is None:
            self.run += 1
            self.ordered = Send(self.run, len(self.stored), ADDRESSES)
        if self.ordered is not None and self.there and self.said != self.run:
            self.said = self.run
            self.listen(self.talk.say(self.ordered))

    def store(self) -> None:
        """The device has some more for good."""
        if self.way:
            self.stored, self.way = self.stored + self.way, b""
        if self.there and not self.talk.conversation.over:
            self.talk.say(Stored(len(self.stored), len(self.stored)))
            if self.whole is not None and len(self.stored) == self.whole.size:
                self.talk.say(good(self.stored))

    def cut_data(self) -> None:
        """What is on its way is lost."""
        if self.way is not None:
            self.way = None
            self.talk.conversation.broke("cut", self.talk.now)
            if self.there:
                self.listen(self.talk.heard())

    def cut_talk(self) -> None:
        if self.there and not self.talk.conversation.over:
            self.there = False
            self.talk.lose()


DEEDS = st.sampled_from([World.step, World.step, World.store, World.cut_data, World.cut_talk])


@settings(max_examples=60, deadline=None)
@given(st.lists(DEEDS, max_size=60), st.integers(0, 12 * BLOCK), st.integers(BLOCK, 4 * BLOCK))
def test_cuts_at_any_moment(deeds: list[object], size: int, memory: int) -> None:
    """The dump is whole, and a break costs no more than what the window holds."""
    world = World((DATA * 3)[:size], memory)
    if not size:
        world.talk.conversation.ended(world.talk.now)
    world.step()
    breaks = 0
    for deed in deeds:
        breaks += deed in (World.cut_data, World.cut_talk)
        deed(world)  # type: ignore[operator]
    for _ in range(300):
        if world.talk.conversation.over:
            break
        world.step()
        world.store()
    assert world.talk.conversation.failure is None
    assert world.talk.conversation.crc == Crc(crc32c(world.data), size)
    assert world.stored == world.data
    assert world.crossed <= size + breaks * (memory + 2 * BLOCK)


def test_each_quarter_of_its_memory_asks_the_taper() -> None:
    """It answers how far it is, so the window is not full before it has room again."""
    talk = Talk(memory=4 * BLOCK)
    talk.begin(DATA[: 4 * BLOCK])
    talk.flow(BLOCK - 1)
    assert talk.heard() == []
    talk.flow(1)
    assert talk.heard() == [Alive(BLOCK)]
    talk.flow(BLOCK)
    assert talk.heard() == [Alive(2 * BLOCK)]
    # from where it begins anew, too
    talk.say(Send(2, BLOCK, ADDRESSES))
    talk.actions()
    talk.conversation.dialed(talk.now)
    talk.heard()
    talk.flow(BLOCK)
    assert talk.heard() == [Alive(2 * BLOCK)]


def test_a_full_window_reminds_the_taper() -> None:
    """Soon, then less and less often; what is stored begins it anew."""
    talk = Talk(memory=2 * BLOCK)
    talk.begin(DATA[: 2 * BLOCK])
    talk.wait(1)
    assert talk.heard() == [], "there is something to send"
    talk.flow()
    talk.heard()

    def times() -> list[float]:
        found = []
        start = talk.now
        while talk.now < start + 6:
            talk.wait(0.05)
            found += [round(talk.now - start, 2)] * len(talk.heard())
        return found

    assert times() == [0.05, 0.15, 0.35, 0.75, 1.55, 3.15]
    talk.say(Stored(BLOCK, BLOCK))
    assert times() == []
    talk.window.append(DATA[:BLOCK])
    talk.flow()
    talk.heard()
    assert len(times()) == 6
