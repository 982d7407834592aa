"""What the demonstration shows: lines that stay, and on a terminal one live line below them."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TextIO

MIB = 1024 * 1024
_SECONDS_BETWEEN = 0.1


class DemoFailed(Exception):
    """The demonstration cannot go on; the text says why, in one or more lines."""

    taper_code = 8011


def mib(size: float) -> str:
    """Bytes as people read them: one decimal below 100 MiB."""
    amount = size / MIB
    return f"{amount:,.1f} MiB" if amount < 99.95 else f"{amount:,.0f} MiB"


def rate(size: float, seconds: float) -> str:
    """A rate in MiB/s; blank where it says nothing."""
    if size <= 0 or seconds <= 0:
        return ""
    speed = size / MIB / seconds
    return f"{speed:,.1f} MiB/s" if speed < 9.95 else f"{speed:,.0f} MiB/s"


def count(number: int, thing: str) -> str:
    """``1 part``, ``2 parts``; the plural is made by an s."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def printable(name: bytes | str) -> str:
    """A file name for people: what no terminal should get is replaced."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


class Screen:
    """Where the demonstration speaks.

    :param out: standard output if None
    :ivar live: there is a terminal, so that :meth:`update` shows something
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self.live = self._out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._bold = self.live and "NO_COLOR" not in os.environ
        self._shown = False
        self._updated = 0.0

    def line(self, text: str = "") -> None:
        """Say something that stays."""
        self._out.write(f"{self._cleared()}{text}\n")
        self._out.flush()

    def heading(self, text: str) -> None:
        """Begin a chapter."""
        self.line()
        self.line(f"\x1b[1m{text}\x1b[0m" if self._bold else text)

    def update(self, text: str) -> None:
        """Show how far it is, on a terminal; at most ten times a second."""
        now = time.monotonic()
        if not self.live or now - self._updated < _SECONDS_BETWEEN:
            return
        self._updated = now
        width = shutil.get_terminal_size().columns - 1
        self._out.write(f"{self._cleared()}{text[:width]}")
        self._out.flush()
        self._shown = True

    def _cleared(self) -> str:
        shown, self._shown = self._shown, False
        return "\r\x1b[K" if shown else ""
