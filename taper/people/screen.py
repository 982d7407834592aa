"""Where a command says what goes on, and in the end what it has found."""

from __future__ import annotations

import enum
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeVar

from taper.last_words import tell
from taper.people.telling import Answer, count, printable, size, tell_json, tell_plain

if TYPE_CHECKING:
    from taper.people.telling import Table

T = TypeVar("T")

PROGRAM = "taperctl"
_SECONDS_BETWEEN = 30.0
"""How often a line tells how far something is, where there is no terminal."""


class Style(enum.Enum):
    """How a command speaks."""

    PLAIN = "lines"
    JSON = "one JSON object, when it is through"
    TERMINAL = "tables and progress"


class IProgress(Protocol):
    """How far something is that takes long."""

    def advance(self, done: int, what: str = "") -> None:
        """Any thread may call it, as often as it likes.

        :param done: bytes, in all
        :param what: that is being done now
        """

    def close(self) -> None:
        """It is over."""


class IPicture(Protocol):
    """What changes on a terminal, until it is closed and stays."""

    def draw(self, shown: Sequence[Table | str]) -> None:
        """Draw this, instead of what was there."""

    def close(self) -> None:
        """It is over."""


class Screen:
    """Stdout and stderr of one command.

    :ivar style: how it speaks.
    """

    def __init__(self, style: Style, stdout: TextIO, clock: Callable[[], float]) -> None:
        self.style = style
        self._stdout = stdout
        self._clock = clock

    def use_stderr(self) -> None:
        """Speak on stderr from now on: stdout is for data."""
        self._stdout = sys.stderr
        if self.style is Style.TERMINAL and not sys.stderr.isatty():
            self.style = Style.PLAIN

    def warn(self, text: str) -> None:
        """Tell of something that is not right, on stderr, at once."""
        tell(PROGRAM, printable(text))

    def answer(self, answer: Answer) -> None:
        """Say what the command has found."""
        if self.style is Style.JSON:
            tell_json(answer, self._stdout)
        elif self.style is Style.TERMINAL:
            _terminal().tell_on_terminal(answer, self._stdout)
        else:
            tell_plain(answer, self._stdout)
        self._stdout.flush()  # a plan is seen before it is followed

    def show(self, part: Table | str) -> None:
        """Say a part of an answer before it is complete, in lines."""
        tell_plain(Answer(record={}, shown=(part,)), self._stdout)
        self._stdout.flush()

    def picture(self) -> IPicture:
        """Begin to draw on the terminal."""
        made: IPicture = _terminal().Picture(self._stdout)
        return made

    def quietly(self, function: Callable[[], T]) -> T:
        """Call what may write to stderr by itself. A screen that has no stderr tells it as
        :meth:`warn` does."""
        return function()

    def progress(self, title: str, total: int | None) -> IProgress:
        """Begin to tell how far something is; on stderr.

        :param total: bytes that there are; None: nobody knows
        """
        if self.style is Style.TERMINAL and sys.stderr.isatty():
            made: IProgress = _terminal().Bar(title, total, sys.stderr)
            return made
        if self.style is Style.JSON:
            return _Silence()
        return _Lines(self, title, total, self._clock)


class _Silence:
    """Whoever wants JSON reads it with a program."""

    def advance(self, done: int, what: str = "") -> None:
        """See IProgress."""

    def close(self) -> None:
        """See IProgress."""


class _Lines:
    """A line now and then."""

    def __init__(
        self, screen: Screen, title: str, total: int | None, clock: Callable[[], float]
    ) -> None:
        self._screen = screen
        self._title = title
        self._total = total
        self._clock = clock
        self._begun = self._told = clock()

    def advance(self, done: int, what: str = "") -> None:
        now = self._clock()
        if now - self._told < _SECONDS_BETWEEN:
            return
        self._told = now
        rate = done / (now - self._begun)
        words = [f"{self._title}: {size(done)}"]
        if self._total:
            left = max(self._total - done, 0) / rate if rate else 0.0
            words.append(f"of {size(self._total)}, about {count(round(left), 'second')} left")
        self._screen.warn(f"{' '.join(words)}, {size(round(rate))}/s{what and f', {what}'}")

    def close(self) -> None:
        """See IProgress."""


def _terminal() -> Any:
    """What needs rich, which takes longer to import than most commands take."""
    return import_module("taper.people.terminal")


def make_screen(*, json: bool, plain: bool) -> Screen:
    """The screen of this process."""
    terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if json:
        style = Style.JSON
    elif terminal and not plain:
        style = Style.TERMINAL
    else:
        style = Style.PLAIN
    return Screen(style, sys.stdout, time.monotonic)
