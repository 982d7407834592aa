"""A source volume in a drive whose mover sends what it reads to us [data-plane 4.4]."""

from __future__ import annotations

import functools
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from zope.interface import implementer

from devices.directtcp import connect_one, wait_in_lane
from devices.errors import ConnectionBroken, DeviceError, DriveFailed
from devices.idirecttcp import IMoverDevice
from devices.interfaces import IFindsData
from taper.flow.reactor_side import GivenUp, ReactorSide
from taper.plane.volumes import IBlockSkipper

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from devices.idirecttcp import IDirectTCPConnection
    from devices.interfaces import IAsyncDevice, ILane
    from protocols.header import Header

T = TypeVar("T")

GIVEN_UP = "reading from the source volumes was given up"


async def move_whole_file(
    device: IAsyncDevice, progress: Callable[[int], None] | None = None
) -> int:
    """Let a mover send the rest of the current file. :return: bytes

    :param progress: as of ``read_to_connection``
    :raise DeviceError: as of ``read_to_connection``, or the mover stops on its way
    """
    size, ended = 0, False
    while not ended:
        more = () if progress is None else (progress,)
        moved = await IMoverDevice(device).read_to_connection(0, *more)
        if not (moved.size or moved.eof):
            raise DriveFailed(f"the mover of {device.facts.name} reads no more, {size} bytes on")
        size, ended = size + moved.size, moved.eof
    return size


class _Part:
    """The run of the mover through one file.

    :ivar size: its bytes, once the mover has said so.
    :ivar error: why it could not be read to its end.
    """

    def __init__(self) -> None:
        self.size: int | None = None
        self.error: DeviceError | None = None

    def told(self) -> bool:
        """The mover has said how it went."""
        return self.size is not None or self.error is not None


@implementer(IBlockSkipper, IFindsData)
class MoverReader:
    """Reads a volume like a blocking device, for the reading thread; the mover listens, we connect.

    :param device: started for reading, and at the first part; whoever made us finishes it
    :param lane: where connecting blocks
    :ivar well: the device can be read from again.
    """

    def __init__(self, reactor: Any, device: IAsyncDevice, lane: ILane) -> None:
        self.well = True
        self._device = device
        self._direct: Any = IMoverDevice(device)
        self._lane = lane
        self._connection: IDirectTCPConnection | None = None
        self._socket: socket.socket | None = None
        self._bell, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._reactor_side = ReactorSide(reactor)
        self._part: _Part | None = None
        self._got = 0
        self._doing: Deferred[Any] | None = None

    # what the reading thread sees

    @property
    def name(self) -> str:
        return self._device.facts.name

    @property
    def block_size(self) -> int:
        return self._device.facts.block_size

    @property
    def file(self) -> int:
        return self._device.facts.file

    @property
    def timestamp(self) -> str | None:
        return self._device.facts.timestamp

    def seek_file(self, number: int) -> Header | None:
        """As :meth:`devices.interfaces.IDevice.seek_file`; in the reading thread."""
        self._part = None

        def seek() -> Deferred[Header | None]:
            return self._direct.seek_file(number)  # type: ignore[no-any-return]

        return self._ask(seek)

    def seek_data(self, number: int) -> int | None:
        """See :class:`devices.interfaces.IFindsData`; in the reading thread."""
        self._part = None

        def seek() -> Deferred[int | None]:
            return self._direct.seek_data(number)  # type: ignore[no-any-return]

        return self._ask(seek)

    def skip_blocks(self, count: int) -> None:
        """See :class:`taper.plane.volumes.IBlockSkipper`; in the reading thread."""
        self._ask(lambda: self._direct.skip_records(count))

    def read_blocks(self, buffer: memoryview) -> int:
        """What has come of the current file, at most as much as fits; in the reading thread.

        :raise DeviceError: the mover could not read on, or :meth:`cancel` was called
        """
        part = self._part
        if part is None:
            part = self._begin()
        while True:
            self._check()
            if part.error is not None:
                raise part.error
            if part.size is not None and self._got >= part.size:
                return 0
            size = self._receive(buffer)
            if size:
                self._got += size
                return size

    def _begin(self) -> _Part:
        if self._socket is None:
            self._socket = self._ask(lambda: Deferred.fromCoroutine(self._connect()))
            self._poll.register(self._socket, select.POLLIN)
        part = self._part = _Part()
        self._got = 0
        self._reactor_side.tell(lambda: self._move(part))
        return part

    def _receive(self, buffer: memoryview) -> int:
        """Wait for bytes or the bell. :return: bytes; 0: look again"""
        assert self._socket is not None
        if any(fd == self._bell.fileno() for fd, _ in self._poll.poll()):
            self._bell.recv(1024)
            return 0
        try:
            size = self._socket.recv_into(buffer)
        except OSError as error:
            size, text = 0, error.strerror or str(error)
        else:
            text = "the mover closed the data connection"
        if not size:
            self._await_verdict(text)
        return size

    def _await_verdict(self, text: str) -> None:
        """No more bytes will come: the mover says why, or that it wanted more to be read."""
        part = self._part
        assert part is not None
        self._reactor_side.wait_for(part.told)
        if part.error is None and not self._reactor_side.given_up:
            part.error = ConnectionBroken(f"{text} after {self._got} of {part.size} bytes")

    def _check(self) -> None:
        if self._reactor_side.given_up:
            raise ConnectionBroken(GIVEN_UP)

    def _ask(self, what: Callable[[], Deferred[T]]) -> T:
        """Let something be done on the reactor's side, and wait for it."""
        try:
            return self._reactor_side.ask(lambda: self._start(what()))
        except GivenUp:
            raise ConnectionBroken(GIVEN_UP) from None
        except DeviceError:
            raise
        except BaseException as fault:
            raise _device_error(fault) from fault

    def cancel(self) -> None:
        """Make whatever the reading thread waits for fail. Any thread; never blocks; safe to
        repeat."""
        self._reactor_side.give_up()
        self._ring()

    def _ring(self) -> None:
        try:
            self._ringer.send(b"!")
        except OSError:
            return  # it rings already, or is closed and nobody waits

    # on the reactor's side

    def _start(self, doing: Deferred[T]) -> Deferred[T]:
        """Remember what is being done, so that :meth:`close` can end it."""
        self._doing = doing

        def over(result: Any) -> Any:
            self._doing = None
            return result

        return doing.addBoth(over)

    async def _connect(self) -> socket.socket:
        addresses = await self._direct.listen(False)
        accepting: Deferred[IDirectTCPConnection] = self._direct.accept()
        connecting = wait_in_lane(self._lane, functools.partial(connect_one, addresses))

        def accept_nobody(failure: Failure) -> Failure:
            accepting.cancel()
            return failure

        connecting.addErrback(accept_nobody)
        both: Any = DeferredList([accepting, connecting], consumeErrors=True)
        (accepted, connection), (connected, held) = await both
        if accepted:
            self._connection = connection
        if not connected:
            text = f"error connecting to the mover: {held.getErrorMessage()}"
            raise ConnectionBroken(text) from held.value
        if not accepted:
            held.close()
            raise _device_error(connection.value)
        held.setblocking(True)
        return held  # type: ignore[no-any-return]

    def _move(self, part: _Part) -> None:
        def moved(size: int) -> None:
            self._tell(part, size=size)

        def fail(failure: Any) -> None:
            self.well = False
            self._tell(part, error=_device_error(failure.value))

        moving = Deferred.fromCoroutine(move_whole_file(self._device))
        self._start(moving).addCallbacks(moved, fail)

    def _tell(
        self, part: _Part, *, size: int | None = None, error: DeviceError | None = None
    ) -> None:
        with self._reactor_side.changed:
            part.size, part.error = size, error
            self._reactor_side.changed.notify_all()
        self._ring()

    async def close(self) -> None:
        """End the connection; after :meth:`cancel`, or when the reading thread is through."""
        self.cancel()
        doing = self._doing
        if doing is not None:
            self.well = False
            ended: Deferred[None] = Deferred()
            doing.addBoth(lambda _: ended.callback(None))
            doing.cancel()
            await ended
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close()
            except DeviceError:
                self.well = False
        for held in (self._socket, self._bell, self._ringer):
            if held is not None:
                held.close()


def _device_error(fault: BaseException) -> DeviceError:
    if isinstance(fault, DeviceError):
        return fault
    cancelled = isinstance(fault, CancelledError)
    return ConnectionBroken(GIVEN_UP if cancelled else f"internal error: {fault!r}")
