"""What one conversation works with, made of its configuration: the only place where the concrete
stores, lanes, devices, scan, origins and flows meet."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices.asynchronous import open_changer
from devices.context import DeviceContext
from devices.errors import ChangerError, DeviceError
from devices.lane import Lane
from devices.tapelist_file import read_tapelist
from protocols.errorcode import coded
from protocols.tapelist import TapelistError
from protocols.tracelog import Info
from protocols.twisted_transports.haste import Haste
from taper.core.erasing import EraseFirst, erase_reusable
from taper.core.interfaces import IClock, IConsole
from taper.core.scan import ScanFailed, make_scan
from taper.core.world import World
from taper.flow.flows import Flows
from taper.flow.interfaces import FlowContext
from taper.flow.origins import Origins
from taper.run.history import History
from taper.run.look import Look
from taper.run.setup import Setup, SetupFailed, StartFailed
from taper.run.status_files import StatusFiles
from taper.run.story import ToldTraceLog, WatchedOperator, tell_settings
from taper.run.tapelist_store import TapelistStore
from taper.run.trace_log import TraceLog
from taper.run.vaults import Vaults

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from devices.interfaces import IAsyncChanger, ILane
    from protocols.conf import Storage
    from protocols.stored import DumpName, StoredDump
    from taper.core.interfaces import IDriver
    from taper.core.scan import IInteractivity, IScan
    from taper.core.watch import Watch
    from taper.run.interactivity import Operator

_log = logging.getLogger(__name__)

TIDY_AFTER = 1.0
"""Seconds from the begin until what others have left is removed: the driver waits for the first
volume meanwhile, and this would take the processor from those who look for it."""


def sweep_up(tmpdir: str) -> None:
    """Remove what tapers that died have left in shared memory and beside it; blocks."""
    from taper.run import shm_sweep, status_files  # no start need wait for these

    for what, sweep in (
        ("rings", shm_sweep.sweep),
        ("old status files", lambda: status_files.sweep(tmpdir, time.time())),
    ):
        try:
            sweep()
        except OSError as fault:
            _log.warning("cannot remove all %s that were left over: %s", what, fault)


@implementer(IConsole)
class Stderr:
    """Where the driver reads what we have to tell people; it makes it the amdump log.

    :param write: raises OSError
    :param note: is told what could not be written; no dump ends for that.
    """

    def __init__(self, write: Callable[[bytes], object], note: Callable[[str], object]) -> None:
        self._write = write
        self._note = note

    def write_line(self, text: str) -> None:
        try:
            self._write(text.encode("utf-8", "surrogateescape") + b"\n")
        except OSError as fault:
            self._note(f"not on stderr: {text}: {fault}")


@implementer(IClock)
class Clock:
    """The reactor's clock."""

    def __init__(self, reactor: Any) -> None:
        self.seconds: Callable[[], float] = reactor.seconds
        self.callLater: Callable[..., IDelayedCall] = reactor.callLater


def open_changer_of(
    setup: Setup,
    name: str | None,
    storage: Storage,
    reactor: Any,
    haste: Haste,
    stop: threading.Event,
) -> IAsyncChanger:
    """The changer of a storage, or another one of the configuration.

    :param name: of that one; None: the storage's
    :param stop: once set, no lock is waited for any more
    :raise ChangerError, DeviceError: it cannot be opened
    """
    context = DeviceContext(
        reactor,
        functools.partial(Lane, reactor),
        setup.config.general.dtimeout + 1,
        setup.paths.statedir,
        haste,
        config_root=setup.paths.config_root,
        tmpdir=setup.paths.tmpdir,
    )
    return open_changer(name, setup.config, storage, context, stop=stop, warn=setup.debug.write)


class Assembly:
    """Makes the world of one conversation, and takes it down.

    :param setup: the configuration and where things are
    :param driver: takes our replies
    :param watch: is told what happens
    :ivar world: once :meth:`build` is over
    :ivar trace_log: likewise
    """

    world: World
    trace_log: ToldTraceLog | None = None
    _tapelists: TapelistStore

    def __init__(self, reactor: Any, setup: Setup, driver: IDriver, watch: Watch) -> None:
        self._reactor = reactor
        self._setup = setup
        self._driver = driver
        self._watch = watch
        self._lanes: list[ILane] = []
        self._log_lane = Lane(reactor, "trace log")  # the last one to end
        self._changer: IAsyncChanger | None = None
        self._tidying: IDelayedCall | None = None
        self._files: ILane = self._lane("files")
        self._operator: Operator | None = None
        self._stop_waiting = threading.Event()
        self._haste = Haste(reactor)

    def build(self) -> World:
        """Open tapelist, changer and scan, and put all together.

        :raise StartFailed: the tapelist is unreadable
        :raise SetupFailed: the storage cannot be served
        """
        config = self._setup.config
        tapelists = self._tapelists = self._open_tapelist()
        storage = self._setup.storage()
        changer = self._changer = self._open_changer(storage)
        history = History(
            config,
            self._lane("history").call,
            note=self._setup.debug.write,
            stop=self._stop_waiting,
        )
        trace_log = self.trace_log = ToldTraceLog(
            TraceLog(self._setup.log_filename, self._log_lane, self._stop_waiting)
        )
        tell_settings(config, storage, self._setup.log_filename)
        files = self._files
        scan = self._make_scan(storage, changer, tapelists, history)
        if storage.erase_volume:
            scan = EraseFirst(scan, lambda timestamp: erase_reusable(self.world, timestamp))
        context = FlowContext(
            reactor=self._reactor,
            make_lane=functools.partial(Lane, self._reactor),
            patience=config.general.dtimeout + 1,
            look=files.call,
            search=self._search_of(self._lane("catalogue")),
            config=config,
        )
        self.world = World(
            config=config,
            storage=storage,
            driver=self._driver,
            changer=changer,
            trace_log=trace_log,
            console=Stderr(self._setup.error_output, self._setup.debug.write),
            tapelists=tapelists,
            history=history,
            scan=scan,
            origins=Origins(context),
            flows=Flows(context),
            look=Look(files),
            vaults=Vaults(config, storage, self._open_changer),
            status_files=StatusFiles(
                self._reactor, files, self._setup.paths.tmpdir, config.general.dumpuser
            ),
            clock=Clock(self._reactor),
            debug=self._setup.debug.write,
            watch=self._watch,
        )
        self._watch.conversation(self._setup.config.name, storage.name, self._setup.log_filename)
        self._tidying = self._reactor.callLater(TIDY_AFTER, self._tidy)
        return self.world

    def _tidy(self) -> None:
        self._tidying = None
        swept = self._files.call(sweep_up, self._setup.paths.tmpdir)
        swept.addErrback(self.world.log_failure)
        self._tapelists.sweep().addErrback(self.world.log_failure)

    def _open_tapelist(self) -> TapelistStore:
        config = self._setup.config
        tapelist = config.path(config.general.tapelist)
        try:
            read_tapelist(tapelist)
        except (TapelistError, OSError) as fault:
            raise StartFailed(f"Could not read the tapelist: {fault}") from fault
        return TapelistStore(
            tapelist, self._lane("tapelist").call, self._reactor, self._setup.debug.write
        )

    def _search_of(self, lane: ILane) -> Callable[[DumpName], Deferred[StoredDump | None]]:
        def search(wanted: DumpName) -> Deferred[StoredDump | None]:
            from taper.run.vault_catalog import find_stored  # here, as most tapers never vault

            return lane.call(find_stored, self._setup.config, wanted)

        return search

    def _open_changer(self, storage: Storage) -> IAsyncChanger:
        try:
            return self._open_named_changer(None, storage)
        except ChangerError as fault:
            raise SetupFailed(fault.message) from fault
        except DeviceError as fault:
            raise SetupFailed(fault.text) from fault

    def _open_named_changer(self, name: str | None, storage: Storage) -> IAsyncChanger:
        return open_changer_of(
            self._setup, name, storage, self._reactor, self._haste, self._stop_waiting
        )

    def _make_operator(self, storage: Storage) -> IInteractivity | None:
        if not storage.interactivity:
            return None
        from taper.run.interactivity import make_operator  # few have one

        self._operator = make_operator(
            self._reactor,
            self._setup.config,
            storage,
            lambda name: self._open_named_changer(name, storage),
            self._lane("operator").call,
            self._setup.debug.write,
        )
        return WatchedOperator(self._operator, self._watch) if self._operator else None

    def _make_scan(
        self,
        storage: Storage,
        changer: IAsyncChanger,
        tapelists: TapelistStore,
        history: History,
    ) -> IScan:
        def note(text: str) -> Deferred[None]:
            written = Deferred.fromCoroutine(self.world.note(Info(text)))
            return written.addErrback(self.world.log_failure)

        try:
            return make_scan(
                storage.taperscan,
                storage=storage,
                config=self._setup.config,
                changer=changer,
                tapelists=tapelists,
                retention=history.retention,
                note=note,
                refresh=history.refresh,
                clock=self._reactor,
                interactivity=self._make_operator(storage),
                look=lambda found: self._watch.note(f"scan: {found}"),
            )
        except ScanFailed as fault:
            raise SetupFailed(fault.text) from fault

    def _lane(self, name: str) -> Lane:
        lane = Lane(self._reactor, name)
        self._lanes.append(lane)
        return lane

    # The end

    def hurry(self) -> None:
        """Let nothing be waited for any longer than a moment: the conversation is to end."""
        self._stop_waiting.set()
        self._tapelists.hurry()
        self._haste.begin()

    async def close(self) -> None:
        """Close operator and changer, and end all lanes but that of the trace log."""
        if self._tidying is not None:
            self._tidying.cancel()
            self._tidy()
        for one in (self._operator, self._changer):
            try:
                if one is not None:
                    await one.close()
            except (ChangerError, DeviceError, OSError) as fault:
                self._setup.debug.write(coded(f"closing the changer: {fault}", fault))
        for lane in self._lanes:
            await lane.stop()
        self._watch.conversation_over()

    async def close_log(self) -> None:
        """End the lane of the trace log, once what was asked for is written."""
        await self._log_lane.stop()
