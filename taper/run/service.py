"""The taper as a daemon: ``twistd taper``, on stdio or on any endpoint."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.usage import Options as CommandLine
from twisted.python.usage import UsageError

from protocols.driver.codec import encode
from protocols.driver.replies import SETUP, BadCommand, TapeError
from taper.last_words import fail_at_exit, instead_of_tracebacks, tell
from taper.run.debug_log import DebugLog
from taper.run.driver_door import (
    DRIVER_PATIENCE,
    opened_to_others,
    private_endpoint,
    why_not,
)
from taper.run.options import Options
from taper.run.paths import Paths, paths_from
from taper.run.setup import Setup, SetupFailed, StartFailed, check_user, make_setup
from taper.run.stdio import Conversation, Pipes, stop_with
from taper.run.title import show, show_again
from taper.version import answer

if TYPE_CHECKING:
    from taper.run.session import Session

STDIO = "stdio"
STDOUT = 1
"""The descriptor; under twistd ``sys.stdout`` is a log."""

UNSAFE = str.maketrans("/:\\", "___")

log = Logger()


class TaperOptions(CommandLine):
    """Options of ``twistd taper``."""

    synopsis = "[options]"
    longdesc = "The volume writer of the Amanda backup system."
    optParameters: ClassVar = [
        ["config", "c", None, "name of the Amanda configuration (required)"],
        ["driver", "d", STDIO, "where the driver talks to us: stdio, or an endpoint to listen on"],
        ["storage-name", "s", None, "the storage to serve; default: the configuration's first"],
        ["log-filename", "l", None, "the trace log; default: 'log' in the configuration's logdir"],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.overrides: list[str] = []

    def opt_override(self, text: str) -> None:
        """Replace one value of the configuration: KEY=VALUE"""
        if "=" not in text:
            raise UsageError(f"Must specify a value for {text}.")
        self.overrides.append(text)

    opt_o = opt_override

    def opt_version(self) -> None:
        """Print the version, and end."""
        sys.stdout.write(answer("taper"))
        sys.exit(0)

    def parseOptions(self, options: Any = None) -> None:
        """Read the command line; a wrong one ends the process with a failing status, which it does
        not where Twisted tells of it."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except UsageError as fault:
            sys.exit(f"taper: {fault}\nTry: twistd taper --help")

    def postOptions(self) -> None:
        if not self["config"]:
            raise UsageError("--config is required: the name of an Amanda configuration")
        self._place_files()

    def _place_files(self) -> None:
        """Let twistd's pid and log file go where the dump user can write, unless told otherwise."""
        parent = getattr(self, "parent", None)
        if parent is None:
            return
        words = ("twistd-taper", self["config"], self["storage-name"])
        name = "-".join(word.translate(UNSAFE) for word in words if word)
        path = os.path.join(paths_from(os.environ).dbgdir, name)
        if parent["pidfile"] == "twistd.pid":
            parent["pidfile"] = f"{path}.pid"
        if not parent["nodaemon"] and not parent["logfile"]:
            parent["logfile"] = f"{path}.log"


def _endpoint(reactor: Any, text: str) -> Any:
    try:
        serverFromString(reactor, text)
    # whoever reads the arguments of an endpoint raises what he likes
    except Exception as fault:
        raise StartFailed(
            f"--driver {text} is no endpoint: {fault}; "
            "expected stdio, or for example unix:/run/amanda/taper.sock"
        ) from fault
    return serverFromString(reactor, private_endpoint(text))


class TaperService(Service):
    """Serves one driver at a time.

    :param driver: ``stdio`` or an endpoint description
    :raise StartFailed: it is neither
    """

    def __init__(self, reactor: Any, setup: Setup, driver: str) -> None:
        self._reactor = reactor
        self._setup = setup
        self._driver = driver
        self._endpoint = None if driver == STDIO else _endpoint(reactor, driver)
        self._refused: str | None = None
        self._begun = False
        self._port: IListeningPort | None = None
        self.opened_to_others = opened_to_others(driver)
        self.conversation: Conversation | None = None

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._setup.debug.write_from_now_on_beside()
        if self._endpoint is None:
            self._serve_stdio()
            return
        factory = Factory.forProtocol(lambda: Usher(self))
        self._endpoint.listen(factory).addCallbacks(self._listening, self._deaf)
        if self._refused is not None:
            raise StartFailed(self._refused)
        self._begun = True

    def _serve_stdio(self) -> None:
        try:
            conversation = self.open_conversation()
        except SetupFailed as fault:
            os.write(STDOUT, encode(TapeError(SETUP, fault.text)))
            self._give_up()
            return
        pipes = Pipes(self._reactor, conversation.protocol)
        stop_with(self._reactor, conversation.session, pipes)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        return self._reactor.callLater(seconds, call)

    def _give_up(self) -> None:
        # a service is started before the reactor is
        self._reactor.callWhenRunning(self._reactor.stop)

    def _listening(self, port: IListeningPort) -> None:
        self._port = port

    def _deaf(self, failure: Any) -> None:
        reason = getattr(failure.value, "socketError", failure.value)
        text = getattr(reason, "strerror", None) or failure.getErrorMessage()
        self._refused = f"cannot listen on --driver {self._driver}: {text}"
        log.critical("{text}", text=self._refused)
        if self._begun and self.running:
            # nobody is left to raise it to: a daemon that no driver can reach is none
            tell("taper", self._refused)
            fail_at_exit()
            self._give_up()

    def open_conversation(self) -> Conversation:
        """Begin a conversation, logged and opened.

        :raise SetupFailed, StartFailed: it cannot be; the trace log says why
        """
        conversation = Conversation(self._reactor, self._setup)
        session = conversation.session
        title = show([self._setup.config.name, "--log-filename", self._setup.log_filename])
        session.ended.addBoth(self._over, title)
        try:
            self._begin(session)
        except BaseException:
            show_again(title)
            raise
        self.conversation = conversation
        return conversation

    def _begin(self, session: Session) -> None:
        session.begin()
        try:
            session.open()
        except StartFailed as fault:
            session.start_failed(str(fault))
            raise
        except SetupFailed as fault:
            session.set_up_failed(fault.text)
            raise

    def _over(self, result: Any, title: str) -> Any:
        self.conversation = None
        show_again(title)
        return result

    async def _stop(self) -> None:
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        if self.conversation is not None:
            await self.conversation.session.quit()

    def stopService(self) -> Any:
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())


class Usher(Protocol):
    """Receives a driver at the door: hands it to a conversation, or says why not."""

    def __init__(self, service: TaperService) -> None:
        self._service = service
        self._conversation: Conversation | None = None
        self._deadline: Any = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        reason = why_not(self.transport, anybody=self._service.opened_to_others)
        if reason is not None:
            log.warn("a driver is refused: {reason}", reason=reason)
            self._refuse(encode(BadCommand(reason)))
            return
        if self._service.conversation is not None:
            self._refuse(encode(BadCommand("this taper serves another driver")))
            return
        try:
            self._conversation = self._service.open_conversation()
        except SetupFailed as fault:
            self._refuse(encode(TapeError(SETUP, fault.text)))
            return
        except (StartFailed, OSError) as fault:
            self._refuse(encode(TapeError(SETUP, str(fault))))
            return
        self._conversation.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]
        self._conversation.session.ended.addBoth(self._goodbye)
        self._deadline = self._service.call_later(DRIVER_PATIENCE, self._still_silent)

    def _still_silent(self) -> None:
        """A driver that does not begin must not keep the next one out."""
        self._deadline = None
        assert self._conversation is not None
        controller = self._conversation.session.controller
        if self.transport is not None and (controller is None or not controller.started):
            log.warn("a driver is let go: no START-TAPER in {s} s", s=DRIVER_PATIENCE)
            self._conversation.protocol.hang_up()

    def _refuse(self, line: bytes) -> None:
        assert self.transport is not None
        self.transport.write(line)
        self.transport.loseConnection()

    def _goodbye(self, result: Any) -> Any:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        assert self._conversation is not None
        self._conversation.protocol.hang_up()
        return result

    def dataReceived(self, data: bytes) -> None:
        if self._conversation is not None:
            self._conversation.protocol.dataReceived(data)

    def connectionLost(self, reason: Any = None) -> None:
        if self._conversation is not None:
            self._conversation.protocol.connectionLost(reason)


def _check_for_every_driver(setup: Setup) -> None:
    """What no driver could use is refused at once, rather than to each of them.

    :raise StartFailed: user, storage or trace log
    """
    check_user(setup.config.general.dumpuser)
    try:
        setup.storage()
    except SetupFailed as fault:
        raise StartFailed(fault.text) from fault
    directory = os.path.dirname(setup.log_filename)
    if not os.path.isdir(directory):
        raise StartFailed(f"{setup.log_filename}: there is no directory {directory}")
    target = setup.log_filename if os.path.lexists(setup.log_filename) else directory
    if os.path.isdir(setup.log_filename) or not os.access(target, os.W_OK):
        raise StartFailed(f"the trace log {setup.log_filename} cannot be written")


def make_service(options: TaperOptions, paths: Paths | None = None) -> TaperService:
    """The service that a command line asks for.

    :raise StartFailed: the configuration cannot be used, or there is no such endpoint
    """
    from twisted.internet import reactor

    instead_of_tracebacks("taper")
    os.umask(0o077)
    paths = paths or paths_from(os.environ)
    debug = DebugLog(paths.dbgdir, time.time())
    debug.begin(sys.argv[1:])
    wanted = Options(
        config_name=options["config"],
        storage=options["storage-name"],
        overrides=tuple(options.overrides),
    )
    setup = make_setup(wanted, paths, debug, options["log-filename"])
    if options["driver"] != STDIO:
        _check_for_every_driver(setup)
    return TaperService(reactor, setup, options["driver"])
