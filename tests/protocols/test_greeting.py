"""The greeting of the taper that Amanda starts to the daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.daemon import LONGEST, LONGEST_ANSWER, SETTINGS, answer, render
from protocols.greeting import Greeting, GreetingError, begins_greeting, parse

NAMES = st.binary(max_size=20).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
ENVIRONMENTS = st.dictionaries(st.sampled_from((*SETTINGS, "PATH", "LD_PRELOAD")), NAMES)


@given(NAMES, NAMES, st.lists(NAMES, max_size=5), ENVIRONMENTS)
def test_it_is_read_as_it_was_said(
    record: str, directory: str, words: list[str], environment: dict[str, str]
) -> None:
    """Whole, however it comes; of the environment nothing but what concerns us."""
    said = render(
        program="1", record=record, directory=directory, words=words, environment=environment
    )
    assert said is not None
    settings = tuple((name, environment[name]) for name in SETTINGS if name in environment)
    assert parse(said) == Greeting(
        program="1", record=record, directory=directory, words=tuple(words), settings=settings
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
    for word in ("x" * LONGEST, "a\0word=b"):
        found = render(program="1", record="", directory="/", words=[word], environment={})
        assert found is None


def test_reasons_are_one_line() -> None:
    assert answer("REFUSED", "a\nb  c") == b"REFUSED a b c\n"
    assert len(answer("WAIT", "x" * 10_000)) == LONGEST_ANSWER


SAY = """
import sys
from protocols.daemon import render
found = render(program="1", record="", directory="/", words=sys.argv[1:], environment={})
sys.stdout.buffer.write(found)
"""


@pytest.mark.skipif(not shutil.which("localedef"), reason="localedef is missing")
def test_a_command_of_another_encoding(tmp_path: Path) -> None:
    """The daemon gets the very bytes, which name the file; not another file's."""
    made = subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US.iso88591")],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip(f"localedef: {made.stderr.decode()}")
    command = [sys.executable, "-c", SAY, b"/log/\xe9"]
    settings = {**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": "en_US.iso88591"}
    settings.pop("PYTHONUTF8", None)
    settings["PYTHONPATH"] = str(Path(__file__).parents[2])
    said = subprocess.run(command, env=settings, capture_output=True, check=True).stdout
    found = parse(said)
    assert found is not None
    assert [os.fsencode(word) for word in found.words] == [b"/log/\xe9"]
