"""A machine of our own for commands that install something: nothing outside of it changes.

A mount namespace in which /opt/taper, /run, /usr/lib/amanda and Amanda's directories are private,
with a private dpkg administration directory and a ``sudo`` that needs no password.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.docs.markdown import ROOT
from tests.namespace import Namespace

LIBEXEC = "/usr/lib/amanda"
TAPER = f"{LIBEXEC}/taper"
CONFIG = "DailySet1"
LOGDIR = f"/var/log/amanda/{CONFIG}"
SECONDS = 1200
"""How long one block may take; pip may have to download."""

_SUDO = """#!/bin/sh
if [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi
exec "$@"
"""
_CONF = f"""
dumpuser "backup"
logdir "{LOGDIR}"
tapelist "/var/lib/amanda/tapelist"
tapetype T
define tapetype T {{
  length 10 mbytes
}}
tpchanger "chg-disk:/var/lib/amanda/vtapes"
labelstr "^D[0-9]+$"
autolabel "D%%" empty volume-error
"""
_TREE = ("taper", "protocols", "devices", "twisted", "docs")


class Machine(Namespace):
    """Amanda is installed on it, with a configuration DailySet1; our taper is not.

    :ivar tree: a copy of the working tree, where commands run
    """

    def __init__(self) -> None:
        super().__init__()
        self.tree = self.base / "tree"
        self._copy_tree()
        self._programs = self.base / "bin"
        self._programs.mkdir()
        (self._programs / "sudo").write_text(_SUDO)
        (self._programs / "sudo").chmod(0o755)
        (self.base / "dpkg").mkdir()
        libexec = self.base / "libexec"
        subprocess.run(["cp", "-a", LIBEXEC, str(libexec)], check=True)
        (self.base / "opt" / "taper").mkdir(parents=True)
        (self.base / "run").mkdir()
        script = [
            f"mount --bind {libexec} {LIBEXEC}",
            f"mount --bind {self.base}/run /run",
            *self._opt_mounts(),
            "mount -t tmpfs -o mode=755 tmpfs /opt/taper",
        ]
        self.inside("sh", "-ec", "\n".join(script))
        self.mkdir("/run/taper")
        self.write(f"/etc/amanda/{CONFIG}/amanda.conf", _CONF)
        self.write(f"/etc/amanda/{CONFIG}/disklist", "")
        self.mkdir(LOGDIR)
        for slot in range(1, 4):
            self.mkdir(f"/var/lib/amanda/vtapes/slot{slot}")

    def _copy_tree(self) -> None:
        ignored = shutil.ignore_patterns("__pycache__")
        for name in _TREE:
            shutil.copytree(ROOT / name, self.tree / name, ignore=ignored)
        for path in ROOT.iterdir():
            if path.is_file() and not path.name.startswith("."):
                shutil.copy2(path, self.tree)

    def _opt_mounts(self) -> list[str]:
        """A private /opt with all that is in the real one, since pip may be told to look there."""
        steps = []
        for entry in Path("/opt").iterdir():
            if entry.name != "taper" and entry.is_dir() and not entry.is_symlink():
                (self.base / "opt" / entry.name).mkdir()
                steps.append(f"mount --rbind {entry} {self.base}/opt/{entry.name}")
        return [*steps, f"mount --rbind {self.base}/opt /opt"]

    @property
    def environment_of_root(self) -> Mapping[str, str]:
        """Ours, with the private dpkg directory and sudo in it; no locale that changes texts."""
        private = {
            "PATH": f"{self._programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "DPKG_ADMINDIR": str(self.base / "dpkg"),
            "LC_ALL": "C.UTF-8",
            "PIP_NO_COMPILE": "1",  # most of Twisted is never imported
        }
        return {**os.environ, **private}

    def command_of_root(self, *command: str) -> list[str]:
        """The command line that runs a command as root in the tree."""
        namespace = ["nsenter", "-t", str(self._keeper.pid), "-m"]
        return [*namespace, "env", "-C", str(self.tree), *command]

    def script(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run a script as root, up to its first command that fails.

        :return: with everything it said, stderr too, as ``stdout``
        """
        return subprocess.run(
            self.command_of_root("sh", "-ec", text),
            env=self.environment_of_root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )

    @contextmanager
    def lent(self, packages: Path) -> Iterator[None]:
        """Meanwhile the installed programs find the packages of a directory behind their own."""
        there = "/opt/taper/lent"
        named = "/opt/taper/lib/python*/site-packages"
        steps = (
            f"mkdir -p {there}",
            f"mount --bind {packages} {there}",
            f"for place in {named}; do echo {there} > $place/lent.pth; done",
        )
        self.inside("sh", "-ec", "\n".join(steps))
        try:
            yield
        finally:
            self.inside("sh", "-ec", f"rm {named}/lent.pth; umount {there}")

    def hold_a_night(self, date: str) -> None:
        """Let the taper that is in place run, as Amanda's driver would start it."""
        log = f"{LOGDIR}/log.{date}.0"
        words = (CONFIG, "--storage", CONFIG, "--log-filename", log)
        done = self.run(TAPER, *words, typed="QUIT\n")
        assert done.returncode == 0, done.stdout
