"""The same with a real process that is really killed: what the crash images suppose is so."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from tests.crash.checker import Checker
from tests.crash.events import Heard, Told
from tests.crash.night import split
from tests.crash.promises import Promises
from tests.crash.restart import faults_from_here, pick_up
from tests.crash.scenarios import SCENARIOS
from tests.crash.scenarios_plain import MEDIUM
from tests.crash.stage import BLOCK, Recording, Stage, nights
from tests.run.sessions import PATIENCE
from tests.run.test_durable import strace_is_missing

W = "worker0-0"
INJECTED = (
    ("fdatasync", 1),
    ("fdatasync", 2),
    ("fdatasync", 3),
    ("fsync", 1),
    ("fsync", 2),
    ("fsync", 4),
    ("rename", 1),
    ("rename", 3),
    ("unlink", 2),
    ("ftruncate", 1),
    ("symlink", 1),
    ("pwrite64", 2),
)
"""Each a call, and which of a thread's calls of that kind is its last."""


def playing(name: str, root: Path) -> tuple[Stage, list[str]]:
    """A scenario's volumes, and the commands for two dumps."""
    stage = Stage(name, root / name)
    SCENARIOS[name].prepare(stage)
    stage.recorder.look()
    dumps = [stage.dump(MEDIUM), stage.dump(3 * BLOCK)]
    lines = [
        f"FILE-WRITE {W} {dump.handle} {stage.hold(dump)} localhost {dump.disk} 0 "
        f"{dump.datestamp} {split(2 * BLOCK)} 64"
        for dump in dumps
    ]
    return stage, lines


def converse(stage: Stage, lines: list[str], prefix: list[str], last: int) -> bool:
    """Let a taper write dumps, until it dies.

    :param last: kill it at this reply; 0: somebody else does
    :return: it was killed
    """
    place, told = stage.place, 0
    places = {
        "AMANDA_CONFIG_DIR": place.paths.config_root,
        "AMANDA_TMPDIR": place.paths.tmpdir,
        "AMANDA_DBGDIR": place.paths.dbgdir,
        "AMANDA_STATE_DIR": place.paths.statedir,
    }
    taper = str(Path(sys.executable).parent / "taper")
    with subprocess.Popen(
        [*prefix, taper, "--log-filename", str(place.log), "C"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **places},
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(5 * PATIENCE, process.kill)
        watchdog.start()

        def say(line: str) -> None:
            stage.recorder.heard(line)
            try:
                print(line, file=process.stdin, flush=True)
            except BrokenPipeError:
                return  # it is dead, as it shall be

        commands = [*lines, "QUIT"]
        say(f"START-TAPER taper0 {W} C {nights()[0]}")
        for line in process.stdout:
            stage.recorder.told(line.rstrip("\n"))
            told += 1
            word = line.split(" ")[0]
            if told == last:
                process.kill()
            elif word in ("TAPER-OK", "DONE", "PARTIAL", "FAILED"):
                say(commands.pop(0))
            elif word == "REQUEST-NEW-TAPE":
                say(f"NEW-TAPE {W} {line.split()[2]}")
        watchdog.cancel()
        with suppress(BrokenPipeError):
            process.stdin.close()
    return process.returncode != 0


async def faults_after(stage: Stage) -> list[str]:
    """What is wrong on the disk, and after the next run."""
    recording: Recording = stage.recorded()
    checker = Checker(recording)
    told = [event for event in recording.events if isinstance(event, Told | Heard)]
    promises = Promises.made(told, recording.dumps)
    found = checker.faults(pick_up(stage.root), promises)
    return found + await faults_from_here(told, recording, checker)


@pytest.mark.parametrize("last", range(1, 9))
@ensureDeferred
async def test_killed_at_a_reply(last: int, stages: Path) -> None:
    """By whoever hears it, while the taper goes on."""
    stage, lines = playing("relabelling", stages / f"reply{last}")
    assert converse(stage, lines, [], last)
    assert await faults_after(stage) == []


@pytest.mark.parametrize(("call", "when"), INJECTED)
@ensureDeferred
async def test_killed_at_a_call(call: str, when: int, stages: Path) -> None:
    """Before the kernel does it; a call earlier where no thread makes so many."""
    if missing := strace_is_missing():
        pytest.skip(missing)
    name = "spanning_unwarned" if when % 2 else "relabelling"
    for number in range(when, 0, -1):
        stage, lines = playing(name, stages / f"{call}{when}-{number}")
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        words = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]
        killed = converse(stage, lines, words, 0)
        assert await faults_after(stage) == []
        if killed:
            return
    pytest.fail(f"nobody calls {call}")
