"""Lines to messages and back, for both ends of the driver conversation [protocol 2, 3].

Nothing here raises for anything a peer can send: a line that is no message becomes a
:class:`BadLine`, whose text tells the peer what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from protocols.crc import Crc
from protocols.driver.commands import COMMANDS, StartTaper
from protocols.driver.messages import Message, SplitFields, wire_name
from protocols.driver.replies import REPLIES, WORDS
from protocols.quoting import quote, split_line, unquote
from protocols.records import Record

LINE_LIMIT = 1 << 20
"""Bytes of the longest line taken, without its LF."""

_MAX_DIGITS = 19
_LEVEL_DIGITS = 9
_SHOWN = 200
_BYTES = "expected a number of bytes or nothing"
_CACHE_TYPES = ("none", "memory", "disk")


class BadLine(Record):
    """A line that is no message; ``text`` is meant for BAD-COMMAND [protocol 3.5]."""

    text: str


class _BadValue(Exception):
    """A word that its field cannot hold: (name of the field, the word, what was expected)."""


def decode_command(line: bytes) -> Message | BadLine | None:
    """Read a line from the driver, with or without its LF.

    Names match in any case. None: a line to be ignored (empty, or just ``0``).
    """
    line = line.removesuffix(b"\n")
    if line in (b"", b"0"):
        return None
    given, words = _words(line)
    # upper() turns some other letters into ASCII ones
    name = given.upper() if given.isascii() else given
    command = COMMANDS.get(name)
    reply = REPLIES.get(name)
    if command is not None:
        return _decode(command, words)
    if reply is not None:
        return _check_count(reply, words) or BadLine(f"unhandled command '{name}'")
    return BadLine(f"unknown command '{_shown(given)}'")


def decode_reply(line: bytes) -> Message | BadLine:
    """Read a line from the taper, with or without its LF; names match exactly."""
    name, words = _words(line.removesuffix(b"\n"))
    reply = REPLIES.get(name)
    if reply is None:
        return BadLine(f"unknown reply '{_shown(name)}'")
    return _decode(reply, words)


def encode(message: Message) -> bytes:
    """The whole line of a message, with its LF."""
    words = [message.name]
    for field, kind in message.kinds.items():
        written = _WRITERS[kind](getattr(message, field))
        words.extend(written if field in message.unquoted else map(quote, written))
    line = " ".join(words) + "\n"
    return line.encode("utf-8", "surrogateescape")


def _words(line: bytes) -> tuple[str, list[str]]:
    text = line.decode("utf-8", "surrogateescape")
    name, *words = [unquote(word) for word in split_line(text)]
    return name, words


def _shown(value: str) -> str:
    return value if len(value) <= _SHOWN else value[:_SHOWN] + "..."


def _check_count(kind: type[Message], words: list[str]) -> BadLine | None:
    names = kind.words
    if len(words) < len(names):
        missing = names[len(words)]
        return BadLine(f"too few arguments to '{kind.name}': first missing argument is {missing}")
    if len(words) > len(names):
        extra = _shown(words[len(names)])
        return BadLine(
            f"too many arguments to '{kind.name}': first unmatched argument is '{extra}'"
        )
    return None


def _decode(kind: type[Message], words: list[str]) -> Message | BadLine:
    bad = _check_count(kind, words)
    if bad is not None:
        return bad
    try:
        for name, word in zip(kind.words, words, strict=True):
            if "\0" in word:
                raise _BadValue(name, word, "expected text without NUL")
        rest = iter(words)
        message = kind(*(_READERS[kind.kinds[field]](field, rest) for field in kind.fields))
        _check_timestamp(message)
    except _BadValue as error:
        name, value, expected = error.args
        return BadLine(f"bad argument to '{kind.name}': {name} is '{_shown(value)}', {expected}")
    return message


def _check_timestamp(message: Message) -> None:
    if isinstance(message, StartTaper):
        stamp = message.timestamp
        if not (_is_number(stamp) and len(stamp) in (8, 14)):
            raise _BadValue("timestamp", stamp, "expected 8 or 14 digits")


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= _MAX_DIGITS


def _read_text(field: str, words: Iterator[str]) -> str:
    word = next(words)
    if field in WORDS and word not in WORDS[field]:
        raise _BadValue(wire_name(field), word, f"expected {' or '.join(WORDS[field])}")
    if field == "level" and not (_is_number(word) and len(word) <= _LEVEL_DIGITS):
        raise _BadValue(field, word, "expected a number")
    return word


def _read_number(field: str, words: Iterator[str]) -> int:
    word = next(words)
    if not _is_number(word):
        raise _BadValue(wire_name(field), word, "expected a number")
    return int(word)


def _read_crc(field: str, words: Iterator[str]) -> Crc:
    # Stock copies these unchecked [protocol 3.3]: what is no checksum is one not known.
    return Crc.parse(next(words))


def _read_addresses(field: str, words: Iterator[str]) -> tuple[str, ...]:
    word = next(words)
    return tuple(word.split(";")) if word else ()


def _read_split(field: str, words: Iterator[str]) -> SplitFields:
    kinds = SplitFields.kinds.items()
    values: list[Any] = [_read_split_word(name, kind, next(words)) for name, kind in kinds]
    return SplitFields(*values)


def _read_split_word(name: str, kind: str, word: str) -> int | bool | str | None:
    if not word:
        return None
    if kind == "int | None":
        if not _is_number(word):
            raise _BadValue(name, word, _BYTES)
        return int(word)
    if kind == "bool | None":
        if word not in ("0", "1"):
            raise _BadValue(name, word, "expected 0, 1 or nothing")
        return word == "1"
    if name == "part_cache_type" and word not in _CACHE_TYPES:
        raise _BadValue(name, word, f"expected {', '.join(_CACHE_TYPES)} or nothing")
    return word


def _write_split(split: SplitFields) -> list[str]:
    return [_split_word(getattr(split, name)) for name in SplitFields.fields]


def _split_word(value: int | bool | str | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


_READERS: dict[str, Callable[[str, Iterator[str]], object]] = {
    "str": _read_text,
    "int": _read_number,
    "Crc": _read_crc,
    "SplitFields": _read_split,
    "tuple[str, ...]": _read_addresses,
}

_WRITERS: dict[str, Callable[[Any], list[str]]] = {
    "str": lambda text: [text],
    "int": lambda number: [str(number)],
    "Crc": lambda crc: [str(crc)],
    "SplitFields": _write_split,
    "tuple[str, ...]": lambda addresses: [";".join(addresses)],
}


class LineBuffer:
    """Bytes cut anywhere, put together to lines.

    A line of more than ``limit`` bytes becomes one :class:`BadLine`, as soon as it is known to be
    too long, and is skipped up to its LF; the lines after it are taken as usual.
    """

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._partial = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | BadLine]:
        """The lines completed by ``data``, without their LF."""
        *whole, last = data.split(b"\n")
        lines = []
        for piece in whole:
            line = self._add(piece) or self._take()
            self._skipping = False
            if line is not None:
                lines.append(line)
        bad = self._add(last)
        if bad is not None:
            lines.append(bad)
        return lines

    def finish(self) -> bytes | BadLine | None:
        """At the end of input: the last line if it has no LF, else None."""
        line = self._take() if self._partial else None
        self._skipping = False
        return line

    def _take(self) -> bytes | None:
        """The collected line; None: it was too long and has been told of."""
        if self._skipping:
            return None
        line = bytes(self._partial)
        self._partial.clear()
        return line

    def _add(self, piece: bytes) -> BadLine | None:
        if self._skipping:
            return None
        self._partial += piece[: self._limit + 1]
        if len(self._partial) <= self._limit:
            return None
        name = bytes(self._partial[: min(self._limit, 40)]).split(b" ")[0]
        self._partial.clear()
        self._skipping = True
        return BadLine(
            f"line of '{name.decode('utf-8', 'replace')}' is too long,"
            f" expected at most {self._limit} bytes"
        )
