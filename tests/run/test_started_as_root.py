"""A person tries our programs as root: what they make there is the dump user's."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from protocols.installation import DEBIAN
from taper.run.paths import make_private
from tests.run.sessions import make_place
from tests.run.test_stdio import environment

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        not any(entry.pw_name == DEBIAN.client_login for entry in pwd.getpwall()),
        reason=f"there is no user {DEBIAN.client_login}",
    ),
]

OTHER = "nobody"

TWISTD = "from twisted.scripts.twistd import run; run()"
DAEMON = ["-c", TWISTD, "-n", "--pidfile=", "--logfile=-", "taper", "-c", "C", "-d", "stdio"]


@pytest.mark.parametrize(
    "command", [["-m", "taper.cli", "C"], DAEMON], ids=["taper", "twistd taper"]
)
def test_directories_are_given_to_the_dump_user(tmp_path: Path, command: list[str]) -> None:
    """The program refuses to work for root; its directories do not keep the right user out."""
    place = make_place(tmp_path, user=DEBIAN.client_login)
    (tmp_path / "dbg").rmdir()
    done = subprocess.run(
        [sys.executable, "-P", *command, "--log-filename", str(place.log)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(place),
        cwd=tmp_path,
        timeout=600,
    )
    assert done.returncode == 1
    assert b'must be executed as the "backup" user' in done.stderr
    made = [tmp_path / "dbg", *(tmp_path / "dbg").rglob("*")]
    assert len(made) == 4  # dbg/server/C/taper.TIMESTAMP.debug
    assert {path.owner() for path in made} == {DEBIAN.client_login}
    assert {path.group() for path in made} == {DEBIAN.client_login}
    assert not place.log.exists()


def test_the_dump_user_is_the_configurations(tmp_path: Path) -> None:
    """Also of what was made before the configuration was read."""
    place = make_place(tmp_path, user=OTHER)
    (tmp_path / "dbg").rmdir()
    subprocess.run(
        [sys.executable, "-P", "-m", "taper.cli", "C", "--log-filename", str(place.log)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(place),
        cwd=tmp_path,
        timeout=600,
    )
    made = [tmp_path / "dbg", *(tmp_path / "dbg").rglob("*")]
    assert len(made) == 4
    assert {path.owner() for path in made} == {OTHER}


def test_every_directory_on_the_way_is_given(tmp_path: Path) -> None:
    """Those that were there stay whose they are."""
    (tmp_path / "there").mkdir()
    make_private(str(tmp_path / "there/a/b"))
    assert (tmp_path / "there").owner() == "root"
    assert {(tmp_path / name).owner() for name in ("there/a", "there/a/b")} == {DEBIAN.client_login}
    assert (tmp_path / "there/a/b").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_given_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, uid: int, gid: int) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr("taper.run.paths.os.chown", refuse)
    with pytest.raises(PermissionError):
        make_private(str(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []
