"""Whatever bytes come from outside, a parser gives a value or its own error, and comes to an end.

One row per parser. The bytes are arbitrary, or a good example that was cut, torn and patched: most
of what goes wrong lies a few bytes beside what is right.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import catalog, directtcp, gnutar, labels, mtx, quoting, shmring, smc
from protocols.application import RequestError, one_line, parse_request
from protocols.commandfile import parse_command_file
from protocols.conf import load
from protocols.conf.cursor import Cursor
from protocols.conf.lexer import tokenize, unescape
from protocols.crc import Crc
from protocols.directtcp import AddressError
from protocols.disklist import read_disklist
from protocols.driver.codec import LineBuffer, decode_command, decode_reply
from protocols.ere import Ere, EreError
from protocols.header import parse_header
from protocols.logindex import parse_index
from protocols.ndmp.base import POSTS, REQUESTS
from protocols.ndmp.codec import Header as NdmpHeader
from protocols.ndmp.codec import decode_body, decode_header
from protocols.ndmp.errors import NdmpGarbage
from protocols.ndmp.record import RecordReader
from protocols.perldata import PerlDataError, format_perl_data, parse_perl_data
from protocols.stats import parse_stats
from protocols.stored import DumpName, stored_dumps
from protocols.tapelist import TapelistError, parse_tapelist
from protocols.tracelog import parse_line, read_record
from protocols.xdr import Reader, XdrError

Parser = Callable[[bytes], object]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _perl_data(data: bytes) -> None:
    state = parse_perl_data(data)
    assert parse_perl_data(format_perl_data(state)) == state


def _lines(data: bytes) -> list[str]:
    return _text(data).split("\n")


def _catalogue(data: bytes) -> object:
    return catalog.by_disk([catalog.dumps_of_log([_text(data)], "20260101000000", {})])


_DUMP = DumpName(
    storage="s", host="h", disk="/d", datestamp="20260101000000", level="0"
)  # fmt: skip


def _index(data: bytes) -> None:
    """As it is, and with the checksum put right."""
    parse_index(data, {})
    parse_index(b"taper log index 1 %08x\n%s\n" % (zlib.crc32(data), data), {})


def _stored(data: bytes) -> object:
    return stored_dumps(_lines(data), "20260101", _DUMP, default_storage="s")


def _xdr(data: bytes) -> None:
    reader = Reader(data)
    takes = (
        reader.uint,
        reader.quad,
        reader.text,
        reader.opaque,
        reader.count,
        lambda: reader.uint(8),
    )
    while reader.left:
        takes[data[0] % len(takes)]()
    reader.end()


def _ndmp_records(data: bytes) -> None:
    for record in RecordReader(limit=100).feed(data):
        assert len(record) <= 100
        _ndmp_message(record)


def _ndmp_message(record: bytes) -> None:
    header = decode_header(record)
    for version in (2, 3, 4):
        decode_body(header, record, version)


def _ndmp_bodies(data: bytes) -> None:
    for code in {*REQUESTS, *POSTS}:
        for kind in (0, 1):
            header = NdmpHeader(1, 0, kind, code)
            for version in (2, 3, 4):
                try:
                    decode_body(header, bytes(24) + data, version)
                except NdmpGarbage:
                    continue


def _smc_pages(data: bytes) -> object:
    """What a robot says, with the length put right."""
    return smc.parse_element_status(data[:5].ljust(5, b"\0") + len(data).to_bytes(3, "big") + data)


def _answer(data: bytes) -> object:
    reader = directtcp.AnswerReader()
    reader.feed(data)
    return reader.finish()


def _disklist(data: bytes) -> object:
    return list(read_disklist("d", lambda name: data if name in ("d", "e") else b"h /e tt\n"))


def _configuration(data: bytes) -> None:
    files = {"/etc/amanda/F/amanda.conf": data, "/etc/amanda/F/x": data}
    loaded = load("F", files.get, overrides=tuple(_text(data).split("\n"))[:3])
    assert all("\n" not in message.text for message in loaded.messages)


def _cursor(data: bytes) -> None:
    cursor = Cursor.over(_text(data))
    while cursor.kind != "end":
        assert cursor.found()
        cursor.recover()


def _labels(data: bytes) -> None:
    text = _text(data)
    names = {"config": "c", "org": "o", "storage": "s"}
    for job in (
        lambda: labels.match_template(text, text[:20], **names),
        lambda: labels.make_label(text, (), **names, barcode="b", meta="m", slot="7"),
        lambda: labels.make_meta_label(text, (), config="c", org="o"),
        lambda: labels.slot_of_label(text, text, **names, meta="m"),
        lambda: labels.check_label(text),
    ):
        with contextlib.suppress(labels.LabelError):
            job()


def _expression(data: bytes) -> None:
    expression = Ere(_text(data))
    expression.search(_text(data))


def _tar_messages(data: bytes) -> None:
    gnutar.Rules(normal=[_text(data)]).judge(_text(data))


def _tar_lines(data: bytes) -> None:
    gnutar.total_bytes(data)
    gnutar.total_bytes(b"Total bytes written: " + data)
    gnutar.index_line(data)


def _request(data: bytes) -> None:
    parse_request(_text(data).split("\n"))


def _trace_log(data: bytes) -> None:
    for line in _lines(data):
        parse_line(line)
    for type_ in ("START", "PART", "PARTPARTIAL", "DONE", "PARTIAL", "FAIL", "INFO", "ERROR"):
        read_record(type_, _text(data))


def _driver(data: bytes) -> None:
    for decode in (decode_command, decode_reply):
        decode(data)
    lines = LineBuffer(limit=50)
    lines.feed(data)
    lines.finish()


def _words(data: bytes) -> None:
    text = _text(data)
    assert " ".join(quoting.split_line(text)) == text
    quoting.unquote(text)
    assert quoting.unquote(quoting.quote(text)) == text.replace("\0", "?")


def _mtx(data: bytes) -> None:
    text = _text(data)
    assert "\n" not in mtx.describe_failure(text, "it", of_status=True)
    mtx.parse_inquiry(text)
    mtx.parse_status(text)


def _small(data: bytes) -> None:
    text = _text(data)
    Crc.parse(text)
    parse_stats(text)
    one_line(text)
    unescape(text)
    directtcp.is_host(text)


def _ring(data: bytes) -> None:
    shmring.parse_pids(data)
    shmring.parse_names("/c", data)


_PART = (
    b'START taper datestamp 20260101000000 "ST:s" "POOL:p" label L tape 1\n'
    b'PART taper "ST:s" "POOL:p" L 1 h /d 20260101000000 1/-1 0 [sec 1.0 bytes 5 kps 0.1]\n'
    b'DONE taper "ST:s" "POOL:p" h /d 20260101000000 1 0 01:5 01:5 01:5 [sec 1.0 bytes 5 kps 0.1]\n'
)
_HEADER = (
    b'AMANDA: SPLIT_FILE 20260101000000 h "/a b" part 1/-1 lev 0 comp .gz program /bin/tar'
    b" crypt enc server_encrypt /e server_decrypt_option -d\nCONT_FILENAME=/x\nORIGSIZE=77\n"
    b"NATIVE-CRC=01:5\nDLE=<<ENDDLE\n<dle>\n</dle>\nENDDLE\nTo restore, position\n"
    b"\tdd if=<tape> bs=32k skip=1 | /bin/gzip -dc | tar -xpGf -\n\f\n"
)
_PAGE = bytes((2, 0x80)) + (52).to_bytes(2, "big") + (52).to_bytes(4, "big") + bytes(52)
_CONF = (
    b'org "o"\ndefine storage s {\n policy { retention-days 3 }\n tapepool "$r"\n'
    b' autolabel "A-%%" any\n dump-selection "t" full\n vault "v" 3\n}\nstorage s\n'
    b'define dumptype d {\n exclude list append "x"\n property append "a" "b"\n}\nincludefile "x"\n'
)

_PARSERS: dict[str, tuple[Parser, bytes, type[Exception] | tuple[()]]] = {
    "perldata": (
        _perl_data,
        b"$STATE = { 'a' => [ 1, \"\\x{3a9}\" ], b => bless( {}, 'C' ) };\n"
        b"$STATE->{a}[0] = 0x1f;\n",
        PerlDataError,
    ),
    "mtx": (
        _mtx,
        b"Data Transfer Element 0:Full (Storage Element 3 Loaded):VolumeTag = A3 \n"
        b"      Storage Element 5 IMPORT/EXPORT:Full :VolumeTag=A5\nVendor ID: 'X'\n"
        b"mtx: Request Sense: Sense Key=Not Ready\n",
        mtx.MtxError,
    ),
    "smc.inquiry": (smc.parse_inquiry, bytes((8,)).ljust(40, b" "), smc.SmcError),
    "smc.status": (smc.parse_element_status, bytes(7) + b"\x3c" + _PAGE, smc.SmcError),
    "smc.pages": (_smc_pages, _PAGE, smc.SmcError),
    "smc.sense": (lambda data: smc.describe_status(2, data), bytes(20), ()),
    "ndmp.record": (_ndmp_records, b"\x80\0\0\x1c" + bytes(28), NdmpGarbage),
    "ndmp.message": (_ndmp_message, bytes(60), NdmpGarbage),
    "ndmp.body": (_ndmp_bodies, bytes(40), ()),
    "xdr": (_xdr, b"\0\0\0\5hello\0\0\0\0\0\0\1", XdrError),
    "header": (parse_header, _HEADER, ()),
    "tapelist": (
        parse_tapelist,
        b"20260101000000 L reuse BARCODE:b META:m BLOCKSIZE:32 POOL:p STORAGE:s CONFIG:c #x\n",
        TapelistError,
    ),
    "tracelog": (_trace_log, _PART, ()),
    "catalog": (_catalogue, _PART, ()),
    "logindex": (
        _index,
        b'{"logs":{"log.1.0":[[1,2,3,4],[["1",0,true,[["L","1"]],[0]]]]},"disks":[["h","/d"]]}',
        (),
    ),
    "stored": (_stored, _PART, ()),
    "disklist": (_disklist, b'h "/a b" dev {\n tt\n index no\n}\nincludefile "e"\nh /c tt 1\n', ()),
    "commandfile": (
        parse_command_file,
        b'VERSION 1\nID 3\n1 COPY c s p L s "L;M" d h /d 20260101000000 0 t WORKING:0 TODO\n'
        b"2 FLUSH c /f h /d 20260101 0 t WORKING:1 PARTIAL:5\n",
        (),
    ),
    "conf": (_configuration, _CONF, ()),
    "conf.lexer": (lambda data: tokenize(_text(data)), _CONF, ()),
    "conf.cursor": (_cursor, _CONF, ()),
    "driver": (_driver, b'PORT-WRITE w 1-2 h /d 0 20260101 0 "" "" 1 5 none "" "" AMANDA\n', ()),
    "quoting": (_words, b'a "b \\" c" \\101\\n ""', ()),
    "directtcp.list": (
        lambda data: directtcp.parse_list(_text(data)),
        b"1.2.3.4:5;[::1]:66 255.255.255.255:1",
        AddressError,
    ),
    "directtcp.answer": (_answer, b"1.2.3.4:5 5.6.7.8:9\0", AddressError),
    "shmring": (_ring, shmring.build_control(shmring.RingNames.make(7, 1), 7), shmring.RingError),
    "labels": (_labels, b"$o-$b-$3s-%%%-[A-Z]{2}$", ()),
    "ere": (_expression, b"^(a|[[:digit:]]+){1,3}[^x-z]?\\.$", EreError),
    "gnutar.rules": (_tar_messages, b": File .* shrunk by [0-9]{1,} bytes", gnutar.RuleError),
    "gnutar.lines": (_tar_lines, b"Total bytes written: 10240 (10KiB, 1MiB/s)", ()),
    "application": (
        _request,
        b"backup\n--level\n1\n--direct-tcp=1.2.3.4:5\n--exit-handling\n1=GOOD\n--record",
        RequestError,
    ),
    "small": (_small, b"[sec 1.5 bytes 77 kps 0.1 orig-kb 5]", ()),
}


@st.composite
def _patched(draw: st.DrawFn, example: bytes) -> bytes:
    """The example with pieces of it, or others, in the place of some of its pieces."""
    data = example
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(start + draw(st.integers(0, 12)), len(data))
        patch = draw(
            st.binary(max_size=8)
            | st.sampled_from(
                [b"\0" * 4, b"\xff" * 4, b"\r\n", b'"', b"\\", b"9" * 25, b"-", b" " * 9]
            )
            | st.builds(
                lambda at, size: example[at : at + size],
                st.integers(0, len(example)),
                st.integers(1, 20),
            )
        )
        data = data[:start] + patch + data[end:]
    return data


@pytest.mark.parametrize("name", _PARSERS)
def test_any_bytes_are_read_or_refused(name: str) -> None:
    """A value, or the module's own error with a text; never another exception, always an end."""
    parse, example, error = _PARSERS[name]
    inputs = st.just(example) | _patched(example) | st.binary(max_size=200)

    @settings(max_examples=150)
    @given(inputs)
    def check(data: bytes) -> None:
        assert _refusal(parse, data, error) != ""

    check()


def _refusal(parse: Parser, data: bytes, error: type[Exception] | tuple[()]) -> str | None:
    """The text of the parser's error; None if it read the bytes."""
    try:
        parse(data)
    except error as refused:
        return str(refused)
    return None


@pytest.mark.parametrize("name", _PARSERS)
def test_the_example_is_read(name: str) -> None:
    """The examples are good ones, so that what is near them is worth trying."""
    parse, example, _ = _PARSERS[name]
    parse(example)
