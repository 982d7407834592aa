"""A machine of our own for ``taperctl install``: nothing outside of it changes.

Every command runs in a private mount namespace where /usr/lib/amanda is a copy, and with a
private dpkg administration directory.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from protocols.installation import DEBIAN, Installation
from taper.installation import record_path

LIBEXEC = "/usr/lib/amanda"
TAPER = f"{LIBEXEC}/taper"
AMIDXTAPED = f"{LIBEXEC}/amidxtaped"
USER = "backup"


def missing() -> str | None:
    """Why there can be no such machine here; None: there can."""
    if os.geteuid() != 0:
        return "needs root, to make a mount namespace"
    if not os.path.isfile(TAPER):
        return f"{TAPER} is not installed"
    for program in ("dpkg-divert", "runuser", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not any(entry.pw_name == USER for entry in pwd.getpwall()):
        return f"there is no user {USER}"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        return "mount namespaces are not allowed"
    return None


DEBIAN_HERE = Installation(
    **{**DEBIAN.values(), "amperldir": "/usr/lib/x86_64-linux-gnu/amanda/perl"}
)
"""What Amanda's package for Debian 12 says of itself."""


def pretend_amgetconf(path: Path, amanda: Installation, version: str = "3.5.1") -> None:
    """Write a quick ``amgetconf`` that answers for this installation, as the real one does."""
    answers = {f"build.{name}": value for name, value in amanda.values().items()}
    for name in ("amgetconf", "localstatedir", "kept", "kept_amidxtaped"):
        del answers[f"build.{name}"]
    for name in ("logdir", "mailer"):
        answers[name] = answers.pop(f"build.{name}")
    answers["build.version"] = version
    cases = "\n".join(f"{name}) echo '{value}';;" for name, value in answers.items())
    other = """*) echo "amgetconf: no such parameter \\"$1\\"" >&2; exit 1;;"""
    path.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}\n{other}\nesac\n')
    path.chmod(0o755)


class Machine:
    """A copy of Amanda's programs and an empty list of diversions.

    :param libexec: where Amanda's programs are on it
    :ivar binds: what is mounted on it besides: path here to path there
    """

    def __init__(self, top: Path, python: str, libexec: str = LIBEXEC) -> None:
        self.top = top
        self.python = python
        self.place = libexec
        self.libexec = top / "amanda"
        self.libexec.mkdir()
        self.taper = self.libexec / "taper"
        self.aside = self.libexec / "taper.amanda"
        shutil.copy2(TAPER, self.taper)
        self.admin = top / "dpkg"
        self.admin.mkdir()
        self.path = os.environ["PATH"]
        self.stock = self.taper.read_bytes()
        self.binds: dict[str, str] = {str(self.libexec): libexec}
        self.amgetconf = top / "amgetconf"
        pretend_amgetconf(self.amgetconf, DEBIAN_HERE)
        self.binds[str(self.amgetconf)] = "/usr/sbin/amgetconf"
        self.record = Path(record_path(python))
        self.record.unlink(missing_ok=True)

    def without_dpkg(self) -> None:
        """Let there be no ``dpkg-divert``."""
        for path in ("/usr/bin/dpkg-divert", "/bin/dpkg-divert"):
            if os.path.exists(path) and not os.path.islink(os.path.dirname(path)):
                self.binds["/dev/null"] = path

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine."""
        mounts = [f"mount --bind {here} {there}" for here, there in self.binds.items()]
        script = " && ".join([*mounts, 'exec "$0" "$@"'])
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", script, *command],
            env={**os.environ, "PATH": self.path, "DPKG_ADMINDIR": str(self.admin)},
            capture_output=True,
            text=True,
            cwd="/",
        )

    def ctl(self, *arguments: str, python: str = "") -> str:
        """Run taperctl, which must succeed. :return: what it says"""
        done = self.inside(python or self.python, "-m", "taper.ctl", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str, python: str = "") -> str:
        """Run taperctl, which must refuse. :return: why"""
        done = self.inside(python or self.python, "-m", "taper.ctl", *arguments)
        assert done.returncode == 1
        assert not done.stdout
        assert done.stderr.startswith("taperctl: ")
        return done.stderr

    def diversions(self) -> str:
        return self.inside("dpkg-divert", "--list").stdout.strip()

    def check_untouched(self) -> None:
        """Everything is as Amanda's package left it."""
        assert [path.name for path in self.libexec.iterdir()] == ["taper"]
        assert self.taper.read_bytes() == self.stock
        assert self.taper.stat().st_nlink == 1
        assert self.diversions() == ""

    def break_divert(self, option: str) -> None:
        """Let dpkg-divert fail when it is called with an option."""
        real = shutil.which("dpkg-divert")
        programs = self.admin.parent / "bin"
        programs.mkdir()
        script = programs / "dpkg-divert"
        script.write_text(
            f'#!/bin/sh\ncase "$*" in *{option}*) echo broken >&2; exit 2;; esac\n'
            f'exec {real} "$@"\n'
        )
        script.chmod(0o755)
        self.path = f"{programs}:{self.path}"


def make_venv(top: Path, packages: Path) -> str:
    """An installation as ours is, in a venv. :return: its Python"""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(top)], check=True)
    (site,) = top.glob("lib/python*/site-packages")
    site.rmdir()
    site.symlink_to(packages)
    return str(top / "bin" / "python")
