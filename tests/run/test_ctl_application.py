"""``taperctl application``: amdirecttar among Amanda's applications, and gone again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")


def ctl(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "taper.ctl", "application", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_it_is_put_there_runs_and_is_taken_away(tmp_path: Path) -> None:
    where = ("--directory", str(tmp_path))
    assert "not in" in ctl("status", *where).stdout
    assert ctl("install", *where).returncode == 0
    support = subprocess.run(
        [tmp_path / "amdirecttar", "support"], capture_output=True, text=True, timeout=600
    )
    assert "DATA-PATH DIRECTTCP" in support.stdout
    assert ctl("uninstall", *where).returncode == 0
    assert not list(tmp_path.iterdir())


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """Neither installing nor uninstalling touches a stranger's program of that name."""
    (tmp_path / "amdirecttar").write_text("#!/bin/sh\n")
    where = ("--directory", str(tmp_path))
    refused = ctl("install", *where)
    assert refused.returncode == 1
    assert "not put there by us" in refused.stderr
    assert "No amdirecttar of ours" in ctl("uninstall", *where).stdout
    assert (tmp_path / "amdirecttar").read_text() == "#!/bin/sh\n"


def test_status_checks_what_install_checks(tmp_path: Path) -> None:
    """No directory, a stranger's program, a launcher whose Python is gone."""
    assert "is no directory" in ctl("status", "--directory", str(tmp_path / "none")).stderr
    where = ("--directory", str(tmp_path))
    launcher = tmp_path / "amdirecttar"
    launcher.write_text("#!/bin/sh\n")
    done = ctl("status", *where)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not put there by us" in done.stderr
    launcher.unlink()
    ctl("install", *where)
    assert ctl("status", *where).stdout == f"amdirecttar is in {tmp_path}.\n"
    launcher.write_text(launcher.read_text().replace(sys.executable, "/no/such/python"))
    done = ctl("status", *where)
    assert done.returncode == 1
    gone = "there is no /no/such/python"
    asked = gone if os.geteuid() == 0 else f"{launcher} does not run: status 127"
    assert asked in done.stderr


@needs_root
def test_what_others_may_change_is_neither_installed_nor_run(tmp_path: Path) -> None:
    """Amanda's client runs it as root: directory, launcher and Python are root's alone."""
    where = ("--directory", str(tmp_path))
    os.chown(tmp_path, 65534, 0)
    refused = ctl("install", *where)
    text = f"{tmp_path} belongs to user 65534, but {tmp_path} must be root's alone"
    assert (refused.returncode, refused.stderr) == (1, f"taperctl: {text} [TAPER-8008]\n")
    assert not list(tmp_path.iterdir())
    os.chown(tmp_path, 0, 0)
    assert ctl("install", *where).returncode == 0
    launcher, ran = tmp_path / "amdirecttar", tmp_path / "ran"
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {ran}\n")
    evil.chmod(0o777)
    installed = launcher.read_text()
    launcher.write_text(installed.replace(sys.executable, str(evil)))
    assert f"{evil} may be changed by everybody" in ctl("status", *where).stderr
    launcher.write_text(installed)
    launcher.chmod(0o777)
    assert f"{launcher} may be changed by everybody" in ctl("status", *where).stderr
    assert not ran.exists()
    launcher.chmod(0o755)
    assert ctl("status", *where).returncode == 0
