"""Lines to records: what stock programs or we wrote [config 5.1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocols.crc import UNKNOWN, Crc
from protocols.quoting import split_line, unquote
from protocols.records import Record
from protocols.tracelog.layout import PREFIXES, ROWS
from protocols.tracelog.records import (
    Error,
    Fatal,
    Info,
    NoTapeConfig,
    NoTapeError,
    Other,
    PidDone,
    PidStart,
    TapeInfo,
    Warning_,
)

_MAX_DIGITS = 19


def parse_line(line: str) -> Record | None:
    """Read one line, with or without its LF or CR LF; None: it is empty, or goes on another."""
    line = line.removesuffix("\n").removesuffix("\r")
    if not line or line.startswith("  "):
        return None
    type_, _, rest = line.partition(" ")
    program, _, text = rest.partition(" ")
    record = read_record(type_, text) if program == "taper" else None
    return record or Other(type_, program, text)


def read_record(type_: str, text: str) -> Record | None:
    """Read the text of a line as if a taper had written it; None if a taper writes no such line."""
    rows = [(kind, names) for kind, (name, names) in ROWS.items() if name == type_]
    if rows:
        ((kind, names),) = rows
        return _read_row(kind, names, text)
    read = _READERS.get(type_)
    return read(text) if read is not None else None


class _NoRow(Exception):
    """The words are not those of this record."""


def _read_row(kind: type[Record], names: tuple[str, ...], text: str) -> Record | None:
    words = split_line(text)
    words.reverse()  # so that pop() takes the next one
    fields: dict[str, Any] = {}
    try:
        for name in names:
            if name.startswith("="):
                if _next(words) != name[1:]:
                    return None
            else:
                fields[name] = _read_field(name, kind.kinds[name], words)
    except _NoRow:
        return None
    return None if words else kind(**fields)


def _next(words: list[str]) -> str:
    if not words:
        raise _NoRow
    return unquote(words.pop())


def _read_field(name: str, kind: str, words: list[str]) -> Any:
    if name in PREFIXES:
        return _read_prefixed(PREFIXES[name], words)
    if name == "vault":
        return bool(words and words[-1] == "VAULT" and words.pop())
    if kind == "Crc" and words and words[-1].startswith("[sec"):
        return UNKNOWN  # amvault writes none, nor did anybody before 3.4
    if name == "stats":
        return _read_stats(words)
    if name == "text":
        rest = [unquote(word) for word in reversed(words)]
        words.clear()
        if not rest and kind == "str":
            raise _NoRow
        return " ".join(rest) if rest else None
    word = _next(words)
    if name == "config":
        if word not in ("config", "error"):
            raise _NoRow
        return word == "config"
    if kind == "Crc":
        return Crc.parse(word)
    if kind == "int":
        return _read_number(word.partition("/")[0] if name == "partnum" else word)
    return word


def _read_prefixed(prefix: str, words: list[str]) -> str:
    """``ST:`` and ``POOL:`` words; before 3.5 there were none."""
    if words and unquote(words[-1]).startswith(prefix):
        return _next(words).removeprefix(prefix)
    return ""


def _read_stats(words: list[str]) -> str:
    collected = []
    if not words or not words[-1].startswith("[sec"):
        raise _NoRow
    while words:
        collected.append(words.pop())
        if collected[-1].endswith("]"):
            return " ".join(collected)
    raise _NoRow


def _read_number(word: str) -> int:
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
        raise _NoRow
    return int(word)


def _read_info(text: str) -> Record:
    words = text.split(" ")
    try:
        if len(words) == 3 and words[:2] == ["taper", "pid"]:
            return PidStart(_read_number(words[2]))
        if len(words) == 2 and words[0] == "pid-done":
            return PidDone(_read_number(words[1]))
        if len(words) >= 7 and words[0] == "tape" and words[-5::2] == ["kb", "fm", "[OK]"]:
            # from 3.5.2 on the barcode follows the label, empty if there is none
            at = 2 if words[2] == "Barcode" and len(words) > 8 else -5
            label = " ".join(words[1:at])
            return TapeInfo(label, _read_number(words[-4]), _read_number(words[-2]))
    except _NoRow:
        pass  # a note that only looks like one of these
    return Info(text)


def _read_error(text: str) -> Record:
    if text.endswith("]"):
        if text.startswith("no-tape error ["):
            return NoTapeError(text[len("no-tape error [") : -1])
        if text.startswith("no-tape config ["):
            return NoTapeConfig(text[len("no-tape config [") : -1])
    return Error(text)


def _read_warning(text: str) -> Record | None:
    host, colon, rest = text.partition(":")
    disk, mark, warning = rest.partition(": ")
    return Warning_(host, disk, warning) if colon and mark else None


_READERS: dict[str, Callable[[str], Record | None]] = {
    "INFO": _read_info,
    "ERROR": _read_error,
    "WARNING": _read_warning,
    "FATAL": Fatal,
}
