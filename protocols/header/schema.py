"""The grammar of headers as data: one :class:`Schema` per kind, read by parser and builder alike.

A first line is a keyword and a row of :class:`Word`; dumps go on with optional clauses and with
``KEY=value`` lines [volumes 1.3, 1.5].
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from protocols.crc import Crc
from protocols.header.types import Header, HeaderType
from protocols.quoting import quote, unquote
from protocols.records import Record

FIELD_LIMIT = 255
"""Bytes of the longest text in a field; readers cut what is longer [volumes 1.4]."""

END = "\n\f\n"
RESTORE_LINE = "To restore, position tape at start of file and run:\n"
DD_START = "\tdd if=<tape> "

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_PART = re.compile(r"([+-]?[0-9]{1,10})/([+-]?[0-9]{1,10})")
_DIGITS = re.compile(r"[0-9]+")
_INT_MAX = 2**31 - 1
_MAX_SIZE_DIGITS = 19

_SPACE = frozenset(" \t\n\r\v\f\0")

Fields = dict[str, Any]


def cut(text: str, limit: int = FIELD_LIMIT) -> str:
    """``text`` as far as it fits into ``limit`` bytes."""
    if len(text) * 4 <= limit:
        return text
    return text.encode("utf-8", "surrogateescape")[:limit].decode("utf-8", "surrogateescape")


class Word(Record):
    """One value on the first line.

    :ivar prefix: what is written before it; its words stand before it when read, however spaced.
    :ivar read: text to fields; None: not such a value, the header is weird.
    :ivar write: header to text.
    :ivar check: what is wrong with the header's value, or None.
    :ivar quoted: the word may be quoted.
    """

    prefix: str
    read: Callable[[str], Fields | None]
    write: Callable[[Header], str]
    check: Callable[[Header], str | None]
    quoted: bool = False


class Clause(Record):
    """An optional ``keyword value`` at the end of a dump's first line.

    :ivar rival: the attribute that must not be set together with this one.
    :ivar blanks: the value may hold blanks, as nothing comes after it.
    """

    keyword: str
    attribute: str
    rival: str | None = None
    blanks: bool = False


class Line(Record):
    """A ``KEY=value`` line after the first.

    :ivar write: header to value; empty: leave the line out.
    """

    key: str
    attribute: str
    read: Callable[[str], Any]
    write: Callable[[Header], str]


class Schema(Record):
    """One kind of header.

    :ivar is_dump: clauses and lines follow, and data behind the header.
    :ivar bare: the words may be missing.
    :ivar partnum: what a dump without ``part`` on its first line counts as, likewise the total.
    """

    type: HeaderType
    keyword: str
    words: tuple[Word, ...]
    is_dump: bool = False
    bare: bool = False
    partnum: int = 0


def _check_stamp(header: Header) -> str | None:
    stamp = header.datestamp
    if stamp == "X" or (stamp.isascii() and stamp.isdigit() and len(stamp) in (8, 14)):
        return None
    return f"datestamp is {stamp!r}, expected X, 8 or 14 digits"


def is_word(value: str) -> bool:
    """Readers take it as one word: not empty, no white space, no NUL."""
    return bool(value) and _SPACE.isdisjoint(value)


def _check_name(attribute: str, value: str) -> str | None:
    if not is_word(value):
        return f"{attribute} is {value!r}, expected one word"
    return None


def _text(attribute: str, prefix: str = " ") -> Word:
    return Word(
        prefix,
        read=lambda word: {attribute: cut(word)},
        write=lambda header: str(getattr(header, attribute)),
        check=lambda header: _check_name(attribute, getattr(header, attribute)),
    )


def _stamp(prefix: str) -> Word:
    return Word(
        prefix,
        read=lambda word: {"datestamp": cut(word)},
        write=lambda header: header.datestamp,
        check=_check_stamp,
    )


def _read_disk(word: str) -> Fields:
    return {"disk": cut(unquote(word).replace("\0", ""))}


def _write_disk(header: Header) -> str:
    return quote(header.disk)


def _read_part(word: str) -> Fields | None:
    match = _PART.match(word)
    if match is None:
        return None
    number, total = int(match[1]), int(match[2])
    if abs(number) > _INT_MAX or abs(total) > _INT_MAX:
        return None
    return {"partnum": number, "totalparts": total}


def _check_part(header: Header) -> str | None:
    number, total = header.partnum, header.totalparts
    if 1 <= number <= _INT_MAX and (total < 0 or number <= total):
        return None
    return f"part is {number}/{total}, expected 1 or more of -1 (not known) or at least as many"


def _read_level(word: str) -> Fields | None:
    match = _INTEGER.match(word)
    if match is None or abs(int(match[0])) > _INT_MAX:
        return None
    return {"level": int(match[0])}


def _read_comp(word: str) -> Fields:
    return {"comp_suffix": {"N": "", "C": ".Z"}.get(word, cut(word))}


def _check_comp(header: Header) -> str | None:
    suffix = header.comp_suffix
    if suffix in ("N", "C"):
        return f"comp_suffix is {suffix!r}, which means something else in a header"
    return _check_name("comp_suffix", suffix) if suffix else None


_LEVEL = Word(
    "  lev ",
    read=_read_level,
    write=lambda header: str(header.level),
    check=lambda header: None,
)
_COMP = Word(
    " comp ",
    read=_read_comp,
    write=lambda header: header.comp_suffix or "N",
    check=_check_comp,
)
_DISK = Word(" ", read=_read_disk, write=_write_disk, check=lambda header: None, quoted=True)
_PART_WORD = Word(
    "  part ",
    read=_read_part,
    write=lambda header: f"{header.partnum}/{header.totalparts}",
    check=_check_part,
)
_DUMP = (_stamp(" "), _text("host"), _DISK)
_TAIL = (_LEVEL, _COMP)

SCHEMAS = (
    Schema(HeaderType.TAPESTART, "TAPESTART", (_stamp(" DATE "), _text("label", " TAPE "))),
    Schema(HeaderType.TAPEEND, "TAPEEND", (_stamp(" DATE "),), bare=True),
    Schema(HeaderType.NOOP, "NOOP", ()),
    Schema(HeaderType.DUMPFILE, "FILE", _DUMP + _TAIL, is_dump=True, partnum=1),
    Schema(HeaderType.CONT_DUMPFILE, "CONT_FILE", _DUMP + _TAIL, is_dump=True),
    Schema(HeaderType.SPLIT_DUMPFILE, "SPLIT_FILE", (*_DUMP, _PART_WORD, *_TAIL), is_dump=True),
)

CLAUSES = (
    Clause("program", "program"),
    Clause("crypt", "encrypt_suffix"),
    Clause("server_custom_compress", "server_custom_compress", "client_custom_compress"),
    Clause("client_custom_compress", "client_custom_compress", "server_custom_compress"),
    Clause("server_encrypt", "server_encrypt", "client_encrypt"),
    Clause("client_encrypt", "client_encrypt", "server_encrypt"),
    Clause("server_decrypt_option", "server_decrypt_option", "client_decrypt_option"),
    Clause("client_decrypt_option", "client_decrypt_option", "server_decrypt_option", blanks=True),
)
"""In the order in which they are written."""


def _read_size(value: str) -> int:
    match = _DIGITS.match(value)
    return int(match[0]) if match and len(match[0]) <= _MAX_SIZE_DIGITS else 0


def _crc_line(key: str, attribute: str) -> Line:
    def write(header: Header) -> str:
        crc: Crc = getattr(header, attribute)
        return str(crc) if crc.value else ""  # a zero CRC is never written

    return Line(key, attribute, lambda value: Crc.parse(value.strip()), write)


LINES = (
    Line("CONT_FILENAME", "cont_filename", cut, lambda header: header.cont_filename),
    Line("APPLICATION", "application", cut, lambda header: header.application),
    Line(
        "PARTIAL",
        "is_partial",
        lambda value: value.lower() == "yes",
        lambda header: "YES" if header.is_partial else "",
    ),
    Line(
        "ORIGSIZE",
        "orig_size",
        _read_size,
        lambda header: str(header.orig_size) if header.orig_size > 0 else "",
    ),
    _crc_line("NATIVE-CRC", "native_crc"),
    _crc_line("CLIENT-CRC", "client_crc"),
    _crc_line("SERVER-CRC", "server_crc"),
)
"""In the order in which they are written; ``DLE`` comes after them."""
