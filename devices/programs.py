"""Running other programs: a list of words and never a shell, with a deadline, without blocking."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from twisted.internet.interfaces import IProcessTransport
    from twisted.python.failure import Failure

    from protocols.twisted_transports.haste import Haste

_STDIN = 0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class ProgramFailed(Exception):
    """A program could not be run, or not to its end; the message says why."""

    taper_code = 2021


@frozen
class Ended:
    """A program that has ended by itself.

    :ivar status: its exit status; None: a signal ended it.
    :ivar how: that in words.
    :ivar output: all that it said, stdout before stderr.
    """

    status: int | None
    how: str
    output: str


def find_program(name: str) -> str | None:
    """The path of a program: looked for as a shell would, None if there is none to be run."""
    return shutil.which(name, path=environment()["PATH"])


def environment() -> Mapping[str, str]:
    """For a program: ours, but for the language: what programs say is to be read."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("LANG", "LANGUAGE") and not name.startswith("LC_")
    }
    return {"PATH": _PATH, **kept}


class Programs:
    """Runs programs in the reactor's thread.

    :param haste: shortens all deadlines when all is to end
    """

    def __init__(self, reactor: Any, haste: Haste) -> None:
        self._reactor = reactor
        self._haste = haste

    def run(self, words: Sequence[str], *, seconds: float, most: int) -> Deferred[Ended]:
        """Run a program to its end. Who cancels, kills it.

        :param words: its path, then its arguments
        :param seconds: that it may take; one that takes longer is killed
        :param most: bytes that it may say; one that says more is killed
        :return: fails with ProgramFailed
        """
        arguments = [os.fsencode(word) for word in words]
        if any(b"\0" in word for word in arguments):
            return fail(ProgramFailed(f"an argument of '{words[0]}' has a NUL byte in it"))
        program = _Program(words[0], most)
        try:
            self._reactor.spawnProcess(program, arguments[0], arguments, env=environment())
        except OSError as error:
            return fail(ProgramFailed(f"'{words[0]}' cannot be started: {error.strerror}"))
        timer = self._haste.call_later(seconds, program.end_it, "took too long and was killed")

        def settle(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        return program.ended.addBoth(settle)


class _Program(ProcessProtocol):
    """One program at work.

    :ivar ended: fires with :class:`Ended`. It waits for nobody who has been killed: a process that
        sleeps in the kernel may take its time to go.
    """

    transport: IProcessTransport

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._left = most
        self._told: dict[int, list[bytes]] = {1: [], 2: []}
        self.ended: Deferred[Ended] = Deferred(lambda _: self._kill())

    def connectionMade(self) -> None:
        self.transport.closeChildFD(_STDIN)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.end_it("said too much and was killed")
        else:
            self._told[childFD].append(data)

    def processEnded(self, reason: Failure) -> None:
        if self.ended.called:
            return
        fault: Any = reason.value
        status, signal = fault.exitCode, fault.signal
        how = f"exit status {status}" if signal is None else f"killed by signal {signal}"
        output = b"".join(self._told[1] + self._told[2]).decode("utf-8", "surrogateescape")
        self.ended.callback(Ended(status, how, output))

    def end_it(self, why: str) -> None:
        """Kill it, and tell who waits."""
        self._kill()
        if not self.ended.called:
            self.ended.errback(ProgramFailed(f"'{self._name}' {why}"))

    def _kill(self) -> None:
        with suppress(ProcessExitedAlready):  # though somebody may still hold its output
            self.transport.signalProcess("KILL")
        self.transport.loseConnection()
