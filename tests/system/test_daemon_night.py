"""A night of which a daemon does the taper's work."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.installation import twistd_beside
from tests.system.amanda import TAPER, Amanda, Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

DOOR = "/tmp/amanda/taper.sock"
SAID = "/tmp/amanda/daemon"
OPTIONS = Options(
    disks=[("home", "plain"), ("big", "squeezed")],
    slots=3,
    tapecycle=2,
    tapetype="part-size 10 mbytes",
)
BY_DAEMON = f"""#!/bin/sh
exec {{launcher}} --daemon unix:{DOOR} "$@"
"""
SECONDS = 60


@pytest.fixture
def launcher(installed_taper: Path) -> Iterator[Path]:
    """Of a taper that asks the daemon."""
    with tempfile.TemporaryDirectory(dir=installed_taper.parent) as name:
        os.chmod(name, 0o755)
        found = Path(name) / "taper"
        found.write_text(BY_DAEMON.format(launcher=installed_taper))
        found.chmod(0o755)
        yield found


@contextmanager
def daemon(amanda: Amanda, installed_taper: Path) -> Iterator[subprocess.Popen[bytes]]:
    """It is ready; it ends with the block."""
    program = twistd_beside(installed_taper)
    running = subprocess.Popen(
        amanda.command(
            *("sh", "-c", f'exec "$@" >{SAID} 2>&1', "sh", str(program)),
            *("-n", "--pidfile=", "taper", "--driver", f"unix:{DOOR}"),
        ),
        stdin=subprocess.DEVNULL,
        env=amanda.environment,
    )
    try:
        wait_for(lambda: amanda.path(DOOR).exists() or running.poll() is not None)
        assert running.poll() is None, amanda.read(SAID)
        yield running
        running.terminate()
        running.wait(SECONDS)
    finally:
        running.kill()
        running.wait()


def wait_for(come: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not come():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_night(make_amanda: MakeAmanda, installed_taper: Path, launcher: Path) -> None:
    """With Amanda's own driver: what is dumped can be had back, nothing is said of trouble, and no
    turn of the daemon's reactor was too long."""
    amanda = make_amanda(OPTIONS)
    amanda.inside("mount", "--bind", str(launcher), TAPER)
    for disk, mib in (("home", 3), ("big", 12)):
        amanda.fill(disk, mib)
    with daemon(amanda, installed_taper):
        amanda.ask("amdump")
        log = amanda.driver_log()
        assert "so we go on without" not in log
        assert " exited with " not in log
        assert len(amanda.trace_log("DONE taper")) == 2
        assert amanda.tapelist() == ["SYS-01"]
        (line,) = amanda.trace_log("INFO taper taper pid")
        assert f"INFO taper pid-done {line.split()[-1]}" in amanda.trace_log()
        amanda.check_restored("big", amanda.fetch("big"))
    assert "Traceback" not in amanda.read(SAID)
    amanda.check_ours()
