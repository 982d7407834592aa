"""What other programs hold, or put in the place of our files, keeps neither a start nor QUIT."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from taper.core import moment
from taper.run import trace_log
from tests.plane.dumping import write_holding
from tests.run.sessions import HANDLE, PATIENCE, START, WORKER, Place, first, make_place, write_line
from tests.run.test_session import open_session, tell
from tests.run.test_stdio import environment

HOLD_LOCK = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""
ENDS = ("DONE", "PARTIAL", "FAILED")


@contextmanager
def locked_by_another(path: str) -> Iterator[None]:
    """Another process holds the lock of the file."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        yield
        other.communicate()


def files_of(place: Place) -> dict[str, Path]:
    """The files that a taper opens, by what they are for."""
    return {
        "log": place.log,
        "tapelist": place.root / "tapelist",
        "tapelist lock": place.root / "tapelist.lock",
        "state": place.root / "vtapes/state",
        "configuration": place.root / "etc/C/amanda.conf",
        "commands": place.root / "command_file",
    }


@ensureDeferred
@pytest.mark.parametrize("what", ["log", "tapelist lock", "state"])
@pytest.mark.parametrize("moment", ["before the volume", "before the dump", "after the dump"])
async def test_quit_with_a_lock_that_another_program_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, moment: str
) -> None:
    """Whatever it holds up: QUIT waits a moment for it, and not for as long as it is held."""
    monkeypatch.setattr(trace_log, "QUIT_GRACE", 0.1)
    place = make_place(tmp_path)
    path = str(files_of(place)[what])
    holding = write_holding(str(tmp_path), b"data", 100_000)
    session, heard = open_session(place)
    if moment != "before the volume":
        ready = heard.hear("TAPER-OK")
        tell(session, START)
        await ready
    if moment == "after the dump":
        asked, done = heard.hear("REQUEST-NEW-TAPE"), heard.hear("DONE")
        tell(session, write_line(holding))
        await asked
        tell(session, f"NEW-TAPE {WORKER} {HANDLE}")
        await done
    with locked_by_another(path):
        if moment == "before the volume":
            tell(session, START)
        elif moment == "before the dump":
            tell(session, write_line(holding))
            await first([heard.hear(word) for word in ("REQUEST-NEW-TAPE", *ENDS)])
            tell(session, f"NEW-TAPE {WORKER} {HANDLE}")
        ended = session.quit()
        ended.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
        await ended
    assert os.listdir(tmp_path / "tmp") == []


@ensureDeferred
async def test_no_new_tape_with_the_log_locked_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver is answered while it is held; when it is let go, the log has all that was said."""
    monkeypatch.setattr(moment, "MOMENT", 0.1)
    place = make_place(tmp_path)
    holding = write_holding(str(tmp_path), b"data", 100_000)
    session, heard = open_session(place)
    ready, asked = heard.hear("TAPER-OK"), heard.hear("REQUEST-NEW-TAPE")
    tell(session, START)
    await ready
    tell(session, write_line(holding))
    await asked
    ended = heard.hear("FAILED")
    with locked_by_another(str(place.log)):
        tell(session, f"NO-NEW-TAPE {WORKER} {HANDLE} enough")
        assert "cannot write the trace log" in await ended
    await session.quit()
    kinds = [" ".join(line.split()[:2]) for line in place.logged()]
    assert kinds[-3:] == ["ERROR taper", "FAIL taper", "INFO taper"], place.logged()


@ensureDeferred
async def test_quit_while_a_removable_disk_is_locked_by_another(tmp_path: Path) -> None:
    """The changer is made at once, whoever unmounts the disk just now; its first use waits, where
    QUIT can end it."""
    place = make_place(tmp_path)
    lock = tmp_path / "disk lock"
    configuration = files_of(place)["configuration"]
    text = configuration.read_text()
    changer = f'tpchanger "chg-disk:{tmp_path}/vtapes"'
    assert changer in text
    properties = f'removable" "yes"\n property "mount" "yes"\n property "umount-lockfile" "{lock}'
    defined = f'define changer disks {{\n {changer}\n property "{properties}"\n}}\n'
    configuration.write_text(defined + text.replace(changer, 'tpchanger "disks"'))
    with locked_by_another(str(lock)):
        session, heard = open_session(place)
        tell(session, START)
        ended = session.quit()
        ended.addTimeout(PATIENCE, reactor)  # type: ignore[arg-type]
        await ended
    assert heard.lines == [f'TAPE-ERROR {WORKER} "taper is quitting"']


@ensureDeferred
async def test_a_removable_disk_that_cannot_be_mounted(tmp_path: Path) -> None:
    """START-TAPER is told why there is no volume."""
    place = make_place(tmp_path)
    configuration = files_of(place)["configuration"]
    text = configuration.read_text()
    changer = f'tpchanger "chg-disk:{tmp_path}/vtapes"'
    properties = 'removable" "yes"\n property "mount" "yes'
    defined = f'define changer disks {{\n {changer}\n property "{properties}"\n}}\n'
    configuration.write_text(defined + text.replace(changer, 'tpchanger "disks"'))
    session, heard = open_session(place)
    told = heard.hear("TAPE-ERROR")
    tell(session, START)
    assert f"No removable disk mounted on '{tmp_path}/vtapes'" in await told
    await session.quit()


def converse(place: Place, *lines: str) -> list[str]:
    """Say one line after the other to a taper, each when it has answered, and then that is all.

    :return: what came on stdout and stderr
    """
    command = [sys.executable, "-m", "taper.cli", "C", "--storage", "C"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [*command, "--log-filename", str(place.log)],
        text=True,
        env=environment(place),
        cwd=place.root,
        **pipes,  # type: ignore[call-overload]
    ) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        said = ""
        for line in lines:
            try:
                process.stdin.write(f"{line}\n")
                process.stdin.flush()
            except BrokenPipeError:
                break
            said += process.stdout.readline()
        rest, errors = process.communicate()
        watchdog.cancel()
    assert process.returncode >= 0, "it had to be killed"
    return [said + rest, errors]


@pytest.mark.parametrize("what", ["log", "tapelist", "tapelist lock", "state", "configuration"])
def test_a_fifo_in_the_place_of_a_file(tmp_path: Path, what: str) -> None:
    """Opening it does not wait for its other end: somebody is told which file it is, and QUIT
    works."""
    place = make_place(tmp_path)
    path = files_of(place)[what]
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    holding = write_holding(str(tmp_path), b"data", 100_000)
    told = converse(place, START, write_line(holding), f"NEW-TAPE {WORKER} {HANDLE}")
    told += [file.read_text() for file in tmp_path.glob("dbg/server/**/*.debug")]
    if what != "log":
        told += [place.log.read_text()] if place.log.exists() else []
    assert any(str(path) in text and "not a regular file" in text for text in told), told
