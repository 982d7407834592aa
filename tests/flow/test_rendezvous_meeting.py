"""What is said between a taper and an application, on a clock of its own and without a socket."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from devices.errors import PeerUnreachable
from protocols.crc import UNKNOWN, Crc
from protocols.directtcp import Address
from protocols.rendezvous.frames import (
    Alive,
    Broken,
    Cannot,
    Delivered,
    End,
    EndResult,
    Frame,
    Halt,
    Halted,
    Outcome,
    Proof,
    Refusal,
    Result,
    Send,
    Sending,
    Stored,
    Why,
)
from taper.core.errors import SourceFault
from taper.flow.rendezvous.link import Link
from taper.flow.rendezvous.meeting import Meeting, Names, Presence
from taper.flow.rendezvous.sender import VERDICT_PATIENCE, ApplicationSender
from taper.plane.interfaces import SourceError

THERE = (Address("192.0.2.7", 5000),)
GOOD = End(1000, 77, EndResult.GOOD, "")
PATIENCE = 100.0


class FakeLink:
    """A connection that notes what is said.

    :ivar ended: how, if it is.
    """

    def __init__(self, dump_id: bytes = b"a", host: str = "192.0.2.1", **names: Any) -> None:
        wanted: dict[str, Any] = {"host": "h", "disk": "/d", "level": 1, **names}
        self.proof = Proof(application="app", window=1 << 24, **wanted)
        self.dump_id = dump_id
        self.host = host
        self.our_host = "198.51.100.1"
        self.said: list[Frame] = []
        self.ended: object = None

    def say(self, frame: Frame) -> None:
        self.said.append(frame)

    def refuse(self, reason: Refusal, text: str) -> None:
        self.ended = reason

    def abort(self) -> None:
        self.ended = "aborted"

    def finish(self) -> None:
        self.ended = "finished"


class Room:
    """A meeting and those who come to it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.meeting = Meeting(self.clock, Names("h", "/d", "1"), PATIENCE)
        self.alarms: list[str] = []
        self.meeting.alarm = self.alarms.append
        self.acknowledged: list[tuple[int, int]] = []

    def come(self, **how: Any) -> FakeLink:
        link = FakeLink(**how)
        self.meeting.proven(cast("Link", link))
        return link

    def hear(self, link: FakeLink, *frames: Frame) -> None:
        for frame in frames:
            self.meeting.heard(cast("Link", link), frame)

    def lose(self, link: FakeLink) -> None:
        self.meeting.lost(cast("Link", link), "it broke")

    def sender(self, position: int = 0, crc: int = 0) -> ApplicationSender:
        return ApplicationSender(
            self.clock,
            self.meeting,
            Crc(crc, position),
            PATIENCE,
            begin=lambda: None,
            acknowledge=lambda stored, written: self.acknowledged.append((stored, written)),
        )


@pytest.fixture
def room() -> Room:
    return Room()


def outcome(deferred: Deferred[Any]) -> Any:
    """What it has fired with, if it has; a failure as its exception."""
    got: list[Any] = []
    deferred.addCallbacks(got.append, lambda failure: got.append(failure.value))
    return got[0] if got else "waits"


# who is there


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"host": "another"}, Refusal.OTHER_DUMP),
        ({"disk": "/e"}, Refusal.OTHER_DUMP),
        ({"level": 0}, Refusal.OTHER_DUMP),
        ({"dump_id": b"b"}, Refusal.BUSY),
    ],
)
def test_one_application_is_at_the_dump(room: Room, how: Any, reason: Refusal) -> None:
    """The first run of the right one; others cost it nothing."""
    first = room.come()
    host = how.pop("host", "h")
    stranger = FakeLink(**how)
    stranger.proof = Proof(host, stranger.proof.disk, stranger.proof.level, "app", 0)
    room.meeting.proven(cast("Link", stranger))
    assert stranger.ended is reason
    assert first.ended is None
    room.hear(stranger, GOOD)
    room.lose(stranger)
    assert room.meeting.end is None
    assert room.meeting.presence is Presence.THERE


def test_it_comes_back_before_its_first_connection_is_known_to_be_lost(room: Room) -> None:
    first = room.come()
    second = room.come()
    assert first.ended == "aborted"
    room.lose(first)
    assert room.meeting.presence is Presence.THERE
    room.hear(second, GOOD)
    assert room.meeting.total == 1000


@pytest.mark.parametrize("came", [True, False])
def test_it_is_waited_for_as_long_as_patience_lasts(room: Room, came: bool) -> None:
    if came:
        room.lose(room.come())
    else:
        room.meeting.wait_at_most(PATIENCE)
    waiting = room.meeting.when(lambda: room.meeting.host is not None)
    room.clock.advance(PATIENCE - 1)
    assert room.alarms == []
    room.clock.advance(1)
    (text,) = room.alarms
    assert ("come back" in text) is came
    assert isinstance(outcome(waiting), SourceFault)
    room.clock.advance(PATIENCE)
    assert len(room.alarms) == 1


def test_one_that_is_back_in_time(room: Room) -> None:
    room.lose(room.come())
    room.clock.advance(PATIENCE - 1)
    room.come()
    room.clock.advance(PATIENCE)
    assert room.alarms == []
    assert room.clock.getDelayedCalls() == []


def test_all_that_is_needed_of_it_is_known(room: Room) -> None:
    """Whoever has said its good end and sent all may stay away; it may come for its result."""
    link = room.come()
    room.hear(link, GOOD)
    room.lose(link)
    room.clock.advance(PATIENCE - 1)
    room.meeting.complete()
    room.clock.advance(10 * PATIENCE)
    assert room.alarms == []
    room.meeting.result(Outcome.GOOD, room.meeting.crc, 1000, "")
    back = room.come()
    assert back.said == [Result(Outcome.GOOD, 1000, True, 77, "")]
    assert back.ended == "finished"


def test_an_end_is_not_all_that_is_needed(room: Room) -> None:
    """It may have been said long before all was sent."""
    link = room.come()
    room.hear(link, GOOD)
    room.lose(link)
    room.clock.advance(PATIENCE)
    assert len(room.alarms) == 1


def test_one_that_stayed_away_is_sent_somewhere_again(room: Room) -> None:
    """What it sent was all there, and is wanted once more: a part failed."""
    link = room.come()
    room.hear(link, GOOD)
    room.meeting.complete()
    room.lose(link)
    room.clock.advance(10 * PATIENCE)
    room.meeting.send(0, THERE)
    room.clock.advance(PATIENCE)
    assert len(room.alarms) == 1


def test_when_it_is_over(room: Room) -> None:
    waiting = room.meeting.when(lambda: False)
    room.meeting.close()
    assert isinstance(outcome(waiting), SourceFault)
    assert room.come().ended is Refusal.OVER
    assert room.alarms == []


# what may be lost is said again


def test_an_order_without_an_answer(room: Room) -> None:
    first = room.come()
    room.meeting.send(0, THERE)
    room.lose(first)
    second = room.come()
    assert first.said == second.said == [Send(1, 0, THERE)]
    room.hear(second, Sending(1, 0, 0))
    assert room.come().said == []


def test_only_the_last_order(room: Room) -> None:
    """An application that has one from before answers both, and the last answer counts."""
    first = room.come()
    room.meeting.send(0, THERE)
    room.meeting.send(10, THERE)
    room.hear(first, Cannot(1, Why.NOBODY_ANSWERS, 0, "another order came"))
    assert room.meeting.answer is None
    room.meeting.halt(10)
    second = room.come()
    assert second.said == [Halt(2, 10)]
    room.hear(second, Halted(2, 10, 5))
    assert room.meeting.answer == Halted(2, 10, 5)


def test_an_order_to_one_that_is_away(room: Room) -> None:
    room.lose(room.come())
    room.meeting.send(0, THERE)
    assert room.come().said == [Send(1, 0, THERE)]


def test_progress(room: Room) -> None:
    """Never backwards, never more than there is, and again after a break."""
    first = room.come()
    for stored, written in ((0, 0), (10, 20), (5, 30), (10, 25)):
        room.meeting.stored(stored, written)
    assert first.said == [Stored(10, 20), Stored(10, 30)]
    second = room.come()
    assert second.said == [Stored(10, 30)]
    room.hear(second, GOOD)
    room.meeting.stored(1024, 1024)
    assert second.said[-1] == Stored(1000, 1000)


def test_progress_that_begins_again(room: Room) -> None:
    """What is sent once more is not called written before it is: it might be dropped too soon."""
    link = room.come()
    room.meeting.stored(100, 900)
    room.meeting.send(300, THERE)
    room.meeting.stored(100, 350)
    assert link.said == [Stored(100, 900), Send(1, 300, THERE), Stored(100, 350)]
    room.lose(link)
    again = room.come()
    assert Stored(100, 350) in again.said


def test_it_asks_for_progress(room: Room) -> None:
    asked: list[int] = []
    room.meeting.asked = lambda: asked.append(room.meeting.sent)
    room.hear(room.come(), Alive(500))
    assert asked == [500]


# as the sender of what a mover takes


def connected(room: Room, link: FakeLink) -> ApplicationSender:
    sender = room.sender()
    connecting = Deferred.fromCoroutine(sender.connect(THERE))
    assert outcome(connecting) == "waits"
    room.hear(link, Sending(room.meeting.run, 0, 0))
    return sender


def test_a_sender_that_ends(room: Room) -> None:
    link = room.come()
    sender = connected(room, link)
    settled = sender.settled()
    room.hear(link, Alive(400))
    assert (sender.finished, sender.size, outcome(settled)) == (False, 400, "waits")
    room.hear(link, GOOD)
    assert (sender.finished, sender.size, sender.crc()) == (True, 1000, Crc(77, 1000))
    assert (sender.delivered, outcome(settled)) == (False, "waits")
    room.hear(link, Delivered(1, 1000))
    assert (sender.delivered, outcome(settled)) == (True, None)
    assert sender.take_errors() == []
    sender.close()
    assert room.clock.getDelayedCalls() == []


def test_a_sender_whose_connection_breaks(room: Room) -> None:
    """The device is told once, and the rest goes on behind what is stored."""
    link = room.come()
    sender = connected(room, link)
    told: list[str | None] = []
    sender.tells_broken = lambda: told.append(sender.broken)
    room.hear(link, Broken(1, 500, "reset"), Alive(500))
    assert told == ["the application's data connection broke: reset"]
    assert sender.goes_on
    leaving = sender.leave(300)
    assert link.said[-1] == Halt(1, 300)
    room.hear(link, Halted(1, 300, 9))
    rest = outcome(leaving)
    assert (rest.done, rest.source) == (Crc(9, 300), None)


@pytest.mark.parametrize(("told", "same"), [(7, True), (8, False)])
def test_bytes_that_do_not_follow(room: Room, told: int, same: bool) -> None:
    """What is known of the bytes before is compared with what the application says of them."""
    link = room.come()
    sender = room.sender(50, 7)
    connecting = Deferred.fromCoroutine(sender.connect(THERE))
    room.hear(link, Sending(1, 50, told))
    fault = outcome(connecting)
    assert (fault is None) is same
    errors = sender.take_errors()
    assert [text for text in errors if "cannot follow those that were read" in text] == errors
    assert bool(errors) is not same
    assert sender.goes_on is same


def test_a_break_of_the_connection_before(room: Room) -> None:
    """It says nothing of the one that is."""
    link = room.come()
    room.meeting.send(0, THERE)
    room.hear(link, Sending(1, 0, 0))
    sender = room.sender()
    connecting = Deferred.fromCoroutine(sender.connect(THERE))
    room.hear(link, Broken(1, 500, "reset"), Sending(2, 0, 0))
    assert outcome(connecting) is None
    assert sender.broken is None


def test_the_one_before_closes_late(room: Room) -> None:
    """The next one hears all the same."""
    link = room.come()
    before = connected(room, link)
    before.leave(0)
    sender = connected(room, link)
    before.close()
    room.hear(link, Broken(2, 500, "reset"))
    assert sender.broken is not None
    assert before.broken is None


def test_nothing_stored_needs_no_checksum(room: Room) -> None:
    sender = connected(room, room.come())
    assert outcome(sender.leave(0)).done == UNKNOWN


def test_what_is_kept_no_more(room: Room) -> None:
    link = room.come()
    sender = connected(room, link)
    leaving = sender.leave(300)
    room.hear(link, Cannot(1, Why.KEPT_NO_MORE, 400, "gone"))
    assert outcome(leaving) is None


def test_a_sender_that_says_nothing_of_its_end(room: Room) -> None:
    """It is not waited for for ever; while it is away, that is for others to judge."""
    link = room.come()
    sender = connected(room, link)
    settled = sender.settled()
    room.lose(link)
    room.clock.advance(VERDICT_PATIENCE)
    assert outcome(settled) == "waits"
    room.come()
    room.clock.advance(VERDICT_PATIENCE)
    assert outcome(settled) is None
    assert sender.broken is not None


@pytest.mark.parametrize("why", list(Why))
def test_a_sender_that_cannot(room: Room, why: Why) -> None:
    """Only where nobody answers is it worth another way."""
    link = room.come()
    sender = room.sender(50)
    connecting = Deferred.fromCoroutine(sender.connect(THERE))
    assert link.said == [Send(1, 50, THERE)]
    room.hear(link, Cannot(1, why, 60, "no"))
    fault = outcome(connecting)
    if why is Why.NOBODY_ANSWERS:
        assert isinstance(fault, PeerUnreachable)
        return
    assert isinstance(fault, SourceError)
    assert sender.take_errors() == [str(fault)]
    assert ("follows byte 60" in str(fault)) is (why is Why.KEPT_NO_MORE)
    assert not sender.goes_on


def test_a_sender_that_never_answers(room: Room) -> None:
    room.come()
    sender = room.sender()
    connecting = Deferred.fromCoroutine(sender.connect(THERE))
    room.clock.advance(PATIENCE)
    assert "has not connected to the device in 100 s" in str(outcome(connecting))


@pytest.mark.parametrize("begun", [False, True])
def test_a_sender_that_connects_and_never_sends(room: Room, begun: bool) -> None:
    """Nothing is known of a device that waits for its first byte."""
    link = room.come()
    sender = connected(room, link)
    told: list[bool] = []
    sender.tells_broken = lambda: told.append(sender.goes_on)
    if begun:
        sender.acknowledge(0, 500, 500)
    room.clock.advance(PATIENCE)
    assert told == ([] if begun else [False])
    errors = [] if begun else ["the application has sent nothing behind byte 0"]
    assert sender.take_errors() == errors


def test_loopback_addresses_of_another_host(room: Room) -> None:
    """They would lead the application to its own."""
    link = room.come()
    sender = room.sender()
    home = Address("127.0.0.1", 7)
    assert isinstance(outcome(Deferred.fromCoroutine(sender.connect((home,)))), PeerUnreachable)
    Deferred.fromCoroutine(sender.connect((home, *THERE)))
    assert link.said == [Send(1, 0, THERE)]


def test_an_application_that_fails(room: Room) -> None:
    """Whoever waits for its data hears why, and so does the dump, once."""
    link = room.come()
    sender = connected(room, link)
    room.hear(link, End(10, 0, EndResult.FAILED, "tar died"))
    assert sender.take_errors() == ["the application failed: tar died"]
    assert sender.take_errors() == []
    assert not sender.goes_on
    assert outcome(sender.settled()) is None
    assert room.alarms == []
