"""Perl data as changers keep it in their state files: ``$STATE = { ... };``.

Stock executes the file; this reader never does. It knows the subset that Data::Dumper and careful
hands write [changers 2.6]: hashes, arrays, strings, integers, undef, blessed values and
later statements that assign to a place inside ``$STATE``.

A hash is a ``dict``, an array a ``list``, undef ``None``; quoted scalars are ``str``, bare
integers ``int``. Bytes become text as UTF-8 with ``surrogateescape``.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from protocols.records import Record

#: Deepest nesting and largest number of values accepted; far above what any library needs.
MAX_DEPTH = 100
MAX_VALUES = 2_000_000

#: Integers beyond this are written in quotes, since Perl may keep them as floating point.
_EXACT = 2**53

# Possessive throughout: what has been taken is never given back, so that reading takes time in
# proportion to the text, whatever it holds.
_BLANKS = re.compile(r"(?:[ \t\r\n\f]++|\#[^\n]*+)*+")
_TOKEN = re.compile(
    r"""
      '(?P<single>(?:[^'\\]++|\\.)*+)'
    | "(?P<double>(?:[^"\\]++|\\.)*+)"
    | (?P<number>-?(?:0[xX][0-9a-fA-F_]++|0[bB][01_]++
                   |[0-9][0-9_]*+(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?))
    | (?P<opaque>do\s*+\{\s*+\\\(\s*+my\s++\$o\s*+=[^()]*+\)\s*+\})
    | (?P<word>-?[A-Za-z_][A-Za-z_0-9]*+)
    | (?P<mark>\$STATE\b|=>|->|[{}\[\](),;=])
    | (?P<end>\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_SINGLE_ESCAPE = re.compile(r"\\([\\'])")
_DOUBLE_ESCAPE = re.compile(
    r"\\(?:x\{(?P<wide>[0-9a-fA-F]{1,6})\}|x(?P<hex>[0-9a-fA-F]{1,2})|(?P<octal>[0-7]{1,3})"
    r"|(?P<letter>.))|(?P<interpolation>[$@][A-Za-z_{:])",
    re.DOTALL,
)
_WIDE = re.compile(r"\\x\{([0-9a-fA-F]{1,6})\}")
_UNSAFE = re.compile(r"[^ !#%-?A-\[\]-~]")
"""What cannot stand as it is in a string with double quotes."""
_DOUBLE_LETTERS = {
    "n": "\n", "t": "\t", "r": "\r", "f": "\f", "b": "\b", "a": "\a", "e": "\x1b",
}  # fmt: skip


class PerlDataError(ValueError):
    """The text is not Perl data as we know it; the message names the line and the trouble."""

    taper_code = 3011


class CharString(str):
    """A string with characters above 255, which Perl keeps as such and not as bytes.

    Written back as ``"\\x{3a9}"``. All other strings are bytes to Perl.
    """

    __slots__ = ()


class Blessed(Record):
    """A blessed value of a class we do not interpret; written back as it was."""

    value: Any
    package: str


def parse_perl_data(data: bytes) -> dict[str, Any]:
    """Read what ``$STATE`` is after running the statements in ``data``.

    :return: the hash; ``{}`` for an empty file
    :raise PerlDataError: unreadable, or ``$STATE`` is no hash
    """
    text = data.decode("utf-8", "surrogateescape")
    if not text.strip():
        return {}
    state = _Parser(text).run()
    if not isinstance(state, dict):
        raise PerlDataError(f"$STATE should be a hash, not {type(state).__name__}")
    return state


def format_perl_data(state: dict[str, Any]) -> bytes:
    """Write ``$STATE = {...};`` so that :func:`parse_perl_data` and Perl read the same back.

    :raise TypeError: a value that is not Perl data
    """
    pieces: list[str] = ["$STATE = "]
    _format_value(state, 1, pieces)
    pieces.append(";\n")
    return "".join(pieces).encode("utf-8", "surrogateescape")


class _Parser:
    """Recursive descent over the tokens of one file."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._values = 0
        self._state: Any = None
        self._kind = ""
        self._token = ""
        self._advance()

    def run(self) -> Any:
        while self._kind != "end":
            self._statement()
            if self._kind != "end":
                self._expect(";")
                while self._is_mark(";"):
                    self._advance()
        return self._state

    # tokens

    def _advance(self) -> None:
        blanks = _BLANKS.match(self._text, self._at)
        self._at = blanks.end() if blanks else self._at
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise self._error(f"unexpected {self._text[self._at : self._at + 20].strip()!r}")
        self._at = match.end()
        self._kind = match.lastgroup or "end"
        self._token = match.group(self._kind)

    def _is_mark(self, mark: str) -> bool:
        return self._kind == "mark" and self._token == mark

    def _expect(self, mark: str) -> None:
        if not self._is_mark(mark):
            raise self._error(f"expected {mark!r}, found {self._token[:20]!r}")
        self._advance()

    def _error(self, trouble: str) -> PerlDataError:
        return PerlDataError(f"line {self._text.count(chr(10), 0, self._at) + 1}: {trouble}")

    # grammar

    def _statement(self) -> None:
        if self._kind == "number":  # the closing "1;" of many a Perl file
            self._advance()
            return
        self._expect("$STATE")
        path = self._path(1)
        self._expect("=")
        value = self._value(1)
        if not path:
            self._state = value
            return
        if self._state is None:
            self._state = {}
        place = self._state
        for key, following in pairwise(path):
            inner = self._fetch(place, key)
            if inner is None:
                inner = {} if isinstance(following, str) else []
                self._store(place, key, inner)
            place = inner
        self._store(place, path[-1], value)

    def _path(self, depth: int) -> list[str | int]:
        path: list[str | int] = []
        while True:
            if self._is_mark("->"):
                self._advance()
            if self._is_mark("{"):
                self._advance()
                path.append(self._key())
                self._expect("}")
            elif self._is_mark("["):
                self._advance()
                index = self._value(depth + 1)
                if not isinstance(index, int):
                    raise self._error(f"an array index should be an integer, not {index!r}")
                path.append(index)
                self._expect("]")
            else:
                return path
            if len(path) > MAX_DEPTH:
                raise self._error(f"nested deeper than {MAX_DEPTH}")

    def _fetch(self, place: Any, key: str | int) -> Any:
        if isinstance(place, dict) and isinstance(key, str):
            return place.get(key)
        if isinstance(place, list) and isinstance(key, int):
            return place[key] if -len(place) <= key < len(place) else None
        raise self._error(f"no place {key!r} in a {type(place).__name__}")

    def _store(self, place: Any, key: str | int, value: Any) -> None:
        if isinstance(place, dict) and isinstance(key, str):
            place[key] = value
        elif isinstance(place, list) and isinstance(key, int) and 0 <= key <= len(place):
            place[key : key + 1] = [value]
        else:
            raise self._error(f"no place {key!r} in a {type(place).__name__}")

    def _value(self, depth: int) -> Any:
        self._count(depth)
        kind, token = self._kind, self._token
        if kind == "mark":
            if token == "{":
                return self._hash(depth)
            if token == "[":
                return self._array(depth)
            if token == "$STATE":
                self._advance()
                return self._reference(self._path(depth), depth)
        elif kind == "word":
            if token == "undef":
                self._advance()
                return None
            if token == "bless":
                return self._bless(depth)
        elif kind != "end":
            self._advance()
            return self._scalar(kind, token)
        raise self._error(f"expected a value, found {token[:20]!r}")

    def _count(self, depth: int) -> None:
        self._values += 1
        if depth > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH}")
        if self._values > MAX_VALUES:
            raise self._error(f"more than {MAX_VALUES} values")

    def _scalar(self, kind: str, token: str) -> Any:
        if kind == "single":
            return _SINGLE_ESCAPE.sub(r"\1", token)
        if kind == "double":
            return self._double(token)
        if kind == "number":
            return _number(token)
        return None  # opaque: a pointer of some library, without meaning for anybody else

    def _double(self, token: str) -> str:
        if "\\" not in token and "$" not in token and "@" not in token:
            return token
        codes = [int(match, 16) for match in _WIDE.findall(token)]
        wide = any(code > 0xFF for code in codes)
        if any(code > 0x10FFFF for code in codes):
            raise self._error(f"no such character in {token[:40]!r}")

        def replace(match: re.Match[str]) -> str:
            if match["interpolation"]:
                raise self._error(f"a string with a variable in it: {match[0]!r}")
            if match["letter"]:
                return _DOUBLE_LETTERS.get(match["letter"], match["letter"])
            code = int(match["wide"] or match["hex"] or "0", 16) or int(match["octal"] or "0", 8)
            if code > 0xFF and not match["wide"]:
                raise self._error(f"no such byte: {match[0]}")
            return chr(code) if wide or code <= 0x7F else chr(0xDC00 + code)

        text = _DOUBLE_ESCAPE.sub(replace, token)
        if wide:
            return CharString(text)
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")

    def _reference(self, path: list[str | int], depth: int) -> Any:
        place = self._state
        for key in path:
            if place is None:
                return None
            place = self._fetch(place, key)
        return self._copy(place, depth)

    def _copy(self, value: Any, depth: int) -> Any:
        """A copy of its own, so that no cycle can arise; counted like what was read."""
        self._count(depth)
        if isinstance(value, dict):
            return {key: self._copy(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._copy(inner, depth + 1) for inner in value]
        if isinstance(value, Blessed):
            return Blessed(self._copy(value.value, depth + 1), value.package)
        return value

    def _hash(self, depth: int) -> dict[str, Any]:
        self._expect("{")
        result: dict[str, Any] = {}
        while not self._is_mark("}"):
            key = self._key()
            if self._is_mark(","):
                self._advance()
            else:
                self._expect("=>")
            result[key] = self._value(depth + 1)
            if not self._is_mark("}"):
                self._expect(",")
        self._advance()
        return result

    def _key(self) -> str:
        kind, token = self._kind, self._token
        if kind not in ("single", "double", "number", "word"):
            raise self._error(f"expected a key, found {token[:20]!r}")
        self._advance()
        return token if kind == "word" else str(self._scalar(kind, token))

    def _array(self, depth: int) -> list[Any]:
        self._expect("[")
        result: list[Any] = []
        while not self._is_mark("]"):
            result.append(self._value(depth + 1))
            if not self._is_mark("]"):
                self._expect(",")
        self._advance()
        return result

    def _bless(self, depth: int) -> Any:
        self._advance()
        self._expect("(")
        value = self._value(depth + 1)
        self._expect(",")
        if self._kind not in ("single", "double"):
            raise self._error(f"expected a class name, found {self._token[:20]!r}")
        package = str(self._scalar(self._kind, self._token))
        self._advance()
        self._expect(")")
        return _big_integer(value) if package == "Math::BigInt" else Blessed(value, package)


def _number(token: str) -> int | str:
    digits = token.replace("_", "").lower()
    if "." in digits or ("e" in digits and "x" not in digits):
        return digits  # Perl writes such a number in quotes, which means the same
    sign, bare = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    if len(bare) > 1 and bare.isdigit() and bare.startswith("0"):
        bare = f"0o{bare[1:]}"
    if len(bare) > 100:
        return digits
    try:
        number = sign * int(bare, 0)
    except ValueError:
        raise PerlDataError(f"no integer: {token[:20]!r}") from None
    return number if abs(number) <= _EXACT else str(number)  # as it is written


def _big_integer(value: Any) -> int | None:
    """A Math::BigInt of one limb, which is all that status values ever need; else unknown."""
    if not isinstance(value, dict) or not isinstance(value.get("value"), Blessed):
        return None
    limbs = value["value"].value
    if not isinstance(limbs, list) or len(limbs) != 1:
        return None
    limb = str(limbs[0])
    if not (limb.isascii() and limb.isdigit() and len(limb) <= 18):
        return None
    return -int(limb) if value.get("sign") == "-" else int(limb)


def _format_value(value: Any, depth: int, pieces: list[str]) -> None:
    if depth > MAX_DEPTH:
        raise TypeError(f"nested deeper than {MAX_DEPTH}")
    indent = "  " * depth
    if value is None:
        pieces.append("undef")
    elif isinstance(value, str):
        pieces.append(_format_string(value))
    elif isinstance(value, int):
        pieces.append(f"{value:d}" if abs(value) <= _EXACT else f"'{value:d}'")
    elif isinstance(value, dict):
        pieces.append("{\n" if value else "{")
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key should be a string, not {key!r}")
            pieces.append(f"{indent}{_format_string(key)} => ")
            _format_value(inner, depth + 1, pieces)
            pieces.append(",\n")
        pieces.append(f"{indent[2:]}}}" if value else "}")
    elif isinstance(value, list):
        pieces.append("[")
        for inner in value:
            _format_value(inner, depth + 1, pieces)
            pieces.append(", ")
        pieces.append("]")
    elif isinstance(value, Blessed):
        pieces.append("bless( ")
        _format_value(value.value, depth + 1, pieces)
        pieces.append(f", {_format_string(value.package)} )")
    else:
        raise TypeError(f"not Perl data: {value!r}")


def _format_string(text: str) -> str:
    if isinstance(text, CharString):
        escaped = _UNSAFE.sub(lambda match: f"\\x{{{ord(match[0]):x}}}", text)
        return f'"{escaped}"'
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
