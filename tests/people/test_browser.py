"""A browser that does not do what it should: there is an end, which says why."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from tests.people.browser import PATIENCE, browsing

_TELL = 'echo "{process}" >{place}/draft && mv {place}/draft {place}/there'
_ITSELF = f"{_TELL.replace('{process}', '$$')}\nexec sleep 1000\n"
_STARTED = f"sleep 1000 &\n{_TELL.replace('{process}', '$!')}\nwait\n"
_FAR = f"setsid sleep 1000 &\n{_TELL.replace('{process}', '$!')}\nwait\n"


def a_browser(place: Path, script: str) -> str:
    """A program that stands for it."""
    program = place / "browser"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    return str(program)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something."""
    while not true():
        await deferLater(reactor, 0.01)  # type: ignore[arg-type]


def gone(process: int) -> bool:
    """Whether it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def open_one(program: str, clock: Clock) -> None:
    async with browsing(program, clock):
        pass


async def open_deaf(tmp_path: Path, script: str, clock: Clock) -> tuple[Deferred[None], int]:
    """Open one that complains, and never answers.

    :return: what comes of it, and the number of its process
    """
    complaint = "echo 'what do I know?' >&2\n"
    program = a_browser(tmp_path, complaint + script.format(place=tmp_path))
    opened = Deferred.fromCoroutine(open_one(program, clock))
    there = tmp_path / "there"
    await until(there.exists)
    await deferLater(reactor, 0)  # type: ignore[arg-type]  # its complaint is read
    return opened, int(there.read_text())


@pytest.mark.parametrize("script", [_ITSELF, _STARTED], ids=["itself", "started by a script"])
@ensureDeferred
async def test_one_that_never_answers(tmp_path: Path, script: str) -> None:
    clock = Clock()
    opened, process = await open_deaf(tmp_path, script, clock)
    clock.advance(PATIENCE)
    with pytest.raises(RuntimeError, match=r"owed Target\.createTarget; it said:\nwhat do I know"):
        await opened
    await until(lambda: gone(process))


@ensureDeferred
async def test_one_that_ends(tmp_path: Path) -> None:
    program = a_browser(tmp_path, "echo 'there is no display' >&2\nexit 1\n")
    with pytest.raises(RuntimeError, match=r"has ended; it said:\nthere is no display"):
        await open_one(program, Clock())


@ensureDeferred
async def test_one_that_cannot_be_killed(tmp_path: Path) -> None:
    """That is told after some time, too."""
    clock = Clock()
    opened, process = await open_deaf(tmp_path, _FAR, clock)
    try:
        clock.advance(PATIENCE)
        clock.advance(PATIENCE)
        with pytest.raises(RuntimeError, match=r"lives on; it said:\nwhat do I know"):
            await opened
    finally:
        os.kill(process, signal.SIGKILL)
