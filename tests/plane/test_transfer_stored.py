"""Parts that wait for space, and parts that count only once they are stored."""

from __future__ import annotations

import socket
import threading

import pytest

from devices.errors import VolumeFailed
from devices.interfaces import AccessMode
from taper.core.splitting import CacheKind
from taper.plane.pump import PartResult
from taper.plane.sources import SocketSource
from taper.plane.transfer import (
    PART_BEFORE_LOST,
    Transfer,
)
from tests.fakes.device import SPACE_TEXT, FakeDevice
from tests.plane.dumping import (
    HEADER,
    PiecesSource,
    Plan,
    SeekableSource,
    crc_of,
)
from tests.plane.transferring import (
    BLOCK,
    DATA,
    Faults,
    blank,
    started,
    stored,
    transfer_of,
)


def shared_until(capacity: int) -> FakeDevice:
    """A started device whose shared space is full after so many bytes."""
    device = blank(capacity, warning=0)
    assert device.volume is not None
    device.volume.shared = True
    device.start(AccessMode.WRITE, "V", "20261123000000")
    return device


@pytest.mark.parametrize("part_size", [0, 3_000])
def test_a_paused_part_goes_on_in_the_same_file(part_size: int) -> None:
    """Space that comes again and again: parts, files and CRC are those of a volume without end."""
    device = shared_until(10 * BLOCK)
    assert device.volume is not None
    transfer = Transfer(
        PiecesSource(DATA), Plan(block_size=BLOCK, pause_at_space=True, part_size=part_size)
    )
    transfer.start()
    results = []
    pauses = 0
    while not results or not results[-1].eof:
        result = transfer.write_part(device, HEADER)
        while result.paused or (result.space and not result.fileno):
            pauses += 1
            assert result.space
            assert result.error == SPACE_TEXT
            assert device.in_file is result.paused
            assert transfer.bytes_written == sum(r.size for r in results) + result.size
            device.volume.capacity += 7 * BLOCK  # type: ignore[operator]
            if result.paused:
                result = transfer.resume_part(device, True)
            else:
                result = transfer.write_part(device, HEADER)
        assert result.successful
        results.append(result)
    transfer.close()
    assert pauses >= 13
    sizes = [3_000, 3_000, 3_000, 1_050] if part_size else [10_050]
    assert [result.size for result in results] == sizes
    assert b"".join(bytes(file.data) for file in device.volume.files.values()) == DATA
    assert transfer.dest_crc() == crc_of(DATA)


def test_a_paused_part_without_more_space_ends_well() -> None:
    """What it has is kept, the rest goes to another volume."""
    device, other = shared_until(10 * BLOCK), blank()
    transfer = Transfer(PiecesSource(DATA), Plan(block_size=BLOCK, pause_at_space=True))
    transfer.start()
    assert transfer.write_part(device, HEADER).paused
    result = transfer.resume_part(device, False)
    assert (result.successful, result.eom, result.eof, result.paused) == (True, True, False, False)
    assert result.size == 8 * BLOCK
    assert not device.in_file
    with pytest.raises(ValueError, match="no part is paused"):
        transfer.resume_part(device, True)
    other.start(AccessMode.WRITE, "W", "20261123000000")
    assert transfer.write_part(other, HEADER).eof
    transfer.close()
    assert transfer.dest_crc() == crc_of(DATA)


def test_a_dump_cancelled_while_its_part_is_paused() -> None:
    """Going on then ends the part at once, and nothing is open."""
    device = shared_until(10 * BLOCK)
    transfer = Transfer(PiecesSource(DATA), Plan(block_size=BLOCK, pause_at_space=True))
    transfer.start()
    assert transfer.write_part(device, HEADER).paused
    transfer.cancel("")
    assert device.volume is not None
    device.volume.capacity = None
    result = transfer.resume_part(device, True)
    assert not result.successful
    assert not result.paused
    assert not device.in_file
    transfer.close()


def behind(**options: object) -> FakeDevice:
    """A device that stores its files behind."""
    return started(behind=True, **options)  # type: ignore[arg-type]


def store(result: PartResult) -> None:
    assert result.store is not None
    result.store()


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_parts_count_once_they_are_stored(lost: int) -> None:
    """Those that are not, and those behind them, come again from the first byte that is missing."""
    transfer = transfer_of(SeekableSource(DATA), part_size=10 * BLOCK)
    device = behind(faults=Faults("store", lost - 1))
    parts = [transfer.write_part(device, HEADER) for _ in range(3)]
    assert transfer.dest_crc().size == 0
    for number, part in enumerate(parts, 1):
        if number < lost:
            store(part)
        else:
            with pytest.raises(VolumeFailed):
                store(part)
    good = (lost - 1) * 10 * BLOCK
    assert transfer.dest_crc() == crc_of(DATA[:good])
    assert transfer.write_part(device, HEADER) == PartResult(
        size=0, duration=0, fileno=0, successful=False, eom=False, eof=False, error=PART_BEFORE_LOST
    )
    transfer.revoke()
    assert transfer.can_retry()
    assert transfer.bytes_written == good
    again = started()
    results = [transfer.write_part(again, HEADER)]
    while not results[-1].eof:
        results.append(transfer.write_part(again, HEADER))
    assert b"".join(stored(again, number) for number in range(1, len(results) + 1)) == DATA[good:]
    transfer.close()
    assert transfer.source_crc() == transfer.dest_crc() == crc_of(DATA)
    assert transfer.take_errors() == []


def test_a_part_is_not_stored_while_another_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running one ends soon, and nobody is blamed; the data come again."""
    monkeypatch.setattr("taper.plane.straight.BUFFER", 2 * BLOCK)
    transfer = transfer_of(SeekableSource(DATA), part_size=20 * BLOCK)
    blocks = 0

    def faults(what: str) -> bool:
        nonlocal blocks
        blocks += what == "write"
        if blocks == 25:
            blocks += 1
            with pytest.raises(VolumeFailed):
                store(first)
        return what == "store"

    device = behind(faults=faults)
    first = transfer.write_part(device, HEADER)
    second = transfer.write_part(device, HEADER)
    assert (second.successful, second.eom, second.error) == (False, False, None)
    transfer.revoke()
    last = transfer.write_part(started(), HEADER)
    assert last.size == 20 * BLOCK
    assert transfer.dest_crc() == crc_of(DATA[: 20 * BLOCK])
    transfer.close()
    assert transfer.take_errors() == []


def test_a_part_that_is_lost_for_good_ends_the_wait_for_more() -> None:
    """A peer that sends nothing need not be waited for: what it has to send is of no use."""
    ours, theirs = socket.socketpair()
    transfer = transfer_of(SocketSource(ours), part_size=BLOCK)
    device = behind(faults=Faults("store", 0))
    theirs.sendall(DATA[:BLOCK])
    first = transfer.write_part(device, HEADER)
    results: list[PartResult] = []
    thread = threading.Thread(target=lambda: results.append(transfer.write_part(device, HEADER)))
    thread.start()
    with pytest.raises(VolumeFailed):
        store(first)
    thread.join(60)
    assert not thread.is_alive()
    assert not results[0].successful
    transfer.revoke()
    assert not transfer.can_retry()
    assert transfer.dest_crc().size == 0
    transfer.close()
    theirs.close()
    assert transfer.take_errors() == []


def test_with_a_cache_a_part_is_stored_when_it_is_over() -> None:
    transfer = transfer_of(PiecesSource(DATA), part_size=1000, cache=CacheKind.MEMORY)
    result = transfer.write_part(behind(), HEADER)
    assert result.store is None
    assert transfer.dest_crc() == crc_of(DATA[:1000])
    transfer.close()


def test_a_paused_part_does_not_outlive_one_before_it() -> None:
    """Nothing of it counts, whatever becomes of its file."""
    transfer = transfer_of(SeekableSource(DATA), part_size=20 * BLOCK, pause_at_space=True)
    device = behind(faults=Faults("store", 0))
    assert device.volume is not None
    device.volume.capacity, device.volume.shared, device._warning = 35 * BLOCK, True, 0
    first = transfer.write_part(device, HEADER)
    second = transfer.write_part(device, HEADER)
    assert second.paused
    for result in (first, transfer.resume_part(device, False)):
        if result.store is not None:
            with pytest.raises(VolumeFailed):
                store(result)
    transfer.revoke()
    again = transfer.write_part(started(), HEADER)
    assert again.size == 20 * BLOCK
    assert transfer.dest_crc() == crc_of(DATA[: 20 * BLOCK])
    transfer.close()


def test_nothing_is_taken_back_while_a_part_is_written() -> None:
    transfer = transfer_of(SeekableSource(DATA), pause_at_space=True)
    transfer.write_part(shared_until(20 * BLOCK), HEADER)
    with pytest.raises(ValueError, match="a part is running"):
        transfer.revoke()
    transfer.cancel("")
    transfer.close()


def test_a_file_that_is_not_begun_leaves_those_before_it_as_they_are() -> None:
    """Nothing of the dump is in it, and what is before it counts once that is stored."""
    transfer = transfer_of(PiecesSource(DATA), part_size=10 * BLOCK)
    device = behind(capacity=12 * BLOCK, warning=0)
    first = transfer.write_part(device, HEADER)
    second = transfer.write_part(device, HEADER)
    assert (second.successful, second.eom, second.fileno, second.store) == (True, True, 0, None)
    assert transfer.dest_crc().size == 0
    store(first)
    assert transfer.dest_crc() == crc_of(DATA[: 10 * BLOCK])
    assert transfer.write_part(started(), HEADER).size == 10 * BLOCK
    transfer.close()


def test_a_part_does_not_count_before_the_one_before_it() -> None:
    """Whatever kept that one from being stored."""
    transfer = transfer_of(SeekableSource(DATA), part_size=10 * BLOCK)
    device = behind()
    first, second = (transfer.write_part(device, HEADER) for _ in range(2))
    with pytest.raises(VolumeFailed, match=PART_BEFORE_LOST):
        store(second)
    assert transfer.dest_crc().size == 0
    store(first)
    assert transfer.dest_crc() == crc_of(DATA[: 10 * BLOCK])
    transfer.revoke()
    assert transfer.write_part(started(), HEADER).size == 10 * BLOCK
    assert transfer.dest_crc() == crc_of(DATA[: 20 * BLOCK])
    transfer.close()
