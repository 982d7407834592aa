"""The XDR primitives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.xdr import Reader, Writer, XdrError
from tests.protocols.strategies import wire_text


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=50), wire_text)
def test_what_was_put_is_got(number: int, quad: int, data: bytes, text: str) -> None:
    """Values come back, everything stands on multiples of four, and nothing is left."""
    out = Writer()
    out.uint(number)
    out.quad(quad)
    out.opaque(memoryview(data))
    out.fixed(data, len(data))
    out.text(text)
    encoded = out.data()
    assert len(encoded) % 4 == 0
    reader = Reader(encoded)
    assert (reader.uint(), reader.quad()) == (number, quad)
    assert (reader.opaque(), reader.fixed(len(data)), reader.text()) == (data, data, text)
    reader.end()


def test_bytes_are_as_the_standard_says() -> None:
    """Big-endian numbers, zero padding, no NUL behind a text."""
    out = Writer()
    out.uint(0x900)
    out.quad(1 << 32)
    out.text("Hello")
    assert out.data().hex(" ", 4) == "00000900 00000001 00000000 00000005 48656c6c 6f000000"


@pytest.mark.parametrize(
    ("put", "text"),
    [
        (lambda out: out.uint(-1), "number -1, expected 0 to 4294967295"),
        (lambda out: out.uint(65536, 16), "number 65536, expected 0 to 65535"),
        (lambda out: out.quad(1 << 64), "expected 0 to 18446744073709551615"),
        (lambda out: out.fixed(b"abc", 16), "opaque of 3 bytes, expected 16"),
        (lambda out: out.text("\ud800"), "cannot be encoded"),
    ],
)
def test_what_cannot_be_said_is_refused(put: object, text: str) -> None:
    """A value out of range raises with the value and what was expected."""
    assert callable(put)
    with pytest.raises(XdrError) as caught:
        put(Writer())
    assert text in caught.value.text


@pytest.mark.parametrize(
    ("read", "data", "text"),
    [
        (lambda data: data.uint(), b"\0\0\0", "number of 4 bytes, but only 3 are left"),
        (lambda data: data.uint(16), b"\0\1\0\0", "number 65536, expected 0 to 65535"),
        (lambda data: data.opaque(), b"\xff\xff\xff\xffab", "opaque of 4294967295 bytes"),
        (lambda data: data.opaque(), b"\0\0\0\1a", "padding of 3 bytes, but only 0 are left"),
        (lambda data: data.count(8), b"\0\0\0\2" + bytes(15), "array of 2 elements"),
        (lambda data: data.end(), b"x", "1 bytes behind the end"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(read: object, data: bytes, text: str) -> None:
    """Lengths are compared with what is there before anything is taken."""
    assert callable(read)
    with pytest.raises(XdrError) as caught:
        read(Reader(data))
    assert text in caught.value.text
