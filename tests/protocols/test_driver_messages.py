"""Every message of the driver conversation, both ways, and what is no message."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.crc import Crc
from protocols.driver import commands, replies
from protocols.driver.codec import BadLine, LineBuffer, decode_command, decode_reply, encode
from protocols.driver.commands import COMMANDS
from protocols.driver.messages import Message, SplitFields
from protocols.driver.replies import REPLIES, WORDS
from tests.protocols.strategies import counts, crcs, wire_text, words

TRANSCRIPTS = Path(__file__).parent.parent / "vectors" / "driver_transcripts.txt"
SPLIT = '"" "" "" "" "" "" "" ""'

sizes = st.one_of(st.none(), counts)
texts_or_none = st.one_of(st.none(), wire_text.filter(bool))
split_fields = st.builds(
    SplitFields,
    sizes,
    texts_or_none,
    sizes,
    st.one_of(st.none(), st.booleans()),
    sizes,
    st.sampled_from([None, "none", "memory", "disk"]),
    texts_or_none,
    sizes,
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "str": wire_text,
    "int": counts,
    "Crc": crcs,
    "SplitFields": split_fields,
    "tuple[str, ...]": st.lists(words, max_size=3).map(tuple),
}


def values_of(kind: type[Message], field: str) -> st.SearchStrategy[Any]:
    if field in WORDS:
        return st.sampled_from(WORDS[field])
    if field == "timestamp":
        return st.from_regex(r"[0-9]{8}([0-9]{6})?", fullmatch=True).filter(str.isascii)
    if field == "level":
        return st.integers(0, 399).map(str)
    return KINDS[kind.kinds[field]]


def messages(table: dict[str, type[Message]]) -> st.SearchStrategy[Message]:
    return st.one_of(
        *(
            st.builds(kind, **{field: values_of(kind, field) for field in kind.fields})
            for kind in table.values()
        )
    )


def vector_lines(mark: str) -> list[str]:
    lines = TRANSCRIPTS.read_text("utf-8").splitlines()
    return [line[2:] for line in lines if line.startswith(mark)]


@given(messages(COMMANDS))
def test_every_command_survives_the_wire(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_command(line) == message


@given(messages(REPLIES))
def test_every_reply_survives_the_wire(message: Message) -> None:
    assert decode_reply(encode(message)) == message


@pytest.mark.parametrize("line", vector_lines("> "))
def test_recorded_commands_decode_and_encode_to_the_same_bytes(line: str) -> None:
    message = decode_command(line.encode())
    assert isinstance(message, Message)
    assert encode(message) == f"{line}\n".encode()


@pytest.mark.parametrize("line", vector_lines("< "))
def test_recorded_replies_decode_and_encode_to_the_same_bytes(line: str) -> None:
    message = decode_reply(line.encode())
    assert isinstance(message, Message)
    assert encode(message) == f"{line}\n".encode()


def test_the_recordings_show_every_message() -> None:
    seen = {line.split(" ")[0] for line in vector_lines("> ")}
    assert set(COMMANDS) - seen == set()
    seen = {line.split(" ")[0] for line in vector_lines("< ")}
    assert set(REPLIES) - seen == set()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("GARBAGE foo", "unknown command 'GARBAGE'"),
        (" QUIT", "unknown command ''"),
        ("\ufb01le-write", "unknown command '\ufb01le-write'"),
        ("QUIT\r", "unknown command 'QUIT\r'"),
        ("x" * 5000 + " 1", f"unknown command '{'x' * 200}...'"),
        ('"a b" c', "unknown command 'a b'"),
        ("", None),
        ("0", None),
        (
            "START-TAPER taper0",
            "too few arguments to 'START-TAPER': first missing argument is worker_name",
        ),
        ("START-TAPER", "too few arguments to 'START-TAPER': first missing argument is taper_name"),
        (
            "START-TAPER taper0 worker0-0 PROTO 20260101000000 extra",
            "too many arguments to 'START-TAPER': first unmatched argument is 'extra'",
        ),
        ("TAPER-OK a b", "unhandled command 'TAPER-OK'"),
        (
            "taper-ok a",
            "too few arguments to 'TAPER-OK': first missing argument is allow_take_scribe_from",
        ),
        (
            "PORT a b",
            "too few arguments to 'PORT': first missing argument is port",
        ),
        (
            "PARTIAL a b INPUT-GOOD",
            "too few arguments to 'PARTIAL': first missing argument is taper",
        ),
        ("TAPE-ERROR a", "too few arguments to 'TAPE-ERROR': first missing argument is message"),
        (
            "take-scribe-from w h",
            "too few arguments to 'TAKE-SCRIBE-FROM': first missing argument is from_worker_name",
        ),
        (
            "FILE-WRITE w h f host",
            "too few arguments to 'FILE-WRITE': first missing argument is diskname",
        ),
        (
            "SHM-WRITE w h host disk 0 2026",
            "too few arguments to 'SHM-WRITE': first missing argument is dle_tape_splitsize",
        ),
        ("QUIT now", "too many arguments to 'QUIT': first unmatched argument is 'now'"),
        ("QUIT ", "too many arguments to 'QUIT': first unmatched argument is ''"),
        ("BAD-COMMAND x", "unhandled command 'BAD-COMMAND'"),
    ],
)
def test_lines_that_are_no_command_are_named_as_stock_names_them(
    line: str, text: str | None
) -> None:
    assert decode_command(line.encode()) == (None if text is None else BadLine(text))


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (f"FILE-WRITE w h f host / 0 2026 12k {SPLIT[3:]} 64", "dle_tape_splitsize is '12k'"),
        (f"FILE-WRITE w h f host / 0 2026 -1 {SPLIT[3:]} 64", "dle_tape_splitsize is '-1'"),
        (f"FILE-WRITE w h f host / 0 2026 {'9' * 500} {SPLIT[3:]} 64", "999..."),
        ('FILE-WRITE w h f host / 0 2026 "" "" "" 2 "" "" "" "" 64', "dle_allow_split is '2'"),
        ('FILE-WRITE w h f host / 0 2026 "" "" "" 1 "" tape "" "" 64', "part_cache_type is 'tape'"),
        ('FILE-WRITE w h f host / 0 2026 "" "" "" 1 "" "" "" ² 64', "part_cache_max_size is '²'"),
        (f"FILE-WRITE w h f host / x 2026 {SPLIT} 64", "level is 'x', expected a number"),
        (f'FILE-WRITE w h f host / "" 2026 {SPLIT} 64', "level is '', expected a number"),
        (f"PORT-WRITE w h host / -1 2026 {SPLIT} AMANDA", "level is '-1', expected a number"),
        (f"SHM-WRITE w h host / 1.5 2026 {SPLIT} AMANDA", "level is '1.5', expected a number"),
        (f"VAULT-WRITE w h s p l host / ² 2026 {SPLIT} 64", "level is '²', expected a number"),
        (f"FILE-WRITE w h f host / {'9' * 10} 2026 {SPLIT} 64", "level is '9999999999', "),
        ("START-TAPER t w s yesterday", "timestamp is 'yesterday', expected 8 or 14 digits"),
        ("NO-NEW-TAPE w h a\0b", "reason is 'a\0b', expected text without NUL"),
        (r"NO-NEW-TAPE w h a\000b", "reason is 'a\0b', expected text without NUL"),
    ],
)
def test_a_bad_value_is_answered_with_command_field_and_value(line: str, named: str) -> None:
    bad = decode_command(line.encode())
    assert isinstance(bad, BadLine)
    assert bad.text.startswith(f"bad argument to '{line.split(' ')[0]}': ")
    assert named in bad.text
    assert "expected" in bad.text
    assert len(bad.text) < 400


def test_commands_match_in_any_case() -> None:
    assert decode_command(b"quit") == commands.Quit()
    assert decode_command(b'"Start-Scan" w h\n') == commands.StartScan("w", "h")


def test_replies_match_exactly() -> None:
    assert decode_reply(b"taper-ok w ALLOW-TAKE-SCRIBE-FROM") == BadLine("unknown reply 'taper-ok'")
    assert isinstance(decode_reply(b""), BadLine)
    assert isinstance(decode_reply(b"PARTDONE w h l 1 x s"), BadLine)
    assert isinstance(decode_reply(b"TAPER-OK w MAYBE"), BadLine)


def test_names_that_are_not_utf8_pass_untouched() -> None:
    line = b'NO-NEW-TAPE w h "caf\xe9"\n'
    message = decode_command(line)
    assert message == commands.NoNewTape("w", "h", "caf\udce9")
    assert isinstance(message, Message)
    assert encode(message) == line


def test_dumper_checksums_that_are_none_count_as_unknown() -> None:
    message = decode_command(b"DONE worker0-0 00-00001 1 2 3 4")
    assert isinstance(message, commands.Done)
    assert not message.native_crc.known


def test_empty_split_fields_mean_not_set() -> None:
    message = decode_command(f"PORT-WRITE w h host / 0 2026 {SPLIT} AMANDA".encode())
    assert isinstance(message, commands.PortWrite)
    assert message.split == SplitFields()
    assert message.data_path == "AMANDA"


def test_several_data_addresses_are_joined_with_semicolons() -> None:
    reply = replies.Port("w", "h", 9, ("127.0.0.1:1", "127.0.0.1:2"))
    assert encode(reply) == b'PORT w h 9 "127.0.0.1:1;127.0.0.1:2"\n'


@given(st.one_of(st.binary(), wire_text.map(lambda text: text.encode("utf-8", "surrogateescape"))))
def test_any_bytes_are_a_message_a_bad_line_or_nothing(line: bytes) -> None:
    assert isinstance(decode_command(line), Message | BadLine | None)
    assert isinstance(decode_reply(line), Message | BadLine)


@given(st.sampled_from([*COMMANDS, *REPLIES]), st.lists(wire_text, max_size=18))
def test_any_arguments_are_a_message_or_a_bad_line(name: str, arguments: list[str]) -> None:
    line = " ".join([name, *arguments]).encode("utf-8", "surrogateescape")
    for decoded in (decode_command(line), decode_reply(line)):
        assert isinstance(decoded, Message | BadLine)
        if isinstance(decoded, BadLine):
            encode(replies.BadCommand(decoded.text))


def test_messages_are_frozen_values() -> None:
    message = commands.NewTape("w", "h")
    assert message == commands.NewTape(worker="w", handle="h")
    assert message != replies.NoNewTape("w", "h")
    assert len({message, commands.NewTape("w", "h"), message.evolve(handle="i")}) == 2
    assert repr(message) == "NewTape(worker='w', handle='h')"
    with pytest.raises(AttributeError):
        message.worker = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del message.worker
    match message:
        case commands.NewTape(worker, handle):
            assert (worker, handle) == ("w", "h")


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [(("w",), {}), (("w", "h", "x"), {}), (("w", "h"), {"handle": "h"}), (("w", "h"), {"x": 1})],
)
def test_messages_refuse_wrong_fields(args: tuple[str, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        commands.NewTape(*args, **kwargs)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


@given(st.lists(st.binary(max_size=12), max_size=6), st.lists(st.integers(0, 99)), st.booleans())
def test_lines_cut_anywhere_come_out_whole(
    lines: list[bytes], cuts: list[int], ended: bool
) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    buffer = LineBuffer(8)
    found = [line for piece in cut(data, cuts) for line in buffer.feed(piece)]
    last = buffer.finish()
    found += [] if last is None else [last]
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert len(found) == len(expected)
    for line, original in zip(found, expected, strict=True):
        if len(original) > 8:
            assert isinstance(line, BadLine)
        else:
            assert line == original


def test_a_line_too_long_is_told_of_once_and_skipped() -> None:
    buffer = LineBuffer(20)
    assert buffer.feed(b"QUIT\nFILE-WRITE ") == [b"QUIT"]
    (bad,) = buffer.feed(b"x" * 50)
    assert isinstance(bad, BadLine)
    assert bad.text == "line of 'FILE-WRITE' is too long, expected at most 20 bytes"
    assert buffer.feed(b"x" * 1000) == []
    assert buffer.feed(b"x\nQUIT\n") == [b"QUIT"]
    assert buffer.finish() is None


def test_end_of_input_within_a_line_too_long_gives_nothing_more() -> None:
    buffer = LineBuffer(4)
    assert len(buffer.feed(b"123456")) == 1
    assert buffer.finish() is None


def test_checksums_and_numbers_stand_as_stock_writes_them() -> None:
    reply = replies.Done(
        "worker0-0",
        "00-00001",
        replies.INPUT_GOOD,
        replies.TAPE_GOOD,
        Crc(0x02929CA0, 1048576),
        "[sec 0.100000 bytes 1048576 kps 10240.000000 orig-kb 1024]",
        "",
        "",
    )
    assert encode(reply) == (
        b'DONE worker0-0 00-00001 INPUT-GOOD TAPE-GOOD "02929ca0:1048576"'
        b' "[sec 0.100000 bytes 1048576 kps 10240.000000 orig-kb 1024]" "" ""\n'
    )
