"""The taper that Amanda starts, before daemons that are none, and between ones that do not read."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from protocols.daemon import BEGUN, GO, LONGEST_ANSWER, OFFER
from taper import daemon_client
from taper.daemon_client import NotServed, read_place
from tests.opened import descriptors
from tests.run.serving_daemon import by_daemon, daemon, driver
from tests.run.sessions import PATIENCE, START, make_place

MUCH = 1 << 20


@contextmanager
def pretended(path: Path, answer: Callable[[socket.socket], object]) -> Iterator[None]:
    """Somebody at a socket, who hears what is said first, and does this."""

    def serve() -> None:
        with listener, closing(listener.accept()[0]) as link:
            link.settimeout(PATIENCE)
            link.recv(1 << 16)
            answer(link)

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ((), "it hung up"),
        ((b"REFUSED not today\n",), "not today"),
        ((b"WAIT a while\nREF", b"USED \xff after all\n"), "\ufffd after all"),
        ((b"what?\n",), ""),
        ((b"O" * LONGEST_ANSWER,) * 3, "it hung up"),
        ((b"OFFE",), "it hung up"),
        ((b"OFFER more\n",), "more"),
        ((OFFER,), "it hung up|Connection reset by peer|Broken pipe"),
        ((OFFER, BEGUN[:3]), "it hung up|Connection reset by peer|Broken pipe"),
        ((OFFER, b"TAPER-OK"), "it said .*|Connection reset by peer|Broken pipe"),
    ],
)
def test_who_does_not_offer_to_serve(tmp_path: Path, answers: tuple[bytes, ...], why: str) -> None:
    """Nothing was begun, so the work can be done without him."""
    with (
        pretended(tmp_path / "door", lambda link: [link.send(each) for each in answers]),
        pytest.raises(NotServed, match=f"({why})$"),
    ):
        daemon_client._ask(f"{tmp_path}/door", ["C", "--log-filename", "log"])


def test_a_release_that_is_being_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What cannot be imported before the daemon begins is a reason to go on without it; what shows
    the title is none to end a conversation."""
    monkeypatch.setitem(sys.modules, "taper.daemon_relay", None)
    with (
        pretended(tmp_path / "door", lambda link: None),
        pytest.raises(NotServed, match="daemon_relay"),
    ):
        daemon_client._ask(str(tmp_path / "door"), ["C", "--log-filename", "log"])

    def show(words: list[str]) -> None:
        raise SyntaxError("half of it is written")

    monkeypatch.setattr("taper.run.title.show", show)
    daemon_client._show(["C"])
    assert capfd.readouterr().err == "taper: ps will show no taper: half of it is written\n"


def test_one_who_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """He is not waited for for ever."""
    monkeypatch.setattr(daemon_client, "ANSWER_PATIENCE", 0.01)
    with (
        pretended(tmp_path / "door", lambda link: link.recv(1)),
        pytest.raises(NotServed, match="no answer in 0 s"),
    ):
        daemon_client._ask(f"{tmp_path}/door", [])


def test_nobody_is_there(tmp_path: Path) -> None:
    """Nothing, a file, a name that is too long for a socket; all that was opened is closed."""
    before = descriptors()
    (tmp_path / "file").touch()
    for name in ("nothing", "file", "x" * 200):
        with pytest.raises(NotServed):
            daemon_client._ask(f"{tmp_path}/{name}", [])
    with pytest.raises(NotServed, match="too long"):
        daemon_client._ask(f"{tmp_path}/nothing", ["x" * (1 << 17)])
    assert descriptors() <= before


def test_where_the_daemon_is_recorded(tmp_path: Path) -> None:
    """By root or us, and nobody else; nothing is nowhere."""
    record = tmp_path / "daemon"
    assert read_place(str(record)) is None
    record.write_text("unix:/run/taper.sock\n")
    assert read_place(str(record)) == "unix:/run/taper.sock"
    record.chmod(0o666)
    with pytest.raises(NotServed, match="may be changed by others"):
        read_place(str(record))
    record.chmod(0o644)
    for text in ("", "tcp:7\n", "unix:/x\ny\n", "unix:" + "\x1b" * 10):
        record.write_text(text)
        with pytest.raises(NotServed, match="expected unix:PATH"):
            read_place(str(record))
    record.unlink()
    record.symlink_to("/etc/passwd")
    with pytest.raises(NotServed):
        read_place(str(record))
    if os.geteuid() == 0:
        record.unlink()
        record.touch()
        os.chown(record, 65534, 65534)
        with pytest.raises(NotServed, match="is not root's"):
            read_place(str(record))


def test_much_is_said_on_both_sides(tmp_path: Path) -> None:
    """While neither reads; all of it comes, and what comes last is the exit status."""
    place = make_place(tmp_path)
    heard = []

    def serve(link: socket.socket) -> None:
        link.send(OFFER)
        assert link.recv(len(GO), socket.MSG_WAITALL) == GO
        link.sendall(BEGUN + b"a" * (MUCH - 1) + b"\n")
        with link.makefile("rb") as words:
            heard.append(words.read())

    with (
        pretended(tmp_path / "door", serve),
        driver(place, "--daemon", f"unix:{tmp_path}/door") as amanda,
    ):
        saying = threading.Thread(target=amanda.say, args=("b" * (MUCH - 1),))
        saying.start()
        assert amanda.hear() == "a" * (MUCH - 1)
        saying.join()
        amanda.say_no_more()
        assert amanda.rest() == []
        assert amanda.wait() == 1
    assert heard == [b"b" * (MUCH - 1) + b"\n"]
    assert "has died" in amanda.errors.read_text()


def test_a_daemon_that_hangs(tmp_path: Path) -> None:
    """Whoever kills the taper that he has started, is not left with an open connection."""
    place = make_place(tmp_path)
    with daemon(place) as house, driver(place, *by_daemon(place)) as amanda:
        amanda.ask(START, "TAPER-OK")
        house.process.send_signal(signal.SIGSTOP)
        amanda.say("QUIT")
        amanda.process.kill()
        assert amanda.rest() == []
        house.process.send_signal(signal.SIGCONT)
        house.hear("STATUS=waiting")
