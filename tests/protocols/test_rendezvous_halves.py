"""Both halves of a rendezvous, and what a stranger or a bad wire can do between them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.directtcp import Address
from protocols.rendezvous.application import ApplicationHalf
from protocols.rendezvous.channel import LEAST_LENGTH, Channel
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.forms import MAX_BODY
from protocols.rendezvous.frames import (
    FRAMES,
    Alive,
    Broken,
    Cannot,
    Challenge,
    Delivered,
    End,
    Frame,
    Halt,
    Halted,
    HeaderBlock,
    HeaderFields,
    Hello,
    Kind,
    Outcome,
    Proof,
    Refusal,
    Refused,
    Result,
    Send,
    Sending,
    Stored,
    Why,
    encode_body,
)
from protocols.rendezvous.half import OF_APPLICATION, OF_TAPER, Half
from protocols.rendezvous.orders import MAX_UNANSWERED
from protocols.rendezvous.states import Phase
from protocols.rendezvous.taper import HELLO_SIZE, MAX_PROOF, TaperHalf
from tests.protocols.rendezvous_pair import (
    DUMP_ID,
    KEY,
    NAMES,
    NONCE,
    OTHER_NONCE,
    WINDOW,
    Pair,
    application,
    taper,
)

THERE = (Address("192.0.2.1", 5), Address("2001:db8::1", 5))
FIELDS = HeaderFields((("program", "APPLICATION"), ("application", "amdirecttar")))
FROM_APPLICATION: tuple[Frame, ...] = (
    FIELDS,
    Sending(1, 0, 0),
    Alive(100),
    Broken(1, 200, "reset"),
    Sending(2, 100, 7),
    End(300, 9, 0, ""),
    Halted(2, 200, 8),
    Cannot(3, Why.KEPT_NO_MORE, 250, "too late"),
    Broken(3, 300, "again"),
    Delivered(3, 300),
)
FROM_TAPER: tuple[Frame, ...] = (
    Send(1, 0, THERE),
    Stored(0, 100),
    Alive(100),
    Send(2, 100, THERE[:1]),
    Halt(2, 200),
    Send(3, 200, THERE),
    Stored(200, 300),
    Result(Outcome.GOOD, 300, True, 9, "all is stored"),
)


def in_pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


def hear(half: Half, data: bytes, cuts: Sequence[int]) -> list[Frame]:
    return [frame for piece in in_pieces(data, cuts) for frame in half.receive(piece)]


cuts = st.lists(st.integers(0, 5000), max_size=30)


# good ones


@given(cuts)
def test_a_whole_story(cuts: list[int]) -> None:
    """However the bytes arrive, the same frames come of them, in their order."""
    ours, theirs = application(), taper()
    ours.begin()
    assert hear(theirs, ours.output(), cuts) == []
    assert hear(ours, theirs.output(), cuts) == []
    assert hear(theirs, ours.output(), cuts) == []
    assert theirs.peer == Proof(NAMES.host, NAMES.disk, NAMES.level, NAMES.application, WINDOW)
    assert theirs.dump_id == DUMP_ID
    for frame in FROM_TAPER[:-1]:
        theirs.say(frame)
    assert hear(ours, theirs.output(), cuts) == list(FROM_TAPER[:-1])
    for frame in FROM_APPLICATION:
        ours.say(frame)
    assert hear(theirs, ours.output(), cuts) == list(FROM_APPLICATION)
    assert {ours.phase, theirs.phase} == {Phase.ENDED}
    theirs.say(FROM_TAPER[-1])
    assert hear(ours, theirs.output(), cuts) == [FROM_TAPER[-1]]
    assert {ours.phase, theirs.phase} == {Phase.FINISHED}
    assert ours.established
    assert theirs.established
    assert ours.output() == theirs.output() == b""


def test_each_byte_alone() -> None:
    """A frame is there with its last byte, not sooner; what waits for it is bounded."""
    pair = Pair().greet()
    pair.application.say(HeaderBlock(bytes(5000)))
    data = pair.application.output()
    for byte in data[:-1]:
        assert pair.taper.receive(bytes([byte])) == []
    assert pair.taper.kept == len(data) - 1
    assert pair.taper.receive(data[-1:]) == [HeaderBlock(bytes(5000))]
    assert pair.taper.kept == 0


def test_who_is_known_when() -> None:
    """The taper's answer proves the taper, PROOF the application."""
    ours, theirs = application(), taper()
    ours.begin()
    theirs.receive(ours.output())
    assert theirs.dump_id == DUMP_ID
    assert (theirs.established, theirs.peer) == (False, None)
    ours.receive(theirs.output())
    assert ours.established
    assert not theirs.established
    theirs.receive(ours.output())
    assert theirs.established


def test_frames_that_cross_the_result() -> None:
    """The taper drops what the application said before it heard it; it still has to be genuine."""
    pair = Pair().greet()
    pair.taper.say(Result(Outcome.FAILED, 0, False, 0, "no volume"))
    for frame in (FIELDS, Alive(1), End(5, 5, 0, "")):
        pair.application.say(frame)
    pair.flow()
    assert pair.heard_by_taper == []
    assert pair.taper.phase is Phase.FINISHED
    with pytest.raises(RendezvousError, match="not made with our key"):
        pair.taper.receive(frame_of(Alive(1), 5, bytes(32)))


# the greeting of strangers


@given(st.sampled_from(("application", "taper")), st.binary(max_size=600), cuts)
def test_any_bytes(which: str, data: bytes, cuts: list[int]) -> None:
    """Nobody gets in, nothing is said, and hardly anything is kept."""
    ours, theirs = application(), taper()
    ours.begin()
    ours.output()
    half: Half = ours if which == "application" else theirs
    for piece in in_pieces(data, cuts):
        try:
            assert half.receive(piece) == []
        except RendezvousError:
            assert half.phase is Phase.OVER
            assert half.kept == 0
    assert not half.established
    assert half.output() == b""
    assert half.kept < 2048


@given(st.binary(max_size=300), st.sampled_from(("application", "taper")))
def test_any_bytes_after_the_greeting(data: bytes, which: str) -> None:
    """What is not under the key is heard by nobody."""
    pair = Pair().greet()
    half: Half = getattr(pair, which)
    try:
        assert half.receive(data) == []
        assert half.kept == len(data)
    except RendezvousError:
        assert half.phase is Phase.OVER
    assert half.output() == b""


def test_another_key() -> None:
    """Neither is answered; there is nothing to learn from it."""
    ours, theirs = application(b"another key, as long"), taper()
    ours.begin()
    with pytest.raises(RendezvousError, match="not made with our key"):
        theirs.receive(ours.output())
    assert theirs.output() == b""
    # a taper without the key cannot answer
    ours, theirs = application(), taper()
    ours.begin()
    hello = ours.output()
    forged = Channel(bytes(32), b"", 0)
    forged.put(Kind.CHALLENGE, encode_body(Challenge(1, OTHER_NONCE)))
    with pytest.raises(RendezvousError, match="not made with our key"):
        ours.receive(forged.output())
    assert ours.output() == b""
    theirs.receive(hello)


def test_what_was_recorded_is_of_no_use() -> None:
    """Who plays a whole conversation again comes as far as the challenge, which is another."""
    ours, theirs = application(), taper()
    ours.begin()
    hello = ours.output()
    theirs.receive(hello)
    challenge = theirs.output()
    ours.receive(challenge)
    ours.say(FIELDS)
    proof = ours.output()
    theirs.receive(proof)
    assert theirs.established
    again = taper(nonce=bytes(32))
    again.receive(hello)
    assert again.output() != challenge
    with pytest.raises(RendezvousError, match="not made with our key"):
        again.receive(proof)
    assert again.peer is None
    # nor is the taper's answer an answer to another greeting
    other = application(nonce=bytes(32))
    other.begin()
    with pytest.raises(RendezvousError, match="not made with our key"):
        other.receive(challenge)
    assert not other.established


def test_what_one_says_is_nothing_for_it_to_hear() -> None:
    """A frame that is sent back to who said it is under the wrong key, from the first on."""
    ours = application()
    ours.begin()
    with pytest.raises(RendezvousError):
        ours.receive(ours.output())
    pair = Pair().greet()
    pair.taper.say(Alive(0))
    with pytest.raises(RendezvousError, match="not made with our key"):
        pair.taper.receive(pair.taper.output())


def test_versions() -> None:
    """The greatest that both speak; where there is none the taper says so, under the key."""
    for offered, spoken, taken in (((1, 3), (1, 2), 2), ((1, 2), (2, 3), 2), ((1, 1), (1, 9), 1)):
        ours = ApplicationHalf(KEY, NAMES, DUMP_ID, NONCE, 0, offered)
        theirs = TaperHalf(KEY, OTHER_NONCE, spoken)
        ours.begin()
        theirs.receive(ours.output())
        challenge = theirs.output()
        assert challenge[13] == taken
        ours.receive(challenge)
        theirs.receive(ours.output())
        assert theirs.established
    ours = ApplicationHalf(KEY, NAMES, DUMP_ID, NONCE, 0, (2, 3))
    theirs = taper()
    ours.begin()
    with pytest.raises(RendezvousError, match="version 2 to 3 is offered, 1 to 1 is spoken here"):
        theirs.receive(ours.output())
    (refused,) = ours.receive(theirs.output())
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.VERSION
    assert "2 to 3" in refused.text
    assert ours.phase is theirs.phase is Phase.OVER
    assert not ours.established


def test_a_version_that_was_not_offered() -> None:
    """A taper that does not keep to the rules."""
    ours, theirs = (
        ApplicationHalf(KEY, NAMES, DUMP_ID, NONCE, 0, (1, 2)),
        TaperHalf(KEY, OTHER_NONCE, (1, 2)),
    )
    ours.begin()
    theirs.receive(ours.output())
    ours._hello = Hello(1, 1, NONCE, DUMP_ID)  # as if it had offered less
    with pytest.raises(RendezvousError, match="wants to speak version 2"):
        ours.receive(theirs.output())


# a bad wire


def recorded() -> tuple[Pair, list[bytes]]:
    """Frames that the application said, one by one, and the taper that is to hear them."""
    pair = Pair().greet()
    pair.taper.say(Send(1, 0, THERE))
    pair.flow()
    wires = []
    for frame in (FIELDS, Sending(1, 0, 0), Alive(1), Alive(2), End(4, 4, 0, "")):
        pair.application.say(frame)
        wires.append(pair.application.output())
    return pair, wires


@given(st.integers(0, 4), st.integers(0, 4), st.sampled_from(("drop", "double", "swap")))
def test_frames_out_of_their_order(one: int, other: int, what: str) -> None:
    """Dropped, doubled and swapped ones end the connection where they are."""
    pair, wires = recorded()
    good = min(one, other)
    if what == "drop":
        good = one
        del wires[one]
    elif what == "double":
        good = one + 1
        wires.insert(one, wires[one])
    else:
        wires[one], wires[other] = wires[other], wires[one]
    if (what == "drop" and one == 4) or (what == "swap" and one == other):
        assert len([frame for wire in wires for frame in pair.taper.receive(wire)]) == len(wires)
        return
    for wire in wires[:good]:
        assert len(pair.taper.receive(wire)) == 1
    with pytest.raises(RendezvousError, match=r"frame \d+, expected frame \d+"):
        pair.taper.receive(wires[good])
    assert pair.taper.receive(b"".join(wires)) == []


@given(st.data())
def test_a_bit_that_flips(data: st.DataObject) -> None:
    """Wherever it is."""
    pair, wires = recorded()
    wire = bytearray(b"".join(wires))
    place = data.draw(st.integers(0, 8 * len(wire) - 1))
    wire[place // 8] ^= 1 << place % 8
    heard = []
    try:
        for byte in wire:
            heard += pair.taper.receive(bytes([byte]))
        # a length that grew: the rest is awaited, and nothing of it was taken
        assert pair.taper.kept
    except RendezvousError:
        assert not pair.taper.established
    begins = [*itertools.accumulate(map(len, wires))]
    assert len(heard) == sum(end <= place // 8 for end in begins)


@given(st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 70000), st.integers(30, 100)))
def test_lengths(length: int) -> None:
    """One that is out of bounds is refused with its four bytes, before anything is kept."""
    for half, most in (
        (taper(), HELLO_SIZE),
        (greeted(), MAX_PROOF),
        (Pair().greet().taper, MAX_BODY),
    ):
        head = length.to_bytes(4, "big")
        if LEAST_LENGTH <= length <= LEAST_LENGTH + most:
            assert half.receive(head) == []
        else:
            with pytest.raises(RendezvousError, match=f"a frame of {length} bytes, expected"):
                half.receive(head)


def greeted() -> TaperHalf:
    theirs, ours = taper(), application()
    ours.begin()
    theirs.receive(ours.output())
    return theirs


def frame_of(frame: Frame, number: int, key: bytes) -> bytes:
    channel = Channel(key, b"", 0)
    channel._said = number
    return channel.put(frame.kind, encode_body(frame))


# what has no place


def test_nothing_before_the_greeting() -> None:
    """And afterwards nothing of the greeting."""
    with pytest.raises(ValueError, match="ALIVE has no place where before the greeting"):
        application().say(Alive(0))
    with pytest.raises(ValueError, match="ALIVE has no place"):
        taper().say(Alive(0))
    pair = Pair().greet()
    with pytest.raises(ValueError, match="HELLO is not for a user of this half to say"):
        pair.application.say(Hello(1, 1, NONCE, DUMP_ID))
    with pytest.raises(ValueError, match="SEND is not for a user of this half to say"):
        pair.application.say(Send(1, 0, THERE))
    with pytest.raises(ValueError, match="END is not for a user of this half to say"):
        pair.taper.say(End(0, 0, 0, ""))


def of_taper(pair: Pair) -> Half:
    return pair.taper


def of_application(pair: Pair) -> Half:
    return pair.application


@pytest.mark.parametrize(
    ("whose", "before", "frame", "why"),
    [
        (of_application, (), Sending(1, 0, 0), "SENDING: nothing is to be answered"),
        (of_application, (), Halted(1, 0, 0), "HALTED: nothing is to be answered"),
        (of_application, (), Cannot(1, 3, 0, ""), "CANNOT: nothing is to be answered"),
        (of_application, (Send(2, 0, THERE),), Sending(1, 0, 0), "run 1, but run 2 is to be"),
        (of_application, (Send(1, 5, THERE),), Sending(1, 0, 0), "offset 0, but 5 was ordered"),
        (of_application, (Send(1, 0, THERE),), Halted(1, 0, 0), "HALTED: SEND is to be answered"),
        (of_application, (Halt(1, 0),), Sending(1, 0, 0), "SENDING: HALT is to be answered"),
        (of_application, (Send(1, 0, THERE),), Broken(2, 0, ""), "BROKEN: run 2 has not begun"),
        (of_application, (Send(1, 0, THERE),), Delivered(2, 0), "DELIVERED: run 2 has not begun"),
        (of_application, (End(0, 0, 0, ""),), End(0, 0, 0, ""), "END has no place"),
        (of_application, (End(0, 0, 0, ""),), FIELDS, "HEADER has no place"),
        (of_application, (Result(0, 0, False, 0, ""),), Alive(0), "ALIVE has no place"),
        (of_application, (Refused(4, ""),), Alive(0), "ALIVE has no place where over"),
        (of_taper, (Send(2, 0, THERE),), Send(2, 0, THERE), "run 2 does not follow run 2"),
        (of_taper, (Send(2, 0, THERE),), Halt(1, 0), "HALT: run 1 is not the last one, 2"),
        (of_taper, (Result(0, 0, False, 0, ""),), Stored(0, 0), "STORED has no place"),
        (of_taper, (Result(0, 0, False, 0, ""),), Refused(4, ""), "REFUSED has no place"),
        (of_taper, (Refused(4, ""),), Stored(0, 0), "STORED has no place where over"),
    ],
)
def test_what_has_no_place(
    whose: Callable[[Pair], Half], before: tuple[Frame, ...], frame: Frame, why: str
) -> None:
    """It is refused where it is said; from a peer that says it all the same the connection is
    closed."""
    pair = Pair().greet()
    for each in before:
        (pair.application if each.kind in OF_APPLICATION else pair.taper).say(each)
    pair.flow()
    half = whose(pair)
    with pytest.raises(ValueError, match=why):
        half.say(frame)
    assert half.output() == b""
    # past its own rules
    half._channel.put(frame.kind, encode_body(frame))
    other = pair.application if half is pair.taper else pair.taper
    deaf = {Phase.OVER, Phase.FINISHED} if other is pair.taper else {Phase.OVER}
    if other.phase in deaf:
        assert other.receive(half.output()) == []
    else:
        with pytest.raises(RendezvousError, match=why):
            other.receive(half.output())
        assert not other.established


def test_orders_are_bounded() -> None:
    """A taper waits for answers in the end."""
    pair = Pair().greet()
    for run in range(1, MAX_UNANSWERED + 1):
        pair.taper.say(Send(run, 0, THERE))
    with pytest.raises(ValueError, match="16 orders are unanswered"):
        pair.taper.say(Halt(MAX_UNANSWERED, 0))
    pair.flow()
    pair.application.say(Cannot(1, Why.NOBODY_ANSWERS, 0, "another order came"))
    pair.flow()
    pair.taper.say(Halt(MAX_UNANSWERED, 0))


def test_every_kind_from_the_wrong_side() -> None:
    """A peer that says what only we say."""
    assert set(EXAMPLES) == set(FRAMES)
    for frame in EXAMPLES.values():
        for name, says in (("application", OF_APPLICATION), ("taper", OF_TAPER)):
            if frame.kind in says:
                continue
            pair = Pair().greet()
            sender: Half = getattr(pair, name)
            sender._channel.put(frame.kind, encode_body(frame))
            other = pair.taper if name == "application" else pair.application
            with pytest.raises(RendezvousError, match=f"a frame of kind {frame.kind:d} from"):
                other.receive(sender.output())


EXAMPLES: dict[type[Frame], Frame] = {
    type(frame): frame
    for frame in (
        *FROM_APPLICATION,
        *FROM_TAPER,
        Hello(1, 1, NONCE, DUMP_ID),
        Challenge(1, NONCE),
        Proof("h", "d", 0, "a", 0),
        HeaderBlock(b"x"),
        Refused(1, ""),
    )
}
"""One of each."""
