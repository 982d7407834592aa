"""What ``ps`` shows of a taper.

Amanda's ``amcleanup`` looks there: a process that the trace log names is one of the run if the
first word of its command, without directories, is ``taper``. Ours would be ``python3``; with the
driver gone, ``amcleanup`` would go to work beside a taper that writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from setproctitle import getproctitle, setproctitle

PROGRAM = "taper"


def show(words: Sequence[str]) -> str:
    """Show this process as a taper with these arguments. :return: what was shown before"""
    before = getproctitle()
    setproctitle(" ".join([PROGRAM, *words]))
    return before


def show_again(title: str) -> None:
    """Show what was shown before, as a daemon does between two conversations: ``amcleanup`` would
    wait for it as long as it lives, since it looks for the end of processes, not of records."""
    setproctitle(title)
