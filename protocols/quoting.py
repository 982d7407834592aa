r"""Quoted words, as driver lines, trace logs and headers hold them [protocol 2].

A word is wrapped in ``"`` if it is empty or holds a blank, a control character, DEL, one of
``: ' " \`` or anything that is not ASCII. Inside, ``\`` escapes ``"``, ``\``, TAB, LF, CR and FF;
every other byte stands for itself.
"""

from __future__ import annotations

import re

_PLAIN = frozenset(
    "!#$%&()*+,-./0123456789;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~"
)
_ESCAPES = str.maketrans(
    {"\t": r"\t", "\n": r"\n", "\r": r"\r", "\f": r"\f", '"': r"\"", "\\": r"\\", "\0": "?"}
)
_UNESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"f": b"\f"}
_ESCAPED = re.compile(rb'\\([0-7]{1,3}|.?)|"', re.DOTALL)
_MARKS = re.compile(r'\\.?|[" ]', re.DOTALL)


def quote(text: str) -> str:
    """``text`` as one word. A NUL, which no reader could take, becomes ``?``."""
    if text and _PLAIN.issuperset(text):
        return text
    return f'"{text.translate(_ESCAPES)}"'


def unquote(text: str) -> str:
    r"""The meaning of a word, quoted or not.

    Bare ``"`` are dropped wherever they stand; ``\n \t \r \f`` become control characters, ``\``
    and one to three octal digits that byte, ``\`` and any other character that character; a
    trailing ``\`` is dropped. Unlike stock's, the byte after an octal escape is nothing special.
    """
    if "\\" not in text:
        return text.replace('"', "")
    data = text.encode("utf-8", "surrogateescape")
    return _ESCAPED.sub(_unescape, data).decode("utf-8", "surrogateescape")


def _unescape(match: re.Match[bytes]) -> bytes:
    escaped: bytes | None = match[1]
    if not escaped:
        return b""  # a bare quote, or a backslash at the end
    if escaped.isdigit() and escaped < b"8":
        return bytes((int(escaped, 8) & 0xFF,))
    return _UNESCAPED.get(escaped, escaped)


def split_line(line: str) -> list[str]:
    r"""The words of a line, still quoted: cut at every blank outside quotes.

    ``\`` protects the next character, within quotes and outside. Two blanks in a row give an
    empty word, and so do a leading and a trailing one. An unclosed quote runs to the end.
    """
    if '"' not in line and "\\" not in line:
        return line.split(" ")
    words = []
    start = 0
    quoted = False
    for mark in _MARKS.finditer(line):
        if mark[0] == '"':
            quoted = not quoted
        elif mark[0] == " " and not quoted:
            words.append(line[start : mark.start()])
            start = mark.end()
    words.append(line[start:])
    return words
