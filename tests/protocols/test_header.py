"""Headers of every kind, written and read."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from protocols.crc import UNKNOWN
from protocols.header import (
    Header,
    HeaderError,
    HeaderType,
    build_header,
    parse_header,
)
from tests.protocols.header_examples import (
    CONTINUATION,
    EVERYTHING,
    FIRST_PART,
    REGION,
    continuation,
    everything,
    first_part,
)
from tests.protocols.strategies import counts, crcs, wire_text


@pytest.mark.parametrize(
    ("header", "blocksize", "text"),
    [
        (first_part, REGION, FIRST_PART),
        (everything, REGION, EVERYTHING),
        (continuation, None, CONTINUATION),
        (continuation, 0, CONTINUATION),
        (
            Header(type=HeaderType.TAPESTART, datestamp="X", label="TAPE-01"),
            REGION,
            "AMANDA: TAPESTART DATE X TAPE TAPE-01\n\f\n",
        ),
        (
            Header(type=HeaderType.TAPEEND, datestamp="20240102030405"),
            None,
            "AMANDA: TAPEEND DATE 20240102030405\n\f\n",
        ),
        (Header(type=HeaderType.NOOP), None, "AMANDA: NOOP\n\f\n"),
    ],
)
def test_headers_are_written_byte_for_byte_as_stock_writes_them(
    header: Header, blocksize: int | None, text: str
) -> None:
    assert build_header(header, 0, blocksize) == text.encode()
    padded = build_header(header, REGION, blocksize)
    assert len(padded) == REGION
    assert padded.rstrip(b"\0") == text.encode()


def test_the_block_size_of_the_medium_is_named_in_kib() -> None:
    assert b" bs=512k skip=1 " in build_header(first_part, REGION, 512 * 1024)


stamps = st.from_regex(r"X|[0-9]{8}([0-9]{6})?", fullmatch=True).filter(str.isascii)
word = st.text("abcXYZ019-_./é:'\"\\", min_size=1, max_size=12)
or_empty = st.one_of(st.just(""), word)
one_line = wire_text.filter(lambda text: "\n" not in text)
command = st.text("abc /-.é", max_size=12).map(str.strip)
dump_fields = st.fixed_dictionaries(
    {
        "type": st.sampled_from([HeaderType.CONT_DUMPFILE, HeaderType.SPLIT_DUMPFILE]),
        "datestamp": stamps,
        "host": word,
        "disk": wire_text,
        "level": st.integers(0, 399),
        "comp_suffix": or_empty.filter(lambda text: text not in ("N", "C")),
        "program": word,
        "encrypt_suffix": or_empty.filter(lambda text: text != "N"),
        "cont_filename": one_line,
        "application": one_line,
        "is_partial": st.booleans(),
        "orig_size": counts,
        "native_crc": crcs.filter(lambda crc: crc.value > 0),
        "client_crc": st.just(UNKNOWN),
        "dle": st.lists(st.text("<dle>/ENDDLE1 é", min_size=1), max_size=4).map("\n".join),
        "recover_cmd": command.filter(bool),
        "uncompress_cmd": command.map(lambda text: text and text + " |"),
    }
)
pairs = st.tuples(
    *(
        st.tuples(st.sampled_from(["server", "client"]), or_empty)
        for name in ("custom_compress", "encrypt", "decrypt_option")
    )
)


def make_header(fields: dict[str, Any], chosen: Any, part: tuple[int, int]) -> Header:
    for name, (side, value) in zip(
        ("custom_compress", "encrypt", "decrypt_option"), chosen, strict=True
    ):
        fields[f"{side}_{name}"] = value
    if fields["type"] is HeaderType.SPLIT_DUMPFILE:
        fields["partnum"], fields["totalparts"] = part
    return Header(**fields)


headers = st.one_of(
    st.builds(make_header, dump_fields, pairs, st.tuples(st.integers(1, 10**6), st.just(-1))),
    st.builds(Header, type=st.just(HeaderType.TAPESTART), datestamp=stamps, label=word),
    st.builds(Header, type=st.just(HeaderType.TAPEEND), datestamp=stamps),
    st.just(Header(type=HeaderType.NOOP)),
)


@given(headers)
def test_what_is_written_reads_back(header: Header) -> None:
    block = build_header(header, REGION, REGION)
    assert parse_header(block) == header
    assert parse_header(memoryview(build_header(header, 0, None))) == header
    assert build_header(parse_header(block), REGION, REGION) == block


@given(st.binary(max_size=200))
def test_random_bytes_are_weird(data: bytes) -> None:
    if not data.lstrip(b" ").startswith((b"AMANDA:", b"NETDUMP:")):
        expected = HeaderType.WEIRD if data else HeaderType.EMPTY
        assert parse_header(data).type is expected


PIECES = [
    *("AMANDA:", "FILE", "SPLIT_FILE", "CONT_FILE", "TAPESTART", "TAPEEND", "NOOP", "DATE", "TAPE"),
    *("20240102", "X", "host", "/disk", '"a b"', '"', "\\", "part", "1/-1", "3/4", "lev", "0"),
    *("comp", "N", ".gz", "program", "crypt", "server_encrypt", "client_encrypt", "9" * 12),
    *("\n", "\n\f\n", "\0", "\nDLE=<<E\n", "\nE\n", "\nDLE=x", "\nPARTIAL=yes", "\nORIGSIZE=-9"),
    *("\nNATIVE-CRC=1:2", "\n\tdd if=<tape> bs=32k skip=1 | a |", "|", "é", "\udcff"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=25), st.booleans())
def test_any_text_gives_a_header(pieces: list[str], started: bool) -> None:
    text = " ".join(["AMANDA:", *pieces] if started else pieces)
    header = parse_header(text.encode("utf-8", "surrogateescape"))
    assert header.type in HeaderType


@given(st.integers(0, len(FIRST_PART.encode()) - 1))
def test_a_header_cut_anywhere_still_gives_one(length: int) -> None:
    parse_header(FIRST_PART.encode()[:length])


def test_hostile_headers_take_linear_time() -> None:
    """Each of these would take minutes if anything were looked at again and again."""
    for piece in ("program x ", '"', "\\", " ", "DLE=<<E\n", "|", "\n\tdd if=<tape> |"):
        parse_header(b"AMANDA: FILE X h " + piece.encode() * 20_000)
        start = b"AMANDA: FILE X h /d lev 0 comp N "
        parse_header(start + piece.encode() * 20_000)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("  NETDUMP:   FILE X h /d lev 2 comp N program P", {}),
        ("AMANDA: FILE X h /d  lev 2 comp N program P\nunknown\n\f\n", {}),
        ("AMANDA: FILE X h /d lev +2z comp N program P\0junk", {}),
        ("AMANDA: FILE X h /d lev 2 comp N", {"program": ""}),
        ("AMANDA: FILE X h /d lev 2 comp C program P", {"comp_suffix": ".Z"}),
        ("AMANDA: FILE X h /d lev 2 comp N program P crypt N", {}),
        ("AMANDA: FILE X h /d lev 2 comp N program P crypt Nx", {"encrypt_suffix": "Nx"}),
        ("AMANDA: FILE X h /d lev 2 comp N program P other x crypt enc", {}),
        (
            "AMANDA: FILE X h /d lev 2 comp N server_encrypt a program P client_encrypt b",
            {"server_encrypt": "a"},
        ),
        ("AMANDA: FILE X h /d lev 2 comp N program P\nPARTIAL=yEs", {"is_partial": True}),
        ("AMANDA: FILE X h /d lev 2 comp N program P\nPARTIAL=no", {}),
        ("AMANDA: FILE X h /d lev 2 comp N program P\nORIGSIZE=12x", {"orig_size": 12}),
        ("AMANDA: FILE X h /d lev 2 comp N program P\nORIGSIZE=-9", {}),
        ("AMANDA: FILE X h /d lev 2 comp N program P\nNATIVE-CRC=zz:9", {}),
        ("AMANDA: FILE X h /d lev 2 comp N program P\n\f\nDLE=one line", {"dle": "one line"}),
        ("AMANDA: FILE X h /d lev 2 comp N program P\nDLE=<<E\na\n\nb\nE\nx", {"dle": "a\nb"}),
        ("AMANDA: FILE X h /d lev 2 comp N program P\nDLE=<<E\na\n E", {"dle": "a\n E"}),
        (
            'AMANDA: FILE X h "a\nb" lev 2 comp N program P\nORIGSIZE=1',
            {"disk": "a\nb", "orig_size": 1},
        ),
        ('AMANDA: FILE X h a"b c"d lev 2 comp N program P', {"disk": "ab cd"}),
        ("AMANDA: FILE X h /d lev 2 comp N program P\n\tdd if=<tape> x", {"recover_cmd": "BUG"}),
        ("AMANDA: FILE X h /d lev 2 comp N program P\n\tdd if=<tape> x | a | ", {}),
        (
            "AMANDA: FILE X h /d lev 2 comp N program P\n\tdd if=<tape> x | a | b | c | d ",
            {"decrypt_cmd": "a |", "uncompress_cmd": "b |", "recover_cmd": "c | d"},
        ),
    ],
)
def test_readers_tolerate_what_old_and_odd_writers_wrote(
    text: str, changes: dict[str, Any]
) -> None:
    expected = Header(
        type=HeaderType.DUMPFILE,
        datestamp="X",
        host="h",
        disk="/d",
        level=2,
        partnum=1,
        totalparts=1,
        program="P",
    )
    assert parse_header(text.encode()) == evolve(expected, **changes)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("AMANDA: TAPESTART DATE any TAPE foo bar", ("TAPESTART", "any", "foo")),
        ("AMANDA: TAPEEND", ("TAPEEND", "", "")),
        ("AMANDA: TAPEEND DATE 3\n", ("TAPEEND", "3", "")),
        ("AMANDA: TAPEEND DATE", ("TAPEEND", "", "")),
        ("AMANDA: NOOP xx\n", ("NOOP", "", "")),
    ],
)
def test_labels_and_ends_are_read_with_tolerance(text: str, header: tuple[str, str, str]) -> None:
    found = parse_header(text.encode())
    assert (found.type.name, found.datestamp, found.label) == header


@pytest.mark.parametrize(
    "text",
    [
        "amanda: NOOP",
        "AMANDA:NOOP",
        "AMANDA:\tNOOP",
        "AMANDA: UNKNOWN",
        "AMANDA: TAPEEND foo",
        "AMANDA: TAPESTART DATE X TAPE",
        "AMANDA: TAPESTART DATE X LABEL foo",
        "AMANDA: FILE X h",
        "AMANDA: FILE X h /d lev 2",
        "AMANDA: FILE X h /d lev two comp N program P",
        "AMANDA: FILE X h /d lev 99999999999 comp N program P",
        "AMANDA: SPLIT_FILE X h /d part 3/UNKNOWN lev 0 comp N program P",
        "AMANDA: SPLIT_FILE X h /d part 3 lev 0 comp N program P",
        "AMANDA: SPLIT_FILE X h /d part 2147483648/-1 lev 0 comp N program P",
        'AMANDA: FILE X h "unclosed lev 0 comp N program P\n',
        "\0" * 100,
    ],
)
def test_what_is_no_header_is_weird(text: str) -> None:
    assert parse_header(text.encode()) == Header(type=HeaderType.WEIRD)


def test_long_fields_are_cut_when_read() -> None:
    long = "é" * 300
    text = f"AMANDA: FILE X {long} {long} lev 0 comp N program P\n\tdd if=<tape> | {long} | {long}"
    header = parse_header(text.encode())
    assert header.host.encode("utf-8", "surrogateescape") == long.encode()[:255]
    assert header.disk == header.host
    block = build_header(header, 0, None)
    assert parse_header(block) == header


def test_no_bytes_at_all_are_empty() -> None:
    assert parse_header(b"") == Header(type=HeaderType.EMPTY)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": HeaderType.WEIRD},
        {"type": HeaderType.EMPTY},
        {"type": HeaderType.UNKNOWN},
        {"host": ""},
        {"host": "a b"},
        {"host": "a\0b"},
        {"program": ""},
        {"program": ".exe"},
        {"program": "a b"},
        {"datestamp": ""},
        {"datestamp": "today"},
        {"datestamp": "202401020"},
        {"partnum": 0},
        {"partnum": 3, "totalparts": 2},
        {"encrypt_suffix": "N"},
        {"comp_suffix": "N"},
        {"comp_suffix": "a b"},
        {"server_custom_compress": "a", "client_custom_compress": "b"},
        {"server_encrypt": "a", "client_encrypt": "b"},
        {"server_decrypt_option": "a", "client_decrypt_option": "b"},
        {"server_encrypt": "a b"},
        {"server_decrypt_option": "a b"},
        {"client_decrypt_option": "a\nb"},
        {"uncompress_cmd": "gzip"},
        {"recover_cmd": ""},
        {"decrypt_cmd": "gpg"},
        {"application": "a\nb"},
        {"recover_cmd": "a\nb"},
        {"cont_filename": "a\0b"},
        {"dle": "a\0b"},
        {"disk": "x" * 256},
        {"disk": "a\0b"},
    ],
)
def test_fields_that_would_not_read_back_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(HeaderError) as caught:
        build_header(evolve(first_part, **changes), REGION, REGION)
    assert not caught.value.too_large


@pytest.mark.parametrize("label", ["", "a b", "a\tb", "a\nb", "a" * 256])
def test_labels_that_would_not_read_back_are_refused(label: str) -> None:
    with pytest.raises(HeaderError):
        build_header(Header(type=HeaderType.TAPESTART, datestamp="X", label=label), REGION, REGION)


def test_a_dle_too_long_for_the_region_is_left_out() -> None:
    fits = evolve(first_part, dle="d" * (REGION - 2049))
    assert parse_header(build_header(fits, REGION, REGION)).dle == fits.dle
    too_long = evolve(first_part, dle="d" * (REGION - 2048))
    assert parse_header(build_header(too_long, REGION, REGION)) == parse_header(
        build_header(evolve(first_part, dle=""), REGION, REGION)
    )
    assert parse_header(build_header(too_long, 0, None)).dle == too_long.dle


def test_a_header_too_large_for_the_region_is_told_apart() -> None:
    with pytest.raises(HeaderError) as caught:
        build_header(evolve(first_part, dle=""), 128, REGION)
    assert caught.value.too_large


def test_the_end_word_of_a_dle_is_no_line_of_it() -> None:
    header = evolve(first_part, dle="ENDDLE\nENDDLE1\nx")
    block = build_header(header, 0, None)
    assert b"DLE=<<ENDDLE2\n" in block
    assert parse_header(block).dle == header.dle
