"""What a device promises that moves dump data over a raw TCP connection.

Facts: [ndmp 1.4, 1.5]. All of it is asynchronous and belongs to the reactor thread.
A device that can do it provides :class:`IDirectTCPDevice` beside
:class:`devices.interfaces.IAsyncDevice`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from protocols.records import Record

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from devices.callers import Callers
    from devices.interfaces import FileStart
    from protocols.directtcp import Address
    from protocols.header import Header


class Moved(Record, kw_only=True):
    """Result of moving data between a connection and the current file.

    :ivar size: bytes moved, padding of the last record included.
    :ivar eof: writing: the peer closed the connection; reading: the file is at its end.
    :ivar eom: the volume is at its logical end; nothing of the stream is lost.
    """

    size: int
    eof: bool
    eom: bool


class IDirectTCPConnection(Interface):
    """A data connection, opaque to all but the devices that can use it.

    It outlives the device that made it, and the volume that was in that device.
    """

    device_name: str = Attribute("name of the device that made it, for error texts")

    def close() -> Deferred[None]:
        """End the connection, at any time, also in mid-stream. Once."""


class IDirectTCPDevice(Interface):
    """A device that can listen for a data connection, or make one.

    Cancelling a Deferred stops what it stands for; the device can then only be finished. Failures
    are :class:`devices.errors.DeviceError`.
    """

    def listen(for_writing: bool) -> Deferred[tuple[Address, ...]]:
        """Begin to wait for a peer; no other call until ``accept`` is over.

        :return: where a peer may connect, the one that a stock client can use first
        """

    def accept() -> Deferred[IDirectTCPConnection]:
        """Wait for the peer; may take for ever."""

    def connect(
        for_writing: bool, addresses: tuple[Address, ...]
    ) -> Deferred[IDirectTCPConnection]:
        """Connect to the first of ``addresses`` that answers.

        Reading then begins at once, where the volume stands. Fails with
        :class:`devices.errors.PeerUnreachable` if none answers, or the device cannot connect; it
        may then be asked to listen.
        """

    def use_connection(connection: IDirectTCPConnection) -> Deferred[None]:
        """Go on with a connection that another device made; before ``start``.

        Fails with :class:`devices.errors.IncompatibleConnection`, which names both devices.
        """


class IMoverDevice(IDirectTCPDevice):
    """A device whose own mover moves data between a connection and the volume, past this process.

    It takes data in no other way.
    """

    def start_file(header: Header) -> Deferred[FileStart]:
        """As :meth:`devices.interfaces.IDevice.start_file`."""

    def write_from_connection(
        size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        """Move at most ``size`` bytes (0: no limit) from the connection into the current file.

        Fails with :class:`devices.errors.ConnectionBroken` if the connection breaks;
        ``end_broken_file`` then ends the file, and the device can listen anew between two files,
        once the connection is closed.

        :param progress: hears now and then how many bytes were moved
        """

    def look() -> None:
        """While ``write_from_connection`` waits: let its ``progress`` be told soon."""

    def break_off() -> None:
        """While ``write_from_connection`` waits: the connection is broken, though the mover may
        not see it. It fails soon, unless it is over in another way."""

    def finish_file() -> Deferred[None]:
        """As :meth:`devices.interfaces.IDevice.finish_file`."""

    def end_broken_file() -> Deferred[int]:
        """In the place of ``finish_file`` after the connection broke: end the file where its data
        are certain.

        A mover may have filled up what came of the last record, and written that; its counts do
        not show it [ndmp-server 4.6]. So the last record is taken off the file.

        It may also follow ``finish_file``, when the volume stands where that has left it.

        :return: bytes of the stream in the file, whole records. Fails with DeviceError if they
            cannot be known; the file is then no good part.
        """

    def read_last_record() -> Deferred[bytes]:
        """Behind ``finish_file``: read the last record of that file, which has one, once more. The
        volume then stands where it stood.

        Fails with DeviceError if it does not: the volume takes nothing more then.
        """

    def seek_file(number: int) -> Deferred[Header | None]:
        """As :meth:`devices.interfaces.IDevice.seek_file`."""

    def seek_data(number: int) -> Deferred[int | None]:
        """As :meth:`devices.interfaces.IFindsData.seek_data`; ``read_to_connection`` follows."""

    def skip_records(count: int) -> Deferred[None]:
        """Behind ``seek_file``: go over so many records of the file, which it must have."""

    def read_to_connection(
        size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        """Move at most ``size`` bytes (0: no limit) of the current file to the connection.

        For as long as the reader takes: whether it still lives is the caller's business. When it
        was cancelled, or the connection broke, and that is closed, ``seek_file`` may follow.

        :param progress: hears now and then how many bytes were moved, also if it is as many as
            the last time
        """

    def read_end(number: int, count: int) -> Deferred[bytes]:
        """Behind ``read_to_connection`` to the end of a file: read the last ``count`` records of
        file ``number``, of that one or an earlier one. Then ``seek_file`` may follow.

        :return: nothing if they cannot be had, though all is well otherwise
        """


class ISocketConnection(IDirectTCPConnection):
    """A connection whose socket this process holds: its bytes pass through us."""

    socket: Any = Attribute("the connected socket.socket, in blocking mode")


class ISocketFedDevice(IDirectTCPDevice):
    """A device that this process feeds: it takes every :class:`ISocketConnection`, and none else.

    This process listens for it, so it can be told who may connect.
    """

    being_called: bool = Attribute(
        "while ``accept`` waits: somebody who may be the peer is connected, and silent so far"
    )

    was_called: bool = Attribute(
        "while ``accept`` waits: somebody who may be the peer hung up without a byte"
    )

    def take_silent() -> None:
        """Let ``accept`` wait no longer for a better peer than that one; an empty dump is one."""

    def admit(callers: Callers) -> None:
        """Who may connect, from the next ``accept`` on; without it, users of this host who may
        anyway. The property DIRECTTCP-PEER-ADDRESS adds to it."""


class IIndirectConnection(IDirectTCPConnection):
    """A connection that is still to be made: somebody must ask first where to connect."""

    def on_question(told: Callable[[], object]) -> None:
        """Call ``told`` once somebody has asked, at once if that was before."""
