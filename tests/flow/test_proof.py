"""What becomes of the last part of a dump from mover to mover, as its last record is found."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from devices.errors import DeviceError, DriveFailed
from devices.idirecttcp import IMoverDevice, Moved
from devices.interfaces import FileStart, PartResult
from protocols.crc import Crc
from taper.core.interfaces import Rest
from taper.flow.last_record import Tail
from taper.flow.mover_transfer import MOST_IN_VAIN, MoverTransfer
from tests.fakes.device import FakeDevice
from tests.flow.flowing import PLAN
from tests.plane.dumping import HEADER

BLOCK = 8
BEFORE = 2 * BLOCK
"""Bytes of the dump in earlier parts."""
SENT = BEFORE + 2 * BLOCK + 3
TAIL = Tail("ndmp:s@d", BEFORE + 2 * BLOCK, b"abc")


class Connection:
    device_name = "ndmp:t@d"

    def close(self) -> Deferred[None]:
        return succeed(None)


@implementer(IMoverDevice)
class Drive:
    """Has moved so much when the connection ends, and finds something as the last record.

    :ivar did: what it was asked for
    """

    def __init__(self, moved: int, found: bytes | DeviceError) -> None:
        self.facts = FakeDevice(name="ndmp:t@d")
        self.did: list[str] = []
        self._moved, self._found = moved, found

    def start_file(self, header: object) -> Deferred[FileStart]:
        self.facts.in_file = True
        return succeed(FileStart(3, False))

    def look(self) -> None:
        """There is nothing to be seen on the way."""

    def write_from_connection(self, size: int, progress: object) -> Deferred[Moved]:
        return succeed(Moved(size=self._moved, eof=True, eom=False))

    def finish_file(self) -> Deferred[None]:
        self.did.append("ends the file")
        self.facts.in_file = False
        return succeed(None)

    def read_last_record(self) -> Deferred[bytes]:
        self.did.append("reads")
        return fail(self._found) if isinstance(self._found, DeviceError) else succeed(self._found)

    def end_broken_file(self) -> Deferred[int]:
        self.did.append("takes off")
        return succeed((self._moved - 1) // BLOCK * BLOCK)


class Sender:
    """Has sent all, as far as it knows."""

    finished = delivered = goes_on = True
    broken = None

    def __init__(self, tail: Tail | None) -> None:
        self.tail = tail
        self.size = SENT if tail is None else tail.begin + len(tail.data)

    def settled(self) -> Deferred[None]:
        return succeed(None)

    def acknowledge(self, *counts: int) -> None:
        """It knows all."""

    def take_errors(self) -> list[str]:
        return []

    def leave(self, stored: int) -> Deferred[Rest]:
        return succeed(Rest(done=Crc(0, stored), counted=False))


def last_part(
    drive: Drive, tail: Tail | None = TAIL, in_vain: int = 0
) -> tuple[PartResult, Rest | None]:
    """Write it. :return: what became of it, and what another flow is to do"""
    plan = evolve(PLAN, block_size=BLOCK)
    rest = Rest(done=Crc(0, BEFORE), in_vain=in_vain)
    transfer = MoverTransfer(Connection(), plan, Clock().seconds, rest)  # type: ignore[arg-type]
    transfer.pushed_by(Sender(tail))  # type: ignore[arg-type]
    found: list[Any] = []
    transfer.write_part(drive, HEADER).addCallback(found.append)  # type: ignore[arg-type]
    assert transfer.spent is (transfer.rest is not None)
    return found[0], transfer.rest


def test_it_is_what_was_sent() -> None:
    drive = Drive(3 * BLOCK, b"abc\0\0\0\0\0")
    result, rest = last_part(drive)
    assert result.successful
    assert (result.eof, result.size, rest) == (True, 3 * BLOCK, None)
    assert drive.did == ["ends the file", "reads"]


def test_where_delivered_is_proof_enough() -> None:
    drive = Drive(3 * BLOCK, DriveFailed("it is not read"))
    result, rest = last_part(drive, None)
    assert result.successful
    assert (result.eof, rest) == (True, None)
    assert drive.did == ["ends the file"]


@pytest.mark.parametrize("found", [b"ab\0\0\0\0\0\0", b"abcd\0\0\0\0", b"abc"])
def test_it_is_something_else(found: bytes) -> None:
    """It is taken off, and comes again."""
    drive = Drive(3 * BLOCK, found)
    result, rest = last_part(drive)
    assert result.successful
    assert (result.eof, result.eom, result.size) == (False, False, 2 * BLOCK)
    assert rest == Rest(done=Crc(0, SENT - 3), counted=False)
    assert drive.did == ["ends the file", "reads", "takes off"]


def test_it_is_something_else_once_more() -> None:
    """It is given up then, and all is told."""
    drive = Drive(3 * BLOCK, b"ab\0\0\0\0\0\0")
    result, rest = last_part(drive, in_vain=MOST_IN_VAIN)
    assert not result.successful
    assert rest is None
    assert result.error == (
        "Error writing from DirectTCP connection: the last record, which begins at byte 32 of the "
        "dump, is not the same on 'ndmp:t@d' as on 'ndmp:s@d': nothing but zeros from byte 2 of it "
        "on"
    )
    assert drive.did == ["ends the file", "reads"]


def test_it_cannot_be_read() -> None:
    """Nothing more is done with that volume."""
    drive = Drive(3 * BLOCK, DriveFailed("lost its way"))
    result, rest = last_part(drive)
    assert not result.successful
    assert result.eom
    assert result.error == "Error reading the last record once more: lost its way"
    assert rest == Rest(done=Crc(0, BEFORE), counted=False, by_mover=False)
    assert drive.did == ["ends the file", "reads"]


def test_a_whole_record_is_missing() -> None:
    """What the mover has filled up was counted while the source still waited for that."""
    drive = Drive(2 * BLOCK, b"")
    result, rest = last_part(drive)
    assert result.successful
    assert (result.eof, result.size) == (False, BLOCK)
    assert rest == Rest(done=Crc(0, BEFORE + BLOCK), counted=False)
    assert drive.did == ["ends the file", "takes off"]


def test_it_is_in_a_part_that_is_over() -> None:
    """No mover ends a part before it needs the next record; should one, that is no proof."""
    drive = Drive(0, b"")
    tail = Tail("ndmp:s@d", BEFORE - BLOCK, bytes(BLOCK))
    result, rest = last_part(drive, tail)
    assert not result.successful
    assert "behind the last record" in (result.error or "")
    assert rest is None
