"""Who comes to a rendezvous and has no business there: what that costs, and whom it disturbs.

Nearly all is in memory, on a clock that is turned by hand; while strangers come and go an
application is at its dump, and must not notice.
"""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock

from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import (
    Alive,
    End,
    Frame,
    HeaderFields,
    Refusal,
    Refused,
    Send,
    Sending,
    Stored,
)
from protocols.rendezvous.times import ALIVE_SECONDS, MOST_UNPROVEN, PROOF_PATIENCE, SILENCE
from taper.core.outcome import Verdict
from taper.flow.rendezvous.link import CLOSE_PATIENCE, MOST_TOLD, Lobby
from taper.flow.rendezvous.meeting import Meeting
from taper.flow.rendezvous.meeting import Names as Wanted
from tests.fakes.stranger import Stranger, needs_root
from tests.fakes.turning import turning_reactor
from tests.flow.rendezvous_peer import Cut, Script
from tests.flow.rendezvous_wire import KEY, Wire, settle
from tests.flow.test_rendezvous import BLOCK_HEADER, Pumped, check_whole
from tests.flow.test_rendezvous import Meeting as Dump

NAMES = Names("client", "/home", 0, "amdirecttar")
THERE = (Address("192.0.2.7", 5000),)
HOME = "192.0.2.1"
ELSEWHERE = "198.51.100.1"
REFUSED = {ELSEWHERE: "refused, it is from elsewhere"}
MOST_KEPT = 20000
"""Bytes that the longest frame of a greeting has, about."""


class Caller:
    """An application, or one who would like to be."""

    def __init__(
        self,
        room: Room,
        host: str = HOME,
        key: bytes = KEY,
        names: Names = NAMES,
        dump_id: bytes = bytes(16),
    ) -> None:
        nonce = next(room.nonces)
        self.half = ApplicationHalf(key, names, dump_id, nonce, 1 << 20)
        self.wire = room.connect(host)
        self.heard: list[Frame] = []
        self.said: list[bytes] = []
        self.half.begin()
        self.talk()

    def talk(self) -> None:
        """Bring over what either has to say."""
        while not self.wire.gone:
            data = self.half.output()
            answer = self.wire.take()
            if not (data or answer):
                return
            if data:
                self.said.append(data)
                self.wire.give(data)
            self.heard += self.half.receive(answer)

    def say(self, frame: Frame) -> None:
        self.half.say(frame)
        self.talk()


class Room:
    """A rendezvous, and the application that is at it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wires: list[Wire] = []
        self.nonces = (number.to_bytes(32, "big") for number in itertools.count(1))
        self.meeting = Meeting(self.clock, Wanted("client", "/home", "0"), 300.0)
        self.lobby = Lobby(
            self.clock, KEY, self.meeting, lambda caller, ours: REFUSED.get(caller[0])
        )
        self.application = Caller(self)
        self.application.say(HeaderFields((("program", "APPLICATION"),)))
        self.meeting.send(0, THERE)
        self.application.talk()
        self.application.say(Sending(1, 0, 0))
        self.timers = len(self.clock.getDelayedCalls())
        self.written = 0

    def settle(self) -> None:
        """Let all that is closed be gone."""
        settle(self.wires)

    def connect(self, host: str = HOME) -> Wire:
        """Somebody comes."""
        return Wire(self.lobby, self.wires, host)

    def live(self) -> list[Wire]:
        """Those that are connected, without the application's."""
        mine = self.application.wire
        return [wire for wire in self.wires if not (wire.gone or wire is mine)]

    def pass_time(self, seconds: float) -> None:
        """In steps, with an application that shows that it is there."""
        while seconds > 0:
            step = min(seconds, 1.0)
            self.clock.advance(step)
            self.settle()
            self.application.say(Alive(self.written))
            seconds -= step

    def check(self) -> None:
        """The dump runs as if nobody else had come, and nothing is left of them."""
        assert self.live() == []
        assert len(self.clock.getDelayedCalls()) == self.timers
        self.check_dump()

    def check_dump(self) -> None:
        """The application hears us, and is heard."""
        meeting, application = self.meeting, self.application
        assert not application.wire.closed
        assert meeting.fault is None
        self.written += 100
        meeting.stored(self.written - 100, self.written)
        application.talk()
        assert application.heard[-1] == Stored(self.written - 100, self.written)
        application.say(Alive(self.written + 50))
        assert meeting.sent == self.written + 50
        sends = [frame for frame in application.heard if isinstance(frame, Send)]
        assert sends == [Send(1, 0, THERE)]


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    room.check()
    yield room
    room.check_dump()
    room.application.say(End(1000, 7, 0, ""))
    assert room.meeting.total == 1000


# who is not let in


def test_from_elsewhere(room: Room) -> None:
    """Hung up on at once, even with the key; not a byte is read or said."""
    for key in (KEY, bytes(32)):
        stranger = Caller(room, ELSEWHERE, key)
        assert stranger.wire.disconnected
        assert stranger.heard == []
        assert not stranger.half.established
        assert stranger.wire.take() == b""
    room.check()


def test_the_log_is_bounded(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand from elsewhere are told of in a few lines."""
    for _ in range(1000):
        assert room.connect(ELSEWHERE).disconnected
        room.settle()
    assert len(caplog.records) == MOST_TOLD
    assert "it is from elsewhere" in caplog.text
    room.check()
    room.lobby.close()
    assert f"{1000 - MOST_TOLD} more complaints" in caplog.text
    room.clock.advance(0)
    room.settle()
    back(room)


def test_another_key(room: Room) -> None:
    """No answer at all."""
    stranger = Caller(room, key=b"another key of this length")
    assert stranger.wire.gone
    assert stranger.wire.take() == b""
    room.check()


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x28",
        b"\0\0\0\x5c" + bytes(92),
        b"\0\0\0\x5b" + bytes(91),
        b"\x16\x03\x01\x02\0\1",
    ],
)
def test_who_speaks_another_language(room: Room, said: bytes) -> None:
    """What cannot be a HELLO is known by its first bytes."""
    wire = room.connect()
    wire.give(said)
    assert wire.gone
    assert wire.take() == b""
    room.check()


def test_what_was_recorded(room: Room) -> None:
    """All that the application said, played again from its own address: frame by frame, and all at
    once. The challenge is another one, so what proved it proves nothing."""
    recorded = list(room.application.said)
    assert len(recorded) > 2
    for pieces in (recorded, [b"".join(recorded)]):
        wire = room.connect()
        for piece in pieces:
            wire.give(piece)
        assert wire.gone
        room.check()


def test_another_dump(room: Room) -> None:
    """One that knows the key is told why it is not wanted, and hung up on."""
    for names, dump_id, reason in (
        (Names("client", "/var", 0, "amdirecttar"), bytes(16), Refusal.OTHER_DUMP),
        (Names("other", "/home", 0, "amdirecttar"), bytes(16), Refusal.OTHER_DUMP),
        (Names("client", "/home", 1, "amdirecttar"), bytes(16), Refusal.OTHER_DUMP),
        (NAMES, b"another run of it", Refusal.BUSY),
    ):
        other = Caller(room, names=names, dump_id=dump_id[:16])
        room.settle()
        (refused,) = other.half.receive(other.wire.take())
        assert isinstance(refused, Refused)
        assert refused.reason == reason
        assert other.wire.gone
        room.check()


# who is slow


def test_one_that_never_speaks(room: Room) -> None:
    """It has ten seconds."""
    wire = room.connect()
    assert len(room.clock.getDelayedCalls()) == room.timers + 1
    room.pass_time(PROOF_PATIENCE - 1)
    assert not wire.closed
    room.pass_time(1)
    assert wire.disconnected
    room.check()


def test_one_that_speaks_byte_by_byte(room: Room) -> None:
    """It has as long, however much it says meanwhile."""
    stranger = ApplicationHalf(KEY, NAMES, bytes(16), bytes(32), 0)
    stranger.begin()
    wire = room.connect()
    for byte in stranger.output():
        wire.give(bytes([byte]))
        room.pass_time(0.2)
        assert len(room.clock.getDelayedCalls()) <= room.timers + 1
    assert wire.disconnected
    room.check()


def test_one_that_says_hello_and_no_more(room: Room) -> None:
    """Nor does a good beginning help."""
    stranger = ApplicationHalf(KEY, NAMES, bytes(16), bytes(32), 0)
    stranger.begin()
    wire = room.connect()
    wire.give(stranger.output())
    assert wire.take()
    room.pass_time(PROOF_PATIENCE)
    assert wire.disconnected
    room.check()


@pytest.mark.parametrize("said", ["nothing", "half a frame", "hello"])
def test_a_thousand_at_once(room: Room, said: str) -> None:
    """Sixteen are held, whether they come one by one or all in one turn of the reactor; so memory
    and timers are bounded, and the next application gets in."""
    wires = []
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1000):
            wire = room.connect()
            wires.append(wire)
            if number % 50 == 49:  # so many are accepted in one turn
                room.settle()
                assert len(room.live()) <= MOST_UNPROVEN
            if not wire.closed:
                wire.link.dataReceived(_said(room, said))
            timers = len(room.clock.getDelayedCalls()) - room.timers
            assert timers <= MOST_UNPROVEN
        room.settle()
        live = room.live()
        del wires, wire
        room.wires[:] = [room.application.wire, *live]
        gc.collect()
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(live) == MOST_UNPROVEN
    assert now < MOST_UNPROVEN * MOST_KEPT
    # who means it gets in all the same
    other = Caller(room, names=Names("client", "/var", 0, "amdirecttar"))
    assert other.half.established or other.wire.gone
    room.settle()
    assert any(isinstance(frame, Refused) for frame in [*other.heard, *_rest(other)])
    del live
    room.pass_time(PROOF_PATIENCE)
    room.check()


def _said(room: Room, said: str) -> bytes:
    if said != "hello":
        return b"" if said == "nothing" else b"\0\0\0\x5b" + bytes(90)
    half = ApplicationHalf(KEY, NAMES, bytes(16), next(room.nonces), 0)
    half.begin()
    return half.output()


def _rest(caller: Caller) -> list[Frame]:
    return caller.half.receive(caller.wire.take())


# a bad wire


def back(room: Room) -> None:
    """The application comes back, and goes on where it was."""
    heard = room.application.heard
    room.application = Caller(room)
    room.application.heard[:0] = heard
    assert room.application.half.established
    room.application.say(HeaderFields((("program", "APPLICATION"),)))


def frames_of(room: Room, *frames: Frame) -> list[bytes]:
    """What the application says, before it is sent."""
    pieces = []
    for frame in frames:
        room.application.half.say(frame)
        pieces.append(room.application.half.output())
    return pieces


Spoil = Callable[[list[bytes]], list[bytes]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: said[::-1],
        lambda said: said[1:],
        lambda said: [said[0], said[0]],
        lambda said: [said[0][:-1] + bytes([said[0][-1] ^ 1])],
        lambda said: [said[0][:20] + bytes([said[0][20] ^ 1]) + said[0][21:]],
    ],
    ids=["swapped", "lost", "doubled", "mac", "body"],
)
def test_frames_that_are_not_as_they_were_said(spoil: Spoil) -> None:
    """That connection is closed, none of it is believed, and the dump goes on with the next."""
    room = Room()
    wire = room.application.wire
    room.meeting.stored(10, 20)
    room.application.talk()
    spoilt = spoil(frames_of(room, Alive(111), Alive(222)))
    wire.give(spoilt[0])
    for piece in spoilt[1:]:
        wire.give(piece)
    assert wire.gone
    assert room.meeting.sent in (0, 111)
    assert room.meeting.fault is None
    back(room)
    assert room.application.heard.count(Stored(10, 20)) == 2
    room.meeting.stored(30, 40)
    room.application.talk()
    assert room.application.heard[-1] == Stored(30, 40)


def test_an_old_frame_on_the_new_connection(room: Room) -> None:
    """What was said on the connection before is under other keys."""
    (old,) = frames_of(room, Alive(999_999))
    room.application.wire.lose()
    back(room)
    room.application.wire.give(old)
    assert room.application.wire.gone
    assert room.meeting.sent < 999_999
    back(room)


def test_one_that_falls_silent(room: Room) -> None:
    """A connection that is dead is given up, and its timers with it; it is the application that
    is then waited for."""
    wire = room.application.wire
    room.clock.pump([1.0] * int(SILENCE + 1))
    room.settle()
    assert wire.gone
    assert room.meeting.fault is None
    # how long it is waited for
    assert len(room.clock.getDelayedCalls()) == 1
    back(room)


def test_one_that_takes_nothing(room: Room) -> None:
    """Frames for a peer that never reads are not piled up."""
    link = room.application.wire.link
    link.pauseProducing()  # says the transport when its buffer is full
    room.clock.advance(0)
    room.settle()
    assert room.application.wire.gone
    for written in range(1000):
        room.meeting.stored(written, written)
    assert room.application.wire.take() == b""
    room.written = 2000
    back(room)


def test_one_that_is_refused_and_stays(room: Room) -> None:
    """It has a moment to take its refusal."""
    other = Caller(room, dump_id=b"another run of i")
    wire: Any = other.wire
    assert wire.closed
    room.clock.advance(CLOSE_PATIENCE)
    room.settle()
    room.check()


def test_how_far_is_told_when_it_is_asked(room: Room) -> None:
    """The application need not wait for the next time by the clock; nothing new is not told."""
    progress = iter(((100, 300), (100, 300), (500, 700)))
    room.meeting.asked = lambda: room.meeting.stored(*next(progress))
    before = len(room.application.heard)
    for sent in (1, 2, 3):
        room.application.say(Alive(sent))
    assert room.application.heard[before:] == [Stored(100, 300), Stored(500, 700)]
    room.meeting.asked = lambda: None
    room.written = 700


def test_we_are_heard_while_nothing_moves(room: Room) -> None:
    """As often as the other end may expect it."""
    before = len(room.application.heard)
    room.pass_time(5 * ALIVE_SECONDS)
    alive = [frame for frame in room.application.heard[before:] if isinstance(frame, Alive)]
    assert len(alive) >= 4


# on real sockets


@needs_root
def test_another_user_of_this_host() -> None:
    """Wherever the application is told to come, another comes first, with data of its own: it hears
    nothing, none of its bytes is in the dump, and the dump neither waits for it nor breaks."""
    visited: list[Address] = []

    def visit(*addresses: Address) -> None:
        for address in addresses:
            with Stranger(address.port, "evil" * 1000, address.host) as stranger:
                assert stranger.heard() == b""
            visited.append(address)

    script = Script(header=BLOCK_HEADER, cuts=[Cut(400_000)])
    with turning_reactor() as turning:
        meeting = Dump(turning, Pumped(turning), script)
        meeting.before_send = lambda order: visit(*meeting.offered, *order.addresses)
        assert turning.run(meeting.run()) is Verdict.DONE
        check_whole(meeting, turning)
        assert len(visited) == 4
        assert len(set(visited)) == 3
        turning.run(meeting.close())
