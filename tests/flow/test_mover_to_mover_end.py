"""The end of a dump that goes from mover to mover: when it is told, and what proves it."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from devices.errors import DriveFailed
from protocols.crc import Crc
from taper.core.interfaces import Rest
from taper.flow.last_record import Tail
from taper.flow.mover_to_mover import MoverSender
from taper.flow.other_count import MOST_ALIKE
from tests.flow.moving import BLOCK, THERE, TWO, Drive, counting, nowhere, rest_of


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
