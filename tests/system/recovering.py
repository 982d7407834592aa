"""Amanda's own amrecover on a private installation, and our stand-in for what amandad starts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

from tests.namespace import Namespace
from tests.system.amanda import CONFIG, SOURCE, Amanda

AMIDXTAPED = "/usr/lib/amanda/amidxtaped"
LOGS = "/var/log/amanda/server"
PATIENCE = 100.0
"""Seconds for one recovery, on a busy machine."""


@frozen
class Recovered:
    """What amrecover said: ``text`` is all of it, what its children say on stderr too."""

    status: int
    text: str


def stand_in(namespace: Namespace, launcher: Path) -> None:
    """Let amandad start ours.

    :param launcher: of our taper, beside which all that ours needs is installed
    """
    ours = namespace.base / "taper-recovery"
    text = launcher.read_text()
    assert "from taper.cli " in text
    ours.write_text(text.replace("from taper.cli ", "from taper.recovery.cli "))
    ours.chmod(0o755)
    namespace.inside("mount", "--bind", str(ours), AMIDXTAPED)


def story(disk: str, *names: str, answers: int = 4) -> str:
    """What is typed: choose a disk, add these names, extract them."""
    added = "".join(f"add {name}\n" for name in names)
    return f"sethost localhost\nsetdisk {SOURCE}/{disk}\n{added}extract\n" + answers * "y\n"


class Amrecover:
    """One amrecover at work.

    :ivar place: where it restores to
    """

    def __init__(
        self,
        amanda: Amanda,
        *,
        server: str = "localhost",
        auth: str = "local",
        prefix: Sequence[str] = (),
    ) -> None:
        """:param prefix: words before the command, which choose the host that it runs on"""
        self._amanda = amanda
        number = sum(1 for _ in amanda.path("/tmp/amanda").glob("recovered*"))
        self.place = amanda.mkdir(f"/tmp/amanda/recovered{number}")
        self._said = amanda.path(f"/tmp/amanda/said{number}")
        with open(self._said, "wb") as said:
            command = ("amrecover", CONFIG, "-s", server, "-t", server, "-o", f"auth={auth}")
            self.process = subprocess.Popen(
                [*prefix, *amanda.root_command(*command, cwd=self.place)],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=amanda.environment,
            )

    def type(self, text: str) -> None:
        """Type some lines."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self) -> Recovered:
        """No more is typed: wait for the end, which must come in time."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return Recovered(status, self._said.read_text(errors="replace"))


def recover(amanda: Amanda, disk: str, *names: str) -> tuple[str, Recovered]:
    """Restore these names of a disk, and answer every question with yes. :return: where to"""
    amrecover = Amrecover(amanda)
    amrecover.type(f"{story(disk, *names)}quit\n")
    return amrecover.place, amrecover.end()


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that other processes do."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.05)


def our_logs(amanda: Amanda) -> list[str]:
    """The debug logs of our stand-in, oldest first."""
    paths = sorted(amanda.path(LOGS).glob("**/taper-recovery.*.debug"), key=os.path.basename)
    return [path.read_text(errors="replace") for path in paths]


def check_good(amanda: Amanda, disk: str, place: str, recovered: Recovered) -> None:
    """All is there, and nobody had anything to complain about."""
    assert recovered.status == 0, recovered.text
    assert "failed" not in recovered.text, recovered.text
    assert "differ" not in recovered.text, recovered.text
    assert "Extractor child" not in recovered.text, recovered.text
    amanda.check_restored(disk, place)
