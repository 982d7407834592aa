"""The data connection of an NDMP mover [ndmp 3.4 to 3.10].

Every run of the mover, from MOVER_LISTEN, READ or CONTINUE to its pause or halt, ends with one
post. Each is taken by whoever waits for that run, so that none is mistaken for the end of the
next; what a state reply says counts only where a server forgets its post.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from devices.errors import ConnectionBroken, DriveFailed, PeerUnreachable
from devices.idirecttcp import IDirectTCPConnection, Moved
from devices.ndmp_stop import Stop, name_of, stop_of, stop_of_state, unexpected
from devices.ndmp_watch import Watch, ask_tolerating_state
from protocols.ndmp.codes import (
    INFINITY,
    AddressType,
    ErrorCode,
    HaltReason,
    MoverMode,
    MoverState,
    PauseReason,
)
from protocols.ndmp.errors import NdmpError, NdmpRefused, NdmpTimeout
from protocols.ndmp.messages import (
    DataAddress,
    MoverAbort,
    MoverClose,
    MoverConnect,
    MoverContinue,
    MoverGetState,
    MoverListen,
    MoverRead,
    MoverSetRecordSize,
    MoverSetWindow,
    MoverStop,
    NotifyMoverHalted,
    NotifyMoverPaused,
)
from protocols.twisted_transports.haste import CLOSE_PATIENCE

if TYPE_CHECKING:
    from devices.errors import DeviceError
    from devices.ndmp_control import Control
    from protocols.directtcp import Address

POLL_SECONDS = 5.0
"""How often a running mover is asked how far it is, which also shows that its server lives."""

FORGOTTEN_POLLS = 3
"""States in a row that say that the mover stopped, before a missing post is taken for lost."""

CONNECT_PATIENCE = 180.0
"""Seconds for a mover to connect to where it is sent; longer than systems try to connect."""

_STOPS = (NotifyMoverPaused, NotifyMoverHalted)

_log = logging.getLogger(__name__)


class WindowRefused(DriveFailed):
    """The server takes no empty window: it can only listen once the header is on the volume."""

    taper_code = 6003


class _Phase(enum.Enum):
    """What we know of the mover."""

    IDLE = "not begun, or stopped"
    RUNNING = "listening or active: a pause or halt is to come"
    PAUSED = "paused, and its post was taken"
    HALTED = "halted, and its post was taken"


@implementer(IDirectTCPConnection)
class NdmpConnection:
    """A mover's data connection, and the control connection that leads to it.

    :param writing: from the connection to the volume
    :ivar control: shared; left by ``close``.
    :ivar record_size: bytes of the records it is cut into.
    :ivar closed: by ``close``; the mover is free for another one.
    :ivar moved_last: bytes that the last :meth:`write` moved, however it ended.
    """

    def __init__(
        self, reactor: Any, control: Control, device_name: str, record_size: int, *, writing: bool
    ) -> None:
        self._reactor = reactor
        self.record_size = record_size
        self.closed = False
        self._offset = 0
        self._bytes_moved = 0
        self._phase = _Phase.IDLE
        self._last = Stop()
        self.moved_last = 0
        self.control = control.share()
        self._watch = Watch(reactor, control)
        self.device_name = device_name
        self.writing = writing

    @property
    def _mode(self) -> MoverMode:
        return MoverMode.READ if self.writing else MoverMode.WRITE

    # beginning

    async def listen(self, room: int) -> tuple[Address, ...]:
        """Let the mover listen.

        :param room: bytes that may be moved until the first pause; 0: none
        :raise WindowRefused: the server wants more room than none
        :raise NdmpError: the server refuses otherwise
        """
        self._forget_posts()
        await self.control.ask(MoverSetRecordSize(self.record_size))
        if self.control.session.version >= 4:
            await self._set_first_window(room)
            addresses = await self._listen()
        else:  # version 2 and 3 servers take a window only while they listen
            addresses = await self._listen()
            await self._set_first_window(room)
        self._bytes_moved = (await self.control.ask(MoverGetState())).bytes_moved
        return addresses

    async def _listen(self) -> tuple[Address, ...]:
        reply = await self.control.ask(MoverListen(self._mode, AddressType.TCP))
        self._phase = _Phase.RUNNING
        if reply.address.kind != AddressType.TCP or not reply.address.addresses:
            raise DriveFailed(f"the mover of {self.control.server} listens on no TCP address")
        return reply.address.addresses

    async def _set_first_window(self, room: int) -> None:
        try:
            await self.control.ask(MoverSetWindow(0, room))
        except NdmpRefused as error:
            if room or error.in_header or error.error != ErrorCode.ILLEGAL_ARGS:
                raise
            raise WindowRefused(f"{self.control.server} refuses an empty window") from error

    async def connect(self, addresses: tuple[Address, ...]) -> None:
        """Let the mover connect to the first address that answers.

        :raise PeerUnreachable: none does, or such a server does not connect
        """
        if self.control.session.version < 4:  # 2 cannot, 3 takes no window before
            raise PeerUnreachable(f"the mover of {self.control.server} only listens")
        local = self.control.is_local
        # a loopback address is one of the server's own host, not of every mover's
        tried = [address for address in addresses if local or not address.is_loopback]
        self._forget_posts()
        await self.control.ask(MoverSetRecordSize(self.record_size))
        await self.control.ask(MoverSetWindow(0, 0 if self.writing else INFINITY))
        for address in tried:
            self._phase = _Phase.RUNNING
            refusal = ""
            try:
                await self.control.ask(
                    MoverConnect(self._mode, DataAddress(AddressType.TCP, (address,))),
                    CONNECT_PATIENCE,
                )
            except NdmpRefused as error:
                refusal = error.text
                _log.info("the mover cannot connect to %s: %s", address, refusal)
            # nothing moves yet: there is no window, or nothing to be read
            state = await self.control.ask(MoverGetState())
            if not refusal:
                _log.info("the mover of %s is connected to %s", self.control.server, address)
                self._bytes_moved = state.bytes_moved
                return
            if state.state != MoverState.IDLE:
                raise DriveFailed(
                    f"the mover is {name_of(MoverState, state.state)} after it refused: {refusal}"
                )
            self._phase = _Phase.IDLE
        told = ", ".join(str(address) for address in addresses)
        raise PeerUnreachable(f"the mover of {self.control.server} cannot connect to {told}")

    async def await_data(self) -> None:
        """Wait until the first record is there, or the peer has closed an empty stream."""
        stop = await self._stopped("waiting NDMP_MOVER_PAUSE_SEEK")
        if not (stop.is_room_reached or stop.is_closed):
            raise unexpected(stop, "waiting NDMP_MOVER_PAUSE_SEEK")

    async def await_reader(self) -> None:
        """Wait until somebody reads, and let the mover begin to read the volume."""
        wait = 0.01
        while True:
            state = await self.control.ask(MoverGetState())
            if state.state != MoverState.LISTEN:
                break
            await deferLater(self._reactor, wait, lambda: None)
            wait = min(2 * wait, 0.5)
        if state.state != MoverState.ACTIVE:
            raise DriveFailed("mover did not enter the ACTIVE state as expected", code=5014)
        await self.control.ask(MoverRead(0, INFINITY))

    # moving

    async def write(
        self, size: int, progress: Callable[[int], None], patience: float | None = None
    ) -> Moved:
        """Move up to ``size`` bytes (0: no limit) from the connection to the volume.

        :param progress: hears now and then how many bytes this call has moved
        :param patience: seconds to wait for a peer that has not connected yet; None: no limit
        """
        room = self._room(size)
        if self._phase is _Phase.HALTED and self._last.is_closed:
            return Moved(size=0, eof=True, eom=False)
        if self._phase is not _Phase.RUNNING:
            await self._continue(room)
        self.moved_last = 0
        self._watch.begun(lambda total: progress(total - self._bytes_moved))
        try:
            stop = await self._stopped("waiting for accept", progress, patience)
        finally:
            self._watch.over()
        moved = self.moved_last = await self._settle()
        if moved > room:
            raise DriveFailed(
                f"the mover moved {moved} bytes, at most {room} were allowed", code=5014
            )
        if stop.is_closed:
            return Moved(size=moved, eof=True, eom=False)
        if stop.pause == PauseReason.EOM:
            return Moved(size=moved, eof=False, eom=True)
        if stop.is_room_reached:
            return Moved(size=moved, eof=False, eom=False)
        raise self._ended_badly(stop)

    def _ended_badly(self, stop: Stop) -> DeviceError:
        if self._watch.breaking and stop.halt == HaltReason.ABORTED:
            return ConnectionBroken("the data connection broke, and the mover did not see it")
        return unexpected(stop)

    async def read(self, size: int, progress: Callable[[int], None] | None = None) -> Moved:
        """Move up to ``size`` bytes (0: no limit) from the volume to the connection.

        The first run has no limit, since the mover begins before anybody can say one. A file that
        nothing follows may end without a filemark.

        :param progress: hears now and then how many bytes this call has moved
        :raise ConnectionBroken: the reader is gone
        """
        if self._phase is not _Phase.RUNNING:
            await self._continue(self._room(size))
        stop = await self._stopped("waiting for accept", progress)
        moved = await self._settle()
        if stop.pause in (PauseReason.EOF, PauseReason.EOM):
            return Moved(size=moved, eof=True, eom=False)
        if stop.is_room_reached:
            return Moved(size=moved, eof=False, eom=False)
        if stop.is_closed:
            raise ConnectionBroken("the reader closed the data connection")
        raise unexpected(stop)

    def _room(self, size: int) -> int:
        """Bytes of the next window: whole records, or all there is."""
        if size == 0 or size >= INFINITY - self._offset:
            return INFINITY - self._offset
        return -(-size // self.record_size) * self.record_size

    async def _continue(self, room: int) -> None:
        state = await self.control.ask(MoverGetState())
        if self.writing and state.state == MoverState.HALTED:  # while nobody waited for it
            stop = self._note(stop_of_state(state))
            self.moved_last = 0
            raise self._ended_badly(stop)
        if state.state != MoverState.PAUSED:
            raise DriveFailed(
                f"the mover is {name_of(MoverState, state.state)}, PAUSED expected", code=5014
            )
        if state.record_size != self.record_size:
            # some servers forget it when another drive is opened
            await self.control.ask(MoverSetRecordSize(self.record_size))
        self._bytes_moved = state.bytes_moved
        await self.control.ask(MoverSetWindow(self._offset, room))
        self._forget_posts()
        self._phase = _Phase.RUNNING
        await self.control.ask(MoverContinue())

    async def _settle(self) -> int:
        """Bytes moved since the last time."""
        state = await self.control.ask(MoverGetState())
        moved = state.bytes_moved - self._bytes_moved
        if moved < 0:
            raise DriveFailed(f"the mover has moved {-moved} bytes less than before", code=5014)
        self._bytes_moved = state.bytes_moved
        self._offset += moved
        return moved

    async def _stopped(
        self,
        what: str,
        progress: Callable[[int], None] | None = None,
        patience: float | None = None,
    ) -> Stop:
        """Wait for the end of the run, looking now and then how far it is.

        :param patience: seconds that the mover may be listening
        """
        forgotten = 0
        began = self._reactor.seconds()
        while True:
            try:
                post = await self.control.session.next_post(_STOPS, timeout=POLL_SECONDS)
            except NdmpTimeout:
                state = await self.control.ask(MoverGetState())
            except NdmpError:
                self.control.lost = True
                raise
            else:
                return self._note(stop_of(post))
            waited = self._reactor.seconds() - began
            if progress is not None:
                progress(state.bytes_moved - self._bytes_moved)
            if state.state in (MoverState.PAUSED, MoverState.HALTED, MoverState.IDLE):
                forgotten += 1
                if forgotten >= FORGOTTEN_POLLS:
                    return self._note(stop_of_state(state))
                continue
            forgotten = 0
            listens = state.state == MoverState.LISTEN
            if listens and patience is not None and waited >= patience:
                raise ConnectionBroken(
                    f"{what}: nothing happened for {patience:g} seconds", code=5012
                )

    def _note(self, stop: Stop) -> Stop:
        self._last = stop
        self._phase = _Phase.PAUSED if stop.pause is not None else _Phase.HALTED
        return stop

    def _forget_posts(self) -> None:
        """Drop what is left of an earlier run."""
        for post in self.control.session.take_posts(_STOPS):
            _log.info("a late post of an earlier run: %s", post)

    # meanwhile

    def look(self) -> None:
        """Let the progress of a running :meth:`write` be told soon."""
        self._watch.look()

    def break_off(self) -> None:
        """Let a running :meth:`write` fail, unless it has an end already, or the next one."""
        self._watch.break_off()

    # ending

    async def abort(self) -> None:
        """End the run that is on, so that nothing moves any more; errors are only noted."""
        if self.control.lost or self._phase is _Phase.IDLE:
            return
        try:
            state = await self.control.ask(MoverGetState(), CLOSE_PATIENCE)
            if state.state == MoverState.PAUSED:
                await self.control.ask(MoverClose(), CLOSE_PATIENCE)
            elif state.state in (MoverState.LISTEN, MoverState.ACTIVE):
                await ask_tolerating_state(self.control, MoverAbort())
            if state.state != MoverState.IDLE:
                await self._await_halt()
                await ask_tolerating_state(self.control, MoverStop())
            self._forget_posts()
        except NdmpError as error:
            _log.info("ending the data connection of %s: %s", self.device_name, error)
            if not self.writing:
                # who reads must see an end; with the session the server ends its mover
                await self.control.give_up()
        self._phase = _Phase.IDLE

    async def _await_halt(self) -> None:
        if self._phase is _Phase.HALTED:
            return
        wait = 0.01
        while wait < CLOSE_PATIENCE:
            state = await self.control.ask(MoverGetState(), CLOSE_PATIENCE)
            if state.state in (MoverState.HALTED, MoverState.IDLE):
                break
            await deferLater(self._reactor, wait, lambda: None)
            wait *= 2
        try:
            # its post may come after the state
            await self.control.session.next_post((NotifyMoverHalted,), timeout=0.5)
        except NdmpTimeout:
            _log.info("the mover of %s halted without a word", self.device_name)

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self.closed = True
        try:
            await self.abort()
        finally:
            lost = self.control.lost
            await self.control.leave()
        if lost and not self.writing:
            raise DriveFailed(f"the control connection to {self.control.server} is lost", code=5013)
