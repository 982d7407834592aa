"""A client of NDMP hears bytes that were cut, flipped or made up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.ndmp import messages as m
from protocols.ndmp.client import Client
from protocols.ndmp.client_events import Answered, Event, Failed, Finished, Opened, Posted
from protocols.ndmp.client_phase import Phase
from protocols.ndmp.errors import (
    NdmpLost,
)
from protocols.ndmp.opening import Opening
from tests.protocols.ndmp_peer import PASSWORD, Conversation


def dialogue() -> tuple[bytes, list[m.Message]]:
    """A whole session as the client hears it, and the requests it made."""
    talk = Conversation()
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
