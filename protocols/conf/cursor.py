"""Reading tokens one by one, with errors that say what was found."""

from collections.abc import Sequence
from typing import NoReturn

from protocols.conf.lexer import (
    BAD,
    COMMA,
    END,
    INT,
    LEFT,
    NEWLINE,
    REAL,
    RIGHT,
    STRING,
    WORD,
    Token,
    tokenize,
)
from protocols.conf.values import fold

_EXPECTED = {
    LEFT: '"{" is expected',
    RIGHT: '"}" is expected',
    COMMA: '"," is expected',
    NEWLINE: "end of line is expected",
    INT: "an integer is expected",
    REAL: "a real number is expected",
    STRING: "a quoted string is expected",
    WORD: "an identifier is expected",
}
_SHOWN = 40


class Refused(Exception):
    """The configuration says something it may not; the text is stock's, and what was found."""

    taper_code = 1003


def printable(text: str) -> str:
    """``text`` on one line and of a bounded length, for a message."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return "".join(char if char.isprintable() or char > "\x7f" else "?" for char in cut)


class Cursor:
    """A place in a list of tokens."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.kind, self.value, self.line = tokens[0]

    @classmethod
    def over(cls, text: str) -> "Cursor":
        """At the start of a text."""
        return cls(tokenize(text))

    def skip(self) -> None:
        """Go past the token; END stays."""
        if self.kind != END:
            self._at += 1
            self.kind, self.value, self.line = self._tokens[self._at]

    def refuse(self, text: str) -> NoReturn:
        """Raise ``Refused`` with this text, or with the lexer's own if the token is damaged."""
        if self.kind == BAD:
            raise Refused(self.value)
        raise Refused(f"{text} (found {self.found()})")

    def found(self) -> str:
        """The token as a message shows it."""
        if self.kind == NEWLINE:
            return "end of line"
        if self.kind == END:
            return "end of file"
        quote = '"' if self.kind == STRING else ""
        return f"'{quote}{printable(self.value)}{quote}'"

    def take(self, kind: str) -> str:
        """The value of the token, which must be of this kind. Raises Refused."""
        if self.kind != kind:
            self.refuse(_EXPECTED[kind])
        value = self.value
        self.skip()
        return value

    def ident(self) -> str:
        """A bare word or a quoted string. Raises Refused."""
        return self.take(STRING if self.kind == STRING else WORD)

    def word(self) -> str | None:
        """The folded word under the cursor, None if it is no word. Does not move."""
        return fold(self.value) if self.kind == WORD else None

    def take_word(self, word: str) -> bool:
        """Go past this keyword if it is there."""
        if self.word() == word:
            self.skip()
            return True
        return False

    def end_of_line(self) -> None:
        """Go past the end of the line, where the cursor must be. Raises Refused."""
        self.take(NEWLINE)

    def recover(self) -> None:
        """After an error: go past the rest of the line and past the block that it, or a ``{`` at
        the start of the next line, opens. A ``{`` that is itself the error opens nothing."""
        if self.kind == LEFT and (self._at == 0 or self._tokens[self._at - 1][0] == NEWLINE):
            self.skip()
        while self.kind != END:
            depth = 0
            while self.kind != END and (depth > 0 or self.kind != NEWLINE):
                depth = max(depth + (self.kind == LEFT) - (self.kind == RIGHT), 0)
                self.skip()
            self.skip()
            if self.kind != LEFT:
                return
