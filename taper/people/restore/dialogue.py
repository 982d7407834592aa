"""Whom a restore talks to: a person at a terminal, or whoever reads its lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from taper.people.screen import Style
from taper.people.telling import Answer, size

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.interfaces import ILane
    from taper.people.screen import IProgress, Screen

REFRESH_SECONDS = 0.25
_LONGEST_ANSWER = 4096


class Dialogue:
    """Tells what goes on, and asks.

    :ivar interactive: somebody is there who can be asked.
    :ivar heard: is told all lines that are said.
    """

    def __init__(
        self,
        screen: Screen,
        make_lane: Callable[[str], ILane],
        typed: TextIO = sys.stdin,
        asked: TextIO = sys.stderr,
    ) -> None:
        """:param typed: where people type
        :param asked: where they see what they are asked
        """
        self._screen = screen
        self._typed = typed
        self._asked = asked
        self._make_lane = make_lane
        self._lane: ILane | None = None
        self.interactive = screen.style is not Style.JSON and typed.isatty() and asked.isatty()
        self._phase: tuple[str, int | None, Callable[[], int]] | None = None
        self._what = ""
        self._bar: IProgress | None = None
        self.heard: Callable[[str], object] = lambda text: None

    def show(self, answer: Answer) -> None:
        """Tables and lines, at once; not where all is told as one object in the end."""
        if self._screen.style is not Style.JSON:
            self._hide()
            self._screen.answer(answer)

    def say(self, text: str) -> None:
        """One line, likewise."""
        self.heard(text)
        self.show(Answer(record={}, shown=(text,)))

    def ask(self, text: str) -> Deferred[str]:
        """Ask; only where somebody is there.

        :param text: that is harmless on a terminal
        :return: fires with what is typed, without blanks at its ends; fails with EOFError
        """
        self._hide()
        phase, self._phase = self._phase, None
        self._asked.write(text)
        self._asked.flush()
        if self._lane is None:
            self._lane = self._make_lane("questions")

        def over(result: str) -> str:
            self._phase = phase
            return result

        return self._lane.call(self._read).addBoth(over)

    def _read(self) -> str:
        line = self._typed.readline(_LONGEST_ANSWER)
        if not line:
            raise EOFError("nothing more is typed")
        return line.strip()

    def begin(self, title: str, total: int | None, done: Callable[[], int]) -> None:
        """A phase begins.

        :param total: bytes; None: not known
        :param done: bytes so far
        """
        self._phase = title, total, done
        self._what = ""

    def doing(self, what: str) -> None:
        """What of the phase is done now: a line, or, on a terminal, part of one."""
        self._what = what
        if self._screen.style is Style.TERMINAL:
            self.heard(what)
        else:
            self.say(what)

    def waiting(self, what: str) -> None:
        """What is waited for; shown on a terminal alone."""
        self._what = what

    def update(self) -> None:
        """Show how far the phase is."""
        if self._phase is None:
            return
        title, total, done = self._phase
        if self._bar is None:
            self._bar = self._screen.progress(title, total)
        self._bar.advance(done(), self._what)

    def end(self) -> None:
        """It is over."""
        self._phase = None
        self._hide()

    def _hide(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()


def rate(read: int, seconds: float) -> str:
    """Bytes, and how many of them a second."""
    return f"{size(read)} at {size(round(read / max(seconds, 0.001)))}/s"
