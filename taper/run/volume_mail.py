"""Asking for a volume by mail, with a file to reply in [changers 1.9]."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol

from taper.core.scan import ScanFailed
from taper.run.asking import ABORTED, LONGEST_REPLY, insert_line

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from protocols.conf.settings import GlobalSettings

CHECK_DELAY = 10.0
MOST_TOLD = 4096
"""Bytes of what a mailer says that are kept."""

NOT_THERE = (0, 0)


@frozen(kw_only=True)
class MailSettings:
    """Whom to ask, and how.

    :ivar check_file: where a reply may be written; None: nowhere.
    :ivar check_delay: seconds between two looks at it.
    :ivar resend_delay: seconds after which the mail is sent again; 0: never.
    """

    mailer: str
    addresses: tuple[str, ...]
    check_file: str | None = None
    check_delay: float = CHECK_DELAY
    resend_delay: float = 0.0


def mail_settings(
    properties: Mapping[str, tuple[str, ...]], general: GlobalSettings
) -> MailSettings:
    """The settings in an interactivity section's properties and the global parameters.

    What should be a number of seconds and is none counts as not set.
    """

    def seconds(name: str, default: float) -> float:
        values = properties.get(name, ())
        text = values[0].strip() if values else ""
        return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else default

    check_file = properties.get("check-file", ())
    addresses = properties.get("mailto", ()) or tuple(general.mailto.split())
    return MailSettings(
        mailer=general.mailer,
        addresses=tuple(addresses),
        check_file=check_file[0] if check_file and check_file[0] else None,
        check_delay=max(seconds("check-file-delay", CHECK_DELAY), 1.0),
        resend_delay=seconds("resend-delay", 0.0),
    )


class Mail:
    """Asks by mail.

    :param call: runs a blocking function elsewhere: looking at the file may take its time.
    :param note: is told of mails that could not be sent.
    """

    def __init__(
        self,
        reactor: Any,
        settings: MailSettings,
        call: Callable[..., Deferred[Any]],
        note: Callable[[str], object],
    ) -> None:
        self.reactor = reactor
        self.settings = settings
        self.call = call
        self.note = note

    def ask(self, text: str, changer_name: str) -> Deferred[str]:
        """Ask. Without a file to reply in, only a change in the changer ends the wait."""
        if not self.settings.addresses and self.settings.check_file is None:
            reason = "there is nobody to mail to; set 'mailto', globally or as a property"
            return fail(ScanFailed(f"{text} ({reason})"))
        return Request(self, text, changer_name).reply

    def send(self, subject: str, body: str) -> None:
        """Send one mail; what goes wrong is noted."""
        settings = self.settings
        if not settings.addresses:
            return
        words = [settings.mailer, "-s", subject, *settings.addresses]
        arguments = [word.encode("utf-8", "surrogateescape") for word in words]
        mailer = Mailer(body.encode("utf-8", "surrogateescape"), settings.mailer, self.note)
        try:
            self.reactor.spawnProcess(mailer, arguments[0], arguments, env=None)
        except OSError as error:
            self.note(f"cannot run {settings.mailer}: {error}")


class Mailer(ProcessProtocol):
    """A mailer at work: gets the body on its stdin."""

    def __init__(self, body: bytes, name: str, note: Callable[[str], object]) -> None:
        self._body = body
        self._name = name
        self._note = note
        self._told = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._body)
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._told = (self._told + data)[:MOST_TOLD]

    def errReceived(self, data: bytes) -> None:
        self.outReceived(data)

    def processEnded(self, reason: Failure) -> None:
        if not reason.check(ProcessDone):
            told = self._told.decode("utf-8", "surrogateescape").strip()
            self._note(f"{self._name}: {reason.getErrorMessage()} {told}")


class Request:
    """One question, until it is answered or taken back.

    :ivar reply: fires with the first line of the file.
    """

    def __init__(self, mail: Mail, text: str, changer_name: str) -> None:
        self._mail = mail
        self._text = text
        self._changer_name = changer_name
        self._resend: Any = None
        self._check: Any = None
        self._since = NOT_THERE
        self._over = False
        self.reply: Deferred[str] = Deferred(lambda _: self._stop())
        if mail.settings.check_file is None:
            self._send()
        else:
            self._look(look_at, self._begin)

    # the mail

    def _send(self, remark: str = "") -> None:
        settings = self._mail.settings
        lines = [self._text, "", insert_line(self._changer_name)]
        if settings.check_file is not None:
            lines += [
                f"or write the name of another changer into the file '{settings.check_file}',",
                "an empty line to have this one looked at again, or 'abort' to give up.",
                self._awaited(),
            ]
        if remark:
            lines += ["", remark]
        subject = f"AMANDA VOLUME REQUEST ({self._changer_name}): new volume"
        self._mail.send(subject, "\n".join(lines) + "\n")
        if self._resend is not None and self._resend.active():
            self._resend.cancel()
        self._resend = None
        if settings.resend_delay:
            self._resend = self._mail.reactor.callLater(settings.resend_delay, self._send)

    def _awaited(self) -> str:
        if self._since == NOT_THERE:
            return "(The file is not there yet.)"
        changed = time.ctime(max(self._since) // 10**9)
        return f"(A reply is a file that was changed after {changed}.)"

    # the file

    def _look(self, look: Callable[..., Any], then: Callable[[Any], None], *more: Any) -> None:
        """Look at the file elsewhere; a question taken back meanwhile wants no answer."""
        looking = self._mail.call(look, self._mail.settings.check_file, *more)
        looking.addCallback(lambda found: None if self._over else then(found))
        looking.addErrback(self._fail)

    def _fail(self, failure: Failure) -> None:
        if not self._over:
            self._stop()
            self.reply.errback(failure)

    def _begin(self, state: tuple[int, int]) -> None:
        self._since = state
        self._send()
        self._wait()

    def _wait(self) -> None:
        delay = self._mail.settings.check_delay
        self._check = self._mail.reactor.callLater(
            delay, lambda: self._look(read_reply, self._looked, self._since)
        )

    def _looked(self, found: Found) -> None:
        self._since = found.state
        if found.trouble:
            self._send(found.trouble)
        if found.line is None:
            self._wait()
            return
        self._stop()
        if found.line.lower() == "abort":
            self.reply.errback(ScanFailed(ABORTED))
        else:
            self.reply.callback(found.line)

    def _stop(self) -> None:
        self._over = True
        for timer in (self._resend, self._check):
            if timer is not None and timer.active():
                timer.cancel()


@frozen
class Found:
    """What a look at the file brought.

    :ivar state: when the file was changed; NOT_THERE without one.
    :ivar line: the reply, without blanks around it; None: none yet.
    :ivar trouble: why a change is no reply.
    """

    state: tuple[int, int]
    line: str | None = None
    trouble: str = ""


def look_at(path: str) -> tuple[int, int]:
    """When the file was changed: contents and inode, in ns; NOT_THERE if it is not there."""
    try:
        facts = os.stat(path)
    except OSError:
        return NOT_THERE
    return facts.st_mtime_ns, facts.st_ctime_ns


def read_reply(path: str, since: tuple[int, int]) -> Found:
    """The first line of the file, if it was changed since."""
    state = look_at(path)
    if state == NOT_THERE or (state[0] <= since[0] and state[1] <= since[1]):
        return Found(state)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Found(state, trouble=f"The check-file '{path}' is not a flat file.")
            data = os.read(descriptor, LONGEST_REPLY)
        finally:
            os.close(descriptor)
    except OSError as error:
        return Found(state, trouble=f"The check-file '{path}' is not readable: {error.strerror}")
    line = data.partition(b"\n")[0].decode("utf-8", "surrogateescape")
    return Found(state, line.strip())
