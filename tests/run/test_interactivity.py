"""Operators asked at a terminal and by mail: replies, refusals, and questions taken back."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock, deferLater
from zope.interface.verify import verifyObject

from devices.errors import ChangerError, DriveFailed
from protocols.conf.sections import Interactivity, Storage
from taper.core.scan import IInteractivity, ScanFailed
from taper.run.interactivity import make_operator
from taper.run.session import Session
from taper.run.volume_mail import Mail, MailSettings, mail_settings, read_reply
from tests.fakes.async_changer import FakeAsyncChanger
from tests.fakes.config import make_config
from tests.run.sessions import START, WORKER, Listener, make_place
from tests.run.test_session import tell

WHY = "No acceptable volumes found"
PROMPT = (
    f"{WHY}\r\nInsert a new volume in mychanger\r\nand press <enter> enter, or ^D to abort.\r\n"
)


# At a terminal


class AtTerminal:
    """A process whose controlling terminal is ours to type on."""

    def __init__(self, *words: str) -> None:
        self.seen = ""
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "tests.run.terminal_child", *words])
        self._poll = select.poll()  # select.select() takes no descriptor above 1023
        self._poll.register(self._master, select.POLLIN)

    def see(self, text: str) -> None:
        while text not in self.seen:
            assert self._poll.poll(30_000), f"no {text!r} in {self.seen!r}"
            try:
                self.seen += os.read(self._master, 4096).decode()
            except OSError:  # the other end is closed
                raise AssertionError(f"no {text!r} in {self.seen!r}") from None

    def type(self, text: bytes) -> None:
        os.write(self._master, text)

    def end(self) -> None:
        assert os.waitpid(self.pid, 0)[1] == 0
        os.close(self._master)


@pytest.mark.parametrize(
    ("typed", "result"),
    [
        (b"\n", ""),
        (b"chg-disk:/other\n", "chg-disk:/other"),
        (b"\x04", "Aborted by user"),
        ("größer\n".encode(), "größer"),
    ],
)
def test_a_line_at_the_terminal_is_the_reply(typed: bytes, result: str) -> None:
    """Enter means look again, a name another changer, ^D gives up."""
    terminal = AtTerminal()
    terminal.see(PROMPT)
    terminal.type(typed)
    terminal.see(f"RESULT: {result!r}")
    terminal.end()


def test_a_question_at_the_terminal_can_be_taken_back() -> None:
    terminal = AtTerminal("cancel")
    terminal.see("RESULT: ''")
    terminal.end()


def test_in_the_background_nothing_is_stolen_from_the_shell(tmp_path: Path) -> None:
    """What is typed is left to who has the terminal; the reply counts once it is ours."""
    os.mkfifo(tmp_path / "gate")
    terminal = AtTerminal("background", str(tmp_path / "gate"))
    terminal.see(PROMPT)
    terminal.type(b"ls\n")
    terminal.see("PARENT: ls\r\n")
    (tmp_path / "gate").write_text("")
    terminal.type(b"again\n")
    terminal.see("RESULT: 'again'")
    terminal.end()


def test_without_a_terminal_the_scan_fails_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.run.terminal_child"],
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout == "RESULT: 'Failed to open /dev/tty: No such device or address'\n"


# By mail


class Post(Clock):
    """A clock, and mailers that only keep what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[list[bytes], str]] = []
        self.broken = False

    def spawnProcess(self, protocol: Any, path: bytes, args: list[bytes], env: Any) -> None:
        if self.broken:
            raise OSError(2, "No such file or directory")
        assert path == args[0]
        body: list[bytes] = []

        class Transport:
            def write(self, data: bytes) -> None:
                body.append(data)

            def closeStdin(self) -> None:
                pass

        protocol.transport = Transport()
        protocol.connectionMade()
        self.sent.append((args[1:], b"".join(body).decode()))


SETTINGS = MailSettings(mailer="/usr/bin/mail", addresses=("a@x", "b@x"))


class Asked:
    """A question by mail."""

    def __init__(self, settings: MailSettings = SETTINGS) -> None:
        self.post = Post()
        self.noted: list[str] = []
        mail = Mail(self.post, settings, maybeDeferred, self.noted.append)
        self.outcome: list[Any] = []
        self.reply: Deferred[str] = mail.ask(WHY, "mychanger")
        self.reply.addCallbacks(self.outcome.append, lambda f: self.outcome.append(f.value))


def changed_later(path: Path, text: str) -> None:
    """Write the file, whatever the clock's resolution is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    if path.stat().st_mtime_ns <= before:
        os.utime(path, ns=(before + 10**9, before + 10**9))


def test_the_mail() -> None:
    """Subject and addresses as stock's; without a file only the changer itself can answer."""
    asked = Asked()
    ((arguments, body),) = asked.post.sent
    subject = b"AMANDA VOLUME REQUEST (mychanger): new volume"
    assert arguments == [b"-s", subject, b"a@x", b"b@x"]
    assert body == f"{WHY}\n\nInsert a new volume in mychanger\n"
    asked.post.advance(100_000)
    assert len(asked.post.sent) == 1
    asked.reply.cancel()
    assert isinstance(asked.outcome[0], CancelledError)
    assert not asked.post.getDelayedCalls()


def test_the_mail_is_sent_again() -> None:
    asked = Asked(evolve(SETTINGS, resend_delay=60.0))
    for _ in range(3):
        asked.post.advance(60)
    assert len(asked.post.sent) == 4
    asked.reply.cancel()
    assert not asked.post.getDelayedCalls()


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("", ""), ("\n", ""), ("chg-disk:/b\nmore", "chg-disk:/b"), ("  x  \n", "x")],
)
def test_the_file_is_the_reply(tmp_path: Path, text: str, outcome: str) -> None:
    """Its first line counts once it was changed after the question, not before."""
    path = tmp_path / "reply"
    path.write_text("an old reply")
    asked = Asked(evolve(SETTINGS, check_file=str(path), check_delay=5.0, resend_delay=60.0))
    assert str(path) in asked.post.sent[0][1]
    asked.post.advance(5)
    assert asked.outcome == []
    changed_later(path, text)
    asked.post.advance(5)
    assert asked.outcome == [outcome]
    assert not asked.post.getDelayedCalls()


@pytest.mark.parametrize("word", ["abort", "ABORT\n"])
def test_abort_in_the_file_gives_up(tmp_path: Path, word: str) -> None:
    path = tmp_path / "reply"
    asked = Asked(evolve(SETTINGS, check_file=str(path)))
    assert "(The file is not there yet.)" in asked.post.sent[0][1]
    path.write_text(word)
    asked.post.advance(10)
    assert isinstance(asked.outcome[0], ScanFailed)
    assert asked.outcome[0].text == "Aborted by user"


def test_what_is_no_file_brings_a_mail_with_a_remark(tmp_path: Path) -> None:
    """And the wait goes on; once it is a file, it is a reply."""
    path = tmp_path / "reply"
    asked = Asked(evolve(SETTINGS, check_file=str(path)))
    path.mkdir()
    asked.post.advance(10)
    assert f"The check-file '{path}' is not a flat file." in asked.post.sent[1][1]
    asked.post.advance(10)
    assert len(asked.post.sent) == 2
    path.rmdir()
    asked.post.advance(10)
    path.write_text("again")
    asked.post.advance(10)
    assert asked.outcome == ["again"]


def test_an_unreadable_file_and_a_pipe_are_no_replies(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a flat file" in read_reply(str(tmp_path / "pipe"), (0, 0)).trouble
    assert read_reply(str(tmp_path / "none"), (0, 0)).line is None


def test_a_mailer_that_cannot_be_run_is_noted() -> None:
    """The question stays open: the changer may still be changed."""
    asked = Asked()
    asked.post.broken = True
    mail = Mail(asked.post, SETTINGS, maybeDeferred, asked.noted.append)
    mail.send("s", "b")
    assert asked.noted == ["cannot run /usr/bin/mail: [Errno 2] No such file or directory"]


def test_nobody_to_mail_to() -> None:
    """Without address and file nobody could ever answer."""
    asked = Asked(evolve(SETTINGS, addresses=()))
    assert "there is nobody to mail to" in asked.outcome[0].text
    asked = Asked(evolve(SETTINGS, addresses=(), check_file="/nowhere/reply"))
    assert asked.outcome == asked.post.sent == []
    asked.reply.cancel()


def test_settings() -> None:
    """Properties come before the global mailto; a delay that is none counts as not set."""
    general = make_config(mailto="a@x b@x", mailer="/bin/m").general
    assert mail_settings({}, general) == MailSettings(mailer="/bin/m", addresses=("a@x", "b@x"))
    wanted = {
        "mailto": ("c@x",),
        "check-file": ("/f",),
        "check-file-delay": ("30",),
        "resend-delay": ("soon",),
    }
    assert mail_settings(wanted, general) == MailSettings(
        mailer="/bin/m", addresses=("c@x",), check_file="/f", check_delay=30.0
    )


@ensureDeferred
async def test_a_real_mailer(tmp_path: Path) -> None:
    """The body arrives on its stdin; what it complains about is noted."""
    mailer = tmp_path / "mailer"
    mailer.write_text(
        f'#!/bin/sh\ncat > "{tmp_path}/got"; echo "$@" >> "{tmp_path}/got"\necho no\nexit 3\n'
    )
    mailer.chmod(0o755)
    told: Deferred[str] = Deferred()
    settings = MailSettings(mailer=str(mailer), addresses=("a@x",))
    asked = Mail(reactor, settings, maybeDeferred, told.callback).ask(WHY, "mychanger")
    assert "exit code 3. no" in " ".join((await told).split())
    assert (tmp_path / "got").read_text() == (
        f"{WHY}\n\nInsert a new volume in mychanger\n"
        "-s AMANDA VOLUME REQUEST (mychanger): new volume a@x\n"
    )
    asked.addErrback(lambda failure: failure.trap(CancelledError))
    asked.cancel()


# Which module


def operator(plugin: str, open_changer: Callable[[str], Any] | None = None) -> Any:
    config = make_config(Interactivity("who", plugin=plugin))
    made = make_operator(
        Post(),
        config,
        Storage("S", interactivity="who" if plugin else ""),
        open_changer or (lambda name: FakeAsyncChanger({})),
        maybeDeferred,
        lambda text: None,
    )
    if made is not None:
        verifyObject(IInteractivity, made)
    return made


def failure_of(deferred: Deferred[Any]) -> Exception:
    failures: list[Any] = []
    deferred.addErrback(failures.append)
    error: Exception = failures[0].value
    return error


def test_without_interactivity_there_is_no_operator() -> None:
    assert operator("") is None


@pytest.mark.parametrize(
    ("plugin", "text"),
    [("stdin", "would read what the driver says"), ("carrier-pigeon", "no such interactivity")],
)
def test_who_cannot_be_asked_says_why(plugin: str, text: str) -> None:
    """Only when asked: a scan that never asks runs with any."""
    fault = failure_of(operator(plugin).ask(WHY, "mychanger"))
    assert isinstance(fault, ScanFailed)
    assert fault.text.startswith(WHY)
    assert text in fault.text


def test_tty_email_falls_back_to_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taper.run.interactivity.has_terminal", lambda: False)
    assert "nobody to mail to" in str(failure_of(operator("tty_email").ask(WHY, "mychanger")))


def test_changers_of_replies_are_closed_with_the_operator() -> None:
    """A device that cannot be opened is a changer that cannot."""
    closed: list[str] = []

    class Opened(FakeAsyncChanger):
        def close(self) -> Deferred[None]:
            closed.append(self.name)
            return super().close() if hasattr(super(), "close") else maybeDeferred(lambda: None)

    def open_changer(name: str) -> Any:
        if name == "bad":
            raise DriveFailed("it is broken")
        return Opened({})

    made = operator("tty", open_changer)
    for _ in range(2):
        made.open_changer("good").addErrback(lambda failure: closed.append(failure))
    assert isinstance(failure_of(made.open_changer("bad")), ChangerError)
    Deferred.fromCoroutine(made.close())
    assert closed == ["fake", "fake"]


# In a session


@ensureDeferred
async def test_a_scan_waits_for_the_reply_and_goes_on_with_it(tmp_path: Path) -> None:
    """A taper without a volume asks by mail; the file names another changer; QUIT ends a wait."""
    reply = tmp_path / "reply"
    mailer = tmp_path / "mailer"
    mailer.write_text(f'#!/bin/sh\ncat > "{tmp_path}/mail"\n')
    mailer.chmod(0o755)
    (tmp_path / "other/slot1").mkdir(parents=True)
    more = """taperscan "lexical"
  interactivity "who"
"""
    place = make_place(tmp_path / "place", slots=0, more=more)
    (tmp_path / "place/vtapes").mkdir()
    conf = tmp_path / "place/etc/C/amanda.conf"
    who = f"""mailer "{mailer}"
define interactivity who {{
  plugin "email"
  property "mailto" "me@x"
  property "check-file" "{reply}"
  property "check-file-delay" "1"
}}
"""
    conf.write_text(who + conf.read_text())
    for answered in (True, False):
        heard = Listener()
        session = Session(reactor, place.setup(), heard)
        session.begin()
        session.open()
        started = heard.hear("TAPER-OK") if answered else None
        tell(session, START)
        while not (tmp_path / "mail").exists():
            await deferLater(reactor, 0.02)  # type: ignore[arg-type]
        if started is not None:
            reply.write_text(f"chg-disk:{tmp_path}/other\n")
            assert await started == f"TAPER-OK {WORKER} ALLOW-TAKE-SCRIBE-FROM"
        await session.quit()
        assert WHY in (tmp_path / "mail").read_text()
        (tmp_path / "mail").unlink()
        reply.unlink(missing_ok=True)
    assert b"pid" not in (tmp_path / "other/state").read_bytes()
