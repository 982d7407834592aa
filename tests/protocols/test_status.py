"""What a client of a status socket makes of what it hears."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.status import (
    MOST_LINE,
    Hearing,
    Refused,
    StatusError,
    encode,
    first_line,
    refusal,
)

SNAPSHOT = {
    "at": 1,
    "workers": {"w": {"dump": {"handle": "1", "progress": None}}},
    "totals": {"dumps": 0, "failed": 0, "parts": 0, "bytes": 0},
    "notes": [],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KINDS = ["conversation", "worker", "progress", "part", "dump", "question", "note", "dropped", "x"]
KEYS = ["name", "worker", "progress", "part", "dump", "question", "text", "conversation", "at"]


def heard() -> Hearing:
    hearing = Hearing()
    assert hearing.feed(first_line(SNAPSHOT)) == []
    return hearing


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_lines_come_in_any_pieces(sizes: list[int]) -> None:
    notes = [{"event": "note", "at": number, "text": "\udcff" * number} for number in range(5)]
    data = first_line(SNAPSHOT) + b"".join(map(encode, notes))
    hearing, told, place = Hearing(), [], 0
    for size in [*sizes, len(data)]:
        told += hearing.feed(data[place : place + size])
        place += size
    assert told == notes
    assert hearing.snapshot is not None
    assert [note["text"] for note in hearing.snapshot["notes"]] == [note["text"] for note in notes]
    assert hearing.snapshot["at"] == 4


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), JSON))
def test_an_event_that_is_none_is_told_and_never_breaks(kind: str, facts: dict[str, Any]) -> None:
    hearing = heard()
    with suppress(StatusError):
        hearing.feed(encode({"event": kind, **facts}))
    assert hearing.snapshot is not None


@given(st.binary(max_size=60))
def test_rubbish_instead_of_a_first_line(data: bytes) -> None:
    with pytest.raises(StatusError):
        Hearing().feed(data + b"\n")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000 + b"\n",
        b"1" * 10_000 + b"\n",
        b'{"taper": 2}\n',
        b'{"taper": 1, "snapshot": 3}\n',
        b"x" * (MOST_LINE + 1),
        b"x" * (MOST_LINE + 1) + b"\n",
    ],
)
def test_nothing_that_is_heard_goes_beyond_its_bounds(data: bytes) -> None:
    for hearing in (Hearing(), heard()):
        if hearing.snapshot is not None and data.startswith(b"{"):
            continue  # an event of tomorrow
        with pytest.raises(StatusError) as told:
            hearing.feed(data)
        assert len(str(told.value)) <= 200


def test_one_too_many_is_refused() -> None:
    with pytest.raises(Refused, match=r"^16 others$"):
        Hearing().feed(refusal("16 others"))


def test_who_is_let_go_knows_why() -> None:
    hearing = heard()
    hearing.feed(encode({"event": "dropped", "at": 2, "reason": "too slow"}))
    assert hearing.dropped == "too slow"


def test_lines_are_ascii() -> None:
    assert json.loads(encode({"text": "\udcff\u20ac\n"})) == {"text": "\udcff\u20ac\n"}
    assert encode({"text": "\udcff\n"}).isascii()
    assert encode({"text": "\n"}).count(b"\n") == 1
