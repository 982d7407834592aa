"""A restore that is left: its terminal goes away, and it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from taper.people import screen as screen_module
from taper.people.exits import Exit
from taper.people.read_watch import ReadWatch
from taper.people.restore import bringing
from taper.people.screen import Beside, Screen
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

BIN = Path(sys.executable).parent
PATIENCE = 60

_OWN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""The leader of a session with a terminal is who is hung up."""


def logged(nights: Nights, command: str = "restore") -> str:
    """What is in the only log of a command, without what is before each line."""
    (path,) = (nights.root / "dbg/server/C").glob(f"taperctl-{command}.*.debug")
    return "\n".join(
        line.partition(f"taperctl-{command}: ")[2] for line in path.read_text().splitlines()
    )


async def until(condition: Any) -> None:
    for _ in range(PATIENCE * 100):
        if condition():
            return
        await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]
    raise AssertionError("it never came to be")


@pytest.mark.parametrize("signals", [(), (signal.SIGTERM,)])
@ensureDeferred
async def test_the_terminal_goes_away(tmp_path: Path, signals: tuple[int, ...]) -> None:
    """In the middle of a dump: the program that unpacks it goes on as well, and all is in the log.
    A signal ends it as ever."""
    nights = Nights(tmp_path).make()
    program = script(
        tmp_path / "unpack",
        f"head -c 100000; touch '{tmp_path}/begun'; "
        f"while [ ! -e '{tmp_path}/go' ]; do sleep 0.05; done; exec cat",
    )
    packed(nights, program)
    target = tmp_path / "back"
    master, slave = os.openpty()
    words = ("restore", "C", "localhost", "/packed", "--to", str(target), "--trust", str(program))
    process = subprocess.Popen(
        (sys.executable, "-c", _OWN_TERMINAL, str(BIN / "taperctl"), *words),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={
            **os.environ,
            "TERM": "xterm",
            "AMANDA_CONFIG_DIR": nights.paths.config_root,
            "AMANDA_TMPDIR": nights.paths.tmpdir,
            "AMANDA_DBGDIR": nights.paths.dbgdir,
            "AMANDA_STATEDIR": nights.paths.statedir,
        },
    )
    os.close(slave)
    os.set_blocking(master, False)
    said = b""

    def reads() -> bool:
        nonlocal said
        with suppress(BlockingIOError):
            said += os.read(master, 65536)
        assert process.poll() is None, said
        return (tmp_path / "begun").exists() and b"It may be left" in said

    try:
        await until(reads)
        os.close(master)
        if signals:
            await until(lambda: "its terminal is gone" in logged(nights))
            process.send_signal(signals[0])
        else:
            (tmp_path / "go").touch()
        await until(lambda: process.poll() is not None)
    finally:
        (tmp_path / "go").touch()
        process.kill()
        process.wait()
    log = logged(nights)
    if signals:
        assert process.returncode == Exit.INTERRUPTED
        assert "what was restored so far is not whole" in log
        assert f"exit status {Exit.INTERRUPTED:d}" in log
        return
    assert process.returncode == Exit.WELL, log
    assert found(target) == HOME.files()
    assert "localhost /packed is restored to" in log
    assert "Restored. All checksums are as they were when it was dumped.\nexit status 0" in log


class Silent(Terminal):
    """Nobody types there, until it is gone.

    :ivar gone: lets whoever reads from it see its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gone = threading.Event()

    def isatty(self) -> bool:
        return not self.gone.is_set()

    def readline(self, size: int | None = -1) -> str:
        assert self.gone.wait(PATIENCE), "nobody looked"
        return ""


@pytest.mark.parametrize("leaves", [False, True])
@ensureDeferred
async def test_a_volume_that_comes_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    """Whether somebody sits before the question or not: the changer has it, and it goes on."""
    monkeypatch.setattr(bringing, "LOOK_AGAIN", 0.05)
    nights = await two_nights(tmp_path)
    slot, away = tmp_path / "vtapes/slot1", tmp_path / "away"
    slot.rename(away)
    slot.mkdir()
    terminal = Silent()
    at_terminal(monkeypatch, terminal)
    questions: list[str] = []
    asks = ReadWatch.asks

    def keep(watch: ReadWatch, text: str, changer: str) -> None:
        questions.append(f"{changer}: {text}")
        asks(watch, text, changer)

    monkeypatch.setattr(ReadWatch, "asks", keep)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    running = Deferred.fromCoroutine(nights.run(*words))
    await until(lambda: "Volume C01 is not at hand" in terminal.getvalue())
    if leaves:
        terminal.gone.set()
        await until(lambda: "nobody types there any more" in logged(nights))
    slot.rmdir()
    away.rename(slot)
    status, said = await running
    terminal.gone.set()
    assert status == Exit.WELL, said
    assert "Volume C01 has come" in said
    assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    assert terminal.getvalue().count("Volume C01 is not at hand: ") == 1
    assert [question[:29] for question in questions] == ["C: volume 'C01' is not at han"]
    assert logged(nights).rstrip().splitlines()[-3] == "exit status 0"


@ensureDeferred
async def test_it_is_ended_while_a_volume_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights = await two_nights(tmp_path)
    (tmp_path / "vtapes/slot1").rename(tmp_path / "away")
    (tmp_path / "vtapes/slot1").mkdir()
    terminal = Silent()
    at_terminal(monkeypatch, terminal)
    begun = works_begun(monkeypatch)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    running = Deferred.fromCoroutine(nights.run(*words))
    await until(lambda: "Volume C01 is not at hand" in terminal.getvalue())
    begun[0].leave()
    status, _ = await running
    terminal.gone.set()
    assert status == Exit.INTERRUPTED
    assert "exit status 130" in logged(nights)


@ensureDeferred
async def test_whoever_reads_what_it_says_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pipe to a session that was lost."""
    nights = await two_nights(tmp_path)
    screens: list[Screen] = []
    answer = Screen._answer

    def broken(screen: Screen, told: Any) -> None:
        screens.append(screen)
        if not screen.left:
            raise BrokenPipeError(32, "Broken pipe")
        answer(screen, told)

    with monkeypatch.context() as context:
        context.setattr(Screen, "_answer", broken)
        words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
        status, _ = await nights.run(*words)
        assert status == Exit.WELL
        assert screens[0].left
        # a command that changes nothing ends, as it ever did
        assert (await nights.run("dumps"))[0] == Exit.FAILED
    assert found(tmp_path / "back") == HOME.files() | AGAIN.files()
    log = logged(nights)
    assert "Nobody is there any more, and it goes on: Broken pipe" in log
    assert "Restored. All checksums are as they were when it was dumped." in log


@ensureDeferred
async def test_a_verification_that_nobody_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has found is in its log."""
    nights = await two_nights(tmp_path)

    def broken(screen: Screen, told: Any) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(Screen, "_answer", broken)
    assert (await nights.run("verify", "--all"))[0] == Exit.WELL
    log = logged(nights, "verify")
    assert "2 dumps: as it was written: lengths and checksum" in log
    assert "exit status 0" in log


@ensureDeferred
async def test_a_plan_alone_keeps_no_log(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    words = ("restore", "localhost", "/home", "--to", str(tmp_path / "back"))
    record = await nights.record(*words, "--dry-run")
    assert record["log"] is None
    assert not (tmp_path / "dbg/server/C").exists() or not list(
        (tmp_path / "dbg/server/C").glob("taperctl-*")
    )
    record = await nights.record(*words)
    assert Path(record["log"]).read_text().count("exit status 0") == 1
    assert "Restored. All checksums" in Path(record["log"]).read_text()


def test_a_terminal_that_takes_nothing_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a session whose network hangs: it is left as soon as it should be as it was."""
    monkeypatch.setattr(screen_module, "_PATIENCE", 0.05)
    monkeypatch.setattr(screen_module, "_SECONDS_BETWEEN_PICTURES", 0.01)
    told: list[str] = []
    drawing, over = threading.Event(), threading.Event()

    class Hanging:
        def advance(self, done: int, what: str = "") -> None:
            drawing.set()
            over.wait(PATIENCE)

        def close(self) -> None:
            told.append("closed")

    beside = Beside(Hanging, told.append)
    beside.advance(1)
    assert drawing.wait(PATIENCE)
    beside.advance(2)
    beside.close()
    assert told == ["its terminal takes nothing"]
    over.set()


def test_a_terminal_that_is_gone_while_it_is_drawn_on() -> None:
    told: list[str] = []
    gone = threading.Event()

    class Gone:
        def advance(self, done: int, what: str = "") -> None:
            raise OSError(5, "Input/output error")

        def close(self) -> None:
            raise AssertionError("it is gone")

    def leave(why: str) -> None:
        told.append(why)
        gone.set()

    beside = Beside(Gone, leave)
    assert gone.wait(PATIENCE)
    beside.close()
    assert told == ["Input/output error"]
