"""Bodies of frames: what goes there comes back, and nothing else is taken."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.directtcp import Address
from protocols.rendezvous.errors import RendezvousError
from protocols.rendezvous.forms import MAX_ADDRESSES, MAX_REMARK, MAX_SIZE
from protocols.rendezvous.frames import (
    FRAMES,
    MAX_BLOCK,
    Alive,
    Cannot,
    End,
    Frame,
    Halt,
    HeaderBlock,
    HeaderFields,
    Hello,
    Kind,
    Proof,
    Refused,
    Result,
    Send,
    Stored,
    Why,
    decode_body,
    encode_body,
)
from tests.protocols.rendezvous_frames import ANY, frames

HERE = Address("192.0.2.1", 5)


def test_all_frames_are_tried() -> None:
    """A new one needs its line."""
    assert set(ANY) == set(FRAMES)
    assert {frame.kind for frame in FRAMES} == set(Kind)


@given(frames)
def test_there_and_back(frame: Frame) -> None:
    """Every frame with good values."""
    assert decode_body(frame.kind, encode_body(frame)) == frame


@given(st.integers(0, 255), st.binary(max_size=200))
def test_any_bytes(kind: int, body: bytes) -> None:
    """They are a frame, or none; a frame is said with these very bytes."""
    with contextlib.suppress(RendezvousError):
        frame = decode_body(kind, body)
        if "�" not in repr(frame):  # a text for people that was no text
            assert encode_body(frame) == body


@given(frames, st.integers(0, 70000))
def test_a_body_that_is_cut(frame: Frame, size: int) -> None:
    """Half a frame is none; nor is one and a half."""
    body = encode_body(frame)
    if not isinstance(frame, HeaderBlock):  # the block is all that is there
        with pytest.raises(RendezvousError, match=frame.kind.name):
            decode_body(frame.kind, body + b"\0")
        with pytest.raises(RendezvousError, match=frame.kind.name):
            decode_body(frame.kind, body[: size % len(body)])


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (Alive(-1), "ALIVE: bytes: number -1"),
        (Alive(MAX_SIZE + 1), "ALIVE: bytes: number 9223372036854775808"),
        (Halt(0, 0), "HALT: run: number 0, expected 1 to 4294967295"),
        (Stored(2, 1), "STORED: 2 bytes are stored, but only 1 written"),
        (Send(1, 0, ()), "SEND: addresses: 0 addresses, expected 1 to 16"),
        (Send(1, 0, (HERE,) * (MAX_ADDRESSES + 1)), "SEND: addresses: 17 addresses"),
        (Hello(2, 1, bytes(32), bytes(16)), "HELLO: versions 2 to 1"),
        (Hello(0, 1, bytes(32), bytes(16)), "HELLO: least_version: number 0"),
        (Hello(1, 1, bytes(31), bytes(16)), "HELLO: nonce: 31 bytes, expected 32"),
        (Cannot(1, 9, 0, ""), "CANNOT: reason: 9 is not a valid Why"),
        (HeaderBlock(b""), "HEADER: block: a block of 0 bytes, expected 1 to 32768"),
        (HeaderBlock(bytes(MAX_BLOCK + 1)), "HEADER: block: a block of 32769 bytes"),
        (HeaderFields((("a", "x" * 65536),)), "HEADER: fields: a text of 65536 bytes"),
        (HeaderFields((("a", "x" * 40000),) * 2), "HEADER: 80013 bytes, expected at most 65536"),
        (Proof("h", "d", 65536, "a", 0), "PROOF: level: number 65536"),
        (Proof("h\ud800", "d", 0, "a", 0), "PROOF: host: .*surrogates not allowed"),
    ],
)
def test_what_cannot_be_said(frame: Frame, why: str) -> None:
    """The field is named."""
    with pytest.raises(ValueError, match=why):
        encode_body(frame)


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        (0, b"", "a frame of kind 0, which is unknown"),
        (12, b"", "a frame of kind 12, which is unknown"),
        (21, b"", "a frame of kind 21, which is unknown"),
        (Kind.HEADER, b"", "HEADER: there is no form of no bytes"),
        (Kind.HEADER, b"\3abc", "HEADER: there is no form 03"),
        (Kind.HEADER, b"\2", "HEADER: block: a block of 0 bytes"),
        (Kind.HEADER, b"\1\xff\xff", "HEADER: fields: 2 bytes expected, but only 0 are left"),
        (Kind.ALIVE, b"\x80" + bytes(7), "ALIVE: bytes: number 9223372036854775808"),
        (Kind.STORED, bytes(7) + b"\2" + bytes(7) + b"\1", "STORED: 2 bytes are stored"),
        (Kind.SEND, bytes(3) + b"\1" + bytes(10), "SEND: addresses: 0 addresses"),
        (Kind.SEND, bytes(3) + b"\1" + bytes(9) + b"\x11", "SEND: addresses: 17 addresses"),
        (Kind.REFUSED, b"\0\0\0", "REFUSED: reason: number 0, expected one of 1, 2, 3, 4"),
        (Kind.REFUSED, b"\1\4\1" + bytes(1025), "REFUSED: text: a text of 1025 bytes"),
        (Kind.RESULT, bytes(9) + b"\2" + bytes(6), "RESULT: crc_known: number 2, expected 0 or 1"),
    ],
)
def test_what_is_not_taken(kind: int, body: bytes, why: str) -> None:
    """The field is named, too."""
    with pytest.raises(RendezvousError, match=why):
        decode_body(kind, body)


@pytest.mark.parametrize(
    "text",
    [
        "255.255.255.255:5",
        "example.com:5",
        "1.2.3.4:0",
        "1.2.3.4:70000",
        "1.2.3.4",
        "é:1",
        "1" * 65,
    ],
)
def test_what_is_no_address(text: str) -> None:
    """Names are not looked up, and nothing is asked for addresses."""
    data = text.encode()
    body = bytes(3) + b"\1" + bytes(8) + b"\0\1" + len(data).to_bytes(2, "big") + data
    with pytest.raises(RendezvousError, match="SEND: addresses: "):
        decode_body(Kind.SEND, body)


def test_texts_for_people() -> None:
    """A long one is cut between two letters, a strange one is made readable; it always gets
    there."""
    for text, told in (("é" * 600, "é" * 512), ("x" + "é" * 600, "x" + "é" * 511), ("\udc80", "?")):
        for frame in (Refused(1, text), End(0, 0, 1, text), Result(0, 0, False, 0, text)):
            heard = decode_body(frame.kind, encode_body(frame))
            assert heard.text == told  # type: ignore[attr-defined]
    assert len("é" * 512) * 2 == MAX_REMARK


def test_numbers_have_names() -> None:
    """And may be said without."""
    heard = decode_body(Kind.CANNOT, encode_body(Cannot(1, 2, 0, "")))
    assert heard == Cannot(1, Why.KEPT_NO_MORE, 0, "")
