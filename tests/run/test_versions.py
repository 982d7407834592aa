"""``--version`` and ``--help`` of every program, and what a start without a log is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taper import __version__
from taper.version import amanda
from tests.run.sessions import make_place
from tests.run.test_stdio import environment

TWISTD = "from twisted.scripts.twistd import run; run()"
PROGRAMS = {
    "taper": ["-m", "taper.cli"],
    "taperctl": ["-m", "taper.ctl"],
    "amdirecttar": ["-m", "taper.application.cli"],
    "twistd taper": ["-c", TWISTD, "taper"],
}


def said(tmp_path: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    place = make_place(tmp_path)
    return subprocess.run(
        [sys.executable, "-P", *PROGRAMS[name], *words],
        capture_output=True,
        text=True,
        env=environment(place),
        cwd=tmp_path,
        timeout=600,
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_version(tmp_path: Path, name: str) -> None:
    """First as Amanda's programs say it, then ours."""
    done = said(tmp_path, name, "--version")
    first, second = done.stdout.splitlines()
    program = "taper" if name == "twistd taper" else name
    version = amanda() if program == "taper" else __version__
    assert first == f"{program}-{version}"
    assert second == f"twisted-taper {__version__}, for Amanda {amanda()}"
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_help(tmp_path: Path, name: str) -> None:
    done = said(tmp_path, name, "--help")
    assert "usage:" in done.stdout.lower()
    assert name.split()[0] in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_configuration_is_told_before_a_missing_log(tmp_path: Path) -> None:
    """As stock does; whoever has both mistakes cannot mend the log first."""
    done = said(tmp_path, "taper", "nosuch")
    assert "etc/nosuch/amanda.conf" in done.stderr
    assert "log" not in done.stderr
    (tmp_path / "again").mkdir()
    done = said(tmp_path / "again", "taper", "C")
    text = "--log-filename is missing: the trace log of the run [TAPER-1001]"
    assert done.stderr == f"taper: {text}\n"
    assert done.returncode == 1
