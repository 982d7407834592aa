"""Whom a restore talks to: a person at a terminal, or whoever reads its lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from taper.people.screen import Style
from taper.people.telling import Answer, in_lines, size

if TYPE_CHECKING:
    from devices.interfaces import ILane
    from taper.people.screen import IProgress, Screen

REFRESH_SECONDS = 0.25
_LONGEST_ANSWER = 4096


class Dialogue:
    """Tells what goes on, and asks.

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
        self._began_interactive = (
            screen.style is not Style.JSON and typed.isatty() and asked.isatty()
        )
        self._typing = False
        self._asking: Deferred[str] | None = None
        self._phase: tuple[str, int | None, Callable[[], int]] | None = None
        self._what = ""
        self._bar: IProgress | None = None
        self.heard: Callable[[str], object] = lambda text: None

    @property
    def interactive(self) -> bool:
        """Somebody is there who can be asked."""
        return self._began_interactive and not self.left

    @property
    def left(self) -> bool:
        """Somebody was there, and is not any more."""
        return self._began_interactive and self._screen.left

    def show(self, answer: Answer) -> None:
        """Tables and lines, at once; not where all is told as one object in the end."""
        if self._screen.style is not Style.JSON:
            self._hide()
            self._screen.answer(answer)
        else:
            self._screen.heard(in_lines(answer))

    def say(self, text: str) -> None:
        """One line, likewise."""
        self.heard(text)
        self.show(Answer(record={}, shown=(text,)))

    def ask(self, text: str) -> Deferred[str]:
        """Ask; only where somebody is there.

        :param text: that is harmless on a terminal
        :return: fires with what is typed, without blanks at its ends; fails with EOFError. Who
            cancels it takes the question back
        """
        self._hide()
        phase, self._phase = self._phase, None
        with self._screen.lasting():
            self._asked.write(text)
            self._asked.flush()
        asking: Deferred[str] = Deferred()
        self._asking = asking
        if not self._typing:
            if self._lane is None:
                self._lane = self._make_lane("questions")
            self._typing = True
            self._lane.call(self._read).addBoth(self._typed_one)

        def over(result: str) -> str:
            self._asking, self._phase = None, phase
            return result

        return asking.addBoth(over)

    def _typed_one(self, result: Any) -> None:
        """Somebody has typed a line, or never will; what nobody asks for any more counts not."""
        self._typing = False
        asking = self._asking
        if isinstance(result, Failure):
            if not self._typed.isatty():
                self._screen.leave("nobody types there any more")
            result = Failure(EOFError("nothing more is typed"))
        if asking is not None:
            asking.callback(result)

    def _read(self) -> str:
        line = self._typed.readline(_LONGEST_ANSWER)
        if not line:
            raise EOFError
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
            self._screen.heard(what)
        else:
            self.say(what)

    def waiting(self, what: str) -> None:
        """What is waited for; shown on a terminal alone."""
        self._what = what

    def update(self) -> None:
        """Show how far the phase is."""
        self._screen.look()
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
