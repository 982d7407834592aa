"""What systemd and our services tell each other; the test plays systemd."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from taper.last_words import CannotStart
from taper.systemd import BEATS, Notifier, check_socket
from tests.run.serving_daemon import TWISTD, by_daemon, driver
from tests.run.sessions import PATIENCE, START, make_place
from tests.run.test_stdio import environment

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
ANALYZE = shutil.which("systemd-analyze")
needs_analyze = pytest.mark.skipif(ANALYZE is None, reason="there is no systemd-analyze")


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """Where a service says how it goes."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as told:
        told.bind(address)
        told.settimeout(PATIENCE)
        yield told


@pytest.mark.parametrize("abstract", [False, True])
def test_what_is_said(tmp_path: Path, abstract: bool) -> None:
    """Each in one message; signs of life from READY on, as long as the clock goes."""
    name = f"\0{tmp_path}" if abstract else f"{tmp_path}/notify"
    clock = Clock()
    settings = {
        "NOTIFY_SOCKET": name.replace("\0", "@"),
        "WATCHDOG_USEC": str(BEATS * 10_000_000),
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }
    with listening(name) as told:
        notifier = Notifier(clock, settings)
        assert settings == {"PATH": "/bin"}
        notifier.status("beginning\nSTATUS=and more")
        notifier.ready("serving")
        clock.advance(10)
        notifier.reloading()
        notifier.ready("again")
        clock.advance(10)
        notifier.stopping()
        notifier.still()
        clock.advance(100)
        told.setblocking(False)
        heard = []
        while True:
            try:
                heard.append(told.recv(1000).decode())
            except BlockingIOError:
                break
    (reload,) = [text for text in heard if text.startswith("RELOADING")]
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", reload)
    heard.remove(reload)
    assert heard == [
        "STATUS=beginning STATUS=and more",
        "READY=1\nSTATUS=serving",
        *["WATCHDOG=1"] * 2,
        "READY=1\nSTATUS=again",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=ending",
    ]


def test_where_nobody_listens(tmp_path: Path) -> None:
    """Neither nobody nor one who is gone, or hears another, keeps a service from going on."""
    for settings in (
        {},
        {"NOTIFY_SOCKET": f"{tmp_path}/gone", "WATCHDOG_USEC": "x"},
        {"NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "3", "WATCHDOG_PID": "1"},
    ):
        clock = Clock()
        notifier = Notifier(clock, settings)
        notifier.ready("serving")
        notifier.stopping()
        assert clock.getDelayedCalls() == []
        assert settings == {}


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="connection")
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], "-n", "--pidfile=", *sys.argv[3:]])
"""


@contextmanager
def activated(
    root: Path, link: socket.socket, *words: str, settings: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A service with a socket that is open already, and what it tells."""
    with listening(f"{root}/notify") as told:
        process = subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, str(link.fileno()), TWISTD, *words],
            pass_fds=[link.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=(root / "said").open("wb"),
            stderr=subprocess.STDOUT,
            env={
                **settings,
                "NOTIFY_SOCKET": f"{root}/notify",
                "WATCHDOG_USEC": "60000000",
            },
            cwd=root,
        )
        try:
            yield process, told
        finally:
            process.kill()
            process.wait()


def check_listens(link: socket.socket) -> None:
    """Whoever calls now waits for the next service: none has shut down what systemd listens on."""
    with socket.socket(link.family) as caller:
        caller.settimeout(PATIENCE)
        caller.connect(link.getsockname())
        link.settimeout(PATIENCE)
        link.accept()[0].close()


def hear(told: socket.socket, word: str) -> str:
    while word not in (said := told.recv(4096).decode()):
        pass
    return said


def test_a_taper_on_a_socket_of_systemds(tmp_path: Path) -> None:
    """It serves whoever has come before it was there, tells how it goes, and leaves the socket and
    its mode alone, also when it ends."""
    place = make_place(tmp_path)
    path = tmp_path / "door"
    with closing(socket.socket(socket.AF_UNIX)) as link:
        link.bind(str(path))
        path.chmod(0o640)
        link.listen()
        words = ("taper", "--config", "C", "--driver", "systemd")
        with (
            driver(place, *by_daemon(place)) as amanda,
            activated(tmp_path, link, *words, settings=environment(place)) as (process, told),
        ):
            amanda.ask(START, "TAPER-OK")
            hear(told, "READY=1\nSTATUS=")
            hear(told, "WATCHDOG=1")
            assert "no daemon" not in amanda.errors.read_text()
            process.send_signal(signal.SIGTERM)
            hear(told, "STOPPING=1")
            assert amanda.rest() == []
            assert amanda.wait() == 0
            assert process.wait(PATIENCE) == -signal.SIGTERM
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        check_listens(link)


def test_a_tape_server_on_a_socket_of_systemds(tmp_path: Path) -> None:
    """Instead of the one of its settings."""
    accounts = tmp_path / "accounts"
    accounts.write_text("ndmp:ndmp\n")
    accounts.chmod(0o600)
    (tmp_path / "conf").write_text(
        f"[server]\nlisten = 192.0.2.1:1\naccounts = {accounts}\n"
        f"[drive d]\nfile = {tmp_path}/tape\n"
    )
    (tmp_path / "tape").touch()
    with closing(socket.create_server(("127.0.0.1", 0))) as link:
        port = link.getsockname()[1]
        words = ("ndmp-tape", "--config", f"{tmp_path}/conf")
        with activated(tmp_path, link, *words, settings=dict(os.environ)) as (process, told):
            assert f"listening on 127.0.0.1:{port}" in hear(told, "READY=1")
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                assert client.recv(1)  # it speaks first
            process.send_signal(signal.SIGTERM)
            hear(told, "STOPPING=1")
            assert process.wait(PATIENCE) == -signal.SIGTERM
        check_listens(link)


def test_a_socket_that_everybody_reaches() -> None:
    """By TCP whoever likes would drive the taper."""
    with closing(socket.create_server(("127.0.0.1", 0))) as link:
        check_socket(link, (socket.AF_INET,))
        with pytest.raises(CannotStart, match="of AF_INET, expected one that listens, of AF_UNIX"):
            check_socket(link, (socket.AF_UNIX,))
    with closing(socket.socket(socket.AF_UNIX)) as link, pytest.raises(CannotStart):
        check_socket(link, (socket.AF_UNIX,))


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units, for this installation."""
    found = []
    for unit in sorted(UNITS.iterdir()):
        text = unit.read_text()
        copied = tmp_path / unit.name
        copied.write_text(text.replace("/opt/taper/", f"{sys.prefix}/"))
        found.append(str(copied))
    assert len(found) == 4
    return found


@needs_analyze
def test_units_are_good(units: list[str]) -> None:
    done = subprocess.run(
        [str(ANALYZE), "verify", *units], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs_analyze
def test_units_are_hardened(units: list[str]) -> None:
    """As systemd counts it; above it says MEDIUM. No word of a command line is a secret."""
    for unit in units:
        if not unit.endswith(".service"):
            continue
        command = [str(ANALYZE), "security", "--offline=true", "--threshold=30", unit]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        if "unrecognized option" in done.stderr:
            pytest.skip("this systemd-analyze cannot look at files")
        assert done.returncode == 0, done.stdout[-400:] + done.stderr
        text = Path(unit).read_text()
        assert "User=backup\n" in text
        assert not re.search("(?i)password|secret|Environment=", text)
