"""The process of a command that Nagios or Icinga runs: its state is the exit status, and whatever
goes wrong is UNKNOWN, and is told on stdout: those systems read nothing else, or read stderr as if
it stood there."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, NoReturn, TypeVar

from attrs import evolve

from protocols.errorcode import coded
from taper.last_words import STDOUT, CannotStart
from taper.people.exits import State
from taper.people.plugin_text import SERVICE, in_line
from taper.people.screen import Screen, Style

if TYPE_CHECKING:
    from taper.people.telling import Answer

T = TypeVar("T")


def unknown(text: str) -> int:
    """Say why the state is not known, on the descriptor of stdout. :return: 3"""
    line = f"{SERVICE} {State.UNKNOWN.name}: {in_line(text)}\n"
    try:
        os.write(STDOUT, line.encode("ascii", "backslashreplace"))
    except OSError:
        return State.UNKNOWN  # nobody is there to be told; the status tells it
    return State.UNKNOWN


class Parser(argparse.ArgumentParser):
    """Reads the command line of a plugin."""

    def error(self, message: str) -> NoReturn:
        """:raise CannotStart: always"""
        raise CannotStart(f"{message}; see {self.prog} --help", code=1001)


class PluginScreen(Screen):
    """Stdout alone; what would have been told meanwhile comes behind everything else. Whoever
    wants JSON reads the two apart."""

    def __init__(self, style: Style) -> None:
        super().__init__(style, sys.stdout, time.monotonic)
        self._warnings: list[str] = []

    def warn(self, text: str, code: int | BaseException | None = None) -> None:
        if self.style is Style.JSON:
            super().warn(text, code)
        else:
            self._warnings.append(text if code is None else coded(text, code))

    def answer(self, answer: Answer) -> None:
        told = dict.fromkeys(in_line(text) for text in self._warnings)
        super().answer(evolve(answer, shown=(*answer.shown, *told)))

    def quietly(self, function: Callable[[], T]) -> T:
        said = io.StringIO()
        try:
            with redirect_stderr(said):
                found = function()
        except CannotStart as fault:
            lines = said.getvalue().splitlines()
            raise CannotStart(f"{fault}: {'; '.join(lines)}" if lines else str(fault)) from fault
        for line in said.getvalue().splitlines():
            self.warn(line)
        return found


def make_plugin_screen(*, json: bool) -> Screen:
    """The screen of this process."""
    return PluginScreen(Style.JSON if json else Style.PLAIN)
