"""What is said on a terminal, by ``rich``; only imported where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table as RichTable
from rich.text import Text

from taper.people.telling import Answer, Table, printable


def make_console(stream: TextIO) -> Console:
    """A console that adds nothing to what it is told: no highlights, no emoji, no markup."""
    return Console(file=stream, highlight=False, emoji=False, markup=False)


def tell_on_terminal(answer: Answer, stream: TextIO) -> None:
    """Tables that fit the width; words that do not are broken over lines, never cut off."""
    console = make_console(stream)
    for part in answer.shown:
        if isinstance(part, str):
            console.print(Text(_fitting(part, console)), soft_wrap=True)
        else:
            console.print(_drawn(part, console))


def _fitting(text: str, console: Console) -> str:
    return text.encode(console.encoding, "backslashreplace").decode(console.encoding)


def _drawn(table: Table, console: Console) -> RichTable:
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in table.columns:
        drawn.add_column(column.head, justify="right" if column.right else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(_fitting(cell, console)) for cell in row))
    return drawn


class Picture:
    """What changes on the terminal; see :class:`taper.people.screen.IPicture`."""

    def __init__(self, stream: TextIO) -> None:
        self._console = make_console(stream)
        # drawn when it is told to: no thread, and nothing is drawn twice
        self._live = Live(
            console=self._console, auto_refresh=False, screen=True, vertical_overflow="crop"
        )
        self._last: RenderableType = Text()
        self._live.start()

    def draw(self, shown: Sequence[Table | str]) -> None:
        console = self._console
        self._last = Group(
            *(
                Text(_fitting(part, console)) if isinstance(part, str) else _drawn(part, console)
                for part in shown
            )
        )
        self._live.update(self._last, refresh=True)

    def close(self) -> None:
        """The last one stays where people can read it."""
        self._live.stop()
        self._console.print(self._last)


class Bar:
    """How far something is, with rate and time left; see :class:`taper.people.screen.IProgress`.

    :param total: bytes; None: nobody knows
    """

    def __init__(self, title: str, total: int | None, stream: TextIO) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[what]}", markup=False),
            console=make_console(stream),
            transient=True,
        )
        self._task = self._progress.add_task(printable(title), total=total, what="")
        self._begun = False
        self._progress.start()

    def advance(self, done: int, what: str = "") -> None:
        if not self._begun:
            self._begun = True  # what was done before says nothing of the rate
            self._progress.reset(self._task, completed=done)
        self._progress.update(self._task, completed=done, what=printable(what))

    def close(self) -> None:
        self._progress.stop()
