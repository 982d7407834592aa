"""A source that keeps what is not stored yet, for whoever reads next."""

from __future__ import annotations

import threading

import pytest

from protocols.crc import Crc
from taper.plane.crc import RunningCrc
from taper.plane.interfaces import SourceError
from taper.plane.kept import Kept, KeptReader
from tests.plane.dumping import PiecesSource

SIZE = 4 * 65536
DATA = bytes(range(251)) * 8000
"""2 MB: many windows."""


def crc_of(data: bytes) -> Crc:
    crc = RunningCrc()
    crc.update(memoryview(data))
    return crc.value()


def take(reader: KeptReader, size: int) -> bytes:
    """So many bytes, or all to the end."""
    found = bytearray()
    while len(found) < size:
        buffer = bytearray(min(size - len(found), 50_000))
        got = reader.read_into(memoryview(buffer))
        if not got:
            break
        found += buffer[:got]
    return bytes(found)


def test_whoever_goes_on_begins_where_the_last_good_part_ended() -> None:
    """With the checksum of all before, and every byte behind that once more."""
    kept = Kept(PiecesSource(DATA, (70_000,), ""), size=SIZE)
    place, rounds = 0, 0
    while True:
        reader = kept.reader()
        assert reader.position == place
        got = take(reader, SIZE // 2)
        assert got == DATA[place : place + len(got)]
        if len(got) < SIZE // 2:
            break
        place += len(got) - 12_345
        assert kept.leave(place) == crc_of(DATA[:place])
        assert reader.read_into(memoryview(bytearray(10))) == 0
        rounds += 1
    assert rounds > 10
    assert kept.total() == crc_of(DATA)
    reader.close()


def test_reading_waits_for_the_device_and_asks_how_far_it_is() -> None:
    """Never more than the bound is kept of what is not on the volume."""
    kept = Kept(PiecesSource(DATA, (70_000,), ""), size=SIZE)
    asked = threading.Semaphore(0)
    kept.wants_progress = asked.release
    reader = kept.reader()
    read: list[bytes] = []

    def read_all() -> None:
        read.append(take(reader, len(DATA)))
        asked.release()

    thread = threading.Thread(target=read_all)
    thread.start()
    written = 0
    while not read:
        assert asked.acquire(timeout=600)
        assert reader.position - written <= SIZE
        written = min(written + SIZE // 2, reader.position)
        kept.acknowledge(0, written)
    thread.join(60)
    assert read == [DATA]
    # a part as long as all that cannot be had again, and only its checksum is known
    assert kept.leave(0) is None
    assert kept.leave(len(DATA)) == crc_of(DATA)
    kept.close()


def test_it_asks_again_while_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was asked may have looked at the connection just before it broke."""
    monkeypatch.setattr("taper.plane.kept.LOOK_AGAIN", 0.01)
    kept = Kept(PiecesSource(DATA, (70_000,), ""), size=SIZE)
    asked = threading.Semaphore(0)
    kept.wants_progress = asked.release
    reader = kept.reader()
    thread = threading.Thread(target=take, args=(reader, len(DATA)))
    thread.start()
    for _ in range(3):
        assert asked.acquire(timeout=600)
    kept.cancel()
    thread.join(60)
    assert not thread.is_alive()
    reader.close()


def test_whoever_leaves_while_reading_reads_for_the_next_one() -> None:
    gate, reached = threading.Event(), threading.Event()

    class Slow(PiecesSource):
        def read_into(self, buffer: memoryview) -> int:
            reached.set()
            assert gate.wait(60)
            return super().read_into(buffer)

    kept = Kept(Slow(DATA, (70_000,), ""), size=SIZE)
    first = kept.reader()
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(take(first, 100_000)))]
    threads[0].start()
    assert reached.wait(60)
    assert kept.leave(0) == Crc(0, 0)
    second = kept.reader()
    threads.append(threading.Thread(target=lambda: got.append(take(second, 100_000))))
    threads[1].start()
    gate.set()
    for thread in threads:
        thread.join(60)
    assert sorted(got) == [b"", DATA[:100_000]]
    kept.close()


def test_a_fault_of_the_source_is_told_to_whoever_comes_to_it() -> None:
    kept = Kept(PiecesSource(b"x" * 100, (100,), "the disk is gone"), size=SIZE)
    first = kept.reader()
    assert take(first, 100) == b"x" * 100
    with pytest.raises(SourceError, match="the disk is gone"):
        take(first, 1)
    assert not kept.well
    assert kept.leave(40) is not None
    second = kept.reader()
    assert take(second, 60) == b"x" * 60
    with pytest.raises(SourceError, match="the disk is gone"):
        take(second, 1)
    kept.close()


def test_one_that_needs_nothing_of_it_never_waits() -> None:
    """As much is kept as there is room for, and what is not stored if that is enough."""
    kept = Kept(PiecesSource(DATA, (70_000,), ""), size=SIZE)
    reader = kept.reader()
    reader.progress = lambda: (0, 0)
    assert take(reader, len(DATA) - 1000) == DATA[:-1000]
    assert kept.leave(0) is None
    place = reader.position - 10_000
    assert kept.leave(place) == crc_of(DATA[:place])
    assert take(kept.reader(), len(DATA)) == DATA[place:]
    kept.close()


def test_a_device_that_holds_more_than_is_kept_gets_it() -> None:
    """After a while, so that the two do not wait for each other for ever."""
    now = 0.0
    kept = Kept(PiecesSource(DATA, (70_000,), ""), size=SIZE, clock=lambda: now)
    asked = threading.Semaphore(0)
    kept.wants_progress = asked.release
    reader = kept.reader()
    read: list[bytes] = []

    def read_all() -> None:
        read.append(take(reader, len(DATA)))
        asked.release()

    thread = threading.Thread(target=read_all)
    thread.start()
    while not read:
        assert asked.acquire(timeout=600)
        now += 30
        kept.acknowledge(0, 1000)
    thread.join(60)
    assert read == [DATA]
    assert kept.leave(0) is None
    reader.close()


def test_cancelling_wakes_who_waits_for_room() -> None:
    kept = Kept(PiecesSource(DATA, (70_000,), ""), size=SIZE)
    short = threading.Event()
    kept.wants_progress = short.set
    reader = kept.reader()
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(take(reader, len(DATA))))
    thread.start()
    assert short.wait(60)
    reader.cancel()
    thread.join(60)
    assert got[0] == DATA[: len(got[0])]
    assert not kept.well
    reader.close()
    reader.close()
