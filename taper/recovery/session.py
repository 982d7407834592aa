"""One recovery, from the request to its end; :meth:`Recovery.run` reads top to bottom as that
story [recovery 6]."""

from __future__ import annotations

import functools
import gzip
import logging
import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred

from devices.callers import Callers
from devices.errors import DeviceError
from devices.idirecttcp import IMoverDevice
from devices.lane import Lane
from devices.regular import open_regular
from protocols.errorcode import TOLD_TO_END, coded
from protocols.header import HeaderError
from protocols.recovery import talk
from protocols.recovery.features import Feature
from protocols.recovery.filters import told_header, undo_for, with_sums
from protocols.twisted_transports.haste import Haste
from taper.core.errors import DumpFault, SourceFault
from taper.flow.resolving import find_callers
from taper.flow.stored import StoredOrigin
from taper.installation import installation
from taper.last_words import CannotStart, reason, sentence
from taper.recovery import catalog
from taper.recovery.control import Control
from taper.recovery.errors import RecoveryFailed
from taper.recovery.judging import differences, padding_of
from taper.recovery.opening import Opener
from taper.recovery.streams import close_quietly
from taper.recovery.undoing import Counted, Undone
from taper.recovery.volumes import Shelves
from taper.recovery.wanted import index_stem
from taper.recovery.ways import AmandaWay, IWay, MoverWay, SocketWay
from taper.run.debug_log import keep_what_is_logged
from taper.run.options import Options
from taper.run.setup import StartFailed, check_user, load_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from devices.interfaces import IAsyncDevice
    from protocols.conf import Config
    from protocols.crc import Crc
    from protocols.directtcp import Address
    from protocols.header import Header
    from protocols.recovery.filters import Undoing
    from protocols.recovery.request import Request
    from protocols.stored import StoredDump
    from taper.flow.holding import HoldingOrigin
    from taper.plane.interfaces import ISource
    from taper.recovery.streams import Streams
    from taper.recovery.volumes import AskingClerk
    from taper.run.debug_log import DebugLog
    from taper.run.paths import Paths

LONGEST_PATIENCE = 300.0
"""Seconds at most for an application to connect, or to take something; ``dtimeout`` may be less."""
_CHUNK = 65536
_DIRECT = "<DATAPATH>DIRECTTCP"

_log = logging.getLogger(__name__)


class Recovery:
    """One recovery.

    :param streams: of amandad, ours from now on
    :param peer: whom amandad has authenticated; empty: nobody
    """

    def __init__(
        self, reactor: Any, paths: Paths, debug: DebugLog, streams: Streams, peer: str
    ) -> None:
        self._reactor = reactor
        self._paths = paths
        self._debug = debug
        self._streams = streams
        self._peer = peer
        self._control = Control(reactor, streams.features, self.give_up)
        self._lane = Lane(reactor, "recovery")
        self._haste = Haste(reactor)
        self._story: Deferred[None] | None = None
        self._shelves: Shelves | None = None
        self._clerk: AskingClerk | None = None
        self._origin: StoredOrigin | HoldingOrigin | None = None
        self._dump: StoredDump | None = None
        self._way: IWay | None = None
        self._stored: Counted | None = None
        self._gone = False
        self._well = False

    async def run(self) -> int:
        """Serve the peer. :return: the exit status"""
        try:
            self._control.open(self._streams.control_write, self._streams.control_read)
            self._story = Deferred.fromCoroutine(self._recover())
            await self._story
            self._well = True
        except StartFailed as fault:
            self._tell_failure(": ".join((str(fault), *fault.details[:1])), fault)
        except (RecoveryFailed, DumpFault, HeaderError, CannotStart) as fault:
            self._tell_failure(str(fault), fault)
        except CancelledError:
            _log.info("amrecover is gone: the recovery is over")
        except DeviceError as fault:
            self._tell_failure(fault.text, fault)
        except OSError as fault:
            self._tell_failure(reason(fault), fault)
        except Exception as fault:
            _log.exception("internal error")
            self._tell_failure(sentence(fault), fault)
        finally:
            self._story = None
            await self._close_logged()
        return 0 if self._well else 1

    def _tell_failure(self, text: str, code: int | BaseException) -> None:
        """The code is for the debug log: what amrecover shows is as it was."""
        _log.info("the recovery failed: %s", coded(text, code))
        if not self._gone:
            self._control.message(f"recovery failed: {text}")

    def leave(self) -> None:
        """We are to end. Safe to repeat."""
        if self._story is not None:
            self._tell_failure("the program that serves it was told to end", TOLD_TO_END)
        self.give_up()

    def give_up(self) -> None:
        """The peer is gone, or we are to end: nothing that we could still do is of use to
        anybody. Safe to repeat."""
        self._gone = True
        self._haste.begin()
        if self._shelves is not None:
            self._shelves.stop.set()
        if self._clerk is not None:
            self._clerk.interrupt()
        if self._way is not None:
            self._way.cancel()
        if self._story is not None:
            self._story.cancel()

    # the story

    async def _recover(self) -> None:
        request = await self._control.requested
        config = self._configure(request)
        header = await self._find(config, request)
        undoing = undo_for(header, self._control.features, installation().uncompress_path)
        await self._tell_header(request, undoing)
        await self._tell_state(config, header)
        way, addresses = await self._choose_way(config, undoing)
        self._way = way
        words = ("DIRECT-TCP", *map(str, addresses)) if addresses else ("AMANDA",)
        await self._control.ask(talk.PATH, *words)
        await self._control.ask(talk.DATA)
        sent = await way.send()
        self._judge(header, undoing, sent)

    def _configure(self, request: Request) -> Config:
        """Read the configuration; a few files, before there is anything else to be done."""
        config = load_config(Options(config_name=request.config), self._paths, self._debug.write)
        self._debug.move_to(config.name, config.general.dumpuser)
        keep_what_is_logged(self._debug, config.general)
        check_user(config.general.dumpuser)
        return config

    async def _find(self, config: Config, request: Request) -> Header:
        """Open what is to be read, as far as its header."""
        self._shelves = Shelves(self._reactor, config, self._paths, self._haste)
        opener = Opener(self._reactor, config, self._shelves, self._lane)
        if request.holding is not None:
            first = await self._lane.call(catalog.read_holding, config, request.holding, request)
            await self._check_limit(config, first.host, first.disk)
            self._origin = opener.from_holding(request.holding)
            return await self._origin.header()
        dump = self._dump = await self._lane.call(catalog.find_listed, config, request)
        name = dump.name
        await self._check_limit(config, name.host, name.disk)
        _log.info("%s lies on %s", name.describe(), ", ".join(dump.labels))
        where = self._shelves.where(request.device, name.storage)
        self._clerk = opener.clerk(where, self._ask_for_volume)
        self._origin = opener.from_volumes(dump, self._clerk, StoredOrigin)
        await self._origin.find()
        header = await self._origin.header()
        return with_sums(header, (dump.native_crc, dump.client_crc, dump.crc))

    async def _check_limit(self, config: Config, host: str, disk: str) -> None:
        why = await self._lane.call(catalog.check_limit, config, host, disk, self._peer)
        if why is not None:
            _log.warning("refused: %s", why)
            raise RecoveryFailed(catalog.NO_DUMPS, code=7010)  # a stranger need not know more

    def _ask_for_volume(self, label: str, why: str) -> Deferred[str]:
        """Let amrecover ask its person."""
        if Feature.FEEDME not in self._control.features:
            raise SourceFault(f"volume '{label}' is not at hand: {why}", code=7003)
        self._control.message(f"volume '{label}' is not at hand: {why}")

        def read(line: str) -> str:
            return line.partition(" ")[2]

        def nobody(failure: Failure) -> str:
            failure.trap(RecoveryFailed)
            raise SourceFault(
                f"nobody brings volume '{label}' ({failure.getErrorMessage()}): {why}", code=7003
            )

        asked = self._control.ask(talk.VOLUME, label)
        self._control.remind(asked, f"volume '{label}' is still waited for")
        return asked.addCallbacks(read, nobody)

    async def _tell_header(self, request: Request, undoing: Undoing) -> None:
        if not request.header:
            return
        data = told_header(undoing.header, self._control.features)
        await self._control.ask(talk.HEADER, str(len(data)))
        await self._lane.call(_write_all, self._streams.data, data)
        await self._control.ask(talk.HEADER_TAKEN)

    async def _tell_state(self, config: Config, header: Header) -> None:
        """The application's state file, if there is one, and its end in any case."""
        if self._streams.state is None:
            return
        await self._control.ask(talk.STATE)
        stem = _state_file(config, header)
        await self._lane.call(_copy_state, stem, self._streams.state)
        close_quietly(self._streams.state)
        await self._control.ask(talk.STATE_TAKEN)

    async def _choose_way(
        self, config: Config, undoing: Undoing
    ) -> tuple[IWay, tuple[Address, ...]]:
        """DirectTCP where the peer can, and can use the data as they come; else Amanda's path."""
        await self._control.ask(talk.DIRECT_ACCESS)
        offered = (await self._control.ask(talk.PATHS)).split()[1:]
        patience = min(config.general.dtimeout, LONGEST_PATIENCE)
        make = functools.partial(self._source, undoing)
        whole = not (undoing.header.comp_suffix or undoing.header.encrypt_suffix)
        if "DIRECT-TCP" in offered and whole:
            way = await self._direct_way(make, undoing, "AMANDA" not in offered, patience)
            if way is not None:
                self._way = way
                return way, await way.open()
        return AmandaWay(self._reactor, make, self._streams.data, patience), ()

    async def _direct_way(
        self, make: Callable[[], ISource], undoing: Undoing, needed: bool, patience: float
    ) -> IWay | None:
        """By the mover that reads the volume, where there is one; else by a socket of ours, for a
        dump that came by DirectTCP, or a peer that can do nothing else.

        :param needed: the peer can do nothing else
        """
        origin = self._origin
        device: IAsyncDevice | None = None
        if isinstance(origin, StoredOrigin):
            device = origin.device
            if IMoverDevice.providedBy(device) and not undoing.commands:
                sender = origin.own_sender(device.facts.block_size)
                if sender is not None:
                    return MoverWay(self._reactor, sender, device, patience)
        if not needed and _DIRECT not in undoing.header.dle.upper():
            return None
        lane = Lane(self._reactor, "resolver")
        callers = Callers()
        if self._peer:
            callers = await find_callers(self._reactor, self._peer, lane, _log.warning)
        facts: Any = device.facts if device is not None else _NoDevice()
        return SocketWay(self._reactor, make, facts, self._lane, callers, patience)

    def _source(self, undoing: Undoing) -> ISource:
        assert self._origin is not None, "the header was read"
        source = self._origin.source()
        if not undoing.commands:
            return source  # what is sent is what was read
        self._stored = Counted(source)
        return Undone(self._stored, undoing.commands)

    # the end

    def _judge(self, header: Header, undoing: Undoing, sent: Crc | None) -> None:
        """Compare what was read and sent with what is known.

        :raise RecoveryFailed: they differ
        """
        if sent is None:
            return  # the mover has counted bytes, and its sender compared them
        stored = sent if self._stored is None else self._stored.crc()
        found = differences(header, self._dump, undoing, stored, sent, padding_of(self._origin))
        for text in found:
            raise RecoveryFailed(text)

    async def _close_logged(self) -> None:
        try:
            await self._close()
        except Exception:
            _log.exception("not everything could be given back")
            raise

    async def _close(self) -> None:
        """Release everything; the data end last, so that the peer has heard why before."""
        if self._way is not None:
            if not self._well:
                self._way.cancel()
            await self._way.close(well=self._well)
        if not (isinstance(self._way, AmandaWay) and self._way.began):
            close_quietly(self._streams.data)
        if self._streams.state is not None:
            close_quietly(self._streams.state)
        if self._origin is not None:
            await self._origin.close()
        if self._clerk is not None:
            await self._clerk.quit()
        await self._control.close()
        await self._lane.stop()


class _NoDevice:
    """What of a device's facts is asked where there is none."""

    name = "the holding disk"
    properties = ()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _state_file(config: Config, header: Header) -> str:
    """Its name without ``.gz`` [recovery 6.1]."""
    level = str(header.level)
    return f"{index_stem(config, header.host, header.disk, header.datestamp, level)}.state"


def _copy_state(stem: str, descriptor: int) -> None:
    for path, opened in ((f"{stem}.gz", gzip.open), (stem, open)):
        try:
            os.close(open_regular(path, os.O_RDONLY))
        except FileNotFoundError:
            continue
        with opened(path, "rb") as file:
            while data := file.read(_CHUNK):
                _write_all(descriptor, data)
        return
