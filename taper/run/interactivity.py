"""Operators: whom a scan asks when it finds no volume [changers 1.9].

Everything here is a wait on the reactor, ended by the operator's reply or by cancelling: no
thread is held, and QUIT takes a question back at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from devices.errors import ChangerError, ChangerReason, DeviceError
from taper.core.scan import IInteractivity, ScanFailed
from taper.run.asking import ABORTED, LONGEST_REPLY, insert_line

if TYPE_CHECKING:
    from devices.interfaces import IAsyncChanger
    from protocols.conf import Config, Storage
    from protocols.conf.sections import Interactivity

TTY = "/dev/tty"
BACKGROUND_WAIT = 1.0
"""Seconds between two looks whether the terminal is ours again."""

Ask = Callable[[str, str], "Deferred[str]"]


@implementer(IInteractivity)
class Operator:
    """Asks by one module, and opens the changers that replies name.

    :param ask: takes the reason and the changer's name; cancelling takes the question back.
    :param open_changer: raises ChangerError.
    """

    def __init__(self, ask: Ask, open_changer: Callable[[str], IAsyncChanger]) -> None:
        self._ask = ask
        self._open = open_changer
        self._opened: list[IAsyncChanger] = []

    def ask(self, text: str, changer_name: str) -> Deferred[str]:
        return self._ask(text, changer_name)

    def open_changer(self, name: str) -> Deferred[IAsyncChanger]:
        """See IInteractivity. Unlike stock's, the changer knows the storage [changers quirk 26]."""
        return Deferred.fromCoroutine(self._open_changer(name))

    async def _open_changer(self, name: str) -> IAsyncChanger:
        try:
            changer = self._open(name)
        except DeviceError as fault:
            raise ChangerError(fault.text, ChangerReason.DEVICE) from fault
        self._opened.append(changer)
        return changer

    async def close(self) -> None:
        """Close the changers that were opened. :raise ChangerError, DeviceError: of one of them"""
        while self._opened:
            try:
                await self._opened.pop().close()
            finally:
                await self.close()


def make_operator(
    reactor: Any,
    config: Config,
    storage: Storage,
    open_changer: Callable[[str], IAsyncChanger],
    call: Callable[..., Deferred[Any]],
    note: Callable[[str], object],
) -> Operator | None:
    """The operator that the storage names, None if it names none.

    One that cannot be asked says why when asked: the scan ``traditional`` never asks, and runs
    with any.

    :param call: runs a blocking function elsewhere, as ``Lane.call`` does.
    :param note: takes texts for the debug log.
    """
    if not storage.interactivity:
        return None
    section = config.interactivity(storage.interactivity)
    plugin = section.plugin if section is not None else storage.interactivity
    return Operator(_asker(plugin, section, reactor, config, call, note), open_changer)


def _asker(
    plugin: str,
    section: Interactivity | None,
    reactor: Any,
    config: Config,
    call: Callable[..., Deferred[Any]],
    note: Callable[[str], object],
) -> Ask:
    def mailed() -> Ask:
        from taper.run.volume_mail import Mail, mail_settings  # few are asked by mail

        settings = mail_settings({} if section is None else section.property, config.general)
        return Mail(reactor, settings, call, note).ask

    def at_terminal(text: str, changer_name: str) -> Deferred[str]:
        return ask_at_terminal(reactor, text, changer_name)

    if plugin == "tty":
        return at_terminal
    if plugin == "email":
        return mailed()
    if plugin == "tty_email":
        by_mail = mailed()
        return lambda *question: (at_terminal if has_terminal() else by_mail)(*question)
    if plugin == "stdin":
        return _refusing(
            "interactivity 'stdin' would read what the driver says to the taper; "
            "use 'tty', 'tty_email' or 'email'"
        )
    return _refusing(f"no such interactivity '{plugin}'; use 'tty', 'tty_email' or 'email'")


def _refusing(text: str) -> Ask:
    return lambda reason, changer_name: fail(ScanFailed(f"{reason} ({text})"))


# The terminal


def open_terminal() -> int:
    """Open the controlling terminal, never to wait for it. :raise OSError: there is none"""
    return os.open(TTY, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)


def has_terminal() -> bool:
    """This process has a controlling terminal."""
    try:
        os.close(open_terminal())
    except OSError:
        return False
    return True


def ask_at_terminal(reactor: Any, text: str, changer_name: str) -> Deferred[str]:
    """Ask at the terminal. Fails with ScanFailed without one, and at ^D."""
    try:
        descriptor = open_terminal()
    except OSError as error:
        return fail(ScanFailed(f"Failed to open {TTY}: {error.strerror}"))
    # A process in the background is stopped when it touches its terminal: a dump would stand.
    for one in (signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(one, signal.SIG_IGN)
    question = Terminal(reactor, descriptor)
    prompt = f"{text}\n{insert_line(changer_name)}\nand press <enter> enter, or ^D to abort.\n"
    question.write(prompt)
    return question.reply


@implementer(IReadDescriptor)
class Terminal:
    """Reads one line from a terminal.

    :param descriptor: ours from now on, non-blocking.
    :ivar reply: fires with the line; cancelling closes the terminal.
    """

    def __init__(self, reactor: Any, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._line = b""
        self._pause: Any = None
        self.reply: Deferred[str] = Deferred(lambda _: self._close())
        reactor.addReader(self)

    def write(self, text: str) -> None:
        """Show a text; a terminal that takes none now, or is gone, does without."""
        try:
            os.write(self._descriptor, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            self._end(ScanFailed(f"Failed to write to {TTY}: {error.strerror}"))

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return TTY

    def doRead(self) -> None:
        try:
            if os.tcgetpgrp(self._descriptor) != os.getpgrp():
                self._wait_for_foreground()
                return
            data = os.read(self._descriptor, LONGEST_REPLY)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(ScanFailed(f"Failed to read from {TTY}: {error.strerror}"))
            return
        self._line += data
        line, end, _ = self._line.partition(b"\n")
        if end:
            self._end(line.decode("utf-8", "surrogateescape"))
        elif not data or len(self._line) > LONGEST_REPLY:
            self._end(ScanFailed(ABORTED))

    def _wait_for_foreground(self) -> None:
        """What is typed is for another process: do not touch it."""
        self._reactor.removeReader(self)
        self._pause = self._reactor.callLater(BACKGROUND_WAIT, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._reactor.addReader(self)

    def connectionLost(self, reason: Any) -> None:
        self._end(ScanFailed(ABORTED))

    def _end(self, outcome: str | ScanFailed) -> None:
        if self._descriptor < 0:
            return
        self._close()
        if isinstance(outcome, ScanFailed):
            self.reply.errback(outcome)
        else:
            self.reply.callback(outcome)

    def _close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._reactor.removeReader(self)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
