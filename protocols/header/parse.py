"""Blocks to headers. Any bytes give a header, in linear time [volumes 1.3 to 1.10]."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import evolve

from protocols.header.schema import CLAUSES, DD_START, FIELD_LIMIT, LINES, SCHEMAS, Fields, cut
from protocols.header.types import Header, HeaderType

_MAGIC = (b"AMANDA:", b"NETDUMP:")
_WORD_END = re.compile(r"[ \n]")
_BLANKS = re.compile(r" *")
_MARKS = re.compile(r'\\.?|[" \n]', re.DOTALL)
_SCHEMAS = {schema.keyword: schema for schema in SCHEMAS}
_CLAUSES = {clause.keyword: clause for clause in CLAUSES}
_LINES = {line.key: line for line in LINES}
_PIPE = " |"


def parse_header(block: bytes | bytearray | memoryview) -> Header:
    """Read the header at the start of ``block``; never raises.

    The text ends at the first NUL, or with the block. No bytes at all give EMPTY, what is no
    header gives WEIRD. Longer texts than 255 bytes are cut, as every reader does. Clauses are
    taken in any order, up to the first unknown one; of two that exclude each other the first.
    """
    if not block:
        return Header(type=HeaderType.EMPTY)
    data = bytes(block).partition(b"\0")[0].lstrip(b" ")
    if not data.startswith(_MAGIC):
        return Header(type=HeaderType.WEIRD)
    text = data.decode("utf-8", "surrogateescape")
    line = _FirstLine(text)
    fields = _parse_first_line(line)
    if fields is None:
        return Header(type=HeaderType.WEIRD)
    header = Header(**fields)
    if not header.is_dump:
        return header
    return evolve(header, **_parse_lines(text[line.end() :]))


class _FirstLine:
    """Takes words off the first line. Only a quoted word may hold blanks or line ends."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def word(self) -> str:
        """The next word; empty at the end of the line."""
        start = self._skip_blanks()
        end = _WORD_END.search(self._text, start)
        self._at = end.start() if end else len(self._text)
        return self._text[start : self._at]

    def quoted_word(self) -> str:
        """The next word, where quotes and backslashes protect blanks; still quoted."""
        start = self._skip_blanks()
        quoted = False
        self._at = len(self._text)
        for mark in _MARKS.finditer(self._text, start):
            if mark[0] == '"':
                quoted = not quoted
            elif mark[0] in " \n" and not quoted:
                self._at = mark.start()
                break
        return self._text[start : self._at]

    def end(self) -> int:
        """Where the next line begins."""
        at = self._text.find("\n", self._at)
        return len(self._text) if at < 0 else at + 1

    def _skip_blanks(self) -> int:
        blanks = _BLANKS.match(self._text, self._at)
        self._at = blanks.end() if blanks else self._at
        return self._at


def _parse_first_line(line: _FirstLine) -> Fields | None:
    """The fields of the first line; None if it is weird."""
    if line.word() not in ("AMANDA:", "NETDUMP:"):
        return None
    schema = _SCHEMAS.get(line.word())
    if schema is None:
        return None
    fields: Fields = {"type": schema.type}
    if schema.is_dump:
        fields.update(partnum=schema.partnum, totalparts=schema.partnum)
    for word in schema.words:
        for expected in word.prefix.split():
            found = line.word()
            if not found and schema.bare:
                return fields
            if found != expected:
                return None
        value = line.quoted_word() if word.quoted else line.word()
        read = word.read(value) if value else None
        if read is None:
            return fields if schema.bare and not value else None
        fields.update(read)
    return _parse_clauses(line, fields) if schema.is_dump else fields


def _parse_clauses(line: _FirstLine, fields: Fields) -> Fields | None:
    while (clause := _CLAUSES.get(line.word())) is not None:
        value = line.word()
        if not value:
            return None
        if clause.attribute not in fields and clause.rival not in fields:
            fields[clause.attribute] = cut(value)
    if fields.get("encrypt_suffix") == "N":
        fields["encrypt_suffix"] = ""
    return fields


def _parse_lines(text: str) -> Fields:
    """The fields of the lines after the first; what is unknown is passed over."""
    fields: Fields = {}
    lines = iter(text.split("\n"))
    for line in lines:
        key, equals, value = line.partition("=")
        known = _LINES.get(key) if equals else None
        if known is not None:
            fields[known.attribute] = known.read(value)
        elif line.startswith("DLE=<<"):
            fields["dle"] = _here_document(value[2:], lines)
        elif key == "DLE" and equals:
            fields["dle"] = value
        elif line.startswith(DD_START):
            fields.update(_parse_pipeline(line))
    return fields


def _here_document(end: str, lines: Iterator[str]) -> str:
    """The lines up to ``end``; empty ones get lost, as with every reader."""
    collected = []
    for line in lines:
        if line == end:
            break
        if line:
            collected.append(line)
    return "\n".join(collected)


def _parse_pipeline(line: str) -> Fields:
    """``dd ... | decrypt | uncompress | recover``; without recover the others are worth nothing."""
    _, pipe, rest = line.partition("|")
    commands = [command.strip() for command in rest.split("|", 2)] if pipe else ["BUG"]
    if not commands[-1]:
        return {}
    names = ("decrypt_cmd", "uncompress_cmd", "recover_cmd")[-len(commands) :]
    fields: Fields = {name: "" for name in names}
    for name, command in zip(names[:-1], commands[:-1], strict=True):
        if command:
            fields[name] = cut(command, FIELD_LIMIT - len(_PIPE)) + _PIPE
    fields[names[-1]] = cut(commands[-1])
    return fields
