"""``taperctl install``, ``uninstall`` and ``status``, on a machine of our own.

Every command runs in a private mount namespace where /usr/lib/amanda is a copy, and with a
private dpkg administration directory: nothing on the machine changes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import installed, unreadable_python

LIBEXEC = "/usr/lib/amanda"
TAPER = f"{LIBEXEC}/taper"
USER = "backup"


def _missing() -> str | None:
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


_REASON = _missing()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")


class Machine:
    """A copy of Amanda's programs and an empty list of diversions."""

    def __init__(self, top: Path, python: str) -> None:
        self.python = python
        self.libexec = top / "amanda"
        self.libexec.mkdir()
        self.taper = self.libexec / "taper"
        self.aside = self.libexec / "taper.amanda"
        shutil.copy2(TAPER, self.taper)
        self.admin = top / "dpkg"
        self.admin.mkdir()
        self.path = os.environ["PATH"]
        self.stock = self.taper.read_bytes()

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine."""
        script = f'mount --bind "$0" {LIBEXEC} && exec "$@"'
        return subprocess.run(
            ["unshare", "-m", "sh", "-c", script, str(self.libexec), *command],
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


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory that the dump user can enter; pytest's own he cannot."""
    with tempfile.TemporaryDirectory(prefix="install.") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture(scope="module")
def packages() -> Iterator[Path]:
    """Our packages and what they need, where the dump user can read them."""
    reason = unreadable_python()
    if reason is not None:
        pytest.skip(reason)
    with installed() as launcher:
        yield launcher.parent / "packages"


@pytest.fixture(scope="module")
def python(packages: Path) -> str:
    return make_venv(packages.parent / "venv", packages)


def make_venv(top: Path, packages: Path) -> str:
    """An installation as ours is, in a venv. :return: its Python"""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(top)], check=True)
    (site,) = top.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text(f"{packages}\n")
    return str(top / "bin" / "python")


@pytest.fixture
def machine(top: Path, python: str) -> Machine:
    return Machine(top, python)


def test_there_and_back(machine: Machine) -> None:
    """Installed, ours runs as the dump user and Amanda's is kept; uninstalled, all is as before."""
    said = machine.ctl("install")
    assert f"{TAPER} is our taper now" in said
    assert "To go back: taperctl uninstall\n" in said
    assert machine.aside.read_bytes() == machine.stock
    assert machine.diversions() == f"local diversion of {TAPER} to {TAPER}.amanda"
    version = machine.inside("runuser", "-u", USER, "--", TAPER, "--version")
    assert version.stdout.startswith("taper-3.5.1\n")
    assert sorted(path.name for path in machine.libexec.iterdir()) == ["taper", "taper.amanda"]

    assert machine.ctl("uninstall") == f"{TAPER} is Amanda's own taper again.\n"
    machine.check_untouched()
    assert machine.ctl("status") == f"{TAPER} is Amanda's own taper.\n"


def test_a_taper_that_runs(machine: Machine) -> None:
    """Neither is the taper changed under a run nor given back; what is there stays."""
    pretend = "exec -a taper sleep 60 & while ! grep -q ^taper /proc/$!/cmdline; do :; done; "
    for command in ("install", "uninstall"):
        script = pretend + f'"$0" -m taper.ctl {command}; status=$?; kill $!; exit $status'
        done = machine.inside("bash", "-c", script, machine.python)
        assert done.returncode == 1
        assert f"; {command} when its run is over" in done.stderr
    machine.check_untouched()


def test_install_twice(machine: Machine) -> None:
    """A second install finds nothing to do."""
    machine.ctl("install")
    before = machine.taper.stat().st_ino
    assert "is our taper already" in machine.ctl("install")
    assert machine.taper.stat().st_ino == before


def test_uninstall_of_nothing(machine: Machine) -> None:
    """Where Amanda's own taper is in place, uninstall leaves it there."""
    assert "nothing to take back" in machine.ctl("uninstall")
    machine.check_untouched()


def test_status_of_ours(machine: Machine) -> None:
    """Status tells which installation is in place."""
    machine.ctl("install")
    said = machine.ctl("status")
    assert f"{TAPER} is our taper: {machine.python} -I -m taper.cli\n" in said
    assert f"kept as {TAPER}.amanda" in said
    assert f"User {USER} can run it." in said


def test_upgrade_of_amanda(machine: Machine) -> None:
    """An upgrade writes Amanda's new taper aside; uninstall brings the new one."""
    machine.ctl("install")
    where = machine.inside("dpkg-divert", "--truename", TAPER).stdout.strip()
    assert where == f"{TAPER}.amanda"
    machine.aside.unlink()
    machine.aside.write_bytes(b"newer")
    machine.ctl("uninstall")
    assert machine.taper.read_bytes() == b"newer"


def test_another_installation_takes_over(machine: Machine, top: Path, packages: Path) -> None:
    """Installing from elsewhere replaces our launcher, and keeps Amanda's taper."""
    machine.ctl("install")
    python = make_venv(top / "other", packages)
    machine.ctl("install", python=python)
    assert python in machine.taper.read_text()
    assert machine.aside.read_bytes() == machine.stock


def test_unreadable_installation(machine: Machine, top: Path, packages: Path) -> None:
    """An installation that the dump user cannot enter is refused, with the directory named."""
    closed = top / "closed"
    closed.mkdir(mode=0o700)
    reason = machine.refused("install", python=make_venv(closed / "venv", packages))
    assert f"user {USER} may not enter {closed}, but " in reason
    machine.check_untouched()


def test_unknown_user(machine: Machine) -> None:
    """A dump user who does not exist is refused."""
    assert "there is no user nosuch" in machine.refused("install", "--user", "nosuch")
    machine.check_untouched()


def test_no_amanda(machine: Machine) -> None:
    """Without Amanda's server there is no place to take."""
    machine.taper.unlink()
    assert "is Amanda's server installed?" in machine.refused("install")
    assert list(machine.libexec.iterdir()) == []


def test_not_root(machine: Machine) -> None:
    """Only root can install."""
    command = ["runuser", "-u", USER, "--", machine.python, "-m", "taper.ctl", "install"]
    done = machine.inside(*command)
    assert (done.returncode, done.stderr) == (1, "taperctl: install needs root\n")
    machine.check_untouched()


def test_diversion_of_others(machine: Machine) -> None:
    """A diversion that is not ours is left alone, by install and uninstall."""
    elsewhere = f"{TAPER}.mine"
    options = ["--local", "--no-rename", "--divert", elsewhere, "--add", TAPER]
    machine.inside("dpkg-divert", *options)
    before = machine.diversions()
    for action in ("install", "uninstall", "status"):
        assert f"it is diverted to {elsewhere} by LOCAL" in machine.refused(action)
    assert machine.diversions() == before
    assert machine.taper.read_bytes() == machine.stock


def test_name_taken(machine: Machine) -> None:
    """A file that stands where Amanda's taper would be kept is not overwritten."""
    machine.aside.write_text("precious")
    assert "is there too, and is another program" in machine.refused("install")
    assert machine.aside.read_text() == "precious"
    assert machine.taper.read_bytes() == machine.stock


def test_diverting_fails(machine: Machine) -> None:
    """When the diversion cannot be made, what was done before it is undone."""
    machine.break_divert("--add")
    assert "broken" in machine.refused("install")
    machine.check_untouched()


def test_renaming_fails(machine: Machine) -> None:
    """When the launcher cannot be put in place, diversion and second name are undone."""
    code = (
        "import errno, os, sys, taper.install as place\n"
        "def fail(*names): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "os.rename = fail\n"
        f"sys.exit(place.run(lambda say: place.install({TAPER!r}, {USER!r}, say)))"
    )
    done = machine.inside(machine.python, "-c", code)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    machine.check_untouched()


def test_taking_back_fails(machine: Machine) -> None:
    """When the diversion cannot be removed, ours stays in place and runs."""
    machine.ctl("install")
    launcher = machine.taper.read_text()
    machine.break_divert("--remove")
    assert "broken" in machine.refused("uninstall")
    assert machine.taper.read_text() == launcher
    assert machine.aside.read_bytes() == machine.stock
    assert len(list(machine.libexec.iterdir())) == 2
    assert "is our taper" in machine.ctl("status")


@pytest.mark.parametrize("diverted", [False, True])
def test_install_cut_short(machine: Machine, diverted: bool) -> None:
    """What an install that was killed left behind can be taken away, or finished."""
    os.link(machine.taper, machine.aside)
    if diverted:
        options = ["--local", "--no-rename", "--divert", f"{TAPER}.amanda", "--add", TAPER]
        machine.inside("dpkg-divert", *options)
    assert "cut short" in machine.refused("status")
    machine.ctl("install")
    assert "is our taper" in machine.ctl("status")
    machine.ctl("uninstall")
    machine.check_untouched()
    os.link(machine.taper, machine.aside)
    machine.ctl("uninstall")
    machine.check_untouched()


def test_launcher_deleted(machine: Machine) -> None:
    """Where somebody deleted our launcher, uninstall still brings Amanda's back."""
    machine.ctl("install")
    machine.taper.unlink()
    machine.refused("status")
    machine.ctl("uninstall")
    machine.check_untouched()


def test_another_place(machine: Machine, top: Path) -> None:
    """Another path than Debian's can be named; the way back names it too."""
    elsewhere = top / "libexec"
    elsewhere.mkdir()
    shutil.copy2(TAPER, elsewhere / "taper")
    said = machine.ctl("install", "--taper", str(elsewhere / "taper"))
    assert f"taperctl uninstall --taper {elsewhere}/taper" in said
    machine.ctl("uninstall", "--taper", str(elsewhere / "taper"))
    assert [path.name for path in elsewhere.iterdir()] == ["taper"]
    machine.check_untouched()


def test_what_others_may_change_is_refused(machine: Machine, top: Path, packages: Path) -> None:
    """The launcher's directory, the interpreter, a directory above it: root neither runs nor
    installs what the dump user may replace."""
    owner = pwd.getpwnam(USER).pw_uid
    own = make_venv(top / "own", packages)
    os.chown(top / "own" / "bin", owner, 0)
    said = machine.refused("install", python=own)
    assert f"{top}/own/bin belongs to user {owner}" in said
    machine.check_untouched()
    os.chown(top / "own" / "bin", 0, 0)
    machine.ctl("install", python=own)
    (top / "own").chmod(0o777)
    said = machine.inside(machine.python, "-m", "taper.ctl", "status").stderr
    assert f"{top}/own may be changed by everybody" in said


def test_status_runs_nothing_as_root(machine: Machine) -> None:
    """What is in place is tried as the dump user."""
    machine.ctl("install")
    first, mark, _ = machine.taper.read_text().split("\n", 2)
    machine.taper.write_text(f"{first}\n{mark}\nexec /bin/sh -c 'id -u >&2; exit 3'\n")
    said = machine.inside(machine.python, "-m", "taper.ctl", "status").stderr
    assert f"status 3, {pwd.getpwnam(USER).pw_uid}" in said
    machine.taper.write_text(f"{first}\n{mark}\nid -u\n")
    said = machine.inside(machine.python, "-m", "taper.ctl", "status").stderr
    assert "is not the launcher that was installed" in said


AMIDXTAPED = f"{LIBEXEC}/amidxtaped"


def test_what_serves_amrecover(machine: Machine) -> None:
    """There and back, without a word about the taper; what ours does not speak is left to
    Amanda's own."""
    shutil.copy2(AMIDXTAPED, machine.libexec)
    stock = machine.inside("runuser", "-u", USER, "--", AMIDXTAPED).stdout
    said = machine.ctl("install", "--recovery")
    assert f"{AMIDXTAPED} is our amidxtaped now" in said
    assert "To go back: taperctl uninstall --recovery\n" in said
    assert machine.diversions() == f"local diversion of {AMIDXTAPED} to {AMIDXTAPED}.amanda"
    version = machine.inside("runuser", "-u", USER, "--", AMIDXTAPED, "--version")
    assert version.stdout.startswith("taper-recovery-3.5.1\n")
    assert machine.inside("runuser", "-u", USER, "--", AMIDXTAPED).stdout == stock
    assert "is our amidxtaped already" in machine.ctl("install", "--recovery")
    said = machine.ctl("status", "--recovery")
    assert f"{AMIDXTAPED} is our amidxtaped: {machine.python} -I -m taper.recovery.cli" in said
    assert machine.ctl("status") == f"{TAPER} is Amanda's own taper.\n"
    text = f"{AMIDXTAPED} is Amanda's own amidxtaped"
    assert machine.ctl("uninstall", "--recovery") == f"{text} again.\n"
    assert machine.ctl("status", "--recovery") == f"{text}.\n"
    (machine.libexec / "amidxtaped").unlink()
    machine.check_untouched()
