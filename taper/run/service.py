"""The taper as a daemon: ``twistd taper``, on stdio or on any endpoint."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from protocols.errorcode import CANNOT_LISTEN
from protocols.greeting import Greeting
from protocols.twisted_transports.haste import Haste
from taper.installation import installation
from taper.last_words import CannotStart, fail_at_exit, instead_of_tracebacks, sentence, tell
from taper.run import stdio
from taper.run.ahead import import_ahead
from taper.run.assembly import open_changer_of
from taper.run.conversation import Conversation
from taper.run.daemon_options import STDIO, TaperOptions
from taper.run.debug_log import DebugLog, keep_what_is_logged
from taper.run.door import Door
from taper.run.driver_door import opened_to_others
from taper.run.guest import Guest, Host, Offer
from taper.run.keeper import Keeper
from taper.run.opening import Opened, endpoint_of, make_door, open_as_root, why_deaf
from taper.run.options import Options
from taper.run.paths import Paths, paths_from
from taper.run.setup import (
    Setup,
    SetupFailed,
    StartFailed,
    change_directory,
    check_user,
    load_config,
    make_setup,
)
from taper.run.title import show, show_again
from taper.run.watched import WatchedProcess
from taper.systemd import Notifier

if TYPE_CHECKING:
    from devices.interfaces import IAsyncChanger

log = Logger()


class TaperService(Service):
    """Serves one driver at a time.

    :param setup: for drivers who come by themselves; None: only the taper that Amanda starts comes
    :param driver: ``stdio`` or an endpoint description
    :param opened: the door, if it is open already
    :param host: for the taper that Amanda starts; None: one is made
    :param waiting: so many drivers may wait in turn
    :param keep_volume: keep what was written last while nobody is served
    :param read_again: reads the configuration anew, and raises what cannot be used
    :ivar setup: of the conversations to come
    :raise StartFailed: the door is neither open nor one that can be opened
    """

    def __init__(
        self,
        reactor: Any,
        setup: Setup | None,
        driver: str,
        opened: Opened | None = None,
        *,
        host: Host | None = None,
        waiting: int = 0,
        keep_volume: bool = False,
        read_again: Callable[[], Setup] | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._reactor = reactor
        self.setup = setup
        self._driver = driver
        self._read_again = read_again
        self._notifier = notifier or Notifier(reactor)
        if host is None:
            assert setup is not None
            host = Host(setup.debug, setup.paths, os.environ)
        self._host = host
        self._keeper = Keeper() if keep_volume else None
        self._written: tuple[Setup, str] | None = None
        self._served = False
        self._door: Door | None = None
        self._endpoint: Any = None
        self._refused: str | None = None
        self._begun = False
        self._stale = False
        self._handler: Any = None
        self._port: IListeningPort | None = None
        if opened is not None:
            self._door, self._port = opened.door, opened.port
        elif driver != STDIO:
            self._door = make_door(driver, waiting)
            self._endpoint = endpoint_of(reactor, driver)
        self.opened_to_others = opened_to_others(driver)
        self.conversation: Conversation | None = None
        self._watched = WatchedProcess(
            reactor,
            "stdio" if driver == STDIO else "daemon",
            host.paths if setup is None else setup.paths,
            None if setup is None else setup.config,
            host.debug.write,
        )

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._host.debug.write_from_now_on_beside()
        if self._door is None:
            self._serve_stdio()
            return
        self._door.service = self
        if self._port is None:
            self._endpoint.listen(self._door).addCallbacks(self._listening, self._deaf)
        else:
            self._listening(self._port)
        if self._refused is not None:
            raise StartFailed(self._refused, code=CANNOT_LISTEN)
        self._begun = True
        self._watched.begin()
        self._handler = signal.signal(
            signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload)
        )

    def _serve_stdio(self) -> None:
        assert self.setup is not None
        try:
            conversation = self.open_conversation(self.setup, stdio.refuse)
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
        self._reactor.callWhenRunning(self._ready)

    def _ready(self) -> None:
        if self.running:
            self._notifier.ready(self._status())

    def _deaf(self, failure: Any) -> None:
        self._refused = why_deaf(self._driver, failure)
        log.critical("{text}", text=self._refused)
        if self._begun and self.running:
            # nobody is left to raise it to: a daemon that no driver can reach is none
            tell("taper", self._refused, CANNOT_LISTEN)
            fail_at_exit()
            self._give_up()

    # Conversations

    def offer_for(self, greeting: Greeting, guest: Guest) -> Offer:
        """See :meth:`Host.offer_for`."""
        return self._host.offer_for(greeting, guest)

    def open_conversation(
        self, setup: Setup, refuse: Callable[[str], object] | None = None
    ) -> Conversation:
        """Begin a conversation.

        :param refuse: see :meth:`Conversation.begin`
        :raise SetupFailed, StartFailed: it cannot be; the trace log says why
        """
        conversation = Conversation(self._reactor, setup, self._watched.watch)
        title = None
        if setup.pid is None:
            title = show([setup.config.name, "--log-filename", setup.log_filename])
        conversation.session.ended.addBoth(self._note_written, conversation, setup)
        conversation.session.ended.addBoth(self._over, setup, title)
        try:
            conversation.begin(refuse)
        except BaseException as fault:
            if setup.pid is not None and isinstance(fault, StartFailed):
                setup.debug.write(str(fault))
            self._over(None, setup, title)
            raise
        self.conversation = conversation
        self._served = True
        return conversation

    def _over(self, result: Any, setup: Setup, title: str | None) -> Any:
        self.conversation = None
        if title is not None:
            show_again(title)
        else:
            self._host.over(setup, self.setup)
        return result

    def _note_written(self, result: Any, conversation: Conversation, setup: Setup) -> Any:
        label = conversation.session.written
        if label is not None:
            self._written = setup, label
        return result

    # Between conversations

    def idle(self) -> None:
        """Nobody waits to be served: keep the volume that was written last, if we are to. Who came
        last and was not served does the work himself, and needs the drive."""
        if self._keeper is None or self._written is None or not (self._served and self.running):
            return
        setup, label = self._written
        if setup.storage().eject_volume:
            return  # it is to be taken out, not to be had
        kept = self._keeper.keep(label, lambda stop: self._changer_of(setup, stop))
        kept.addBoth(self._kept)

    def _kept(self, result: Any) -> None:
        if isinstance(result, Failure):
            log.failure("no volume is kept", result)
        self.changed()

    def _changer_of(self, setup: Setup, stop: threading.Event) -> IAsyncChanger:
        setup = setup.evolve(debug=self._host.debug)
        return open_changer_of(
            setup, None, setup.storage(), self._reactor, Haste(self._reactor), stop
        )

    def make_way(self) -> Deferred[None] | None:
        """See :meth:`Keeper.give_back`."""
        self._served = False
        return None if self._keeper is None else self._keeper.give_back()

    def changed(self) -> None:
        """Let systemd know whom we serve."""
        if self.running:
            self._notifier.status(self._status())

    def _status(self) -> str:
        door = self._door
        assert door is not None
        if door.inside is None:
            kept = None if self._keeper is None else self._keeper.label
            return "waiting for drivers" + (f", keeping volume {kept}" if kept else "")
        waiting = f"; {len(door.waiting)} more wait" if door.waiting else ""
        return f"serving {door.inside.name}{waiting}"

    # The configuration

    def reload(self) -> None:
        """Read the configuration again, at once or after the conversation that is going on."""
        self._stale = True
        if self._door is None or self._door.inside is None:
            self.between()

    def between(self) -> None:
        """Nobody is served just now."""
        if not self._stale:
            return
        self._stale = False
        self._notifier.reloading()
        trouble = ""
        if self._read_again is not None:
            try:
                self.setup = self._read_again()
            except (CannotStart, OSError) as fault:
                trouble = f"; the configuration from before is used: {sentence(fault)}"
                log.critical("not read again{trouble}", trouble=trouble)
            else:
                log.info("the configuration was read again")
        self._notifier.ready(f"{self._status()}{trouble}")

    # The end

    async def _stop(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGHUP, self._handler)
        if self._door is not None:
            self._door.close()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        way = self.make_way()
        if way is not None:
            await way
        conversation = self.conversation
        if conversation is not None:
            await conversation.session.quit()
            if self._door is not None:
                await self._flushed(conversation)
        await self._watched.close()
        self._notifier.still()

    async def _flushed(self, conversation: Conversation) -> None:
        """Let a driver that reads have what was said last."""
        lost = conversation.protocol.lost
        patience = self._reactor.callLater(stdio.FLUSH_SECONDS, lost.cancel)
        with suppress(CancelledError):
            await lost
        if patience.active():
            patience.cancel()

    def stopService(self) -> Any:
        super().stopService()  # type: ignore[no-untyped-call]
        self._notifier.stopping()
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
        raise StartFailed(f"{setup.log_filename}: there is no directory {directory}", code=8006)
    target = setup.log_filename if os.path.lexists(setup.log_filename) else directory
    if os.path.isdir(setup.log_filename) or not os.access(target, os.W_OK):
        raise StartFailed(f"the trace log {setup.log_filename} cannot be written", code=8006)


def _reader(wanted: Options, log_filename: str | None, first: Setup, directory: str | None) -> Any:
    """What reads the configuration again, as it was read at first.

    :param log_filename: as the command line has it
    :param directory: in which the daemon was started
    """

    def read() -> Setup:
        config = load_config(wanted, first.paths, first.debug.write, directory=directory)
        usual = os.path.join(config.path(config.general.logdir), "log")
        setup = first.evolve(
            config=config,
            log_filename=usual if log_filename is None else first.log_filename,
            storage_name=wanted.storage or config.default_storage_name(),
        )
        _check_for_every_driver(setup)
        keep_what_is_logged(setup.debug, config.general)
        return setup

    return read


def make_service(options: TaperOptions, paths: Paths | None = None) -> TaperService:
    """The service that a command line asks for.

    :raise StartFailed: the configuration cannot be used, or there is no such endpoint
    """
    from twisted.internet import reactor

    instead_of_tracebacks("taper")
    os.umask(0o077)
    notifier = Notifier(reactor)
    paths = paths or paths_from(os.environ)
    driver, waiting, keep = options["driver"], options["waiting"], bool(options["keep-volume"])
    wanted = None
    if options["config"]:
        wanted = Options(
            config_name=options["config"],
            storage=options["storage-name"],
            overrides=tuple(options.overrides),
        )
    opened = open_as_root(reactor, options, wanted, paths, installation().client_login)
    debug = DebugLog(paths.dbgdir, time.time())
    debug.begin(sys.argv[1:])
    host = Host(debug, paths, os.environ)
    if driver != STDIO:
        import_ahead()
    if wanted is None:
        change_directory(paths)
        return TaperService(
            reactor,
            None,
            driver,
            opened,
            host=host,
            waiting=waiting,
            keep_volume=keep,
            notifier=notifier,
        )
    directory = None
    with suppress(OSError):  # which is told where it matters
        directory = os.getcwd()
    log_filename = options["log-filename"]
    setup = make_setup(wanted, paths, debug, log_filename)
    if driver != STDIO:
        _check_for_every_driver(setup)
    return TaperService(
        reactor,
        setup,
        driver,
        opened,
        host=host,
        waiting=waiting,
        keep_volume=keep,
        read_again=_reader(wanted, log_filename, setup, directory),
        notifier=notifier,
    )
