"""Running other programs in a thread that may block: a list of words, never a shell, a deadline.

Those of the reactor's thread are run by :mod:`devices.programs`.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress

from devices.patience import LONGEST_PAUSE, Patience, StopSet, TimeIsUp
from devices.programs import environment, find_program

NO_PROGRAM = "there is no such program, or it may not be run"

_LONGEST_TEXT = 4096
"""Bytes, from its end, of what a program said that are told."""

_at_work: set[subprocess.Popen[bytes]] = set()
"""Programs that are killed when this process ends in an orderly way."""


class CommandFailed(Exception):
    """A program could not be run, or did not end well.

    :ivar why: a few words
    :ivar said: the end of what it said
    """

    taper_code = 2021

    def __init__(self, why: str, said: str = "") -> None:
        super().__init__(f"{why}: {said}" if said else why)
        self.why = why
        self.said = said


def run_command(
    words: Sequence[str],
    seconds: float,
    *,
    stop: threading.Event | None = None,
    keep: int | None = None,
    beyond_us: bool = False,
) -> None:
    """Run a program to its end; blocks.

    What it says goes to a file, not to us: it could wait for us, or be ended by our end.

    :param words: its name or path, then its arguments
    :param seconds: that it may take; then it is killed, with what it has started
    :param stop: once set, by any thread, it is killed, too
    :param keep: a descriptor that it inherits
    :param beyond_us: let it go on if this process ends; else it is killed then
    :raise CommandFailed: it did not end with status 0
    """
    program = find_program(words[0])
    if program is None:
        raise CommandFailed(NO_PROGRAM)
    if any("\0" in word for word in words):
        raise CommandFailed("an argument has a NUL byte in it")
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                [program, *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment(),
                pass_fds=() if keep is None else (keep,),
                start_new_session=True,
            )
        except OSError as fault:
            raise CommandFailed(f"it cannot be started: {fault.strerror}") from fault
        if not beyond_us:
            _at_work.add(process)
        try:
            status = _wait(process, Patience(seconds, stop=stop))
        except TimeIsUp:
            _kill(process)
            raise CommandFailed(f"it took longer than {seconds:g} s and was killed") from None
        except StopSet:
            _kill(process)
            raise CommandFailed("nobody waited for it any longer, so it was killed") from None
        finally:
            _at_work.discard(process)
        if status:
            how = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
            raise CommandFailed(how, _end_of(said.fileno()))


def _wait(process: subprocess.Popen[bytes], patience: Patience) -> int:
    """Its exit status. :raise TimeIsUp, StopSet: see Patience"""
    while True:
        try:
            return process.wait(LONGEST_PAUSE)
        except subprocess.TimeoutExpired:
            patience.check()


def _end_of(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, _LONGEST_TEXT, max(0, size - _LONGEST_TEXT))
    return " ".join(data.decode("utf-8", "replace").split())


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it and all that it has started; whoever sleeps in the kernel is not waited for."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)


@atexit.register
def _kill_all() -> None:
    for process in list(_at_work):
        _kill(process)
