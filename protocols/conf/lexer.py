"""The words of amanda.conf [config 1.2].

A token is ``(kind, value, line)``. Kinds: WORD, INT and REAL (value: their text), STRING (value:
the text without quotes and escapes), NEWLINE, ``{``, ``}``, ``,``, UNKNOWN (a character that means
nothing), BAD (value: the message that says what is wrong with the token) and END.
"""

import re

WORD, INT, REAL, STRING = "word", "int", "real", "string"
NEWLINE, LEFT, RIGHT, COMMA = "\n", "{", "}", ","
UNKNOWN, BAD, END = "unknown", "bad", "end"

Token = tuple[str, str, int]

LONGEST = 4095
"""Bytes of the longest word or number, and of the longest string with its opening quote."""

_TOKEN = re.compile(
    r"""[ \t\r\f]+ | \#[^\n]*
      | (?P<word>[A-Za-z][A-Za-z0-9_-]*)
      | (?P<real>-?[0-9]+\.[0-9]*)
      | (?P<int>-?[0-9]+)
      | "(?P<string>(?:[^"\\\n]++|\\[\s\S])*+)(?P<close>"?)
      | (?P<mark>[\n{},])
      | (?P<unknown>.)""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r'\\(?:([0-7]{1,3})|([\s\S]))|"')
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}


def _unescaped(match: re.Match[str]) -> str:
    octal, letter = match.groups()
    if octal:
        code = int(octal, 8) & 0xFF
        return "" if not code else chr(code) if code < 0x80 else chr(0xDC00 + code)
    return _PLAIN.get(letter, letter) if letter else ""


def unescape(quoted: str) -> str:
    """The value of a string; ``quoted`` ends with the closing quote if there was one."""
    value = quoted
    if "\\" in quoted:
        value = _ESCAPE.sub(_unescaped, quoted)
        # Bytes written in octal may form one UTF-8 character.
        value = value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    elif quoted.endswith('"'):
        value = quoted[:-1]
    return value.partition("\0")[0]


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _string(match: re.Match[str], line: int) -> tuple[Token, ...]:
    body, close = match.group("string"), match.group("close")
    if _size(body) > LONGEST - 2:
        return ((BAD, f'string too long: "{body[:19]}...', line),)
    token = (STRING, unescape(body + close), line)
    at_end = match.end() == len(match.string)
    if close or at_end:
        return (token,)
    return (token, (BAD, "string not terminated", line))


def tokenize(text: str) -> list[Token]:
    """All tokens of a file, with END last. Never raises, whatever the text.

    A string whose line ends before its closing quote is followed by a BAD token.
    """
    tokens: list[Token] = []
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is None:
            continue
        value = match.group()
        if kind == "mark":
            tokens.append((value, value, line))
            line += value == NEWLINE
        elif kind == "close":
            tokens.extend(_string(match, line))
            line += value.count("\n")
        elif kind == WORD and len(value) > LONGEST:
            tokens.append((BAD, f"token too long: {value[:20]}...", line))
        else:
            tokens.append((kind, value, line))
    tokens.append((END, "", line))
    return tokens
