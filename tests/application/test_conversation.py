"""What the application says, does and waits for at a rendezvous."""

from __future__ import annotations

import pytest
from crc32c import crc32c

from protocols.crc import Crc
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
    Refusal,
    Refused,
    Result,
    Send,
    Sending,
    Stored,
    Why,
)
from protocols.rendezvous.times import SILENCE
from protocols.rendezvous.window import BLOCK
from taper.application.calls import MOST_UNPROVEN
from taper.application.conversation import LAST_WORD
from taper.application.states import Call, Dial, Finish, HangUp, Leave
from tests.application.talking import ADDRESSES, DATA, DUMP_ID, HEADER, NAMES, Talk, end, good


def test_a_dump_from_beginning_to_end() -> None:
    """Header, SEND, data, END, RESULT; the stream ends in an orderly way."""
    talk = Talk()
    assert talk.actions() == [Call()]
    assert talk.connect() == [HEADER]
    assert talk.half.dump_id == DUMP_ID
    assert talk.half.peer is not None
    assert (talk.half.peer.disk, talk.half.peer.window) == (NAMES.disk, 1 << 20)
    assert talk.conversation.met
    talk.window.append(DATA)
    assert talk.say(Send(1, 0, ADDRESSES)) == []
    assert talk.actions() == [Dial(1, ADDRESSES)]
    assert talk.flow() == b"", "there is no data connection yet"
    talk.conversation.dialed(talk.now)
    assert talk.heard() == [Sending(1, 0, 0)]
    assert talk.flow() == DATA
    assert talk.actions() == []
    talk.heard()
    talk.conversation.ended(talk.now)
    assert talk.heard() == [end()]
    assert talk.actions() == [Finish()]
    talk.conversation.delivered(talk.now)
    assert talk.heard() == [Delivered(1, len(DATA))]
    assert talk.say(Stored(len(DATA), len(DATA)), good()) == []
    assert talk.actions() == [HangUp()]
    assert (talk.conversation.over, talk.conversation.failure) == (True, None)
    assert talk.conversation.crc == Crc(crc32c(DATA), len(DATA))
    assert talk.conversation.deadline is None


def test_a_broken_data_connection_is_made_anew_where_the_taper_says() -> None:
    talk = Talk()
    talk.begin(DATA)
    assert talk.flow(100_000) == DATA[:100_000]
    talk.conversation.broke("Connection reset by peer", talk.now)
    assert talk.actions() == [Leave()]
    assert talk.heard() == [Broken(1, 100_000, "Connection reset by peer")]
    assert talk.flow() == b""
    talk.say(Send(2, 70_000, ADDRESSES))
    assert talk.actions() == [Dial(2, ADDRESSES)]
    talk.conversation.dialed(talk.now)
    assert talk.heard() == [Sending(2, 70_000, crc32c(DATA[:70_000]))]
    assert talk.flow() == DATA[70_000:]


def test_it_can_break_when_all_was_sent() -> None:
    """What was on its way is sent again, and ended again."""
    talk = Talk()
    talk.begin(DATA)
    talk.flow()
    talk.heard()
    talk.conversation.ended(talk.now)
    assert talk.actions() == [Finish()]
    talk.conversation.broke("Connection reset by peer", talk.now)
    assert talk.heard() == [end(), Broken(1, len(DATA), "Connection reset by peer")]
    talk.say(Send(2, len(DATA), ADDRESSES))
    talk.conversation.dialed(talk.now)
    assert talk.actions() == [Leave(), Dial(2, ADDRESSES), Finish()]


def test_that_all_was_taken_is_said_again_on_the_next_connection() -> None:
    """Until the taper sends for data again; and nothing can break any more."""
    talk = Talk()
    talk.begin(DATA)
    talk.conversation.delivered(talk.now)
    assert talk.heard() == [], "not all was sent"
    talk.flow()
    talk.heard()
    talk.conversation.ended(talk.now)
    talk.conversation.delivered(talk.now)
    talk.conversation.broke("Connection reset by peer", talk.now)
    talk.actions()
    talk.heard()
    talk.lose()
    talk.wait(1)
    assert talk.connect() == [HEADER, Delivered(1, len(DATA)), end()]
    talk.say(Send(2, 0, ADDRESSES))
    talk.lose()
    talk.wait(1)
    assert talk.connect() == [HEADER, end()]


def test_halt_leaves_the_connection_and_tells_the_checksum() -> None:
    talk = Talk()
    talk.begin(DATA)
    talk.flow(200_000)
    assert talk.say(Halt(1, 150_001)) == [Halted(1, 150_001, crc32c(DATA[:150_001]))]
    assert talk.actions() == [Leave()]
    assert talk.flow() == b""
    talk.say(Send(2, 150_001, ADDRESSES))
    talk.conversation.dialed(talk.now)
    assert talk.flow() == DATA[150_001:]


def test_what_is_kept_no_more_cannot_be_sent() -> None:
    talk = Talk(memory=2 * BLOCK)
    talk.begin(DATA[: 2 * BLOCK])
    talk.flow()
    talk.say(Stored(2 * BLOCK, 2 * BLOCK))
    talk.window.append(DATA[2 * BLOCK : 4 * BLOCK])
    start = talk.window.start
    assert start > 0
    (answer,) = talk.say(Send(2, start - 1, ADDRESSES))
    assert answer == Cannot(2, Why.KEPT_NO_MORE, start, answer.text)
    (answer,) = talk.say(Halt(2, 5 * BLOCK))
    assert answer == Cannot(2, Why.FAILED, start, answer.text)
    assert talk.actions() == [Leave()]


def test_no_address_answers() -> None:
    talk = Talk()
    talk.actions()
    talk.connect()
    talk.say(Send(1, 0, ADDRESSES))
    talk.conversation.not_dialed("refused", talk.now)
    assert talk.heard() == [Cannot(1, Why.NOBODY_ANSWERS, 0, "refused")]
    talk.say(Send(2, 0, ADDRESSES))
    talk.conversation.dialed(talk.now)
    assert talk.heard() == [Sending(2, 0, 0)]


def test_another_order_before_the_first_is_done() -> None:
    """Each is answered, in order."""
    talk = Talk()
    talk.actions()
    talk.connect()
    talk.say(Send(1, 0, ADDRESSES))
    first, second = talk.say(Halt(1, 0))
    assert first == Cannot(1, Why.NOBODY_ANSWERS, 0, first.text)
    assert second == Halted(1, 0, 0)
    talk.say(Send(2, 0, ADDRESSES))
    (first,) = talk.say(Send(3, 0, ADDRESSES))
    assert first.run == 2
    assert talk.actions() == [
        Dial(1, ADDRESSES),
        Leave(),
        Dial(2, ADDRESSES),
        Leave(),
        Dial(3, ADDRESSES),
    ]


def test_data_flow_on_while_the_rendezvous_is_made_anew() -> None:
    """Attempts are further and further apart; then header and END are told again."""
    talk = Talk()
    talk.begin(DATA)
    talk.flow(1000)
    talk.lose()
    assert talk.flow(1000) == DATA[1000:2000]
    times = []
    for _ in range(9):
        before = talk.now
        while not talk.actions():
            talk.wait(0.1)
        times.append(round(talk.now - before, 1))
        talk.lose()
    assert times == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    talk.flow()
    talk.conversation.ended(talk.now)
    assert talk.actions() == [Finish()]
    talk.wait(5)
    assert talk.actions() == [Call()]
    assert talk.connect() == [HEADER, end()]
    talk.say(good())
    assert talk.conversation.crc is not None


def test_an_order_that_is_said_again_is_done_once() -> None:
    """Its answer was lost with the connection."""
    talk = Talk()
    talk.begin(DATA)
    talk.flow(1000)
    talk.lose()
    talk.wait(0.1)
    talk.actions()
    assert talk.connect() == [HEADER]
    assert talk.say(Send(1, 0, ADDRESSES)) == [Sending(1, 0, 0)]
    assert talk.actions() == []
    assert talk.flow(1000) == DATA[1000:2000]


def test_an_order_whose_connection_broke_meanwhile() -> None:
    """It was done, and is not done a second time."""
    talk = Talk()
    talk.begin(DATA)
    talk.lose()
    talk.conversation.broke("cut", talk.now)
    talk.wait(0.1)
    talk.actions()
    assert talk.connect() == [HEADER, Broken(1, 0, "cut")]
    assert talk.say(Send(1, 0, ADDRESSES)) == [Cannot(1, Why.NOBODY_ANSWERS, 0, "cut")]
    assert talk.actions() == []


def test_an_order_that_was_not_done_yet() -> None:
    """The answer goes where the order was said again, and only there."""
    talk = Talk()
    talk.actions()
    talk.connect()
    talk.say(Send(1, 0, ADDRESSES))
    talk.lose()
    talk.wait(0.1)
    talk.connect()
    talk.say(Send(1, 0, ADDRESSES))
    talk.conversation.dialed(talk.now)
    assert talk.heard() == [Sending(1, 0, 0)]
    talk.lose()
    talk.wait(0.1)
    talk.conversation.broke("cut", talk.now)
    assert talk.connect() == [HEADER, Broken(1, 0, "cut")]


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (Result(Outcome.PARTIAL, 5, False, 0, "no volume"), "stored 5 bytes, not all: no volume"),
        (Result(Outcome.FAILED, 0, False, 0, "no volume"), "has not stored the dump: no volume"),
        (Result(Outcome.GOOD, 299_999, False, 0, ""), "has stored 299999 bytes, but we sent"),
        (Result(Outcome.GOOD, 300_000, True, 1, ""), "has stored 00000001:300000, but we sent"),
        (Refused(Refusal.OVER, "the dump is over"), "refused the rendezvous: the dump is over"),
    ],
)
def test_a_dump_that_is_not_whole_is_not_good(result: Frame, why: str) -> None:
    talk = Talk()
    talk.begin(DATA)
    talk.flow()
    talk.conversation.ended(talk.now)
    talk.heard()
    talk.say(result)
    assert talk.conversation.over
    assert talk.conversation.crc is None
    assert why in str(talk.conversation.failure)
    assert talk.actions() == [Finish(), Leave(), HangUp()]


def test_a_checksum_that_the_taper_does_not_know_is_not_compared() -> None:
    talk = Talk()
    talk.begin(DATA)
    talk.flow()
    talk.conversation.ended(talk.now)
    talk.heard()
    talk.say(Result(Outcome.GOOD, len(DATA), False, 0, ""))
    assert talk.conversation.crc == Crc(crc32c(DATA), len(DATA))


def test_a_result_before_the_end_is_no_good_one() -> None:
    talk = Talk()
    talk.begin(DATA)
    talk.say(Result(Outcome.GOOD, 0, False, 0, ""))
    assert "was not at its end" in str(talk.conversation.failure)


def test_a_source_that_fails() -> None:
    """The taper is told, and its answer waited for, but not for ever."""
    for answered in (True, False):
        talk = Talk()
        talk.begin(DATA)
        talk.conversation.fail("tar exited with status 2", talk.now)
        assert talk.heard() == [End(len(DATA), 0, EndResult.FAILED, "tar exited with status 2")]
        assert talk.actions() == [Leave()]
        assert not talk.conversation.over
        if answered:
            talk.say(Result(Outcome.FAILED, 0, False, 0, "tar exited with status 2"))
        else:
            assert talk.say(Send(2, 0, ADDRESSES)) == [
                Cannot(2, Why.FAILED, 0, "tar exited with status 2")
            ]
            talk.wait(LAST_WORD)
        assert talk.actions() == [HangUp()]
        assert talk.conversation.failure == "tar exited with status 2"


def test_a_taper_that_never_comes_back() -> None:
    talk = Talk()
    talk.begin(DATA)
    talk.lose()
    for _ in range(1000):
        talk.wait(1)
        if talk.actions() == [Call()]:
            talk.conversation.lost("Connection refused", talk.now)
        if talk.conversation.over:
            break
    told = "no rendezvous with the taper for 300 seconds: Connection refused"
    assert talk.conversation.failure == told
    assert 299 <= talk.now - 1000 <= 306


def test_a_taper_that_was_never_there() -> None:
    talk = Talk()
    talk.actions()
    for _ in range(1000):
        talk.conversation.lost("Connection refused", talk.now)
        while not talk.actions():
            talk.wait(1)
        if talk.conversation.over:
            break
    told = "no rendezvous with the taper for 60 seconds: Connection refused"
    assert talk.conversation.failure == told


def test_another_key() -> None:
    """A taper that does not know ours hangs up; there is no sense in trying for minutes."""
    talk = Talk()
    for _ in range(MOST_UNPROVEN):
        talk.wait(5)
        assert talk.actions() == [Call()]
        talk.conversation.called(talk.now)
        talk.conversation.lost("it was ended there", talk.now)
    assert talk.conversation.over
    assert "no taper with our key: it was ended there" in str(talk.conversation.failure)


def test_a_taper_that_answers_nonsense() -> None:
    talk = Talk()
    for _ in range(MOST_UNPROVEN):
        talk.wait(5)
        talk.actions()
        talk.conversation.called(talk.now)
        talk.conversation.received(b"220 mail.example.com ESMTP\r\n" * 4, talk.now)
    assert talk.actions() == [HangUp(), HangUp()]
    assert "no taper with our key" in str(talk.conversation.failure)


def test_silence() -> None:
    """We say that we are there; a taper that does not is called anew."""
    talk = Talk()
    talk.begin(DATA)
    talk.flow(1000)
    talk.wait(10)
    assert talk.heard() == [Alive(1000)]
    for _ in range(10):
        talk.wait(10)
        assert talk.heard() == [Alive(1000)]
        talk.say(Alive(0))
    talk.wait(SILENCE - 1)
    assert talk.actions() == []
    talk.wait(1)
    assert talk.actions() == [HangUp()]
    talk.wait(1)
    assert talk.actions() == [Call()]
    talk.wait(30)
    assert talk.actions() == [], "the edge looks after a connection that is being made"
    talk.conversation.called(talk.now)
    talk.wait(30)
    assert talk.actions() == [HangUp()]


def test_more_stored_than_was_read() -> None:
    """Who says so is not believed anything."""
    talk = Talk()
    talk.begin(DATA)
    talk.say(Stored(len(DATA) + 1, len(DATA) + 1), Halt(1, 0))
    assert talk.actions() == [HangUp()]
    assert talk.conversation.failure is None
    talk.wait(0.1)
    assert talk.connect() == [HEADER], "nothing is to be answered here"
    assert talk.flow() == DATA


def test_what_goes_out_again_is_not_dropped_before() -> None:
    """Though it was written once, elsewhere."""
    talk = Talk(memory=4 * BLOCK)
    talk.begin(DATA[: 4 * BLOCK])
    talk.flow()
    talk.say(Stored(0, 4 * BLOCK))
    talk.say(Send(2, BLOCK, ADDRESSES))
    talk.conversation.dialed(talk.now)
    talk.heard()
    talk.say(Stored(0, 4 * BLOCK))
    while talk.conversation.reads:
        talk.window.append(DATA[: min(talk.conversation.reads, BLOCK)])
    assert talk.flow(3 * BLOCK) == DATA[BLOCK : 4 * BLOCK]
