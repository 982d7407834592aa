"""Control connections to NDMP servers, and the drive that a device opens on one.

Facts: [ndmp 3.1, 3.2]. A control connection is shared by the device that opened it,
the data connection made on it, and the device that goes on with that data connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from devices.errors import DeviceBusy, DeviceError, DriveFailed, Status, VolumeFailed
from protocols.ndmp.codes import PORT, ErrorCode, TapeMask, TapeMode, error_name
from protocols.ndmp.errors import NdmpError, NdmpLoginRefused, NdmpRefused
from protocols.ndmp.messages import (
    TapeClose,
    TapeGetState,
    TapeOpen,
)

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.ndmp_facts import NdmpFacts
    from protocols.ndmp.base import Reply, Request
    from protocols.twisted_transports.ndmp import NdmpSession

    R = TypeVar("R", bound=Reply)

ANSWER_PATIENCE = 60.0
"""Seconds to wait for the answer to a request that moves nothing."""

TAPE_PATIENCE = 1200.0
"""Seconds to wait for the answer to a request that may move a whole tape."""


_log = logging.getLogger(__name__)


@frozen
class ServerName:
    """Where a server is; ``port`` as given, 0 for the usual one."""

    host: str
    port: int = 0

    @property
    def real_port(self) -> int:
        return self.port or PORT

    def is_same_server(self, other: ServerName) -> bool:
        """The same host, by the same name or number, and the same port."""
        same_host = self.host.casefold() == other.host.casefold()
        return same_host and self.real_port == other.real_port

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_server_name(name: str, node: str) -> tuple[ServerName, str]:
    """``HOST[:PORT]@DEVICE`` as server and device; the host may be an IPv6 one in brackets.

    :param name: the whole device name, for error texts
    :raise DriveFailed: it is no such name
    """
    server, at, device = node.partition("@")
    if not at:
        raise DriveFailed(f"invalid ndmp device name '{name}'", code=1006)
    if server.startswith("[") and "]" in server:
        host, _, rest = server[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if colon not in ("", ":"):
            raise DriveFailed(f"invalid ndmp device name '{name}'", code=1006)
    else:
        host, colon, port = server.partition(":")
    if not colon:
        return ServerName(host), device
    if not (port.isascii() and port.isdigit() and len(port) <= 9 and int(port) <= 65535):
        raise DriveFailed(f"invalid ndmp port in device name '{name}'", code=1006)
    return ServerName(host, int(port)), device


def cannot_connect(server: ServerName, auth: str, error: NdmpError) -> str:
    """Why there is no control connection, as stock words it."""
    if isinstance(error, NdmpLoginRefused):
        reason = f"connect-auth-{auth}-failed"
    else:
        reason = error.text
    return f"could not connect to ndmp-server '{server}': {reason}"


def device_error(error: NdmpError) -> DeviceError:
    """What a device says of a failed request."""
    if not isinstance(error, NdmpRefused):
        return DriveFailed(f"ndmconn error -1: {error.text}")
    if error.in_header:
        return DriveFailed(f"ndmconn error -2: reply-error-hdr ({error.text})")
    if error.error == ErrorCode.NO_TAPE_LOADED:
        return VolumeFailed("no tape loaded", Status.VOLUME_MISSING)
    if error.error == ErrorCode.DEVICE_BUSY:
        return DeviceBusy("device busy", Status.DEVICE_BUSY)
    if error.error == ErrorCode.IO:
        status = Status.VOLUME_UNLABELED | Status.VOLUME_ERROR | Status.DEVICE_ERROR
        return VolumeFailed("IO error", status)
    return DriveFailed(f"Error from NDMP server: {error_name(error.error)}")


class Control:
    """One control connection, closed when its last user leaves it.

    :ivar drive: the drive that is open on it.
    :ivar lost: it is of no use any more.
    :param verbose: say in the debug log what is asked
    """

    def __init__(self, session: NdmpSession, server: ServerName, *, verbose: bool = False) -> None:
        self.session = session
        self._level = logging.INFO if verbose else logging.DEBUG
        self.server = server
        self.drive: str | None = None
        self.lost = False
        self._users = 1

    @property
    def peer(self) -> object:
        """The other end's address, if there is a real connection."""
        transport = self.session.transport
        return None if transport is None else transport.getPeer()

    @property
    def is_local(self) -> bool:
        """The server is on this host."""
        transport: Any = self.session.transport
        return transport is not None and transport.getPeer().host == transport.getHost().host

    async def ask(self, message: Request[R], patience: float | None = None) -> R:
        """Send a request, wait for its answer.

        :param patience: seconds; None: ANSWER_PATIENCE

        :raise NdmpRefused: the server says no
        :raise NdmpError: the control connection is of no use any more
        """
        _log.log(self._level, "%s: %s", self.server, message.label)
        try:
            limit = ANSWER_PATIENCE if patience is None else patience
            return await self.session.request(message, timeout=limit)
        except NdmpRefused as error:
            _log.log(self._level, "%s: %s", self.server, error)
            raise
        except NdmpError:
            # a server that was late with one answer is in a state that we no longer know
            self.lost = True
            raise

    def share(self) -> Control:
        self._users += 1
        return self

    async def leave(self) -> None:
        """One user less."""
        self._users -= 1
        if self._users == 0:
            await self._close()

    def hurry(self) -> None:
        """Whoever waits wants to end."""
        self.session.hurry()

    async def give_up(self) -> None:
        """It is of no use any more to anybody."""
        self.lost = True
        await self._close()

    async def _close(self) -> None:
        try:
            if self.lost:  # who did not answer will not take leave either
                await self.session.give_up()
            else:
                await self.session.close()
        except NdmpError as error:
            _log.info("closing the control connection to %s: %s", self.server, error)


class Link:
    """One device's way to its drive: a control connection, made when it is first needed.

    :param connect: makes a session, with the properties the device has at that moment
    """

    def __init__(
        self,
        connect: Callable[[], Deferred[NdmpSession]],
        facts: NdmpFacts,
        server: ServerName,
        drive: str,
    ) -> None:
        self._connect = connect
        self._facts = facts
        self._drive = drive
        self._open = False
        self.server = server
        self.control: Control | None = None

    async def opened(self) -> Control:
        """The control connection, with the drive open.

        :raise DeviceError: the server cannot be reached, or its drive does not suit us
        :raise NdmpError: the server refuses to open the drive
        """
        if self.control is not None and self.control.lost:
            await self.abandon()
        if self.control is None:
            verbose = self._facts.properties.flag("verbose")
            self.control = Control(await self._connected(), self.server, verbose=verbose)
        if not self._open:
            await self._open_drive(self.control)
        return self.control

    async def _connected(self) -> NdmpSession:
        auth = self._facts.text("ndmp_auth").lower()
        try:
            return await self._connect()
        except NdmpError as error:
            raise DriveFailed(cannot_connect(self.server, auth, error)) from error

    async def _open_drive(self, control: Control) -> None:
        if control.drive is not None:
            raise ValueError(f"drive {control.drive} is still open on the connection to be used")
        await control.ask(TapeOpen(self._drive, TapeMode.RAW), TAPE_PATIENCE)
        control.drive, self._open = self._drive, True
        state = await control.ask(TapeGetState())
        fixed = 0 if state.unsupported & TapeMask.BLOCK_SIZE else state.block_size
        wanted = self._facts.block_size
        if fixed not in (0, wanted):
            await self.close_drive()
            raise DriveFailed(
                f"NDMP device has fixed block size {fixed}, "
                f"but Amanda device is configured with blocksize {wanted}",
                code=2009,
            )

    async def ask(self, message: Request[R], patience: float | None = None) -> R:
        """Open what is not open yet, and send a request."""
        return await (await self.opened()).ask(message, patience)

    async def close_drive(self) -> None:
        """TAPE_CLOSE, if the drive is open; it counts as closed even if that fails.

        :raise NdmpError: the server did not say that it is closed
        """
        control = self.control
        if control is None or not self._open:
            return
        self._open, control.drive = False, None
        if not control.lost:
            await control.ask(TapeClose(), TAPE_PATIENCE)

    def hurry(self) -> None:
        """Whoever waits for the drive wants to end."""
        if self.control is not None:
            self.control.hurry()

    async def leave(self) -> None:
        """Give up the control connection; others may go on with it."""
        control, self.control = self.control, None
        if control is not None:
            await control.leave()

    async def abandon(self) -> None:
        """Leave a control connection that is of no use any more."""
        if self.control is not None:
            self.control.drive = None
        self._open = False
        await self.leave()

    def leads_to(self, control: Control) -> bool:
        """Whether a control connection is one of the server that has our drive."""
        if control.lost:
            return False
        if control.server.is_same_server(self.server):
            return True
        # another name may stand for the same server
        own = None if self.control is None else self.control.peer
        return own is not None and own == control.peer

    async def adopt(self, control: Control) -> None:
        """Go on with the control connection of somebody else."""
        try:
            await self.close_drive()
        except NdmpError as error:
            _log.info("closing drive %s of %s: %s", self._drive, self.server, error)
        await self.leave()
        self.control = control.share()
