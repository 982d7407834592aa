"""What the maintainer scripts of the Debian package let our taper do with Amanda's programs.

The package itself is built, installed and removed by ``make deb``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.run.installing import AMIDXTAPED, TAPER, Machine, make_venv, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def asked(
    machine: Machine, action: str, status: int = 0, python: str = ""
) -> subprocess.CompletedProcess[str]:
    """Do as a maintainer script."""
    done = machine.inside(python or machine.python, "-m", "taper.install.package", action)
    assert done.returncode == status, done.stderr
    return done


def test_the_place_is_taken_and_given_back(machine: Machine) -> None:
    said = asked(machine, "configure").stdout
    assert f"{TAPER} is our taper now" in said
    asked(machine, "upgrade")
    said = asked(machine, "remove").stdout
    assert f"{TAPER} is Amanda's own taper again" in said
    machine.check_untouched()
    assert not machine.record.exists()


def test_all_that_was_installed_by_hand_is_given_back(machine: Machine, top: Path) -> None:
    """Also what serves amrecover; and what was put back by hand is no trouble."""
    stock = (machine.libexec / "amidxtaped", b"#!/bin/sh\n")
    stock[0].write_bytes(stock[1])
    asked(machine, "configure")
    machine.ctl("install", "--recovery")
    machine.ctl("uninstall")
    said = asked(machine, "remove").stdout
    assert said.startswith(f"{AMIDXTAPED} is Amanda's own amidxtaped again")
    assert stock[0].read_bytes() == stock[1]
    stock[0].unlink()
    machine.check_untouched()
    asked(machine, "remove")


def test_another_installation_keeps_its_place(machine: Machine, top: Path, packages: Path) -> None:
    machine.ctl("install")
    text = machine.taper.read_text()
    python = make_venv(top / "packaged", packages)
    said = asked(machine, "configure", python=python).stdout
    assert f"of another installation of ours: {machine.python} -I" in said
    asked(machine, "remove", python=python)
    assert machine.taper.read_text() == text
    assert machine.aside.read_bytes() == machine.stock


def test_nothing_keeps_a_package_from_being_installed(machine: Machine) -> None:
    """No taper of Amanda's; no Amanda; and one who has diverted her taper himself."""
    machine.taper.rename(machine.top / "taper")
    assert '"taperctl application install"' in asked(machine, "configure").stdout
    (machine.top / "taper").rename(machine.taper)
    other = ("dpkg-divert", "--local", "--no-rename", "--divert", f"{TAPER}.other", "--add", TAPER)
    assert machine.inside(*other).returncode == 0
    assert "stays as it is" in asked(machine, "configure").stdout
    assert machine.inside("dpkg-divert", "--remove", "--no-rename", TAPER).returncode == 0
    machine.amgetconf.write_text("#!/bin/sh\nexit 1\n")
    assert "stays as it is" in asked(machine, "configure").stdout
    machine.check_untouched()


def test_a_taper_that_runs(machine: Machine) -> None:
    """Its files are not changed under it, and it is not taken away."""
    asked(machine, "configure")
    pretend = "exec -a taper sleep 60 & while ! grep -q ^taper /proc/$!/cmdline; do :; done; "
    for action in ("upgrade", "remove"):
        script = (
            pretend + f'"$0" -m taper.install.package {action}; status=$?; kill $!; exit $status'
        )
        done = machine.inside("bash", "-c", script, machine.python)
        assert done.returncode == 1
        assert "when its run is over" in done.stderr
    assert machine.python in machine.taper.read_text()


def test_what_no_script_asks(machine: Machine) -> None:
    assert "expected one of configure, upgrade, remove" in asked(machine, "purge", 1).stderr
