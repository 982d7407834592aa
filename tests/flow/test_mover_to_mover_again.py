"""A dump from mover to mover that is left before its end, and one that begins in its middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from devices.errors import DriveFailed, PeerUnreachable
from devices.idirecttcp import IDirectTCPConnection
from devices.interfaces import IAsyncDevice
from devices.shield import undisturbed
from protocols.crc import UNKNOWN, Crc
from protocols.directtcp import Address
from taper.core.errors import SourceFault
from taper.core.interfaces import Rest
from taper.flow.mover_to_mover import MoverSender
from taper.flow.whole_records import can_begin_at, pads_alike
from taper.plane.interfaces import SourceError
from tests.flow.moving import BLOCK, THERE, TWO, Drive, begun, next_on, nowhere, rest_of, stored


def test_leaving_in_the_middle_of_a_part() -> None:
    """The mover stops; what is stored has no checksum, unless it had one before."""
    for size, done, counted in ((BLOCK, Crc(0, BLOCK), False), (0, UNKNOWN, True)):
        drive = Drive(Deferred())
        sender, told = begun(drive)
        assert rest_of(sender, size) == [Rest(done=done, counted=counted)]
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
    dump = stored(("A", 1, 2 * BLOCK), ("B", 1, BLOCK))
    drive = Drive(2 * BLOCK)
    sender = MoverSender(Clock(), drive, dump, None, next_on(second), block=BLOCK)  # type: ignore[arg-type]
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
