"""``taperctl restore`` with a person, who brings volumes, answers, or interrupts."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadable import isInIOThread

from devices.interfaces import AccessMode, LoadRequest
from taper.gnutar import find_tar
from taper.people.exits import Exit
from taper.people.restore import session
from taper.people.restore.place import Here
from taper.people.restore.step import StepAtWork
from taper.people.restore.unpack import Program, Taker
from taper.people.screen import Screen, Style
from taper.people.site import Site
from taper.plane.interfaces import ISource
from taper.recovery.errors import RecoveryFailed
from tests.opened import descriptors
from tests.people.archives import (
    AGAIN,
    HOME,
    Terminal,
    at_terminal,
    found,
    packed,
    script,
    two_nights,
)
from tests.people.nights import Nights, works_begun

pytestmark = pytest.mark.skipif(find_tar() is None, reason="there is no tar")


@ensureDeferred
async def test_a_volume_that_is_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for until it is there, or until a person says to go on."""
    nights = await two_nights(tmp_path)
    slot, away = tmp_path / "vtapes/slot1", tmp_path / "away"
    slot.rename(away)
    slot.mkdir()
    terminal = Terminal("\n", "\n")
    at_terminal(monkeypatch, terminal)

    def bring() -> None:
        if len(terminal.answers) == 1:
            slot.rmdir()
            away.rename(slot)

    terminal.before = bring
    words = ("restore", "localhost", "/home", "--to")
    await nights.lines(*words, str(tmp_path / "back"))
    assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    assert terminal.getvalue().count("Volume C01 is not at hand: ") == 2

    slot.rename(away)
    slot.mkdir()
    at_terminal(monkeypatch, Terminal("s\n"))
    await nights.lines(*words, str(tmp_path / "next"), exit=Exit.FOUND)
    assert found(tmp_path / "next") == AGAIN.files()


@pytest.mark.parametrize("partial", [False, True])
@ensureDeferred
async def test_a_volume_that_somebody_else_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partial: bool
) -> None:
    """It is waited for, as nothing is wrong with it; but where somebody says to go on without, and
    then that is what is told."""
    nights = await two_nights(tmp_path)
    other = Site(reactor, nights.config(), nights.paths, Screen(Style.PLAIN, io.StringIO(), float))
    changer = other.shelves.open_changer("C")
    held = await changer.load(LoadRequest(slot="1", mode=AccessMode.READ))
    waits = 0

    def wait(clock: Any, seconds: float, then: Any) -> Deferred[None]:
        nonlocal waits
        waits += 1
        return deferLater(clock, 0, then) if waits < 3 else held.release()

    monkeypatch.setattr(session, "deferLater", wait)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    if partial:
        said = await nights.lines(*words, "--partial", exit=Exit.FOUND)
        assert "volume is not there" not in "\n".join(said)
        assert "reserved" in "\n".join(said)
        await held.release()
    else:
        said = await nights.lines(*words)
        assert sum(line.startswith("Waiting for volume C01, which") for line in said) == 1
        assert waits == 3
        assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    await changer.close()
    await other.close()


@pytest.mark.parametrize("answer", ["yes\n", "no\n", ""])
@ensureDeferred
async def test_a_person_is_asked_about_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    nights = Nights(tmp_path).make()
    program = script(tmp_path / "unpack", "exec cat")
    packed(nights, program)
    terminal = Terminal(answer)
    at_terminal(monkeypatch, terminal)
    status, _ = await nights.run("restore", "localhost", "/packed", "--to", str(tmp_path / "b"))
    assert status == (Exit.WELL if answer == "yes\n" else Exit.FAILED)
    assert f"read with '{program}' '-d'" in terminal.getvalue()


def ends_of(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each program that is killed, whether its input was still open on our side then."""
    open_then: list[bool] = []
    pipes: dict[Program, int] = {}
    begin, kill = Program.begin, Program.kill

    def begun(program: Program) -> None:
        pipes[program] = os.fstat(program.descriptor).st_ino
        begin(program)

    def killed(program: Program) -> None:
        try:
            open_then.append(os.fstat(program.descriptor).st_ino == pipes[program])
        except OSError:
            open_then.append(False)
        kill(program)

    monkeypatch.setattr(Program, "begin", begun)
    monkeypatch.setattr(Program, "kill", killed)
    return open_then


@ensureDeferred
async def test_it_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a dump: its programs end with it, and nothing passes for the whole."""
    nights = Nights(tmp_path).make()
    program = script(tmp_path / "unpack", f"echo $$ > '{tmp_path}/pid'; exec sleep 1000")
    packed(nights, program)
    begun, ends = works_begun(monkeypatch), ends_of(monkeypatch)
    target = str(tmp_path / "back")
    words = ("restore", "localhost", "/packed", "--to", target, "--trust", str(program))
    running = Deferred.fromCoroutine(nights.run(*words))
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().strip()):
        await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
    begun[0].leave()
    status, said = await running
    assert status == Exit.INTERRUPTED
    assert "what was restored so far is not whole" in said
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
    assert ends == [True], "tar saw the end of its input, and took that for the end of the dump"


@ensureDeferred
async def test_it_fails_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that waits for a dump is not told that it has come to its end."""
    nights = await two_nights(tmp_path)
    ends = ends_of(monkeypatch)
    usual = Program.begin

    def begin(program: Program) -> None:
        usual(program)
        raise RecoveryFailed("it does not want to")

    monkeypatch.setattr(Program, "begin", begin)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    said = await nights.lines(*words, exit=Exit.FOUND)
    assert "it does not want to" in "\n".join(said)
    assert set(ends) == {True}, "each is ended before its input"


@ensureDeferred
async def test_a_source_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program that waits for it is ended, and nothing stays open."""
    nights = await two_nights(tmp_path)
    ends = ends_of(monkeypatch)

    def refuse(step: StepAtWork, undoing: object) -> ISource:
        raise RecoveryFailed("there is none")

    monkeypatch.setattr(StepAtWork, "_source", refuse)
    before = descriptors()
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    said = await nights.lines(*words, exit=Exit.FOUND)
    assert "there is none" in "\n".join(said)
    assert set(ends) == {True}
    assert not [what for _, what in descriptors() - before if what.startswith("pipe:")]


@ensureDeferred
async def test_it_is_interrupted_while_a_program_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take long, and happens in a thread; what has started for nobody is ended."""
    nights = await two_nights(tmp_path)
    begun = works_begun(monkeypatch)
    started: list[Taker] = []
    usual = Here.run

    def start(place: Here, command: Sequence[str]) -> Taker:
        assert not isInIOThread()
        started.append(usual(place, command))
        blockingCallFromThread(reactor, begun[0].leave)
        return started[0]

    monkeypatch.setattr(Here, "run", start)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    status, _ = await nights.run(*words)
    assert status == Exit.INTERRUPTED
    (program,) = started
    assert isinstance(program, Program)
    assert program.status == -signal.SIGKILL
