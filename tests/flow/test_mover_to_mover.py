"""The sender of a dump from mover to mover: what it knows of its end, and whom it blames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from devices.errors import ConnectionBroken, DeviceError, DriveFailed, PeerUnreachable
from devices.idirecttcp import IDirectTCPConnection, IMoverDevice, Moved
from devices.interfaces import IAsyncDevice
from devices.shield import undisturbed
from protocols.crc import UNKNOWN, Crc
from protocols.directtcp import Address
from protocols.header import Header
from protocols.stored import DumpName, StoredDump, StoredPart
from taper.core.errors import SourceFault
from taper.core.interfaces import Rest
from taper.flow.last_record import Tail
from taper.flow.mover_to_mover import (
    VERDICT_PATIENCE,
    MoverSender,
)
from taper.flow.other_count import MOST_ALIKE
from taper.flow.whole_records import can_begin_at, pads_alike
from taper.plane.interfaces import SourceError
from tests.core.vaulting import HEADER, OLD
from tests.fakes.device import FakeDevice

BLOCK = 32768
THERE = (Address("192.0.2.7", 7),)


def stored(*parts: tuple[str, int, int | None]) -> StoredDump:
    """A dump of parts with label, file and size."""
    return StoredDump(
        name=DumpName(storage="SRC", host="localhost", disk="/home", datestamp=OLD, level="0"),
        written=OLD,
        parts=tuple(
            StoredPart(label=label, fileno=fileno, number=number, size=size)
            for number, (label, fileno, size) in enumerate(parts, 1)
        ),
        crc=UNKNOWN,
    )


TWO = stored(("A", 1, 2 * BLOCK), ("A", 2, BLOCK - 5))


@implementer(IDirectTCPConnection)
class Connection:
    device_name = "ndmp:s@d"

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> Deferred[None]:
        self.closed += 1
        return succeed(None)


@implementer(IMoverDevice)
class Drive:
    """Reads files as its script says.

    :ivar script: of each read_to_connection: bytes of a whole file, an error, or what is to come
    :ivar read_again: files and how many of their last records
    :ivar blind: it does not do that
    :ivar no_way_back: what it fails with then
    """

    def __init__(self, *script: int | DeviceError | Deferred[Moved]) -> None:
        self.facts = FakeDevice(name="ndmp:s@d")
        self.connection = Connection()
        self.refusal: DeviceError | None = None
        self.incompatible: DeviceError | None = None
        self.script = list(script)
        self.number = 1
        self.pausing = False
        self.blind = False
        self.no_way_back: DeviceError | None = None
        self.read_again: list[tuple[int, int]] = []

    def connect(
        self, for_writing: bool, addresses: tuple[Address, ...]
    ) -> Deferred[IDirectTCPConnection]:
        assert not for_writing
        assert addresses == THERE
        return fail(self.refusal) if self.refusal else succeed(self.connection)  # type: ignore[return-value]

    def use_connection(self, connection: IDirectTCPConnection) -> Deferred[None]:
        if self.incompatible is not None:
            return fail(self.incompatible)
        self.connection = connection  # type: ignore[assignment]
        return succeed(None)

    def seek_file(self, number: int) -> Deferred[Header | None]:
        self.facts.file = number
        self.number += 1
        return succeed(evolve(HEADER, partnum=self.number))

    def read_to_connection(
        self, size: int, progress: Callable[[int], None] | None = None
    ) -> Deferred[Moved]:
        step = self.script.pop(0)
        if isinstance(step, int):
            # a window may end before the file does
            more = step > BLOCK and not self.pausing
            self.pausing = more
            if more:
                self.script.insert(0, step - BLOCK)
            moved = min(step, BLOCK) if more else step
            return succeed(Moved(size=moved, eof=not more, eom=False))
        return step if isinstance(step, Deferred) else fail(step)

    def read_end(self, number: int, count: int) -> Deferred[bytes]:
        self.read_again.append((number, count))
        if self.no_way_back is not None:
            return fail(self.no_way_back)
        return succeed(b"" if self.blind else bytes([number]) * count * BLOCK)


def nowhere(label: str, ready: object) -> Deferred[IAsyncDevice]:
    return fail(SourceFault(f"no volume {label}"))


def begun(
    drive: Drive,
    dump: StoredDump = TWO,
    total: int | None = None,
    change_to: Callable[..., Deferred[IAsyncDevice]] = nowhere,
    clock: Clock | None = None,
) -> tuple[MoverSender, list[str]]:
    """A sender that has connected, and what it says once it is settled."""
    sender = MoverSender(clock or Clock(), drive, dump, total, change_to)  # type: ignore[arg-type]
    told: list[str] = []
    connecting = Deferred.fromCoroutine(sender.connect(THERE))
    failures: list[object] = []
    connecting.addErrback(failures.append)
    assert not failures
    sender.settled().addCallback(lambda _: told.append("settled"))
    return sender, told


def test_a_dump_of_two_parts() -> None:
    drive = Drive(2 * BLOCK, BLOCK)
    sender, told = begun(drive, total=3 * BLOCK - 5)
    assert told
    assert sender.finished
    assert sender.well
    assert sender.size == 3 * BLOCK
    assert sender.crc() == UNKNOWN
    assert (sender.take_errors(), sender.broken) == ([], None)
    assert drive.connection.closed == 1
    assert sender.close().called


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ([DriveFailed("bad")], "'A' file 1: error reading from ndmp:s@d: bad"),
        ([2 * BLOCK, DriveFailed("bad")], "'A' file 2: error reading from ndmp:s@d: bad"),
        (
            [succeed(Moved(size=0, eof=False, eom=False))],
            "'A' file 1: error reading from ndmp:s@d: the mover of ndmp:s@d reads no more, 0 ",
        ),
        ([BLOCK], "part 1 on 'A' file 1 is truncated: 32768 bytes, 65536 expected"),
        ([2 * BLOCK, 3 * BLOCK], "part 2 on 'A' file 2 is longer than the 32763 bytes"),
    ],
)
def test_what_is_wrong_with_the_source(
    script: list[int | DeviceError | Deferred[Moved]], text: str
) -> None:
    """It is told before the connection ends, and once."""
    drive = Drive(*script)
    sender, told = begun(drive)
    assert told
    assert not sender.finished
    assert not sender.well
    errors = sender.take_errors()
    assert len(errors) == 1
    assert errors[0].startswith(text)
    assert (sender.take_errors(), sender.broken) == ([], None)
    assert drive.connection.closed == 1


def test_a_size_that_only_the_dump_tells() -> None:
    """The log has none of the parts' sizes."""
    drive = Drive(2 * BLOCK, BLOCK)
    sender, _ = begun(drive, stored(("A", 1, None), ("A", 2, None)), total=5 * BLOCK)
    assert not sender.finished
    expected = f"'A' file 2 has {3 * BLOCK} bytes with padding, {5 * BLOCK} expected"
    assert expected in sender.take_errors()[0]


def test_a_broken_connection_is_not_the_sources_fault_yet() -> None:
    """Who holds the other end may know better."""
    sender, told = begun(Drive(ConnectionBroken("gone")))
    assert told
    assert sender.take_errors() == []
    assert sender.broken == "'A' file 1: error reading from ndmp:s@d: gone"


def test_a_mover_that_never_notices() -> None:
    """The other end is at its end: the source is waited for, but not for ever."""
    clock = Clock()
    cancelled: list[object] = []
    drive = Drive(Deferred(cancelled.append))
    sender, told = begun(drive, clock=clock)
    clock.advance(VERDICT_PATIENCE - 1)
    assert not told
    clock.advance(1)
    assert told
    assert cancelled
    assert sender.broken == "'A' file 1: the data connection ended before 'ndmp:s@d' had sent all"
    assert not sender.well
    assert drive.connection.closed == 1
    assert not clock.getDelayedCalls()


def test_closing_stops_the_reading() -> None:
    """Nobody is blamed, and nothing is left."""
    clock = Clock()
    drive = Drive(Deferred())
    sender, told = begun(drive, clock=clock)
    assert sender.close().called
    assert told
    assert (sender.take_errors(), sender.broken) == ([], None)
    assert drive.connection.closed == 1
    assert not clock.getDelayedCalls()


def test_who_cannot_connect() -> None:
    """Unreachable is for another way to try; all else is the source's failure."""
    drive = Drive()
    sender = MoverSender(Clock(), drive, TWO, None, nowhere)  # type: ignore[arg-type]
    for refusal, kind in (
        (PeerUnreachable("far"), PeerUnreachable),
        (DriveFailed("x"), SourceError),
    ):
        drive.refusal = refusal
        failures: list[object] = []
        connecting = Deferred.fromCoroutine(sender.connect(THERE))
        connecting.addErrback(lambda failure, failures=failures: failures.append(failure.value))
        assert isinstance(failures[0], kind)
    assert str(failures[0]) == "'A' file 1: error making DirectTCP connection: x"
    assert not sender.well


def test_the_next_volume_takes_the_connection() -> None:
    second = Drive(BLOCK)

    def change_to(
        label: str, ready: Callable[[IAsyncDevice], Deferred[None]]
    ) -> Deferred[IAsyncDevice]:
        given = ready(second)  # type: ignore[arg-type]
        return given.addCallback(lambda _: second)  # type: ignore[arg-type, return-value]

    dump = stored(("A", 1, 2 * BLOCK), ("B", 1, BLOCK))
    first = Drive(2 * BLOCK)
    sender, _ = begun(first, dump, change_to=change_to)
    assert sender.finished
    assert second.connection is first.connection
    assert first.connection.closed == 1
    second.incompatible = DriveFailed("another server")
    sender, _ = begun(Drive(2 * BLOCK), dump, change_to=change_to)
    text = "'B' file 1: Cannot continue onto new volume: another server"
    assert sender.take_errors() == [text]
    sender, _ = begun(Drive(2 * BLOCK), dump)
    assert sender.take_errors() == ["'B' file 1: no volume B"]


def rest_of(sender: MoverSender, stored: int) -> list[Rest | None]:
    """Let it leave. :return: what it says; nothing: it has not left yet"""
    told: list[Rest | None] = []
    sender.leave(stored).addCallback(told.append)
    return told


def counting(drive: Drive, dump: StoredDump = TWO) -> tuple[MoverSender, list[str]]:
    """One that has sent all to a mover which has told nothing. :return: and what it asks"""
    asked: list[str] = []
    sender = MoverSender(Clock(), drive, dump, None, nowhere, block=BLOCK)  # type: ignore[arg-type]
    sender.wants_progress = lambda: asked.append("how far?")
    assert Deferred.fromCoroutine(sender.connect(THERE)).called
    return sender, asked


def test_the_end_is_told_when_the_other_mover_has_all_records() -> None:
    """Of what it fills up nobody can tell whether it came."""
    drive = Drive(2 * BLOCK, BLOCK)
    sender, asked = counting(drive)
    sender.acknowledge(0, BLOCK, 2 * BLOCK)
    assert not sender.finished
    assert drive.connection.closed == 0
    assert len(asked) == 2
    sender.acknowledge(0, 2 * BLOCK, 3 * BLOCK)
    assert sender.finished
    assert drive.connection.closed == 1


def test_whoever_has_connected_tells_no_count() -> None:
    """A client, to which a dump is recovered: what became of that it says itself."""
    drive = Drive(2 * BLOCK, BLOCK)
    sender = MoverSender(Clock(), drive, TWO, None, nowhere, block=BLOCK)  # type: ignore[arg-type]
    sender.send_into(drive.connection)
    assert sender.finished
    assert sender.tail is None
    assert not drive.read_again


@pytest.mark.parametrize(
    ("block", "begin", "read"),
    [
        (BLOCK, 2 * BLOCK, [(2, 1)]),
        (2 * BLOCK, 2 * BLOCK, [(2, 1)]),
        (8 * BLOCK, 0, [(2, 1), (1, 2)]),
    ],
)
def test_the_last_record_is_read_again(block: int, begin: int, read: list[tuple[int, int]]) -> None:
    """As much of the source as the other mover has in its last one, from as many parts."""
    drive = Drive(2 * BLOCK, BLOCK)
    sender = MoverSender(Clock(), drive, TWO, None, nowhere, block=block)  # type: ignore[arg-type]
    assert Deferred.fromCoroutine(sender.connect(THERE)).called
    data = bytes([1]) * 2 * BLOCK + bytes([2]) * BLOCK
    assert sender.tail == Tail("ndmp:s@d", begin, data[begin:])
    assert drive.read_again == read


def test_a_source_that_does_not_read_again() -> None:
    """When all whole records are there, the rest comes by this host."""
    drive = Drive(2 * BLOCK, BLOCK)
    drive.blind = True
    sender, _ = counting(drive)
    assert drive.connection.closed == 0
    sender.acknowledge(0, 2 * BLOCK, 3 * BLOCK)
    assert not sender.finished
    assert sender.broken is not None
    assert "does not read once more" in sender.broken
    assert drive.connection.closed == 1
    assert rest_of(sender, BLOCK) == [Rest(done=Crc(0, BLOCK), counted=False, by_mover=False)]


def test_a_source_that_fails_while_it_reads_again() -> None:
    drive = Drive(2 * BLOCK, BLOCK)
    drive.no_way_back = DriveFailed("the control connection is lost")
    sender, _ = counting(drive)
    assert not sender.finished
    assert sender.take_errors() == [
        "'A' file 2: error reading from ndmp:s@d: the control connection is lost"
    ]


def test_a_mover_that_never_counts() -> None:
    """It is waited for as long as it may take, and then believed."""
    drive = Drive(2 * BLOCK, BLOCK)
    sender, _ = counting(drive)
    for _ in range(MOST_ALIKE):
        assert not sender.finished
        sender.acknowledge(0, 0, 0)
    assert sender.finished


def test_a_mover_that_gets_no_more() -> None:
    """It has counted before: the connection is dead, and nobody else sees that."""
    drive = Drive(2 * BLOCK, BLOCK)
    sender, _ = counting(drive)
    broken: list[str] = []
    sender.tells_broken = lambda: broken.append("told")
    sender.acknowledge(0, 0, BLOCK)
    for _ in range(MOST_ALIKE):
        assert drive.connection.closed == 0
        sender.acknowledge(0, 0, BLOCK)
    assert drive.connection.closed == 1
    assert not sender.finished
    assert sender.goes_on
    assert broken == ["told"]
    assert sender.broken == (
        "'A' file 2: of 98304 bytes that 'ndmp:s@d' has sent, the other mover has got 32768"
    )


def test_an_end_that_nobody_made() -> None:
    """The other mover has seen one before all was there: the connection was broken."""
    drive = Drive(2 * BLOCK, BLOCK)
    sender, _ = counting(drive)
    broken: list[str] = []
    sender.tells_broken = lambda: broken.append("told")
    assert sender.settled().called
    assert not sender.finished
    assert sender.goes_on
    assert sender.broken is not None
    assert broken == ["told"]
    assert rest_of(sender, BLOCK) == [Rest(done=Crc(0, BLOCK), counted=False)]


def test_leaving_in_the_middle_of_a_part() -> None:
    """The mover stops; what is stored has no checksum, unless it had one before."""
    for stored, done, counted in ((BLOCK, Crc(0, BLOCK), False), (0, UNKNOWN, True)):
        drive = Drive(Deferred())
        sender, told = begun(drive)
        assert rest_of(sender, stored) == [Rest(done=done, counted=counted)]
        assert told
        assert drive.connection.closed == 1
        assert (sender.take_errors(), sender.broken) == ([], None)


def test_leaving_before_the_mover_says_that_it_is_connected() -> None:
    """The other one may have a record, and the end of its volume, by then. Nothing is read into a
    connection that is left: another one may be reading at that time."""
    drive = Drive(Deferred())
    given_up: Deferred[None] = Deferred()

    async def reach() -> IDirectTCPConnection:
        await undisturbed(given_up)
        return drive.connection

    def connect(for_writing: bool, addresses: tuple[Address, ...]) -> Deferred[Any]:
        return Deferred.fromCoroutine(reach())

    drive.connect = connect  # type: ignore[method-assign]
    sender = MoverSender(Clock(), drive, TWO, None, nowhere)  # type: ignore[arg-type]
    ended: list[object] = []
    Deferred.fromCoroutine(sender.connect(THERE)).addErrback(ended.append)
    told = rest_of(sender, 0)
    assert told == []
    assert not ended
    given_up.callback(None)
    assert told == [Rest(done=UNKNOWN)]
    assert len(ended) == 1
    assert len(drive.script) == 1
    assert sender.close().called


def test_closing_before_the_mover_says_that_it_is_connected() -> None:
    drive = Drive(Deferred())
    made: Deferred[IDirectTCPConnection] = Deferred(lambda made: made.callback(drive.connection))
    drive.connect = lambda for_writing, addresses: made  # type: ignore[method-assign, assignment]
    sender = MoverSender(Clock(), drive, TWO, None, nowhere)  # type: ignore[arg-type]
    Deferred.fromCoroutine(sender.connect(THERE)).addErrback(lambda _: None)
    assert sender.close().called
    assert len(drive.script) == 1
    assert drive.connection.closed == 1
    assert not sender.well


def test_a_source_that_has_failed_goes_nowhere() -> None:
    sender, _ = begun(Drive(DriveFailed("bad")))
    assert not sender.goes_on
    assert rest_of(sender, 0) == [None]
    assert len(sender.take_errors()) == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_leaving_while_a_volume_is_fetched(cancelled: bool) -> None:
    """It is waited for, since it will be wanted, and not given the connection."""
    first, second = Drive(2 * BLOCK), Drive(BLOCK)
    loaded: Deferred[IAsyncDevice] = Deferred(lambda _: interrupted.append("fetching"))
    interrupted: list[str] = []
    gave: list[Callable[[IAsyncDevice], Deferred[None]]] = []

    def change_to(
        label: str, ready: Callable[[IAsyncDevice], Deferred[None]]
    ) -> Deferred[IAsyncDevice]:
        gave.append(ready)
        return loaded

    dump = stored(("A", 1, 2 * BLOCK), ("B", 1, BLOCK))
    sender, _ = begun(first, dump, change_to=change_to)
    told = rest_of(sender, BLOCK)
    assert told == []
    if cancelled:
        sender.cancel()
        assert interrupted
        assert told == [None]
        return
    assert gave[0](second).called  # type: ignore[arg-type]
    loaded.callback(second)  # type: ignore[arg-type]
    assert second.connection is not first.connection
    assert told == [Rest(done=Crc(0, BLOCK), counted=False)]
    assert not interrupted
    assert first.connection.closed == 1


def test_from_the_middle_of_a_part() -> None:
    """It is brought there, and counts on from what was stored before."""
    drive = Drive(BLOCK, BLOCK)
    done = Crc(7, BLOCK)
    sender = MoverSender(
        Clock(),
        drive,
        TWO,
        3 * BLOCK - 5,
        nowhere,
        done=done,
        stand=lambda: succeed(drive),  # type: ignore[arg-type, return-value]
    )
    assert Deferred.fromCoroutine(sender.prepare()).called
    sender.send_into(drive.connection)
    assert sender.finished
    assert sender.size == 3 * BLOCK
    assert rest_of(sender, BLOCK) == [Rest(done=done)]


def test_a_volume_that_no_mover_can_read_may_be_read_by_us() -> None:
    faults = (DriveFailed("no such record"), SourceFault("gone"), SourceError("another file"))
    for fault in faults:
        drive = Drive()
        sender = MoverSender(
            Clock(),
            drive,
            TWO,
            None,
            nowhere,
            stand=lambda fault=fault: fail(fault),  # type: ignore[arg-type, misc]
        )
        failures: list[object] = []
        preparing = Deferred.fromCoroutine(sender.prepare())
        preparing.addErrback(lambda failure, failures=failures: failures.append(failure.value))
        assert isinstance(failures[0], PeerUnreachable)
        assert str(failures[0]).startswith("'A' file 1: no mover can begin in it: ")


def test_a_volume_of_another_server_bars_the_way() -> None:
    """The dump goes on otherwise, if a mover is at the other end and all is there."""
    second = Drive(BLOCK)
    second.incompatible = DriveFailed("another server")

    def change_to(
        label: str, ready: Callable[[IAsyncDevice], Deferred[None]]
    ) -> Deferred[IAsyncDevice]:
        given = ready(second)  # type: ignore[arg-type]
        return given.addCallback(lambda _: second)  # type: ignore[arg-type, return-value]

    dump = stored(("A", 1, 2 * BLOCK), ("B", 1, BLOCK))
    drive = Drive(2 * BLOCK)
    sender = MoverSender(Clock(), drive, dump, None, change_to, block=BLOCK)  # type: ignore[arg-type]
    assert Deferred.fromCoroutine(sender.connect(THERE)).called
    assert sender.barred is None
    sender.acknowledge(0, BLOCK, 2 * BLOCK)
    assert sender.barred == dump.parts[1]
    assert sender.goes_on
    assert sender.broken == "'B' file 1: Cannot continue onto new volume: another server"


@pytest.mark.parametrize(
    ("position", "total", "block", "can"),
    [
        (0, None, BLOCK, True),
        (BLOCK, None, BLOCK, True),
        (2 * BLOCK, None, BLOCK, True),
        (3 * BLOCK, None, BLOCK, False),
        (3 * BLOCK, 3 * BLOCK - 5, BLOCK, False),
        (BLOCK, None, 2 * BLOCK, False),
        (BLOCK - 1, None, BLOCK, False),
    ],
)
def test_where_a_mover_can_begin(position: int, total: int | None, block: int, can: bool) -> None:
    assert can_begin_at(TWO, total, position, block) is can


def test_parts_of_unknown_size_hide_where_a_byte_is() -> None:
    dump = stored(("A", 1, None), ("A", 2, BLOCK))
    assert not can_begin_at(dump, None, BLOCK, BLOCK)


@pytest.mark.parametrize(
    ("first", "total", "source", "target", "alike"),
    [
        (2 * BLOCK, None, BLOCK, BLOCK, True),
        (2 * BLOCK, 3 * BLOCK - 5, BLOCK, BLOCK, True),
        (2 * BLOCK, 3 * BLOCK - 5, BLOCK, 2 * BLOCK, True),
        (2 * BLOCK, 3 * BLOCK - 5, 2 * BLOCK, BLOCK, False),
        (2 * BLOCK, 4 * BLOCK - 5, 2 * BLOCK, BLOCK, True),
        (2 * BLOCK - 1, 3 * BLOCK, BLOCK, BLOCK, False),
        (None, 3 * BLOCK, BLOCK, BLOCK, True),
    ],
)
def test_padding_that_need_not_be_cut(
    first: int | None, total: int | None, source: int, target: int, alike: bool
) -> None:
    dump = stored(("A", 1, first), ("A", 2, BLOCK))
    assert pads_alike(dump, total, source, target) is alike
