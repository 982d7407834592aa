"""What a command says, as values; and how it is said: in plain lines, as JSON, or, on a terminal,
as tables.

Labels, names of disks and texts of devices come from volumes, and may be any bytes: people are told
them by :func:`printable`, so that nothing reaches the terminal but letters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from attrs import field, frozen

from taper.people.exits import Exit, State

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_GAP = "  "


@frozen
class Column:
    """:ivar right: its cells are numbers, and stand at the right."""

    head: str
    right: bool = False


@frozen
class Table:
    """Rows of words, one for each column; a word may be empty.

    :ivar title: what it is, where it stands on a page.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str = ""


@frozen(kw_only=True)
class Answer:
    """All that a command has to say when it is through.

    :ivar record: for ``--json``; what its keys mean is in docs/commands.md.
    :ivar shown: the same for people: tables and lines.
    """

    record: Mapping[str, Any]
    shown: Sequence[Table | str] = field(factory=tuple)
    exit: Exit | State = Exit.WELL


def printable(text: str) -> str:
    """A text from outside, harmless on a terminal: what is no letter is told by its number."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    number = ord(char)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is no UTF-8, as names and labels are kept
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def size(count: int) -> str:
    """Bytes, in three digits or so."""
    number, unit = float(count), 0
    while number >= 1000 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{count} B" if not unit else f"{number:.1f} {_UNITS[unit]}"


def moment(stamp: str) -> str:
    """A datestamp, as people write it: ``2026-01-31 18:30:00``; one of midnight is a day."""
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) in (8, 14)):
        return printable(stamp)
    day = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}"
    time = f"{stamp[8:10]}:{stamp[10:12]}:{stamp[12:14]}" if len(stamp) == 14 else ""
    return day if time in ("", "00:00:00") else f"{day} {time}"


def count(number: int, one: str, many: str = "") -> str:
    """``1 part``, ``2 parts``."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def tell_json(answer: Answer, stream: TextIO) -> None:
    """In ASCII, so that it fits into every locale; bytes that are no UTF-8 are lone surrogates."""
    json.dump(answer.record, stream, indent=2)
    stream.write("\n")


def tell_plain(answer: Answer, stream: TextIO) -> None:
    """For whatever is no terminal: columns with blanks between, and nothing is ever cut off."""
    for part in answer.shown:
        for line in [part] if isinstance(part, str) else _lines(part):
            stream.write(f"{_encodable(line, stream)}\n")


def in_lines(answer: Answer) -> str:
    """The same as one text."""
    lines = [
        line
        for part in answer.shown
        for line in ([part] if isinstance(part, str) else _lines(part))
    ]
    return "".join(f"{line}\n" for line in lines)


def _encodable(line: str, stream: TextIO) -> str:
    """As far as the locale has letters for it."""
    encoding = stream.encoding or "ascii"
    return line.encode(encoding, "backslashreplace").decode(encoding)


def _lines(table: Table) -> list[str]:
    rows = [[column.head for column in table.columns], *table.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines
