"""Drives behind a mover, in memory and in steps: data reach them from a connection only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from devices.errors import ConnectionBroken, DeviceError, IncompatibleConnection
from devices.idirecttcp import (
    IDirectTCPConnection,
    IIndirectConnection,
    IMoverDevice,
    Moved,
)
from devices.interfaces import AccessMode, IAsyncDevice, WriteEnd
from protocols.directtcp import INDIRECT_HOST, Address
from tests.core.stocked import SteppedFace, Tape
from tests.fakes.device import FakeDevice

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.interfaces import FileStart
    from protocols.header import Header
    from tests.core.steps import Steps


@define
class Stream:
    """What a peer sends.

    :ivar end: how it ends: ``"closed"``, ``"reset"`` or ``"silent"`` (it never does).
    """

    data: bytes
    end: str = "closed"


@define
class MoverServer:
    """A tape server with one mover.

    :ivar streams: the peers that will connect, in order.
    :ivar late: it must be asked first (IndirectTCP).
    """

    name: str = "S"
    streams: list[Stream] = field(factory=list)
    late: bool = False


@implementer(IDirectTCPConnection)
class MoverConnection:
    """The mover's end of one stream.

    :ivar position: bytes that reached a volume.
    """

    def __init__(self, device_name: str, server: MoverServer, moments: Steps) -> None:
        self.device_name = device_name
        self.server = server
        self.position = 0
        self.closed = 0
        self._moments = moments
        self.stream = server.streams.pop(0)

    def close(self) -> Deferred[None]:
        def end() -> None:
            self.closed += 1

        return self._moments.do("connection closes", end, surely=True)


@implementer(IIndirectConnection)
class LateConnection(MoverConnection):
    """One that somebody must ask for first.

    :ivar questions: called when somebody asks.
    """

    def __init__(self, device_name: str, server: MoverServer, moments: Steps) -> None:
        super().__init__(device_name, server, moments)
        self.questions: list[Callable[[], object]] = []

    def on_question(self, told: Callable[[], object]) -> None:
        self.questions.append(told)


@implementer(IAsyncDevice, IMoverDevice)
class MoverDevice(SteppedFace):
    """A drive of a :class:`MoverServer`, which pads the last record of a stream."""

    def __init__(self, device: FakeDevice, tape: Tape, moments: Steps, server: MoverServer) -> None:
        super().__init__(device, tape, moments)
        self._server = server
        self._connection: MoverConnection | None = None
        self.made: list[MoverConnection] = []

    def listen(self, for_writing: bool) -> Deferred[tuple[Address, ...]]:
        late = self._server.late
        addresses = (Address(INDIRECT_HOST if late else "192.0.2.9", 7000), Address("::1", 7001))
        return self._moments.do("listen", lambda: addresses[:1] if late else addresses)

    def accept(self) -> Deferred[IDirectTCPConnection]:
        if not self._server.late and self._server.streams[0].end == "absent":
            return Deferred()
        return self._moments.do("accept", self._accept)

    def _accept(self) -> MoverConnection:
        kind = LateConnection if self._server.late else MoverConnection
        self._connection = kind(self.facts.name, self._server, self._moments)
        self.made.append(self._connection)
        return self._connection

    def connect(
        self, for_writing: bool, addresses: tuple[Address, ...]
    ) -> Deferred[IDirectTCPConnection]:
        return self._moments.do("connect", self._accept)

    def use_connection(self, connection: IDirectTCPConnection) -> Deferred[None]:
        def use() -> None:
            if self.facts.access_mode is not AccessMode.NULL:
                raise DeviceError("use_connection on a started device")
            if not isinstance(connection, MoverConnection) or connection.server is not self._server:
                raise IncompatibleConnection(self.facts.name, connection.device_name)
            self._connection = connection

        return self._moments.do("use_connection", use)

    def start_file(self, header: Header) -> Deferred[FileStart]:
        return self._moments.do("start_file", lambda: self._drive.start_file(header))

    def finish_file(self) -> Deferred[None]:
        return self._moments.do("finish_file", self._drive.finish_file)

    def end_broken_file(self) -> Deferred[int]:
        raise NotImplementedError("whoever sends to this one cannot send again")

    def read_last_record(self) -> Deferred[bytes]:
        raise NotImplementedError("whoever sends to this one knows that all has come")

    def look(self) -> None:
        """There is nothing between two moves."""

    def break_off(self) -> None:
        raise NotImplementedError("whoever sends to this one knows nothing")

    def seek_file(self, number: int) -> Deferred[Header | None]:
        return self._moments.do("seek_file", lambda: self._drive.seek_file(number))

    def seek_data(self, number: int) -> Deferred[int | None]:
        raise NotImplementedError("a taper only writes")

    def skip_records(self, count: int) -> Deferred[None]:
        raise NotImplementedError("a taper only writes")

    def read_end(self, number: int, count: int) -> Deferred[bytes]:
        raise NotImplementedError("a taper only writes")

    def read_to_connection(
        self, size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        raise NotImplementedError("a taper only writes")

    def write_from_connection(
        self, size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        connection = self._connection
        assert connection is not None
        if connection.stream.end == "silent":
            return Deferred()
        return self._moments.do("move", lambda: self._move(connection, size))

    def _move(self, connection: MoverConnection, size: int) -> Moved:
        block = self.facts.block_size
        assert size % block == 0
        data, moved = connection.stream.data, 0
        while not size or moved < size:
            record = data[connection.position : connection.position + block]
            if not record:
                break
            written = self._drive.write_blocks(memoryview(record.ljust(block, b"\0")))
            moved += written.accepted
            connection.position += min(written.accepted, len(record))
            if written.end is WriteEnd.FAILED:
                raise DeviceError("the mover halted: MEDIA_ERROR")
            if written.end is not WriteEnd.NONE:
                return Moved(size=moved, eof=False, eom=True)
        ended = connection.position >= len(data)
        if ended and connection.stream.end == "reset":
            raise ConnectionBroken("the mover halted: CONNECT_ERROR")
        return Moved(size=moved, eof=ended, eom=False)


class MoverTape(Tape):
    """A volume in a drive of a server."""

    def __init__(self, server: MoverServer, capacity: int | None = None, **options: object) -> None:
        super().__init__(capacity, **options)  # type: ignore[arg-type]
        self.server = server
        self.faces: list[MoverDevice] = []

    def face(self, device: FakeDevice, moments: Steps) -> IAsyncDevice:
        face = MoverDevice(device, self, moments, self.server)
        self.faces.append(face)
        return face
