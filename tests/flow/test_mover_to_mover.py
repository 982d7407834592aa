"""The sender of a dump from mover to mover: what it knows of its end, and whom it blames."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from devices.errors import ConnectionBroken, DeviceError, DriveFailed, PeerUnreachable
from devices.idirecttcp import Moved
from protocols.crc import UNKNOWN
from taper.flow.mover_to_mover import (
    VERDICT_PATIENCE,
    MoverSender,
)
from taper.plane.interfaces import SourceError
from tests.flow.moving import BLOCK, THERE, TWO, Drive, begun, next_on, nowhere, stored


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
    dump = stored(("A", 1, 2 * BLOCK), ("B", 1, BLOCK))
    first = Drive(2 * BLOCK)
    sender, _ = begun(first, dump, change_to=next_on(second))
    assert sender.finished
    assert second.connection is first.connection
    assert first.connection.closed == 1
    second.incompatible = DriveFailed("another server")
    sender, _ = begun(Drive(2 * BLOCK), dump, change_to=next_on(second))
    text = "'B' file 1: Cannot continue onto new volume: another server"
    assert sender.take_errors() == [text]
    sender, _ = begun(Drive(2 * BLOCK), dump)
    assert sender.take_errors() == ["'B' file 1: no volume B"]
