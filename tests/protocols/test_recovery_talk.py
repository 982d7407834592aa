"""The control stream of a recovery [recovery 6.1]."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.recovery import talk as module
from protocols.recovery.features import OLD, OURS, Feature, Features
from protocols.recovery.talk import (
    DATA,
    DIRECT_ACCESS,
    HEADER,
    HEADER_TAKEN,
    MAX_EARLY,
    MAX_LINE,
    PATH,
    PATHS,
    STATE,
    STATE_TAKEN,
    VOLUME,
    BadRequest,
    Question,
    Talk,
    TalkBroken,
    Turn,
)

REQUEST = f"FEATURES={OURS.text()}\r\nCONFIG=SYS\r\nLABEL=SYS:D01:1,2\r\nHEADER\r\nEND\r\n".encode()
STORY: tuple[tuple[Question, tuple[str, ...], str, str], ...] = (
    (HEADER, ("519",), "HEADER-SEND-SIZE 519\r\n", "HEADER-READY"),
    (HEADER_TAKEN, (), "", "HEADER-DONE"),
    (STATE, (), "STATE-SEND\r\n", "STATE-READY"),
    (STATE_TAKEN, (), "", "STATE-DONE"),
    (DIRECT_ACCESS, (), "USE-DAR NO\r\n", "USE-DAR NO"),
    (PATHS, (), "", "AVAIL-DATAPATH AMANDA DIRECT-TCP"),
    (PATH, ("DIRECT-TCP", "192.0.2.1:7"), "USE-DATAPATH DIRECT-TCP 192.0.2.1:7\r\n", "DATAPATH-OK"),
    (DATA, (), "DATA-SEND\r\n", "DATA-READY"),
    (VOLUME, ("D02",), "FEEDME D02\r\n", "TAPE chg:x"),
)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, 500)))
def test_a_whole_story(cuts: list[int]) -> None:
    """However the bytes arrive."""
    talk = Talk()
    said = b"".join(talk.receive(piece) for piece in in_pieces(REQUEST, cuts))
    assert said == f"FEATURES={OURS.text()}\r\n".encode()
    assert talk.request is not None
    assert talk.request.config == "SYS"
    for question, words, line, answer in STORY:
        assert talk.turn is Turn.OURS
        assert talk.ask(question, *words) == line.encode()
        assert talk.turn is Turn.THEIRS
        assert talk.answer() is None
        for piece in in_pieces(f"{answer}\r\n".encode(), cuts):
            assert talk.receive(piece) == b""
        assert talk.answer() == answer
    assert talk.message("one\ntwo") == b"MESSAGE one\r\nMESSAGE two\r\n"


def test_an_answer_may_come_before_its_question() -> None:
    """As AVAIL-DATAPATH does."""
    talk = requested()
    talk.ask(DIRECT_ACCESS)
    talk.receive(b"USE-DAR NO\r\nAVAIL-DATAPATH AMANDA\r\n")
    assert talk.answer() == "USE-DAR NO"
    assert talk.answer() is None
    talk.ask(PATHS)
    assert talk.answer() == "AVAIL-DATAPATH AMANDA"


def test_an_old_peer_is_asked_nothing_that_it_does_not_know() -> None:
    talk = Talk(OLD)
    talk.receive(b"CONFIG=SYS\r\nLABEL=D01\r\n6\r\n")
    for question, words, _, _ in STORY:
        assert talk.ask(question, *words) == b""
        assert talk.turn is Turn.OURS
    assert talk.message("text") == b""


def requested(features: Features = OURS) -> Talk:
    talk = Talk(features)
    talk.receive(b"CONFIG=SYS\r\nLABEL=SYS:D01:1\r\nEND\r\n")
    return talk


def test_what_is_no_answer_breaks_it() -> None:
    talk = requested()
    talk.ask(VOLUME, "D02")
    talk.receive(b"ERROR\r\n")
    with pytest.raises(TalkBroken, match="expected OK or TAPE , got 'ERROR'"):
        talk.answer()
    assert talk.turn is Turn.OVER
    talk.receive(b"more\r\n")


def test_too_much_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = requested()
    with pytest.raises(TalkBroken, match=f"more than {MAX_EARLY} lines"):
        talk.receive(b"x\r\n" * (MAX_EARLY + 1))
    talk = requested()
    with pytest.raises(TalkBroken, match=f"longer than {MAX_LINE} bytes"):
        talk.receive(b"x" * (MAX_LINE + 1))
    monkeypatch.setattr(module, "MAX_REQUEST", 100)
    for data in (b"x" * 101, b"HEADER\r\n" * 13):
        with pytest.raises(TalkBroken, match="longer than 100 bytes"):
            Talk().receive(data)


def test_a_line_stays_a_line() -> None:
    talk = requested()
    assert talk.ask(VOLUME, "D\r\n02") == b"FEEDME D  02\r\n"


@given(st.lists(st.binary(max_size=200), max_size=20), st.frozensets(st.sampled_from(Feature)))
def test_any_bytes(pieces: list[bytes], features: frozenset[Feature]) -> None:
    """Nothing but the two faults is raised, and what is said is whole lines."""
    talk = Talk(Features.of(features))
    with suppress(BadRequest, TalkBroken):
        for piece in pieces:
            said = talk.receive(piece)
            assert not said or said.endswith(b"\r\n")
            if talk.turn is Turn.OURS:
                talk.ask(VOLUME, "D01")
            talk.answer()
