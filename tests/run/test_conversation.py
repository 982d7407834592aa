"""From a setup to a conversation, and what is told where it ends early."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen
from twisted.internet import reactor
from zope.interface.verify import verifyObject

from taper.core.interfaces import IDriver
from taper.run.conversation import Conversation, Replies, StartFailedLogged
from taper.run.setup import SetupFailed, StartFailed
from tests.run.sessions import Place, make_place
from tests.run.test_stdio import environment

TWISTD = "from twisted.scripts.twistd import run; run()"


def test_faces(tmp_path: Path) -> None:
    setup = make_place(tmp_path).setup()
    verifyObject(IDriver, Replies(Conversation(reactor, setup).protocol, setup))


def test_the_driver_is_told_before_a_log_that_may_be_locked(tmp_path: Path) -> None:
    """Of a storage that cannot be served."""
    place = make_place(tmp_path)
    told: list[tuple[str, list[str]]] = []
    with pytest.raises(SetupFailed, match="Storage 'nosuch' not found"):
        Conversation(reactor, place.setup(storage="nosuch")).begin(
            lambda text: told.append((text, place.logged()))
        )
    first = "INFO taper taper pid"
    assert told == [("Storage 'nosuch' not found", [first])]
    error = "ERROR taper no-tape error [Storage 'nosuch' not found]"
    assert place.logged() == [first, error, "INFO taper pid-done"]


def test_a_caller_may_tell_the_driver_himself(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    with pytest.raises(SetupFailed):
        Conversation(reactor, place.setup(storage="nosuch")).begin()
    assert place.logged()[-1] == "INFO taper pid-done"


def test_whether_the_log_tells_why_nothing_starts(tmp_path: Path) -> None:
    """What it tells need not be told on stderr; what it cannot tell must be."""
    place = make_place(tmp_path)
    (tmp_path / "tapelist").write_text("this is no tapelist\n")
    with pytest.raises(StartFailedLogged, match="Could not read the tapelist"):
        Conversation(reactor, place.setup()).begin()
    assert place.logged()[-1].startswith("FATAL taper Could not read the tapelist")
    place.log.unlink()
    place.log.mkdir()
    with pytest.raises(StartFailed, match="could not open log file") as failed:
        Conversation(reactor, place.setup()).begin()
    assert not isinstance(failed.value, StartFailedLogged)


@frozen
class Told:
    """What came of a start."""

    replies: str
    logged: list[str]
    failed: bool


def started(place: Place, *command: str) -> Told:
    done = subprocess.run(
        [sys.executable, "-P", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(place),
        cwd=place.root,
        timeout=600,
    )
    logged = place.logged() if place.log.is_file() else []
    return Told(done.stdout, logged, done.returncode != 0)


def by_the_driver(place: Place, storage: str) -> Told:
    log = str(place.log)
    return started(place, "-m", "taper.cli", "C", "--storage", storage, "--log-filename", log)


def by_twistd(place: Place, storage: str) -> Told:
    twistd = ("-c", TWISTD, "-n", "--pidfile=", f"--logfile={place.root}/twistd.log")
    return started(place, *twistd, "taper", "-c", "C", "-s", storage, "-l", str(place.log))


def spoil_tapelist(root: Path) -> None:
    (root / "tapelist").write_text("this is no tapelist\n")


def lose_volumes(root: Path) -> None:
    (root / "vtapes").rename(root / "away")


def lose_log_directory(root: Path) -> None:
    (root / "log").rmdir()


@pytest.mark.parametrize(
    ("storage", "breaks", "replies", "last", "failed"),
    [
        ("nosuch", None, "TAPE-ERROR SETUP", "INFO taper pid-done", False),
        ("C", lose_volumes, "TAPE-ERROR SETUP", "INFO taper pid-done", False),
        ("C", spoil_tapelist, "", "FATAL taper Could not read the tapelist", True),
        ("C", lose_log_directory, "", "", True),
        ("C", None, "", "INFO taper pid-done", False),
    ],
    ids=["no storage", "no volumes", "spoilt tapelist", "no log", "all is well"],
)
def test_both_ways_to_start_tell_the_same(
    tmp_path: Path,
    storage: str,
    breaks: Callable[[Path], None] | None,
    replies: str,
    last: str,
    failed: bool,
) -> None:
    """The process that the driver starts, and the daemon on stdio."""
    found = []
    for way in (by_the_driver, by_twistd):
        root = tmp_path / "place"
        place = make_place(root)
        if breaks is not None:
            breaks(root)
        found.append(way(place, storage))
        root.rename(tmp_path / way.__name__)  # both name the same files in what they say
    assert found[0] == found[1]
    assert found[0].replies.startswith(replies)
    assert bool(found[0].replies) == bool(replies)
    assert found[0].failed is failed
    assert bool(found[0].logged) == bool(last)
    assert "".join(found[0].logged[-1:]).startswith(last)
