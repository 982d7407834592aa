"""The disklist: which disks are dumped, and by which dumptype (disklist(5)).

Pure. An entry is one line, ``host disk [device] dumptype [spindle [interface]]``; in place of the
dumptype's name its parameters may stand in braces, over several lines, and such a block may begin
with the names of dumptypes it goes on from. Lines ``includefile "name"`` and ``define dumptype``
may stand between. Names keep their letters, host names are compared without case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

from protocols.conf.lexer import END, LEFT, NEWLINE, RIGHT, STRING, WORD, unescape
from protocols.records import Record

MAX_FILE = 16 * 1024 * 1024
"""Bytes of one file."""
MAX_DEPTH = 20
"""Files that include one another."""
MAX_FILES = 1000
"""Files in all, one that is included twice counted twice."""

Read = Callable[[str], bytes]
"""Bytes of the file with this name; raises OSError."""


@frozen
class Block:
    """Parameters that stand in braces in place of a dumptype.

    :ivar text: what is between the braces: statements as in a ``define dumptype``.
    """

    text: str


@frozen
class DiskEntry:
    """One disk.

    :ivar device: what is dumped, if its name is another than ``disk``.
    :ivar dumptype: a dumptype's name, or the parameters themselves.
    """

    host: str
    disk: str
    device: str | None
    dumptype: str | Block


class _Word(Record):
    """A word, a quoted string (``kind`` STRING) or a mark, and where it stands in the text."""

    kind: str
    value: str
    start: int
    end: int


def find_disk(name: str, read: Read, host: str, disk: str) -> DiskEntry | None:
    """The entry of one disk, or None.

    :param name: the disklist's name, which ``read`` understands, like those it includes
    :raise OSError: a file cannot be read
    """
    for entry in read_disklist(name, read):
        if entry.disk == disk and entry.host.lower() == host.lower():
            return entry
    return None


def read_disklist(name: str, read: Read) -> Iterator[DiskEntry]:
    """The entries in order; lines that are none and files beyond the bounds are passed over.

    :raise OSError: a file cannot be read
    """
    files = iter(range(MAX_FILES))
    return _read_file(name, lambda path: read(path) if next(files, None) is not None else b"", 0)


def _read_file(name: str, read: Read, depth: int) -> Iterator[DiskEntry]:
    data = read(name)
    if len(data) > MAX_FILE or depth > MAX_DEPTH:
        return
    text = data.decode("utf-8", "surrogateescape")
    for words in _lines(text):
        first = words[0].value
        if words[0].kind != STRING and first.lower() == "includefile" and len(words) > 1:
            yield from _read_file(words[1].value, read, depth + 1)
        elif words[0].kind != STRING and first.lower() == "define":
            continue
        else:
            entry = _entry(text, words)
            if entry is not None:
                yield entry


def _entry(text: str, words: list[_Word]) -> DiskEntry | None:
    names: list[_Word] = []
    for at, word in enumerate(words):
        if word.kind == LEFT:
            closing = next(mark for mark in reversed(words) if mark.kind == RIGHT)
            block = text[word.end : closing.start]
            return _named([name.value for name in names], Block(block)) if at >= 2 else None
        names.append(word)
    return _of_words(names)


def _named(names: list[str], dumptype: str | Block) -> DiskEntry | None:
    host, disk = names[:2]
    if not host:
        return None  # ``""``: no dump is of no host
    return DiskEntry(host, disk, names[2] if len(names) > 2 else None, dumptype)


def _of_words(words: list[_Word]) -> DiskEntry | None:
    """A line without braces. What stands third is a device if it looks like one, or if what
    follows cannot be a spindle."""
    names = [word.value for word in words]
    if len(names) < 3:
        return None
    with_device = len(names) > 3 and (names[2].startswith("/") or not _is_number(names[3]))
    if with_device:
        return _named(names[:3], names[3])
    return _named(names[:2], names[2])


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdigit()


def _lines(text: str) -> Iterator[list[_Word]]:
    """The words of each line; one with an open brace goes on to the closing one."""
    line: list[_Word] = []
    depth = 0
    for word in _words(text):
        if word.kind in (NEWLINE, END) and (depth == 0 or word.kind == END):
            if line and depth == 0:
                yield line
            line = []
            continue
        if word.kind == NEWLINE:
            continue
        depth += (word.kind == LEFT) - (word.kind == RIGHT)
        depth = max(depth, 0)
        line.append(word)


def _words(text: str) -> Iterator[_Word]:
    at, size = 0, len(text)
    while at < size:
        char = text[at]
        if char in " \t\r\f":
            at += 1
        elif char == "#":
            end = text.find("\n", at)
            at = size if end < 0 else end
        elif char == "\n":
            yield _Word(NEWLINE, char, at, at + 1)
            at += 1
        elif char in "{}":
            yield _Word(char, char, at, at + 1)
            at += 1
        elif char == '"':
            end = _end_of_string(text, at + 1)
            yield _Word(STRING, unescape(text[at + 1 : end]), at, end)
            at = end
        else:
            end = at
            while end < size and text[end] not in " \t\r\f\n":
                end += 1
            yield _Word(WORD, text[at:end], at, end)
            at = end
    yield _Word(END, "", size, size)


def _end_of_string(text: str, at: int) -> int:
    """Behind the closing quote, or at the end of the line."""
    while at < len(text) and text[at] != "\n":
        if text[at] == "\\":
            at += 1
        elif text[at] == '"':
            return at + 1
        at += 1
    return min(at, len(text))
