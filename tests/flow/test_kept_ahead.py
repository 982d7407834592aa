"""What a sender keeps while it is not known yet if the volume counts that its data go to."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from devices.errors import ConnectionBroken
from devices.idirecttcp import Moved
from protocols.crc import Crc
from taper.core.interfaces import Rest
from taper.flow.interfaces import DOES_NOT_COUNT
from taper.flow.mover_transfer import MoverTransfer
from tests.flow.flowing import PLAN
from tests.flow.test_proof import BEFORE, BLOCK, HEADER, Connection, Drive, Sender

MOVED = 3 * BLOCK


class BrokenDrive(Drive):
    """Its connection breaks behind some records."""

    def write_from_connection(self, size: int, progress: object) -> Deferred[Moved]:
        return fail(ConnectionBroken("reset"))


class Keeping(Sender):
    """Keeps what it was not told to be stored, and no byte more."""

    def __init__(self) -> None:
        super().__init__(None)
        self.stored = BEFORE

    def leave(self, stored: int) -> Deferred[Rest | None]:  # type: ignore[override]
        if stored < self.stored:
            return succeed(None)
        self.stored = stored
        return succeed(Rest(done=Crc(0, stored)))


def begin(drive: Drive, sender: Sender, known: Deferred[bool]) -> tuple[MoverTransfer, list[Any]]:
    """Begin a part on a volume of which that is to be known. :return: what comes of it, too"""
    rest = Rest(done=Crc(0, BEFORE))
    plan = evolve(PLAN, block_size=BLOCK)
    transfer = MoverTransfer(Connection(), plan, Clock().seconds, rest)  # type: ignore[arg-type]
    transfer.pushed_by(sender)  # type: ignore[arg-type]
    found: list[Any] = []
    transfer.write_part(drive, HEADER, lambda: known).addCallback(found.append)  # type: ignore[arg-type]
    return transfer, found


class BusyDrive(Drive):
    """Has written some records, and goes on."""

    def write_from_connection(self, size: int, progress: object) -> Deferred[Moved]:
        self.facts = evolve(Facts(), in_file=True, bytes_written=MOVED)  # type: ignore[assignment]
        return Deferred()


@define
class Facts:
    in_file: bool = False
    bytes_written: int = 0


def test_what_is_there_is_not_called_written_before_it_is_known() -> None:
    """Bytes that are called written an application drops where it is short of room."""
    known = Deferred[bool]()
    transfer, _ = begin(BusyDrive(MOVED, b""), Keeping(), known)
    assert transfer.bytes_written == transfer.measured.written == BEFORE
    known.callback(True)
    assert transfer.bytes_written == BEFORE + MOVED - BLOCK


@pytest.mark.parametrize("counts", [True, False])
def test_nothing_is_given_up_before_it_is_known(counts: bool) -> None:
    """What stays on the volume is certain only if that counts; else the sender has all still."""
    drive, sender, known = BrokenDrive(MOVED, b""), Keeping(), Deferred[bool]()
    transfer, found = begin(drive, sender, known)
    assert (found, sender.stored, drive.did) == ([], BEFORE, [])
    if not counts:
        transfer.take_back()
    known.callback(counts)
    (result,) = found
    assert transfer.can_retry()
    assert transfer.rest is not None
    assert transfer.rest.done.size == sender.stored
    if counts:
        assert (result.successful, result.size) == (True, MOVED - BLOCK)
        assert sender.stored == BEFORE + MOVED - BLOCK
    else:
        assert (result.successful, result.eom, result.error) == (False, True, DOES_NOT_COUNT)
        assert sender.stored == BEFORE
        assert drive.did == []
