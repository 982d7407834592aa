"""What others than root may change, on the whole way to a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from taper.ownership import changeable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to own and to give away")

OTHER = 65534


@pytest.fixture
def top() -> Iterator[Path]:
    """Below the temporary directory, in which everybody may write, but the sticky bit is set."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_roots_own(top: Path) -> None:
    (top / "file").touch()
    (top / "link").symlink_to("file")
    (top / "far").symlink_to(top / "." / ".." / top.name / "link")
    assert changeable(str(top / "far")) is None


@pytest.mark.parametrize(
    ("what", "says"),
    [("file", "may be changed by everybody"), ("dir", "may be changed by everybody")],
)
def test_what_everybody_may_write(top: Path, what: str, says: str) -> None:
    """The file itself, or a directory on the way, by a link too."""
    (top / "dir").mkdir()
    (top / "dir" / "file").touch()
    (top / "link").symlink_to("dir/file")
    bad = top / "dir" / "file" if what == "file" else top / "dir"
    bad.chmod(0o777)
    for way in (top / "dir" / "file", top / "link"):
        assert changeable(str(way)) == f"{bad} {says}"


def test_what_another_owns_or_a_group_may_write(top: Path) -> None:
    (top / "file").touch()
    os.chown(top / "file", OTHER, 0)
    assert changeable(str(top / "file")) == f"{top}/file belongs to user {OTHER}"
    os.chown(top / "file", 0, OTHER)
    assert changeable(str(top / "file")) is None
    (top / "file").chmod(0o664)
    assert changeable(str(top / "file")) == f"{top}/file may be changed by group {OTHER}"
    os.chown(top / "file", 0, 0)
    assert changeable(str(top / "file")) is None
    (top / "link").symlink_to("file")
    os.lchown(top / "link", OTHER, 0)
    assert changeable(str(top / "link")) == f"{top}/link belongs to user {OTHER}"


def test_links_that_lead_nowhere(top: Path) -> None:
    (top / "loop").symlink_to("loop")
    assert "too many symbolic links" in (changeable(str(top / "loop")) or "")
    with pytest.raises(FileNotFoundError):
        changeable(str(top / "no"))
