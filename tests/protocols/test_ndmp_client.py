"""The client's side of an NDMP session, without a network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.ndmp import messages as m
from protocols.ndmp.client import GREETING, Client
from protocols.ndmp.codec import REPLY, Header
from protocols.ndmp.codes import ErrorCode, Mtio
from protocols.ndmp.errors import (
    NdmpError,
    NdmpGarbage,
    NdmpInvalid,
    NdmpLoginRefused,
    NdmpLost,
    NdmpRefused,
    NdmpTimeout,
)
from protocols.ndmp.events import Answered, Event, Failed, Finished, Opened, Posted
from protocols.ndmp.life import Phase
from protocols.ndmp.opening import Opening
from protocols.ndmp.postbox import LIMIT, LOG_LIMIT, PostBox
from tests.protocols.ndmp_peer import PASSWORD, Peer


class Talk:
    """A client and a peer, and what the client's owner is told."""

    def __init__(
        self,
        peer: Peer | None = None,
        *,
        auth: str = "md5",
        password: str = PASSWORD,
        versions: tuple[int, ...] = (4, 3, 2),
    ) -> None:
        self.peer = peer or Peer()
        self.client = Client(Opening("me", password, auth, versions), lambda: 5)
        self.events: list[Event] = []

    def tell(self, data: bytes) -> None:
        """The client hears it; then both talk until neither has more to say."""
        self.client.receive(data)
        self.go_on()

    def go_on(self) -> None:
        while said := self.client.take_bytes():
            for data in said:
                for answer in self.peer.hear(data):
                    self.client.receive(answer)
        self.events += self.client.take_events()

    def opened(self) -> Talk:
        self.tell(self.peer.greeting())
        assert self.events == [Opened(self.peer.version)]
        self.events.clear()
        return self

    def end(self) -> NdmpError:
        """Why it is over."""
        last = self.events[-1]
        assert isinstance(last, Finished)
        assert self.client.phase is Phase.DEAD
        assert not self.client.awaited
        return last.error


@pytest.mark.parametrize(
    ("auth", "names"),
    [
        ("md5", ["CONNECT_OPEN", "CONFIG_GET_AUTH_ATTR", "CONNECT_CLIENT_AUTH"]),
        ("text", ["CONNECT_OPEN", "CONNECT_CLIENT_AUTH"]),
        ("none", ["CONNECT_OPEN", "CONNECT_CLIENT_AUTH"]),
        ("void", ["CONNECT_OPEN"]),
    ],
)
def test_each_way_of_logging_in_says_what_it_must(auth: str, names: list[str]) -> None:
    """MD5 asks for a challenge first; void says nothing at all."""
    talk = Talk(auth=auth).opened()
    assert [request.label for request in talk.peer.heard] == names
    assert [header.sequence for header in talk.peer.headers] == list(range(1, len(names) + 1))
    assert talk.client.phase is Phase.OPEN


@pytest.mark.parametrize(
    ("offered", "accepted", "tried"),
    [(4, (2, 3, 4), [4]), (4, (3,), [4, 3]), (3, (2, 3), [3]), (9, (2,), [4, 3, 2])],
)
def test_the_best_common_version_is_agreed_upon(
    offered: int, accepted: tuple[int, ...], tried: list[int]
) -> None:
    """Not above what is offered, and lower ones after a refusal."""
    talk = Talk(Peer(offered, accepted)).opened()
    asked = [request for request in talk.peer.heard if isinstance(request, m.ConnectOpen)]
    assert [request.protocol_version for request in asked] == tried
    assert talk.client.version == tried[-1]


@pytest.mark.parametrize(
    ("peer", "kind", "text"),
    [
        (Peer(1), NdmpLost, "the server offers NDMP version 1, expected at least 2"),
        (Peer(4, ()), NdmpRefused, "CONNECT_OPEN was refused: NDMP9_ILLEGAL_ARGS_ERR"),
    ],
)
def test_no_common_version_is_said(peer: Peer, kind: type[NdmpError], text: str) -> None:
    """The session ends with what was offered, or refused."""
    talk = Talk(peer)
    talk.tell(peer.greeting())
    assert type(talk.end()) is kind
    assert talk.end().text == text


@pytest.mark.parametrize("auth", ["md5", "text"])
def test_a_wrong_password_is_a_refused_login(auth: str) -> None:
    """And not shown."""
    talk = Talk(auth=auth, password="wrong one")
    talk.tell(talk.peer.greeting())
    error = talk.end()
    assert isinstance(error, NdmpLoginRefused)
    assert error.error is ErrorCode.NOT_AUTHORIZED
    assert "wrong" not in error.text + repr(error)


@pytest.mark.parametrize(
    ("reason", "text"),
    [(2, "the server refuses us: too many"), (1, "the server ends the session: too many")],
)
def test_a_server_that_wants_no_session_says_why(reason: int, text: str) -> None:
    """REFUSED and SHUTDOWN at the door."""
    talk = Talk()
    talk.tell(talk.peer.post(m.NotifyConnectionStatus(reason, 4, "too many")))
    assert talk.end().text == text


def test_bad_settings_are_refused_before_anything_is_sent() -> None:
    """An unknown way of logging in, an unknown version."""
    with pytest.raises(NdmpInvalid, match="auth 'magic', expected one of md5, text, none, void"):
        Opening("me", "x", "magic")
    with pytest.raises(NdmpInvalid, match=r"versions \(5,\)"):
        Opening("me", "x", "md5", (5,))


def test_replies_find_their_requests_in_any_order() -> None:
    """Only the sequence counts."""
    talk = Talk().opened()
    held: list[Header] = []
    talk.peer.answers = lambda header, request: held.append(header)
    first = talk.client.request(m.TapeRead(3))
    second = talk.client.request(m.TapeMtio(Mtio.REW, 1))
    talk.go_on()
    assert talk.client.awaited == {
        first: "the reply to TAPE_READ",
        second: "the reply to TAPE_MTIO",
    }
    talk.tell(talk.peer.reply(held[1], m.TapeMtioReply()))
    talk.tell(talk.peer.reply(held[0], m.TapeReadReply(data=b"abc")))
    assert talk.events == [
        Answered(second, m.TapeMtioReply()),
        Answered(first, m.TapeReadReply(data=b"abc")),
    ]
    assert not talk.client.awaited


@pytest.mark.parametrize("in_header", [False, True])
def test_a_refusal_says_what_was_refused_and_the_session_goes_on(in_header: bool) -> None:
    """An error in the body, or one in the header, where no body follows."""
    talk = Talk().opened()

    def refuse(header: Header, request: m.Message) -> bytes:
        if in_header:
            return talk.peer.reply(header, None, ErrorCode.NOT_SUPPORTED)
        return talk.peer.reply(header, m.TapeReadReply(ErrorCode.EOF))

    talk.peer.answers = refuse
    sequence = talk.client.request(m.TapeRead(3))
    talk.go_on()
    (event,) = talk.events
    assert isinstance(event, Failed)
    assert isinstance(event.error, NdmpRefused)
    assert (event.sequence, event.error.in_header) == (sequence, in_header)
    assert event.error.error is (ErrorCode.NOT_SUPPORTED if in_header else ErrorCode.EOF)
    assert event.error.message == m.TapeRead(3)
    talk.peer.answers = talk.peer.usual
    talk.client.request(m.TapeClose())
    talk.go_on()
    assert isinstance(talk.events[-1], Answered)


def test_a_refusal_that_is_cut_short_is_still_a_refusal() -> None:
    """Some servers say nothing behind the error."""
    talk = Talk().opened()
    talk.peer.answers = lambda header, _: talk.peer.reply(header, m.ErrorReply(ErrorCode.EOM))
    talk.client.request(m.MoverGetState())
    talk.go_on()
    (event,) = talk.events
    assert isinstance(event, Failed)
    assert isinstance(event.error, NdmpRefused)
    assert event.error.error is ErrorCode.EOM


def test_posts_are_told_between_replies_and_unknown_ones_ignored() -> None:
    """File history and what the version does not know go by."""
    talk = Talk().opened()
    paused = m.NotifyMoverPaused(1, 77)
    for data in (
        talk.peer.message(0x703, None),
        talk.peer.message(0x20000001, None),
        talk.peer.post(paused),
        talk.peer.greeting(),
        talk.peer.post(m.LogMessage(0, 1, "hi")),
    ):
        talk.tell(data)
    assert talk.events == [Posted(paused), Posted(m.LogMessage(0, 1, "hi"))]


def test_a_log_line_that_cannot_be_read_is_ignored() -> None:
    """No dump fails for it; before the greeting it is no NDMP server."""
    talk = Talk().opened()
    talk.tell(talk.peer.message(0x603, None))
    assert not talk.events
    assert talk.client.phase is Phase.OPEN
    talk = Talk()
    talk.tell(talk.peer.message(0x603, None))
    assert isinstance(talk.end(), NdmpGarbage)


def test_a_late_answer_is_ignored() -> None:
    """Of a request that timed out, and of one that was given up."""
    talk = Talk().opened()
    held: list[Header] = []
    talk.peer.answers = lambda header, request: held.append(header)
    first, second = (talk.client.request(m.TapeRead(3)) for _ in range(2))
    talk.go_on()
    talk.client.expire(first)
    talk.client.give_up(second)
    talk.go_on()
    (event,) = talk.events
    assert isinstance(event, Failed)
    assert isinstance(event.error, NdmpTimeout)
    assert event.error.text == "the reply to TAPE_READ did not come in time"
    for header in held:
        talk.tell(talk.peer.reply(header, m.TapeReadReply(data=b"abc")))
    assert len(talk.events) == 1
    assert talk.client.phase is Phase.OPEN
    talk.tell(talk.peer.reply(held[0], m.TapeReadReply(data=b"abc")))
    assert isinstance(talk.end(), NdmpGarbage)


@pytest.mark.parametrize("steps", range(3))
def test_a_silent_server_ends_the_opening(steps: int) -> None:
    """Whatever it leaves unanswered: the greeting, the version, the challenge."""
    talk = Talk()
    if steps:
        talk.peer.answers = lambda header, request: (
            talk.peer.usual(header, request) if len(talk.peer.heard) < steps else None
        )
        talk.tell(talk.peer.greeting())
    (key,) = talk.client.awaited
    assert (key == GREETING) == (steps == 0)
    talk.client.expire(key)
    talk.go_on()
    assert isinstance(talk.end(), NdmpTimeout)


LIES: dict[str, Callable[[Peer, Header], bytes]] = {
    "reply to nothing": lambda peer, header: peer.message(
        0x305, m.TapeReadReply(), kind=REPLY, reply_sequence=99
    ),
    "reply with another code": lambda peer, header: peer.message(
        0x304, m.TapeWriteReply(), kind=REPLY, reply_sequence=header.sequence
    ),
    "reply with an unknown code": lambda peer, header: peer.message(
        0x999, None, kind=REPLY, reply_sequence=header.sequence
    ),
    "reply without a body": lambda peer, header: peer.reply(header, None),
    "neither request nor reply": lambda peer, header: peer.message(0x305, None, kind=2),
    "huge length": lambda peer, header: b"\xff\xff\xff\xff",
    "short message": lambda peer, header: b"\x80\0\0\4abcd",
    "huge opaque": lambda peer, header: (
        peer.reply(header, m.TapeReadReply(data=b"abc"))[:-8] + b"\x7f\xff\xff\xffabc\0"
    ),
    "bad post": lambda peer, header: peer.message(0x504, None),
    "text": lambda peer, header: b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_server_ends_the_session(lie: str) -> None:
    """Everything pending fails with what was wrong; nothing more is heard or said."""
    talk = Talk().opened()
    talk.peer.answers = lambda header, request: LIES[lie](talk.peer, header)
    sequence = talk.client.request(m.TapeRead(3))
    talk.go_on()
    error = talk.end()
    assert isinstance(error, NdmpGarbage)
    assert talk.events == [Failed(sequence, error), Finished(error)]
    talk.client.receive(talk.peer.greeting())
    talk.client.lost("later")
    assert not talk.client.take_events()
    with pytest.raises(NdmpLost, match="TAPE_CLOSE cannot be sent: the session is over"):
        talk.client.request(m.TapeClose())


def test_a_lost_connection_fails_what_is_pending() -> None:
    """The error says what was waited for."""
    talk = Talk().opened()
    talk.peer.answers = lambda header, request: None
    sequence = talk.client.request(m.MoverStop())
    talk.go_on()
    talk.client.lost("reset by peer")
    talk.go_on()
    error = talk.end()
    assert error.text == "connection lost while waiting for the reply to MOVER_STOP: reset by peer"
    assert talk.events == [Failed(sequence, error), Finished(error)]


@pytest.mark.parametrize("answers", [False, True])
def test_leaving_is_understood_with_or_without_an_answer(answers: bool) -> None:
    """Some servers answer CONNECT_CLOSE with a header, the others close the connection."""
    talk = Talk().opened()
    if answers:
        talk.peer.answers = lambda header, request: talk.peer.reply(header, None)
    talk.client.leave()
    talk.go_on()
    assert isinstance(talk.peer.heard[-1], m.ConnectClose)
    if not answers:
        assert talk.client.phase is Phase.CLOSING
        talk.client.lost("done")
        talk.go_on()
    assert isinstance(talk.end(), NdmpLost)


def test_leaving_while_it_opens_or_afterwards_is_allowed() -> None:
    """There is nothing to be said then."""
    talk = Talk()
    talk.client.leave()
    talk.client.leave()
    talk.go_on()
    assert isinstance(talk.end(), NdmpLost)
    assert not talk.peer.heard


def test_a_message_that_cannot_be_sent_leaves_the_session_as_it_was() -> None:
    """Refused by our own side, before a byte went out."""
    talk = Talk(Peer(2)).opened()
    with pytest.raises(NdmpInvalid, match="MOVER_CONNECT cannot be sent: not in version 2"):
        talk.client.request(m.MoverConnect(0, m.DataAddress()))
    assert not talk.client.awaited
    assert talk.client.phase is Phase.OPEN


def dialogue() -> tuple[bytes, list[m.Message]]:
    """A whole session as the client hears it, and the requests it made."""
    talk = Talk()
    heard: list[bytes] = [talk.peer.greeting()]
    real = talk.client.receive

    def receive(data: bytes) -> None:
        heard.append(data)
        real(data)

    talk.client.receive = receive  # type: ignore[method-assign]
    real(heard[0])
    talk.go_on()
    for request in WORK:
        talk.client.request(request)
    talk.go_on()
    heard.append(talk.peer.post(m.NotifyMoverPaused(3, 5)))
    return b"".join(heard), talk.peer.heard


WORK = (m.TapeOpen("tape", 2), m.TapeRead(40), m.MoverGetState(), m.TapeClose())
STREAM, REQUESTS = dialogue()


def replay(pieces: list[bytes]) -> tuple[Client, list[Event]]:
    """A client that hears these bytes, whatever it says, and asks once it is open."""
    client = Client(Opening("me", PASSWORD, "md5"), lambda: 5)
    events: list[Event] = []
    for piece in pieces:
        client.receive(piece)
        new = client.take_events()
        events += new
        if any(isinstance(event, Opened) for event in new) and client.phase is Phase.OPEN:
            for request in WORK:
                client.request(request)
    return client, events


def whole_messages(stream: bytes) -> list[bytes]:
    pieces = []
    while stream:
        size = 4 + (int.from_bytes(stream[:4], "big") & 0x7FFFFFFF)
        pieces.append(stream[:size])
        stream = stream[size:]
    return pieces


@given(st.lists(st.integers(0, len(STREAM))))
def test_a_session_cut_anywhere_is_the_same_session(cuts: list[int]) -> None:
    """The network's pieces do not show. The end of the opening is kept apart from the rest, as
    the server only answers what it was asked."""
    opening = sum(len(piece) for piece in whole_messages(STREAM)[:4])
    places = sorted({0, opening, len(STREAM), *cuts})
    _, events = replay([STREAM[start:end] for start, end in pairwise(places)])
    assert [type(event) for event in events] == [Opened, *[Answered] * 4, Posted]


@pytest.mark.parametrize("end", range(len(whole_messages(STREAM)) + 1))
@pytest.mark.parametrize("extra", [0, 1, 4, 17])
def test_a_connection_cut_at_any_message_ends_everything(end: int, extra: int) -> None:
    """Between messages, inside a mark, inside a message: all that is pending fails, once."""
    pieces = whole_messages(STREAM)
    client, events = replay([*pieces[:end], *([pieces[end][:extra]] if end < len(pieces) else [])])
    client.lost("cut")
    events += client.take_events()
    assert isinstance(events[-1], Finished)
    assert isinstance(events[-1].error, NdmpLost)
    answered = [event for event in events if isinstance(event, (Answered, Failed))]
    assert len(answered) == (4 if end >= 4 else 0)
    assert not client.awaited


@settings(max_examples=300)
@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255))
def test_a_flipped_byte_ends_clearly_or_changes_a_value(place: int, flip: int) -> None:
    """No foreign exception; whatever is still waited for is on the list of what can expire."""
    data = bytearray(STREAM)
    data[place] ^= flip
    pieces = []
    at = 0
    for piece in whole_messages(STREAM):
        pieces.append(bytes(data[at : at + len(piece)]))
        at += len(piece)
    client, events = replay(pieces)
    asked = any(isinstance(event, Opened) for event in events)
    ends = [event for event in events if isinstance(event, (Answered, Failed))]
    if client.phase is Phase.DEAD:
        assert isinstance(events[-1], Finished)
        assert not client.awaited
        assert len(ends) == (4 if asked else 0)
    else:
        waiting = len(client.awaited) if asked else 4
        assert len(ends) + waiting == 4
        for key in list(client.awaited):
            client.expire(key)
        assert not client.awaited


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_are_a_session_or_garbage(pieces: list[bytes]) -> None:
    """Nothing is raised."""
    client, events = replay(pieces)
    assert client.awaited or isinstance(events[-1], Finished)


def test_the_post_box_keeps_order_and_kinds() -> None:
    """The first of the kinds asked for, or all of them as they came."""
    box = PostBox()
    paused = [m.NotifyMoverPaused(1, number) for number in range(2)]
    halted = m.NotifyMoverHalted(1)
    for post in (paused[0], halted, paused[1]):
        box.put(post)
    assert box.take_first(m.NotifyMoverHalted) == halted
    assert box.take_first(m.NotifyMoverHalted) is None
    box.put(halted)
    assert box.take_all((m.NotifyMoverPaused, m.NotifyMoverHalted)) == [*paused, halted]
    assert box.take_all(m.Post) == []


def test_the_post_box_is_bounded() -> None:
    """Old log lines go; a server that pauses for ever is mad."""
    box = PostBox()
    for number in range(LOG_LIMIT + 5):
        box.put(m.LogMessage(0, number, ""))
    kept = box.take_all(m.LogMessage)
    assert len(kept) == LOG_LIMIT
    assert kept[-1] == m.LogMessage(0, LOG_LIMIT + 4, "")
    for number in range(LIMIT):
        box.put(m.NotifyMoverPaused(1, number))
    with pytest.raises(NdmpGarbage, match="more than 1000 NOTIFY_MOVER_PAUSED"):
        box.put(m.NotifyMoverPaused(1, 0))
