"""The daemon started as root: it opens its door, and is the dump user from then on."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocols.installation import DEBIAN
from taper.run.unix_door import clear_way, socket_path
from tests.run.sessions import START, Place, make_place
from tests.run.test_stdio import environment

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(
        not any(entry.pw_name == DEBIAN.client_login for entry in pwd.getpwall()),
        reason=f"there is no user {DEBIAN.client_login}",
    ),
    pytest.mark.skipif(
        subprocess.run(
            ["runuser", "-u", DEBIAN.client_login, "--", "test", "-r", __file__], check=False
        ).returncode
        != 0,
        reason=f"{DEBIAN.client_login} cannot read this tree",
    ),
]

SECONDS = 60
TWISTD = "from twisted.scripts.twistd import run; run()"


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory of root's that all may enter, as /run is."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def place(root: Path) -> Place:
    """All of it is the dump user's."""
    (root / "amanda").mkdir()
    place = make_place(root / "amanda", user=DEBIAN.client_login)
    for path in (root / "amanda", *(root / "amanda").rglob("*")):
        shutil.chown(path, DEBIAN.client_login, DEBIAN.client_login)
    return place


@contextmanager
def daemon(place: Place, door: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-c", TWISTD, *words, "-n", "taper"]
    running = subprocess.Popen(
        [*command, "--config", "C", "--driver", door],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(place),
        cwd="/",
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def call(path: Path, running: subprocess.Popen[bytes]) -> socket.socket:
    """Connect once it listens."""
    end = time.monotonic() + SECONDS
    while True:
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(SECONDS)
        try:
            link.connect(str(path))
        except OSError:
            link.close()
            if running.poll() is not None:
                assert running.stdout is not None
                pytest.fail(running.stdout.read().decode())
            assert time.monotonic() < end
            time.sleep(0.02)
            continue
        return link


def identity(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: line.split(":")[1].split() for line in lines}


def test_it_is_the_dump_user(root: Path, place: Place) -> None:
    """The founding line, word for word; killed or ended well, it can be started again."""
    user = pwd.getpwnam(DEBIAN.client_login)
    door = root / "taper.sock"
    for number, end in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGTERM)):
        with daemon(place, f"unix:{door}") as running:
            with call(door, running) as link, link.makefile("rw") as talk:
                talk.write(START.replace("20260101", f"2026010{number + 1}") + "\n")
                talk.flush()
                assert talk.readline().startswith("TAPER-OK")
                found = identity(running.pid)
                assert found["Uid"] == [str(user.pw_uid)] * 4
                assert found["Gid"] == [str(user.pw_gid)] * 4
                groups = os.getgrouplist(user.pw_name, user.pw_gid)
                assert sorted(map(int, found["Groups"])) == sorted(groups)
                assert door.owner() == DEBIAN.client_login
                assert stat.S_IMODE(door.stat().st_mode) == 0o600
            running.send_signal(end)
            said, _ = running.communicate(timeout=SECONDS)
            assert b"Traceback" not in said
            assert running.returncode == -end, said
            assert end is signal.SIGKILL or said.rstrip().endswith(b"Server Shut Down.")
    assert {path.owner() for path in place.root.rglob("*")} == {DEBIAN.client_login}


@pytest.mark.parametrize(
    ("change", "words", "says"),
    [
        ("a stranger's directory", (), "belongs to user 65534"),
        ("", ("--uid", "1"), "it becomes backup, the dump user"),
        ("no such dump user", (), 'cannot look up dumpuser "nosuch"'),
        ("a wrong configuration", (), "Errors processing config file"),
    ],
)
def test_why_not(root: Path, place: Place, change: str, words: tuple[str, ...], says: str) -> None:
    """In one sentence, and there is no door."""
    conf = place.root / "etc/C/amanda.conf"
    if change == "a stranger's directory":
        os.chown(root, 65534, 65534)
    elif change == "no such dump user":
        conf.write_text(conf.read_text().replace(DEBIAN.client_login, "nosuch"))
    elif change:
        conf.write_text("nonsense\n")
    with daemon(place, f"unix:{root}/taper.sock", *words) as running:
        said, _ = running.communicate(timeout=SECONDS)
    assert says in said.decode()
    assert b"Traceback" not in said
    assert running.returncode == 1
    assert not (root / "taper.sock").exists()


def test_a_living_daemons_socket_stays(root: Path) -> None:
    """So does what is no socket."""
    path = root / "door"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        clear_way(str(path))
        assert path.exists()
    clear_way(str(path))
    assert not path.exists()
    path.touch()
    clear_way(str(path))
    assert path.exists()


def test_the_path_of_an_endpoint() -> None:
    assert socket_path("tcp:7") is None
    assert socket_path("unix:/run/taper.sock:mode=660") == "/run/taper.sock"
    assert socket_path(r"unix:mode=600:address=/run/a\:b") == "/run/a:b"
