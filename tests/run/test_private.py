"""Directories of predictable names, which a stranger may have made before us."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from protocols.installation import Installation
from taper.application.selecting import Lists
from taper.ownership import Untrusted, refuse_strangers
from taper.run.debug_log import DebugLog
from taper.run.paths import make_private
from taper.run.status_files import OLD, sweep
from tests.plane.dumping import write_holding
from tests.run.sessions import HANDLE, START, WORKER, make_place, write_line
from tests.run.test_session import open_session, tell

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")

STRANGER, ANOTHER = 65534, 65533
AS_ANOTHER = f"""
import os, sys
os.setgid({ANOTHER}); os.setgroups([]); os.setuid({ANOTHER})
from taper.run.paths import make_private
try:
    make_private(sys.argv[1])
except OSError as fault:
    print(fault)
else:
    print("made")
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory like /tmp."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o1777)
        yield Path(name)


def given_away(path: Path, to: int = STRANGER) -> Path:
    path.mkdir(mode=0o755)
    os.chown(path, to, to)
    return path


def refused(path: Path) -> str:
    with pytest.raises(Untrusted) as caught:
        make_private(str(path))
    return str(caught.value)


def test_a_strangers_directory(shared: Path) -> None:
    """And what is below it, which then is not made."""
    strange = given_away(shared / "amanda")
    says = f"{strange} belongs to user {STRANGER}, so "
    assert refused(strange) == f"{says}{strange} is not used"
    assert refused(strange / "server" / "C") == f"{says}{strange}/server/C is not used"
    assert os.listdir(strange) == []


def test_a_strangers_link(shared: Path) -> None:
    """Wherever it leads, to what is ours and to nothing too; our own link is followed."""
    (shared / "ours").mkdir(mode=0o700)
    for target in ("ours", "nowhere"):
        link = shared / f"to-{target}"
        link.symlink_to(target)
        os.lchown(link, STRANGER, STRANGER)
        assert f"{link} belongs to user {STRANGER}" in refused(link)
        assert f"{link} belongs to user {STRANGER}" in refused(link / "below")
    assert sorted(os.listdir(shared)) == ["ours", "to-nowhere", "to-ours"]
    (shared / "link").symlink_to("ours")
    make_private(str(shared / "link" / "below"))
    assert os.listdir(shared / "ours") == ["below"]


def test_what_is_no_directory(shared: Path) -> None:
    (shared / "file").touch()
    os.mkfifo(shared / "fifo")
    for name in ("file", "fifo"):
        assert f"{shared / name} is no directory" in refused(shared / name)


def test_a_directory_that_everybody_may_write(shared: Path) -> None:
    """With the sticky bit nobody can change what is ours in it; without, it is of no use."""
    make_private(str(shared))
    shared.chmod(0o777)
    assert f"{shared} may be changed by everybody" in refused(shared)
    assert f"{shared} may be changed by everybody" in refused(shared / "amanda")


def test_nobody_but_root_and_ourselves_is_trusted(shared: Path) -> None:
    """As an ordinary user: our own and root's will do, another's does not."""
    places = {owner: given_away(shared / str(owner), owner) for owner in (0, STRANGER, ANOTHER)}
    places[ANOTHER].chmod(0o777)
    new = shared / "new"
    said = []
    for path in (*places.values(), new):
        command = [sys.executable, "-c", AS_ANOTHER, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said.append(done.stdout.strip())
    strange = places[STRANGER]
    # what everybody may write is refused, whosever it is
    assert said == [
        "made",
        f"{strange} belongs to user {STRANGER}, so {strange} is not used",
        f"{places[ANOTHER]} may be changed by everybody, so {places[ANOTHER]} is not used",
        "made",
    ]
    assert new.stat().st_uid == ANOTHER


def test_no_debug_file_in_a_strangers_directory(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = given_away(shared / "amanda")
    debug = DebugLog(str(strange), 1_780_000_000.0)
    debug.begin([])
    assert debug.path is None
    said = capsys.readouterr().err
    assert said.startswith(f"taper: no debug file: {strange} belongs to user {STRANGER}")
    assert os.listdir(strange) == []


def test_nothing_is_swept_in_a_strangers_directory(shared: Path) -> None:
    strange = given_away(shared / "amanda")
    old = strange / "taper_status_file_dead00"
    old.touch()
    os.utime(old, (0, 0))
    with pytest.raises(Untrusted):
        sweep(str(strange), 2 * OLD)
    assert old.exists()


def test_lists_for_tar_are_not_in_a_strangers_directory(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are elsewhere then; in our own, as ever."""
    strange = given_away(shared / "amanda")
    elsewhere = Installation(amanda_tmpdir=str(strange))
    monkeypatch.setattr("taper.application.selecting.installation", lambda: elsewhere)
    with Lists(lambda kind, text: None) as lists:
        assert not lists.write("include", [b"./a"]).startswith(str(strange))
    os.chown(strange, 0, 0)
    strange.chmod(0o700)
    with Lists(lambda kind, text: None) as lists:
        assert lists.write("include", [b"./a"]).startswith(str(strange))


@ensureDeferred
async def test_a_dump_goes_on_without_a_status_file(tmp_path: Path) -> None:
    """The debug log says why."""
    place = make_place(tmp_path)
    os.chown(place.paths.tmpdir, STRANGER, STRANGER)
    session, heard = open_session(place)
    ready = heard.hear("TAPER-OK")
    tell(session, START)
    await ready
    asked, done = heard.hear("REQUEST-NEW-TAPE"), heard.hear("DONE")
    tell(session, write_line(write_holding(str(tmp_path), b"some data", 100_000)))
    await asked
    tell(session, f"START-SCAN {WORKER} {HANDLE}")
    tell(session, f"NEW-TAPE {WORKER} {HANDLE}")
    assert " INPUT-GOOD TAPE-GOOD " in await done
    await session.quit()
    assert os.listdir(place.paths.tmpdir) == []
    (debug,) = (tmp_path / "dbg").rglob("*.debug")
    assert f"no status file: {place.paths.tmpdir} belongs to user {STRANGER}" in debug.read_text()


def test_what_is_good(shared: Path) -> None:
    (shared / "amanda").mkdir(mode=0o700)
    refuse_strangers(str(shared / "amanda"))
