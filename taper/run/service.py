"""The taper as a daemon: ``twistd taper``, on stdio or on any endpoint."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

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
from taper.run.debug_log import DebugLog
from taper.run.options import Options
from taper.run.paths import Paths, paths_from
from taper.run.setup import Setup, SetupFailed, StartFailed, make_setup
from taper.run.stdio import Conversation, Pipes, stop_with

STDIO = "stdio"
STDOUT = 1
"""The descriptor; under twistd ``sys.stdout`` is a log."""

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

    def postOptions(self) -> None:
        if not self["config"]:
            raise UsageError("--config is required: the name of an Amanda configuration")


class TaperService(Service):
    """Serves one driver at a time.

    :param driver: ``stdio`` or an endpoint description
    """

    def __init__(self, reactor: Any, setup: Setup, driver: str) -> None:
        self._reactor = reactor
        self._setup = setup
        self._driver = driver
        self._port: IListeningPort | None = None
        self.conversation: Conversation | None = None

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        if self._driver == STDIO:
            self._serve_stdio()
            return
        endpoint = serverFromString(self._reactor, self._driver)
        factory = Factory.forProtocol(lambda: Usher(self))
        endpoint.listen(factory).addCallbacks(self._listening, self._deaf)

    def _serve_stdio(self) -> None:
        try:
            conversation = self.open_conversation()
        except SetupFailed as fault:
            os.write(STDOUT, encode(TapeError(SETUP, fault.text)))
            self._give_up()
            return
        except StartFailed as fault:
            raise SystemExit(f"taper: {fault}") from fault
        pipes = Pipes(self._reactor, conversation.protocol)
        stop_with(self._reactor, conversation.session, pipes)

    def _give_up(self) -> None:
        # a service is started before the reactor is
        self._reactor.callWhenRunning(self._reactor.stop)

    def _listening(self, port: IListeningPort) -> None:
        self._port = port

    def _deaf(self, failure: Any) -> None:
        log.failure("cannot listen on {endpoint}", failure, endpoint=self._driver)
        self._give_up()

    def open_conversation(self) -> Conversation:
        """Begin a conversation, logged and opened.

        :raise SetupFailed, StartFailed: it cannot be; the trace log says why
        """
        conversation = Conversation(self._reactor, self._setup)
        session = conversation.session
        session.begin()
        try:
            session.open()
        except StartFailed as fault:
            session.start_failed(str(fault))
            raise
        except SetupFailed as fault:
            session.set_up_failed(fault.text)
            raise
        self.conversation = conversation
        session.ended.addBoth(self._over)
        return conversation

    def _over(self, result: Any) -> Any:
        self.conversation = None
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

    def connectionMade(self) -> None:
        assert self.transport is not None
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

    def _refuse(self, line: bytes) -> None:
        assert self.transport is not None
        self.transport.write(line)
        self.transport.loseConnection()

    def _goodbye(self, result: Any) -> Any:
        if self.transport is not None:
            self.transport.loseConnection()
        return result

    def dataReceived(self, data: bytes) -> None:
        if self._conversation is not None:
            self._conversation.protocol.dataReceived(data)

    def connectionLost(self, reason: Any = None) -> None:
        if self._conversation is not None:
            self._conversation.protocol.connectionLost(reason)


def make_service(options: TaperOptions, paths: Paths | None = None) -> TaperService:
    """The service that a command line asks for.

    :raise UsageError: the configuration cannot be used
    """
    from twisted.internet import reactor

    os.umask(0o077)
    paths = paths or paths_from(os.environ)
    debug = DebugLog(paths.dbgdir, time.time())
    wanted = Options(
        config_name=options["config"],
        storage=options["storage-name"],
        overrides=tuple(options.overrides),
    )
    try:
        setup = make_setup(wanted, paths, debug, options["log-filename"])
    except StartFailed as fault:
        raise UsageError(str(fault)) from fault
    return TaperService(reactor, setup, options["driver"])
