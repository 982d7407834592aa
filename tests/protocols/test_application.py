"""The application's command line, and tar's words."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.application import (
    COMMANDS,
    RequestError,
    Selection,
    one_line,
    parse_request,
)
from protocols.directtcp import Address
from protocols.gnutar import (
    Kind,
    RuleError,
    Rules,
    index_line,
    quote_name,
    total_bytes,
)

SENDBACKUP = (
    "backup --message line --config DAILY --host client --disk /home --device /export/home "
    "--level 2 --index line --record --data-path directtcp --direct-tcp 10.0.0.1:4000 "
    "--direct-tcp [fd00::1]:4001 --exclude-file *.o --exclude-list .no --exclude-optional YES "
    "--sparse no --Tar_Blocksize 64 --exit-handling 1=BAD --verbose yes"
)


def test_what_sendbackup_says() -> None:
    """Every option finds its place."""
    request = parse_request(SENDBACKUP.split())
    assert (request.command, request.config, request.host) == ("backup", "DAILY", "client")
    assert (request.disk, request.directory, request.level) == ("/home", "/export/home", 2)
    assert (request.index, request.record, request.direct) == (True, True, True)
    assert request.addresses == (Address("10.0.0.1", 4000), Address("fd00::1", 4001))
    assert request.exclude == Selection(files=("*.o",), lists=(".no",), optional=True)
    properties = request.properties
    assert (properties.sparse, properties.tar_blocksize) == (False, 64)
    assert properties.exit_handling == {1: False}
    assert request.names == request.unknown == ()


def test_names_and_options_may_be_mixed() -> None:
    """After ``--`` everything is a name; a value may follow a ``=``."""
    request = parse_request(["restore", "./a", "--level=1", "--nonsense", "x", "--", "--level"])
    assert request.names == ("./a", "--level")
    assert request.levels == (1,)
    assert request.unknown == ("nonsense",)


def test_a_device_alone_is_the_disk_too() -> None:
    request = parse_request(["estimate", "--device", "/x", "--calcsize", "--level", "0"])
    assert request.disk == request.directory == "/x"
    with pytest.raises(RequestError, match="no device was named"):
        _ = parse_request(["backup"]).directory


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "no command was given"),
        ("frob", "unknown command 'frob'"),
        ("backup --level", "option --level has no value"),
        ("backup --level 400", "'400': expected a number from 0 to 399"),
        ("backup --level -1", "expected a number"),
        ("backup --connect-timeout 0", "expected a number from 1"),
        ("backup --direct-tcp 1.2.3.4:0", "0 is not a port"),
        ("backup --rendezvous perhaps", "--rendezvous 'perhaps': expected YES or NO"),
        ("backup --rendezvous-window 0", "expected a number from 1 to 65536"),
        ("backup --rendezvous-spool-size 1GB", "expected a number from 1 to 16777216"),
        ("backup --exit-handling 1=FINE", "expected STATUS=GOOD or STATUS=BAD"),
    ],
)
def test_mistakes(line: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        parse_request(line.split())


@given(st.lists(st.text(max_size=12) | st.sampled_from(SENDBACKUP.split()), max_size=12))
def test_any_words_are_understood_or_refused(words: list[str]) -> None:
    with contextlib.suppress(RequestError):
        assert parse_request(words).command in COMMANDS


@given(st.text())
def test_an_error_stays_between_its_brackets(text: str) -> None:
    told = one_line(text)
    assert not set("[]\n\r") & set(told)


MESSAGES = {
    "tar: ./a: file changed as we read it": Kind.STRANGE,
    "tar: ./a: socket ignored": Kind.NORMAL,
    "tar: ./a: Directory is new": Kind.IGNORE,
    "tar: ./d: directory is on a different filesystem; not dumped": Kind.NORMAL,
    "tar: ./a: File shrunk by 12 bytes; padding with zeros": Kind.STRANGE,
    "tar: ./a: File removed before we read it": Kind.STRANGE,
    "runtar: error [runtar invalid option: --acls]": Kind.ERROR,
}


@pytest.mark.parametrize("message", MESSAGES)
def test_usual_judgement(message: str) -> None:
    """As Amanda's usual application judges."""
    assert Rules().judge(message) is MESSAGES[message]


def test_the_users_judgement_comes_first() -> None:
    rules = Rules(normal=["file changed"], strange=["socket ignored$"])
    assert rules.judge("tar: ./a: file changed as we read it") is Kind.NORMAL
    assert rules.judge("tar: ./a: socket ignored") is Kind.STRANGE
    with pytest.raises(RuleError, match="IGNORE"):
        Rules(ignore=["("])


def test_lines_of_tar() -> None:
    """Names go to the index without their dot, the total is found."""
    assert index_line(b"./sub/\n") == b"/sub/\n"
    assert index_line(b"tar: ./sub: socket ignored\n") is None
    assert total_bytes(b"Total bytes written: 10240 (10KiB, 23MiB/s)\n") == 10240
    assert total_bytes(b"Total bytes written: 10240\n") == 10240
    assert total_bytes(b"Total bytes read: 10240\n") is None
    assert total_bytes(b"Total bytes written: x\n") is None
    assert quote_name(b"a\\b\nc") == b"a\\\\b\\nc"
