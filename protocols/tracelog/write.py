"""Records to lines [protocol 6.1], [config 5.1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocols.quoting import quote
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

TEXT_LIMIT = 4093
"""Bytes of a line after ``TYPE PROGRAM``; the rest is cut off."""


def encode(record: Record) -> bytes:
    """The whole line of a taper's record (an :class:`Other` names its program itself).

    A line end in a text becomes a blank; what exceeds 4093 bytes is cut off.
    """
    if isinstance(record, Other):
        start, body = f"{record.type} {record.program} ", record.text
    elif type(record) in ROWS:
        type_, names = ROWS[type(record)]
        start, body = f"{type_} taper ", _write_row(record, names)
    else:
        type_, write = _TEXTS[type(record)]
        start, body = f"{type_} taper ", write(record)
    data = body.replace("\n", " ").replace("\0", "?").encode("utf-8", "surrogateescape")
    return start.encode("utf-8", "surrogateescape") + data[:TEXT_LIMIT] + b"\n"


def _write_row(record: Record, names: tuple[str, ...]) -> str:
    words = []
    for name in names:
        if name.startswith("="):
            words.append(name[1:])
            continue
        value = getattr(record, name)
        if name == "vault":
            words.extend(["VAULT"] if value else [])
        elif name == "config":
            words.append("config" if value else "error")
        elif name == "stats":
            words.append(value)
        elif name == "partnum":
            words.append(f"{value}/-1")
        elif record.kinds[name] in ("int", "Crc"):
            words.append(str(value))
        elif value is not None:
            words.append(quote(PREFIXES.get(name, "") + value))
    return " ".join(words)


_TEXTS: dict[type[Record], tuple[str, Callable[[Any], str]]] = {
    Info: ("INFO", lambda record: record.text),
    PidStart: ("INFO", lambda record: f"taper pid {record.pid}"),
    PidDone: ("INFO", lambda record: f"pid-done {record.pid}"),
    TapeInfo: ("INFO", lambda record: f"tape {record.label} kb {record.kb} fm {record.fm} [OK]"),
    Error: ("ERROR", lambda record: record.text),
    NoTapeError: ("ERROR", lambda record: f"no-tape error [{record.text}]"),
    NoTapeConfig: ("ERROR", lambda record: f"no-tape config [{record.reason}]"),
    Warning_: ("WARNING", lambda record: f"{record.host}:{record.disk}: {record.text}"),
    Fatal: ("FATAL", lambda record: record.text),
}
"""Records that are one text, unquoted: type, and the text."""
