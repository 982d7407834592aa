"""The taper as a daemon: ``twistd taper``, on stdio or on any endpoint."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.usage import Options as CommandLine
from twisted.python.usage import UsageError

from taper.last_words import fail_at_exit, instead_of_tracebacks, tell
from taper.run import stdio
from taper.run.as_root import become, dump_user, look_up
from taper.run.conversation import Conversation
from taper.run.debug_log import DebugLog
from taper.run.driver_door import opened_to_others, private_endpoint, refuse_unverified
from taper.run.mtls import is_mtls
from taper.run.options import Options
from taper.run.paths import Paths, paths_from
from taper.run.setup import Setup, SetupFailed, StartFailed, check_user, make_setup
from taper.run.title import show, show_again
from taper.run.unix_door import Listening, socket_path
from taper.run.usher import Door
from taper.run.watched import WatchedProcess
from taper.version import answer

STDIO = "stdio"

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
    refuse_unverified(text)
    try:
        serverFromString(reactor, text)
    except StartFailed:
        raise
    # whoever reads the arguments of an endpoint raises what he likes
    except Exception as fault:
        raise StartFailed(
            f"--driver {text} is no endpoint: {fault}; "
            "expected stdio, or for example unix:/run/amanda/taper.sock"
        ) from fault
    return serverFromString(Listening(reactor), private_endpoint(text))


def _why_deaf(driver: str, failure: Any) -> str:
    reason = getattr(failure.value, "socketError", failure.value)
    text = getattr(reason, "strerror", None) or failure.getErrorMessage()
    return f"cannot listen on --driver {driver}: {text}"


def _listen(endpoint: Any, door: Door, driver: str) -> IListeningPort:
    """Listen at once.

    :raise StartFailed: it cannot be done
    """
    found: list[IListeningPort] = []
    failures: list[Any] = []
    endpoint.listen(door).addCallbacks(found.append, failures.append)
    for failure in failures:
        raise StartFailed(_why_deaf(driver, failure))
    if not found:
        raise StartFailed(f"--driver {driver} is none that root can open at once")
    return found[0]


@frozen
class Opened:
    """A door, and the port that it is at."""

    door: Door
    port: IListeningPort


def open_as_root(
    reactor: Any, options: TaperOptions, wanted: Options, paths: Paths
) -> Opened | None:
    """As root, open the door and become the dump user; nothing for anybody else.

    :raise StartFailed: the door cannot be opened, or there is nobody to become
    """
    driver = options["driver"]
    if os.geteuid() != 0 or driver == STDIO:
        return None
    user = dump_user(wanted.config_name, wanted.overrides, paths)
    if user is None or user == "root":
        return None
    parent = getattr(options, "parent", None)
    if parent is not None and any(parent[name] is not None for name in ("uid", "gid")):
        raise StartFailed(
            f"twistd's --uid and --gid are not for the taper: it becomes {user}, the dump user"
        )
    owner = look_up(user)
    door = Door(certified=is_mtls(driver))
    port = _listen(_endpoint(reactor, driver), door, driver)
    path = socket_path(driver)
    if path is not None:
        os.lchown(path, owner.pw_uid, owner.pw_gid)
    become(owner)
    return Opened(door, port)


class TaperService(Service):
    """Serves one driver at a time.

    :param driver: ``stdio`` or an endpoint description
    :param opened: the door, if it is open already
    :raise StartFailed: it is neither
    """

    def __init__(
        self, reactor: Any, setup: Setup, driver: str, opened: Opened | None = None
    ) -> None:
        self._reactor = reactor
        self._setup = setup
        self._driver = driver
        self._door: Door | None = None
        self._endpoint: Any = None
        self._refused: str | None = None
        self._begun = False
        self._port: IListeningPort | None = None
        if opened is not None:
            self._door, self._port = opened.door, opened.port
        elif driver != STDIO:
            self._door = Door(certified=is_mtls(driver))
            self._endpoint = _endpoint(reactor, driver)
        self.opened_to_others = opened_to_others(driver)
        self.conversation: Conversation | None = None
        self._watched = WatchedProcess(reactor, setup, "stdio" if driver == STDIO else "daemon")

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._setup.debug.write_from_now_on_beside()
        if self._door is None:
            self._serve_stdio()
            return
        self._door.service = self
        if self._port is None:
            self._endpoint.listen(self._door).addCallbacks(self._listening, self._deaf)
        if self._refused is not None:
            raise StartFailed(self._refused)
        self._begun = True
        self._watched.begin()

    def _serve_stdio(self) -> None:
        try:
            conversation = self.open_conversation(stdio.refuse)
        except SetupFailed:
            self._give_up()
            return
        stdio.connect(self._reactor, conversation, self._watched)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        return self._reactor.callLater(seconds, call)

    def _give_up(self) -> None:
        # a service is started before the reactor is
        self._reactor.callWhenRunning(self._reactor.stop)

    def _listening(self, port: IListeningPort) -> None:
        self._port = port

    def _deaf(self, failure: Any) -> None:
        self._refused = _why_deaf(self._driver, failure)
        log.critical("{text}", text=self._refused)
        if self._begun and self.running:
            # nobody is left to raise it to: a daemon that no driver can reach is none
            tell("taper", self._refused)
            fail_at_exit()
            self._give_up()

    def open_conversation(self, refuse: Callable[[str], object] | None = None) -> Conversation:
        """Begin a conversation.

        :param refuse: see :meth:`Conversation.begin`
        :raise SetupFailed, StartFailed: it cannot be; the trace log says why
        """
        conversation = Conversation(self._reactor, self._setup, self._watched.watch)
        title = show([self._setup.config.name, "--log-filename", self._setup.log_filename])
        conversation.session.ended.addBoth(self._over, title)
        try:
            conversation.begin(refuse)
        except BaseException:
            show_again(title)
            raise
        self.conversation = conversation
        return conversation

    def _over(self, result: Any, title: str) -> Any:
        self.conversation = None
        show_again(title)
        return result

    async def _stop(self) -> None:
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        if self.conversation is not None:
            await self.conversation.session.quit()
        await self._watched.close()

    def stopService(self) -> Any:
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())


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
    wanted = Options(
        config_name=options["config"],
        storage=options["storage-name"],
        overrides=tuple(options.overrides),
    )
    opened = open_as_root(reactor, options, wanted, paths)
    debug = DebugLog(paths.dbgdir, time.time())
    debug.begin(sys.argv[1:])
    setup = make_setup(wanted, paths, debug, options["log-filename"])
    if options["driver"] != STDIO:
        _check_for_every_driver(setup)
    return TaperService(reactor, setup, options["driver"], opened)
