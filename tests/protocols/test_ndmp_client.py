"""The client's side of an NDMP session, without a network."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocols.ndmp import messages as m
from protocols.ndmp.client import GREETING
from protocols.ndmp.client_events import Answered, Failed, Finished, Posted
from protocols.ndmp.client_phase import Phase
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
from protocols.ndmp.opening import Opening
from tests.protocols.ndmp_peer import Conversation, Peer


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
    talk = Conversation(auth=auth).opened()
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
    talk = Conversation(Peer(offered, accepted)).opened()
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
    talk = Conversation(peer)
    talk.tell(peer.greeting())
    assert type(talk.end()) is kind
    assert talk.end().text == text


@pytest.mark.parametrize("auth", ["md5", "text"])
def test_a_wrong_password_is_a_refused_login(auth: str) -> None:
    """And not shown."""
    talk = Conversation(auth=auth, password="wrong one")
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
    talk = Conversation()
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
    talk = Conversation().opened()
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
    talk = Conversation().opened()

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
    talk = Conversation().opened()
    talk.peer.answers = lambda header, _: talk.peer.reply(header, m.ErrorReply(ErrorCode.EOM))
    talk.client.request(m.MoverGetState())
    talk.go_on()
    (event,) = talk.events
    assert isinstance(event, Failed)
    assert isinstance(event.error, NdmpRefused)
    assert event.error.error is ErrorCode.EOM


def test_posts_are_told_between_replies_and_unknown_ones_ignored() -> None:
    """File history and what the version does not know go by."""
    talk = Conversation().opened()
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
    talk = Conversation().opened()
    talk.tell(talk.peer.message(0x603, None))
    assert not talk.events
    assert talk.client.phase is Phase.OPEN
    talk = Conversation()
    talk.tell(talk.peer.message(0x603, None))
    assert isinstance(talk.end(), NdmpGarbage)


def test_a_late_answer_is_ignored() -> None:
    """Of a request that timed out, and of one that was given up."""
    talk = Conversation().opened()
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
    talk = Conversation()
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
    talk = Conversation().opened()
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
    talk = Conversation().opened()
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
    talk = Conversation().opened()
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
    talk = Conversation()
    talk.client.leave()
    talk.client.leave()
    talk.go_on()
    assert isinstance(talk.end(), NdmpLost)
    assert not talk.peer.heard


def test_a_message_that_cannot_be_sent_leaves_the_session_as_it_was() -> None:
    """Refused by our own side, before a byte went out."""
    talk = Conversation(Peer(2)).opened()
    with pytest.raises(NdmpInvalid, match="MOVER_CONNECT cannot be sent: not in version 2"):
        talk.client.request(m.MoverConnect(0, m.DataAddress()))
    assert not talk.client.awaited
    assert talk.client.phase is Phase.OPEN
