"""Record marking and the login digest of NDMP."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ndmp.auth import digest
from protocols.ndmp.errors import NdmpGarbage
from protocols.ndmp.record import MESSAGE_LIMIT, RecordReader, encode_record


def fragments(message: bytes, cuts: list[int]) -> bytes:
    """A message in fragments that end at the cuts."""
    places = sorted({0, len(message), *(cut % (len(message) + 1) for cut in cuts)})
    pieces = [message[start:end] for start, end in pairwise(places)] or [b""]
    marks = [len(piece) for piece in pieces]
    marks[-1] |= 1 << 31
    return b"".join(
        mark.to_bytes(4, "big") + piece for mark, piece in zip(marks, pieces, strict=True)
    )


@given(
    st.lists(st.tuples(st.binary(max_size=50), st.lists(st.integers(0, 50), max_size=4))),
    st.lists(st.integers(0, 300)),
)
def test_messages_in_any_fragments_cut_anywhere_arrive_whole(
    messages: list[tuple[bytes, list[int]]], cuts: list[int]
) -> None:
    """Neither the sender's fragments nor the network's pieces show."""
    stream = b"".join(fragments(message, places) for message, places in messages)
    ends = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    reader = RecordReader()
    arrived: list[bytes] = []
    for start, end in pairwise(ends):
        arrived += reader.feed(stream[start:end])
    assert arrived == [message for message, _ in messages]


@pytest.mark.parametrize("mark", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x20\x10\x01"])
def test_a_huge_length_is_refused_at_its_mark(mark: bytes) -> None:
    """Before a byte of it was kept; what came before it is not lost."""
    reader = RecordReader()
    stream = reader.feed(encode_record(b"good") + mark)
    assert next(stream) == b"good"
    with pytest.raises(NdmpGarbage, match=f"expected at most {MESSAGE_LIMIT}"):
        next(stream)


def test_many_fragments_together_are_bounded_too() -> None:
    """A message that never ends does not fill the memory."""
    reader = RecordReader(limit=100)
    piece = (30).to_bytes(4, "big") + bytes(30)
    assert list(reader.feed(piece * 3)) == []
    with pytest.raises(NdmpGarbage, match="at least 120 bytes, expected at most 100"):
        list(reader.feed(piece))


@given(st.lists(st.binary(max_size=30)))
def test_any_bytes_give_messages_or_garbage(pieces: list[bytes]) -> None:
    """Nothing but the protocol's own error is raised."""
    reader = RecordReader(limit=1000)
    try:
        for piece in pieces:
            for message in reader.feed(piece):
                assert len(message) <= 1000
    except NdmpGarbage:
        return


CHALLENGE = bytes.fromhex(
    "49d396f04aaeffc8c231726d056bc7f334d37474dce930ceea70ae34b966e1db"
    "84b0e8f4a970c1b13b550ce5880e0a6f0a960cbe32474a04ff11aae5cab2fe58"
)


def test_the_digest_is_that_of_a_captured_login() -> None:
    """A real client's answer to a real server [ndmp 4.3]."""
    assert digest("ndmp", CHALLENGE).hex() == "8e73af4b88624fe8c1360442b6a9a28c"


def test_passwords_of_any_length_have_a_digest() -> None:
    """None at all is a password; of a long one the first 32 bytes count."""
    assert len(digest("", CHALLENGE)) == 16
    assert digest("x" * 32, CHALLENGE) == digest("x" * 50, CHALLENGE)
    assert digest("x" * 31, CHALLENGE) != digest("x" * 32, CHALLENGE)
