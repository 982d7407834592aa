"""A configuration to complete names of, and shells on a terminal, in which keys are pressed."""

from __future__ import annotations

import getpass
import os
import pty
import select
import subprocess
from collections.abc import Mapping
from pathlib import Path

from taper.run.paths import Paths
from taper.usage.completing import Line
from taper.usage.knowing import known

PATIENCE = 120

_CONF = """
dumpuser "{user}"
logdir "{root}/log"
tapelist "{root}/tapelist"
tapetype T
define tapetype T {{
  length 10 mbytes
}}
define storage vtapes {{
  tpchanger "chg-disk:{root}/vtapes"
}}
define storage {second} {{
  tpchanger "chg-disk:{root}/more"
}}
storage "vtapes"
"""
_TAPELIST = """\
20260101000000 W-01 reuse STORAGE:vtapes CONFIG:C
0 W-02 reuse STORAGE:vtapes CONFIG:C
"""
_DISKLIST = """\
one /home {
  program "GNUTAR"
}
one "/my $files" {
  program "GNUTAR"
}
two /srv {
  program "GNUTAR"
}
"""


class Place:
    """The configuration C."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "etc/C").mkdir(parents=True)
        (root / "etc/nothing").mkdir()
        self.configure("archive")
        (root / "etc/C/disklist").write_text(_DISKLIST)
        (root / "tapelist").write_text(_TAPELIST)

    def configure(self, second: str) -> None:
        """
        :param second: name of the storage that is not written to
        """
        user = getpass.getuser()
        text = _CONF.format(user=user, root=self.root, second=second)
        (self.root / "etc/C/amanda.conf").write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "AMANDA_CONFIG_DIR": str(self.root / "etc"),
            "HOME": str(self.root),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
        }

    def known(self, kind: str, line: Line) -> Mapping[str, str]:
        return known(kind, line, Paths(config_root=str(self.root / "etc")))


class Terminal:
    """A shell on a terminal.

    :param command: it reads the keys that are pressed, and shows no prompt
    """

    def __init__(self, command: list[str], environment: Mapping[str, str], cwd: Path) -> None:
        self._ours, theirs = pty.openpty()
        self._seen = b""
        self._process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
        os.close(theirs)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def read_until(self, mark: str) -> str:
        """What was shown since, up to a mark that it shows; without the mark."""
        while mark.encode() not in self._seen:
            poll = select.poll()  # descriptors may be large
            poll.register(self._ours, select.POLLIN)
            assert poll.poll(PATIENCE * 1000), f"{mark!r} never came: {self._seen!r}"
            self._seen += os.read(self._ours, 4096)
        shown, _, self._seen = self._seen.partition(mark.encode())
        return shown.decode("utf-8", "replace")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)
