"""A daemon that is there when a taper starts."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.talks import PATIENCE
from tests.conformance.harness import USER, Program, World

TWISTD = "from twisted.scripts.twistd import run; run()"
_PYTHON = re.compile(r"^exec (\S+) -I |\A#!(\S*python\S*)", re.MULTILINE)
DOOR = "/tmp/amanda/taper.sock"


@contextmanager
def served(world: World, program: Program) -> Iterator[Sequence[str]]:
    """The words by which the taper finds a daemon that serves within the block."""
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    found = _PYTHON.search(Path(program.path).read_text())
    assert found is not None, f"{program.path} does not say which Python runs it"
    twistd = [next(filter(None, found.groups())), "-I", "-c", TWISTD]
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
        yield "--daemon", f"unix:{DOOR}"
    finally:
        daemon.terminate()
        daemon.wait()
