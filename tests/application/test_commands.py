"""What the application tells of itself: support, selfcheck, estimate; and how it is installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from taper.application.link import NAME, LinkRefused, is_linked, link, unlink
from taper.application.snapshots import base_name
from tests.application.conftest import Disk
from tests.application.driving import run


def test_support(tmp_path: Path) -> None:
    """Both data paths, among the usual abilities."""
    lines = run(tmp_path, "support", "--config", "NONE").out.decode().splitlines()
    assert {"DATA-PATH AMANDA", "DATA-PATH DIRECTTCP", "INDEX-LINE YES"} <= set(lines)
    assert all(len(line.split()) == 2 for line in lines)


def test_selfcheck_is_content(disk: Disk) -> None:
    lines = run(disk.place, "selfcheck", *disk.options()).out.decode().splitlines()
    assert lines
    assert all(line.startswith("OK ") for line in lines), lines


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--gnutar-path", "/bin/true"], "/bin/true is not GNU tar"),
        (["--gnutar-listdir", "/missing"], "/missing, where snapshots are kept, is not"),
        (["--device", "/missing"], "cannot read /missing: No such file or directory"),
        (["--gnutar-lisdir", "/tmp"], "there is no property GNUTAR-LISDIR"),
        (["--normal", "[["], "property NORMAL '[['"),
        (["--sparse", "2"], "--sparse '2': expected YES or NO"),
    ],
)
def test_selfcheck_finds(disk: Disk, options: list[str], why: str) -> None:
    """Each mistake before the night."""
    done = run(disk.place, "selfcheck", *disk.options(), *options)
    (line,) = [line for line in done.out.decode().splitlines() if line.startswith("ERROR ")]
    assert line.removeprefix("ERROR ").startswith(why.replace("[", "("))


def test_estimate(disk: Disk) -> None:
    """One line a level; the size is that of the dump, and nothing is left behind."""
    size = len(run(disk.place, "backup", *disk.options(), "--record").out)
    done = run(disk.place, "estimate", *disk.options(), "--level", "1")
    zero, one = done.out.decode().splitlines()
    assert zero == f"0 {size // 1024} 1"
    assert one == "1 10 1"
    assert [path.name for path in disk.lists.iterdir()] == ["localhost_data_0"]


def test_estimate_that_cannot_be_made(disk: Disk) -> None:
    done = run(disk.place, "estimate", *disk.options(directory="/missing"))
    error, line = done.out.decode().splitlines()
    assert error.startswith("ERROR tar exited with status 2: ")
    assert line == "0 -1 -1"


def test_no_two_disks_share_a_snapshot() -> None:
    """The name is the usual application's where only one disk can have it."""
    assert base_name("localhost", "/usr/share") == "localhost_usr_share"
    disks = ["/a/b", "/a_b", "/a:b", "\\a/b", "/" + 300 * "x", "/" + 301 * "x"]
    found = {base_name("localhost", disk) for disk in disks}
    assert len(found) == len(disks)
    assert all(len(name) < 240 for name in found)


def test_installed_among_amandas_applications(tmp_path: Path) -> None:
    """It runs; a second time is no mistake; only what is ours is taken away."""
    path = link(str(tmp_path))
    assert link(str(tmp_path)) == path == str(tmp_path / NAME)
    told = subprocess.run([path, "support"], capture_output=True, text=True, check=True).stdout
    assert "DATA-PATH DIRECTTCP" in told
    assert unlink(str(tmp_path))
    assert not unlink(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_others_put_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("#!/bin/sh\n# mine\n")
    with pytest.raises(LinkRefused, match="not put there by us"):
        link(str(tmp_path))
    assert not unlink(str(tmp_path))
    assert not is_linked(str(tmp_path))
    assert (tmp_path / NAME).read_text() == "#!/bin/sh\n# mine\n"
    with pytest.raises(LinkRefused, match="no directory"):
        link(str(tmp_path / "missing"))
