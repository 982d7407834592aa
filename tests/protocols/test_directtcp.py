"""Address lists as every program of the field writes them, and IndirectTCP answers."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.directtcp import (
    ANSWER_LIMIT,
    INDIRECT_HOST,
    Address,
    AddressError,
    AnswerReader,
    format_answer,
    format_list,
    is_indirect,
    parse_list,
)

HOSTS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
ADDRESSES = st.builds(Address, HOSTS, st.integers(1, 65535))


@given(ADDRESSES)
def test_an_address_is_read_as_it_was_written(address: Address) -> None:
    """Text and back, with either family."""
    assert Address.parse(str(address)) == address


def test_forms() -> None:
    """IPv6 hosts stand in brackets, on the wire only."""
    assert str(Address("1.2.3.4", 5)) == "1.2.3.4:5"
    assert str(Address("::1", 5)) == "[::1]:5"
    assert Address.parse("[::1]:5").host == "::1"


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "1.2.3.4", "1.2.3.4:", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3:4",
        "1.2.3.256:4", "1.2.3.4.5:6", "::1:5", "[::1]", "[::1:5", "[1.2.3.4]:5", "localhost:5",
        "1.2.3.4:\u0665", "1.2.3.4:5 ", "[fe80::1%eth0]:5x", "1.2.3.4:555555555555",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    """A wrong form, host or port is named in the error."""
    with pytest.raises(AddressError, match="is not"):
        Address.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text does anything but that."""
    with contextlib.suppress(AddressError):
        for address in parse_list(text):
            ipaddress.ip_address(address.host)


@given(st.lists(ADDRESSES, max_size=20), st.sampled_from([";", " "]))
def test_lists(addresses: list[Address], separator: str) -> None:
    """The driver's form and the IndirectTCP form say the same."""
    assert parse_list(format_list(addresses, separator)) == tuple(addresses)


def test_lists_are_bounded() -> None:
    """A list longer than any real one is refused before it is taken apart."""
    with pytest.raises(AddressError, match="more than"):
        parse_list("1.2.3.4:5;" * 129)
    with pytest.raises(AddressError, match="longer than"):
        parse_list("1.2.3.4:5;" * 5000)


def test_the_marker() -> None:
    """255.255.255.255 says that the address is to be asked for."""
    assert is_indirect((Address(INDIRECT_HOST, 5),))
    assert not is_indirect((Address("255.255.255.254", 5),))
    assert not is_indirect(())


def test_the_captured_answer() -> None:
    """The bytes of a stock program [ndmp 2.3]."""
    captured = bytes.fromhex("3132372e302e302e313a3432333933")
    assert format_answer((Address("127.0.0.1", 42393),)) == captured
    reader = AnswerReader()
    for at in range(len(captured)):
        reader.feed(captured[at : at + 1])
    assert reader.finish() == (Address("127.0.0.1", 42393),)


@given(st.binary(max_size=100))
def test_any_answer_is_read_or_refused(data: bytes) -> None:
    """Bytes from a lying peer do nothing else."""
    reader = AnswerReader()
    reader.feed(data)
    with contextlib.suppress(AddressError):
        assert reader.finish()


@pytest.mark.parametrize("answer", [b"", b" ", b"255.255.255.255:5", b"\xff\xfe", b"1.2.3.4"])
def test_useless_answers(answer: bytes) -> None:
    """Nothing, garbage and an answer that is itself indirect are refused."""
    reader = AnswerReader()
    reader.feed(answer)
    with pytest.raises(AddressError):
        reader.finish()


def test_an_endless_answer_is_cut_off() -> None:
    """No peer can fill our memory."""
    reader = AnswerReader()
    reader.feed(b" " * ANSWER_LIMIT)
    with pytest.raises(AddressError, match="longer"):
        reader.feed(b" ")
