"""The greeting of the taper that Amanda starts to the daemon."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.daemon import LONGEST, LONGEST_ANSWER, SETTINGS, answer, render
from protocols.greeting import Greeting, GreetingError, begins_greeting, parse

NAMES = st.binary(max_size=20).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
ENVIRONMENTS = st.dictionaries(st.sampled_from((*SETTINGS, "PATH", "LD_PRELOAD")), NAMES)


@given(NAMES, st.lists(NAMES, max_size=5), ENVIRONMENTS)
def test_it_is_read_as_it_was_said(
    directory: str, words: list[str], environment: dict[str, str]
) -> None:
    """Whole, however it comes; of the environment nothing but what concerns us."""
    said = render(
        program="1",
        record="2",
        directory=os.fsencode(directory),
        words=[os.fsencode(word) for word in words],
        environment={os.fsencode(name): os.fsencode(value) for name, value in environment.items()},
    )
    assert said is not None
    settings = tuple((name, environment[name]) for name in SETTINGS if name in environment)
    assert parse(said) == Greeting(
        program="1", record="2", directory=directory, words=tuple(words), settings=settings
    )
    for end in range(len(said)):
        assert begins_greeting(said[:end])
        assert parse(said[:end]) is None
    with pytest.raises(GreetingError, match="more was said"):
        parse(said + b"x")


@given(st.binary(max_size=300))
def test_nothing_else_is_one(data: bytes) -> None:
    """Whatever is said is a greeting, the beginning of one, or refused."""
    for said in (data, b"TAPER-CLIENT 1 %d\n%s" % (len(data), data)):
        try:
            found = parse(said)
        except GreetingError:
            continue
        assert found is None or isinstance(found, Greeting)


BODY = b"program=1\0record=\0directory=/\0"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"TAPER-CLIENT 2 3\nabc", "of version 2, expected 1"),
        (b"TAPER-CLIENT 1 70000\n", "has 70000 bytes"),
        (b"TAPER-CLIENT 1 %d\n" % LONGEST, f"has {LONGEST} bytes"),
        (b"TAPER-CLIENT 1 \xb2\n", "none of a greeting"),
        (b"TAPER-CLIENT 1 1111111\n", "none of a greeting"),
        (b"TAPER-CLIENT 1 " + b"1" * 20, "first line is too long"),
        (b"START-TAPER x\n", "none of a greeting"),
        (b"TAPER-CLIENT 1 3\nabc", "no end"),
        (b"TAPER-CLIENT 1 4\nabc\0", "unknown"),
        (b"TAPER-CLIENT 1 %d\n%srecord=\0" % (len(BODY) + 8, BODY), "there twice"),
        (b"TAPER-CLIENT 1 8\nrecord=\0", "no field 'program'"),
        (b"TAPER-CLIENT 1 %d\n%ssetting=PATH=\0" % (len(BODY) + 14, BODY), "a setting 'PATH'"),
        (b"TAPER-CLIENT 1 %d\n%ssetting=TZ\0" % (len(BODY) + 11, BODY), "a setting 'TZ'"),
    ],
)
def test_what_is_refused(said: bytes, why: str) -> None:
    with pytest.raises(GreetingError, match=why):
        parse(said)


def test_what_is_not_said() -> None:
    """Too much, or what would not be read as it was meant."""
    for word in (b"x" * LONGEST, b"a\0word=b"):
        found = render(program="1", record="", directory=b"/", words=[word], environment={})
        assert found is None


def test_reasons_are_one_line() -> None:
    assert answer("REFUSED", "a\nb  c") == b"REFUSED a b c\n"
    assert len(answer("WAIT", "x" * 10_000)) == LONGEST_ANSWER
