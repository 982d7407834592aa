"""Where a command says what goes on, and in the end what it has found."""

from __future__ import annotations

import enum
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeVar

from devices.threads import ThreadRefused, start_thread
from protocols.errorcode import code_of, coded, named
from taper.last_words import STDERR, STDIN, STDOUT, reason, say
from taper.people.telling import Answer, count, in_lines, printable, size, tell_json, tell_plain

if TYPE_CHECKING:
    from taper.people.telling import Table

T = TypeVar("T")

PROGRAM = "taperctl"
_SECONDS_BETWEEN = 30.0
"""How often a line tells how far something is, where there is no terminal."""
_SECONDS_BETWEEN_PICTURES = 0.25
_PATIENCE = 1.0
"""Seconds that a terminal may take for the last picture."""


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

    Nobody need see it to its end, where the command is one that may be left: then what nobody
    takes any more is said to ``heard`` alone.

    :ivar style: how it speaks.
    :ivar left: nobody is at the terminal any more, or reads what is said.
    :ivar may_be_left: that is no reason to end.
    :ivar heard: is told all lines that are said.
    :ivar over: is told the exit status in the end.
    """

    def __init__(
        self,
        style: Style,
        stdout: TextIO,
        clock: Callable[[], float],
        terminals: tuple[int, ...] = (),
    ) -> None:
        """:param terminals: descriptors of the standard streams that are terminals"""
        self.style = style
        self.left = self.may_be_left = False
        self.heard: Callable[[str], object] = lambda text: None
        self.over: Callable[[int], object] = lambda status: None
        self._stdout = stdout
        self._clock = clock
        self._terminals = terminals
        self._leaving = threading.Lock()

    def use_stderr(self) -> None:
        """Speak on stderr from now on: stdout is for data."""
        self._stdout = sys.stderr
        if self.style is Style.TERMINAL and not sys.stderr.isatty():
            self.style = Style.PLAIN

    def warn(self, text: str, code: int | BaseException | None = None) -> None:
        """Tell of something that is not right, on stderr, at once.

        :param code: of it, or the error that it is; None: it is for information
        """
        shown = printable(text)
        self.heard(shown if code is None else coded(shown, code))
        say(PROGRAM, shown if code is None else coded(shown, code))

    def fail(self, text: str, fault: BaseException) -> None:
        """Say why the command has failed."""
        self.warn(text, fault)
        if self.style is Style.JSON:
            record = {"schema": "taper/error/1", "code": named(code_of(fault)), "text": text}
            self.answer(Answer(record=record))

    def answer(self, answer: Answer) -> None:
        """Say what the command has found."""
        if self.may_be_left:
            self.heard(in_lines(answer))
        with self.lasting():
            self._answer(answer)
            self._stdout.flush()  # a plan is seen before it is followed

    def _answer(self, answer: Answer) -> None:
        if self.style is Style.JSON:
            tell_json(answer, self._stdout)
        elif self.style is Style.TERMINAL:
            _terminal().tell_on_terminal(answer, self._stdout)
        else:
            tell_plain(answer, self._stdout)

    def show(self, part: Table | str) -> None:
        """Say a part of an answer before it is complete, in lines."""
        with self.lasting():
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
        if self.may_be_left:
            return _Lasting(self, title, total)
        return self.progress_now(title, total)

    def progress_now(self, title: str, total: int | None) -> IProgress:
        """The same, for as long as somebody sees it."""
        if self.style is Style.TERMINAL and sys.stderr.isatty():
            made: IProgress = _terminal().Bar(title, total, sys.stderr)
            return made
        if self.style is Style.JSON:
            return _Silence()
        return _Lines(self, title, total, self._clock)

    # being left

    def look(self) -> None:
        """See whether anybody is still there. Any thread; does not block."""
        if self.left or not self._terminals:
            return
        poll = select.poll()  # one cannot serve several threads
        for descriptor in self._terminals:
            poll.register(descriptor, 0)  # that it has gone is told all the same
        gone = select.POLLHUP | select.POLLERR | select.POLLNVAL
        if any(event & gone for _, event in poll.poll(0)):
            self.leave("its terminal is gone")

    def leave(self, why: str, *broken: int) -> None:
        """Nobody is there any more: from now on all is said to ``heard`` alone. Any thread; safe to
        repeat.

        :param broken: descriptors that take nothing any more, besides the terminals
        """
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (*self._terminals, *broken):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
        with self._leaving:
            if self.left:
                return
            self.left = True
        if self.style is Style.TERMINAL:
            self.style = Style.PLAIN
        self.heard(f"Nobody is there any more, and it goes on: {why}")

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """What cannot be said is no reason to end, where the command may be left."""
        try:
            yield
        except OSError as fault:
            if not self.may_be_left:
                raise
            ours = {id(sys.stdout): STDOUT, id(sys.stderr): STDERR}
            broken = ours.get(id(self._stdout))
            self.leave(reason(fault), *(() if broken is None else (broken,)))


class _Lasting:
    """How far something is, whether or not anybody sees it to its end."""

    def __init__(self, screen: Screen, title: str, total: int | None) -> None:
        self._screen = screen
        self._title = title
        self._total = total
        self._left = screen.left
        self._shown = self._make()

    def _make(self) -> IProgress:
        screen, title, total = self._screen, self._title, self._total
        if screen.style is not Style.TERMINAL:
            return screen.progress_now(title, total)
        try:
            return Beside(lambda: screen.progress_now(title, total), screen.leave)
        except ThreadRefused:
            return screen.progress_now(title, total)

    def advance(self, done: int, what: str = "") -> None:
        screen = self._screen
        screen.look()
        if screen.left and not self._left:
            self.close()
            self._left = True
            self._shown = self._make()
        self._shown.advance(done, what)

    def close(self) -> None:
        """See IProgress."""
        with self._screen.lasting():
            self._shown.close()


class Beside:
    """What is drawn in a thread of its own: a terminal that takes nothing, as that of a session
    whose network hangs, must hold up nobody."""

    def __init__(self, make: Callable[[], IProgress], leave: Callable[[str], object]) -> None:
        """:param make: begins to draw
        :param leave: is told why nobody sees it any more
        """
        self._make = make
        self._leave = leave
        self._now = (0, "")
        self._over = threading.Event()
        self._thread = start_thread("progress", self._draw)

    def _draw(self) -> None:
        try:
            shown = self._make()
            while not self._over.wait(_SECONDS_BETWEEN_PICTURES):
                shown.advance(*self._now)
            shown.advance(*self._now)
            shown.close()
        except OSError as fault:
            self._leave(reason(fault))

    def advance(self, done: int, what: str = "") -> None:
        self._now = (done, what)

    def close(self) -> None:
        """Wait until the terminal is as it was, but not for long."""
        self._over.set()
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self._leave("its terminal takes nothing")


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
    terminals = tuple(one for one in (STDIN, STDOUT, STDERR) if os.isatty(one))
    return Screen(style, sys.stdout, time.monotonic, terminals)
