"""A daemon that is there when a taper starts, and what the start takes at least."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.cases import Case
from tests.bench.figures import Figures
from tests.bench.talks import PATIENCE, Moment
from tests.conformance.harness import USER, Program, World
from tests.conformance.harness_talk import Conversation

TWISTD = "from twisted.scripts.twistd import run; run()"
_PYTHON = re.compile(r"^exec (\S+) -I |\A#!(\S*python\S*)", re.MULTILINE)
DOOR = "/var/lib/amanda/taper.sock"
SERVED = ("--daemon", f"unix:{DOOR}")
"""The words by which a taper finds the daemon."""


def python_of(program: Program) -> str:
    """The Python that runs a program of ours."""
    found = _PYTHON.search(Path(program.path).read_text())
    assert found is not None, f"{program.path} does not say which Python runs it"
    return next(filter(None, found.groups()))


def bare(world: World, program: Program) -> Figures:
    """The least that a program in this Python takes, started by a shell as ours is: that does
    nothing, and imports nothing but what Python does by itself."""
    command = ["/bin/sh", "-c", 'exec "$0" -I -S -c pass', python_of(program)]
    talk = Conversation(command, world.keeper.pid, USER, world, held=True)
    began = Moment.of(talk)
    talk.let_go()
    _, status, usage = os.wait4(talk.process.pid, 0)
    seconds = time.monotonic() - began.time
    talk.process.returncode = os.waitstatus_to_exitcode(status)
    assert talk.process.returncode == 0
    talk.end()
    return Figures(start=seconds, life=usage.ru_utime + usage.ru_stime - began.cpu)


@contextmanager
def daemon_for(world: World, program: Program, case: Case) -> Iterator[None]:
    """If the case is served, a daemon that serves all rounds within the block: one that serves for
    months has left its first conversation behind."""
    if not case.served:
        yield
        return
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    twistd = [python_of(program), "-I", "-c", TWISTD]
    daemon = subprocess.Popen(
        [
            *("nsenter", "-t", str(world.keeper.pid), "-m", "--wd=/", *user),
            *(*twistd, "-n", "--pidfile="),
            *("taper", "--driver", f"unix:{DOOR}"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    try:
        end = time.monotonic() + PATIENCE
        while not world.path(DOOR).exists():
            assert daemon.poll() is None, "there is no daemon"
            assert time.monotonic() < end
            time.sleep(0.01)
        yield
    finally:
        daemon.terminate()
        daemon.wait()
