"""``taperctl install``, ``uninstall`` and ``status``, on a machine of our own.

Every command runs in a private mount namespace where /usr/lib/amanda is a copy, and with a
private dpkg administration directory: nothing on the machine changes.
"""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

from protocols.installation import parse
from tests.run.installing import (
    AMIDXTAPED,
    DEBIAN_HERE,
    TAPER,
    USER,
    Machine,
    make_venv,
    missing,
)

_REASON = missing()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")


def test_there_and_back(machine: Machine) -> None:
    """Installed, ours runs as the dump user and Amanda's is kept; uninstalled, all is as before.
    Here the real amgetconf is asked, elsewhere one that says the same."""
    del machine.binds[str(machine.amgetconf)]
    said = machine.ctl("install")
    assert f"{TAPER} is our taper now" in said
    assert "To go back: taperctl uninstall\n" in said
    assert machine.aside.read_bytes() == machine.stock
    assert machine.diversions() == f"local diversion of {TAPER} to {TAPER}.amanda"
    recorded = parse(machine.record.read_bytes())
    assert (recorded.amgetconf, recorded.values()) == (
        shutil.which("amgetconf"),
        {**DEBIAN_HERE.values(), "amgetconf": recorded.amgetconf},
    )
    version = machine.inside("runuser", "-u", USER, "--", TAPER, "--version")
    assert version.stdout.startswith("taper-3.5.1\n")
    assert sorted(path.name for path in machine.libexec.iterdir()) == ["taper", "taper.amanda"]

    assert machine.ctl("uninstall") == f"{TAPER} is Amanda's own taper again.\n"
    machine.check_untouched()
    assert machine.ctl("status").startswith(f"{TAPER} is Amanda's own taper.\nAmanda 3.5.1, ")


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


def test_a_daemon(machine: Machine) -> None:
    """Where it is stands beside the record, as long as ours is in place."""
    record = machine.record.parent / "daemon"
    said = machine.ctl("install", "--daemon", "unix:/run/taper.sock")
    assert "The daemon at unix:/run/taper.sock serves Amanda's driver" in said
    assert record.read_text() == "unix:/run/taper.sock\n"
    assert record.stat().st_mode & 0o777 == 0o644
    assert "unix:/run/taper.sock serves" in machine.ctl("status")
    alone = machine.inside("runuser", "-u", USER, "--", TAPER, "nosuch", "--log-filename", "/l")
    assert "so we go on without: /run/taper.sock: No such file" in alone.stderr
    assert (alone.returncode, "/nosuch/amanda.conf'" in alone.stderr) == (1, True)
    done = machine.inside(machine.python, "-m", "taper.ctl", "install", "--daemon", "run/taper")
    assert (done.returncode, "expected unix:PATH" in done.stderr) == (1, True)
    assert "serves" not in machine.ctl("install", "--daemon", "none")
    assert not record.exists()
    record.write_text("unix:/run/taper.sock\n")
    machine.ctl("uninstall")
    assert not record.exists()


def test_uninstall_of_nothing(machine: Machine) -> None:
    """Where Amanda's own taper is in place, uninstall leaves it there."""
    assert "nothing to take back" in machine.ctl("uninstall")
    machine.check_untouched()


def test_status_of_ours(machine: Machine) -> None:
    """Status tells which installation is in place."""
    machine.ctl("install")
    said = machine.ctl("status")
    assert f"{TAPER} is our taper: {machine.python} -I -S\n" in said
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
    assert (done.returncode, done.stderr) == (1, "taperctl: install needs root [TAPER-8008]\n")
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
        "sys.exit(place.run(lambda say: place.install(place.Wanted(), say)))"
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
    """Another path than Debian's can be named, with the Amanda that it belongs to; ours knows it
    from then on."""
    elsewhere = top / "libexec"
    elsewhere.mkdir()
    shutil.copy2(TAPER, elsewhere / "taper")
    place = ("--taper", str(elsewhere / "taper"))
    assert "--amgetconf names the one that belongs to" in machine.refused("install", *place)
    assert f"{elsewhere}/taper is our taper now" in machine.ctl(
        "install", *place, "--amgetconf", "/usr/sbin/amgetconf"
    )
    assert f"{elsewhere}/taper is Amanda's own taper again" in machine.ctl("uninstall")
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
    assert machine.ctl("status").startswith(f"{TAPER} is Amanda's own taper.\n")
    text = f"{AMIDXTAPED} is Amanda's own amidxtaped"
    assert machine.ctl("uninstall", "--recovery") == f"{text} again.\n"
    assert machine.ctl("status", "--recovery").startswith(f"{text}.\n")
    (machine.libexec / "amidxtaped").unlink()
    machine.check_untouched()
