"""What GNU tar says on its standard error while it writes an archive, and how bad that is.

With ``--verbose`` the names of the members are among it, one a line and escaped, all of them
beginning with ``./``; the messages begin with the name of the program that has something to say.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

from attrs import frozen

from protocols.ere import Ere, EreError

NORMAL = (
    "^could not open conf file",
    "^Elapsed time:",
    "^Throughput",
    ": directory is on a different filesystem; not dumped",
    ": socket ignored$",
    ": File .* shrunk by [0-9][0-9]* bytes, padding with zeros",
    ": Cannot add file .*: No such file or directory$",
    ": Error exit delayed from previous errors",
)
IGNORE = (": Directory is new$", ": Directory has been renamed")
ERROR = ("^runtar: error", "^runtar: could not exec")
_TOTALS = b"Total bytes written: "
_MAX_SIZE_DIGITS = 19
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|[\\abfnrtv])")
_ESCAPED = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
}


class Kind(enum.Enum):
    """What a message does to the result of the dump; the value begins its line for Amanda."""

    NORMAL = "|"
    STRANGE = "?"
    IGNORE = ""
    ERROR = "ERROR"


@frozen
class _Rule:
    expression: Ere
    kind: Kind


class Rules:
    """Which message is of which kind. The first expression that matches decides; none: strange.

    :param normal: POSIX extended regular expressions of the user; they come before the usual ones
    :raise RuleError: one is not valid
    """

    def __init__(
        self,
        normal: Iterable[str] = (),
        ignore: Iterable[str] = (),
        strange: Iterable[str] = (),
    ) -> None:
        given = (
            (Kind.NORMAL, normal),
            (Kind.IGNORE, ignore),
            (Kind.STRANGE, strange),
            (Kind.ERROR, ERROR),
            (Kind.IGNORE, IGNORE),
            (Kind.NORMAL, NORMAL),
        )
        self._rules: list[_Rule] = []
        for kind, expressions in given:
            for text in expressions:
                try:
                    self._rules.append(_Rule(Ere(text), kind))
                except EreError as error:
                    raise RuleError(f"{kind.name} {text!r}: {error}") from None

    def judge(self, message: str) -> Kind:
        """The kind of a message, without its line end."""
        for rule in self._rules:
            if rule.expression.search(message):
                return rule.kind
        return Kind.STRANGE


class RuleError(ValueError):
    """Not a regular expression; the text names property and expression."""

    taper_code = 1007


def total_bytes(line: bytes) -> int | None:
    """The archive's size, if this is the line that tells it."""
    if not line.startswith(_TOTALS):
        return None
    digits = line[len(_TOTALS) :].split(b" ", 1)[0].strip()
    return int(digits) if digits.isdigit() and len(digits) <= _MAX_SIZE_DIGITS else None


def index_line(line: bytes) -> bytes | None:
    """The line of the index for a line that names a member, line end and all."""
    return line[1:] if line.startswith(b"./") else None


def unquote_name(name: bytes) -> bytes:
    """The name that tar means by a name of its listings, and so of the index; what is no escape of
    tar's stays."""
    return _ESCAPE.sub(_unescape, name)


def _unescape(found: re.Match[bytes]) -> bytes:
    text = found.group(1)
    if text[:1].isdigit():
        return bytes((int(text, 8) & 0xFF,))
    return _ESCAPED.get(text, text)


def quote_name(name: bytes) -> bytes:
    """A name as a line of a ``--files-from`` list that is not read literally."""
    return name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
