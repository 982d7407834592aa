"""``twistd ndmp-tape`` and ``taper ndmp-tape``: the server as a program."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any, ClassVar

from twisted.application.service import Service
from twisted.internet.error import CannotListenError
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.python.usage import Options as CommandLine
from twisted.python.usage import UsageError

from protocols.errorcode import CANNOT_LISTEN, WRONG_WORDS
from taper.last_words import CannotStart, guarded, instead_of_tracebacks, tell
from taper.plane.crc import prepare
from taper.systemd import Notifier, inherited_socket
from taper.tapeserver.assembly import make_server
from taper.tapeserver.server import TapeServer, log
from taper.tapeserver.settings import Settings, read_settings
from taper.version import answer

PROGRAM = "ndmp-tape"


class ServerOptions(CommandLine):
    """Options of ``twistd ndmp-tape``, and of ``taper ndmp-tape``."""

    synopsis = "[options]"
    longdesc = "An NDMP tape server: vtapes, libraries of vtapes, and tapes in files."
    optParameters: ClassVar = [
        ["config", "c", None, "file that says what is served, and to whom (required)"],
    ]

    def opt_version(self) -> None:
        """Print the version, and end."""
        sys.stdout.write(answer(PROGRAM))
        sys.exit(0)

    def parseOptions(self, options: Any = None) -> None:
        """Read the command line; a wrong one ends the process with a failing status."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except UsageError as fault:
            tell(PROGRAM, f"{fault}\nTry: taper ndmp-tape --help", WRONG_WORDS)
            sys.exit(1)

    def postOptions(self) -> None:
        if not self["config"]:
            raise UsageError("--config is required: a file")


class TapeService(Service):
    """Serves until it is stopped; then every client is cut off and every drive closed."""

    def __init__(self, reactor: Any, settings: Settings, notifier: Notifier | None = None) -> None:
        self._reactor = reactor
        self._settings = settings
        self._notifier = notifier or Notifier(reactor)
        self.server: TapeServer = make_server(reactor, settings)

    def startService(self) -> None:
        """Listen, on the socket that systemd has opened for us if it has.

        :raise CannotStart: it cannot listen
        """
        super().startService()  # type: ignore[no-untyped-call]
        host = self._settings.host
        link = inherited_socket((socket.AF_INET, socket.AF_INET6))
        if link is not None:
            host = str(link.getsockname()[0])
        try:
            port = self.server.start(self._settings.port, host, link)
        except CannotListenError as fault:
            where = f"{host}:{self._settings.port}"
            raise CannotStart(
                f"cannot listen on {where}: {fault.socketError}", code=CANNOT_LISTEN
            ) from fault
        log.info("listening on {host}:{port}", host=host, port=port)
        text = f"listening on {host}:{port}"
        self._reactor.callWhenRunning(self._notifier.ready, text)

    def stopService(self) -> Any:
        super().stopService()  # type: ignore[no-untyped-call]
        self._notifier.stopping()
        return self.server.stop().addBoth(self._stopped)

    def _stopped(self, result: object) -> object:
        self._notifier.still()
        return result


def make_service(options: ServerOptions) -> TapeService:
    """The service that a command line asks for.

    :raise BadSettings: the file cannot be used
    """
    from twisted.internet import reactor

    instead_of_tracebacks(PROGRAM)
    os.umask(0o077)
    notifier = Notifier(reactor)
    prepare()  # before a client's data depend on it
    own: Any = reactor
    own.seconds = time.monotonic  # a clock that is set must not end every wait, or none
    return TapeService(own, read_settings(os.path.abspath(options["config"])), notifier)


def main(arguments: list[str]) -> int:
    """Run in the foreground, the log on standard error. :return: the exit status"""
    return guarded(PROGRAM, lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    from twisted.internet import reactor

    options = ServerOptions()  # type: ignore[no-untyped-call]
    options.parseOptions(arguments)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    service = make_service(options)
    service.startService()
    running: Any = reactor
    running.addSystemEventTrigger("before", "shutdown", service.stopService)
    running.run()
    return 0
