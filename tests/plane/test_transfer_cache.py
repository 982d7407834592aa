"""Part caches, the memory and disk that they need, and what becomes of a dump without."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from taper.core.splitting import CacheKind
from taper.plane import crc, native
from taper.plane.cache import memory_cache
from taper.plane.memory import NoMemory
from taper.plane.ring import CHUNK, ring_size
from taper.plane.sources import HoldingSource
from taper.plane.transfer import (
    NO_CACHE,
    RING_SIZE,
    Transfer,
)
from tests.plane.dumping import (
    HEADER,
    PiecesSource,
    Plan,
    volumes,
    write_dump,
    write_holding,
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


@pytest.mark.parametrize("cache", [CacheKind.MEMORY, CacheKind.DISK])
@pytest.mark.parametrize("fault", ["start_file", "write", "finish_file"])
def test_with_a_cache_every_trouble_is_the_end_of_the_volume(
    cache: CacheKind, fault: str, tmp_path: Path
) -> None:
    """The part is repeated on the next volume; the text is the true one."""
    transfer = transfer_of(PiecesSource(DATA), part_size=4000, cache=cache, cache_dir=str(tmp_path))
    result = transfer.write_part(started(leom=False, faults=Faults(fault, 0)), HEADER)
    assert (result.successful, result.eom, result.eof) == (False, True, False)
    assert result.error is not None
    assert result.error.startswith("the fake")
    assert transfer.can_retry()
    device = started(leom=False)
    for number, size in ((1, 4000), (2, 4000), (3, 2050)):
        result = transfer.write_part(device, HEADER)
        assert (result.size, result.fileno, result.successful) == (size, number, True)
    assert stored(device, 1) + stored(device, 2) + stored(device, 3) == DATA
    transfer.close()


def test_with_a_cache_warnings_do_not_end_a_part() -> None:
    transfer = transfer_of(PiecesSource(DATA), part_size=20_000, cache=CacheKind.MEMORY)
    result = transfer.write_part(started(100 + 100 + 10_050, leom=True), HEADER)
    assert (result.size, result.successful, result.eom, result.eof) == (10_050, True, False, True)
    transfer.close()


def test_without_a_cache_a_failed_part_is_lost() -> None:
    """And nothing is done to the device that is asked to write it again."""
    data = DATA * 500
    transfer = transfer_of(PiecesSource(data))
    blocks = 2 * CHUNK // BLOCK
    result = transfer.write_part(started(leom=False, faults=Faults("write", blocks)), HEADER)
    assert not result.successful
    assert not transfer.can_retry()
    device = started(leom=False)
    result = transfer.write_part(device, HEADER)
    assert (result.fileno, result.successful, result.error) == (0, False, NO_CACHE)
    assert device.file == -1
    transfer.close()


def test_a_part_that_failed_at_once_needs_no_cache() -> None:
    transfer = transfer_of(PiecesSource(DATA))
    assert not transfer.write_part(started(faults=Faults("write", 3)), HEADER).successful
    assert transfer.can_retry()
    device = started()
    assert transfer.write_part(device, HEADER).eof
    assert stored(device) == DATA
    transfer.close()


def test_a_source_that_fails_is_blamed_though_the_cache_has_the_part() -> None:
    """With what was read of the part in memory, the reason is told just the same."""
    transfer = transfer_of(PiecesSource(DATA, error="gone"), part_size=4000, cache=CacheKind.MEMORY)
    device = started()
    results = [transfer.write_part(device, HEADER) for _ in range(3)]
    assert [result.successful for result in results] == [True, True, False]
    assert transfer.take_errors() == ["gone"]
    transfer.close()


def test_a_part_that_cannot_be_read_again_ends_the_dump(tmp_path: Path) -> None:
    path = write_holding(str(tmp_path), DATA, len(DATA))
    transfer = transfer_of(HoldingSource(path))
    assert not transfer.write_part(started(faults=Faults("finish_file", 0)), HEADER).successful
    os.unlink(path)
    assert not transfer.write_part(started(), HEADER).successful
    assert transfer.take_errors() == [
        f"Could not open '{path}' for reading: No such file or directory"
    ]
    transfer.close()


def test_a_cache_directory_that_vanished_is_no_input_error(tmp_path: Path) -> None:
    """The dumper can do nothing about it."""
    name = f"{tmp_path}/none"
    transfer = transfer_of(PiecesSource(DATA), part_size=1000, cache=CacheKind.DISK, cache_dir=name)
    result = transfer.write_part(started(leom=False), HEADER)
    assert (result.successful, result.eom) == (False, False)
    assert result.error == f"Error creating cache file in '{name}': No such file or directory"
    assert transfer.take_errors() == []
    transfer.close()


@pytest.mark.parametrize("leom", [False, True])
def test_a_full_cache_disk_is_no_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leom: bool
) -> None:
    """And none at all where the volume warns early: then no part is needed a second time."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    transfer = transfer_of(
        PiecesSource(DATA), part_size=4000, cache=CacheKind.DISK, cache_dir=str(tmp_path)
    )
    device = started(leom=leom)
    result = transfer.write_part(device, HEADER)
    assert (result.successful, result.eom) == (leom, False)
    assert transfer.take_errors() == []
    if leom:
        while not result.eof:
            result = transfer.write_part(device, HEADER)
        assert [stored(device, number) for number in (1, 2, 3)] == [
            DATA[:4000],
            DATA[4000:8000],
            DATA[8000:],
        ]
    else:
        text = f"Error writing to disk cache file in '{tmp_path}': No space left on device"
        assert result.error == text
    transfer.close()


def test_a_cache_disk_with_room_for_one_part_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That much was asked for when the cache was chosen."""
    pwrite, ends = os.pwrite, [0]

    def spy(fd: int, data: memoryview, offset: int) -> int:
        ends.append(offset + len(data))
        return pwrite(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", spy)
    plan = Plan(block_size=BLOCK, part_size=1000, cache=CacheKind.DISK, cache_dir=str(tmp_path))
    dump = write_dump(Transfer(PiecesSource(DATA, [700]), plan), volumes(blank))
    assert dump.stored == DATA
    assert max(ends) == 1000


def test_a_part_larger_than_the_memory_is_no_obstacle_to_a_small_dump() -> None:
    device = blank()
    plan = Plan(block_size=BLOCK, part_size=BLOCK << 55, cache=CacheKind.MEMORY)
    dump = write_dump(Transfer(PiecesSource(DATA), plan), volumes(lambda: device))
    assert dump.stored == DATA
    assert dump.errors == []


def no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a ring have its first 1000 bytes only."""

    def allocate_more(size: int) -> memoryview:
        raise NoMemory("7 MiB of memory are left")

    monkeypatch.setattr("taper.plane.ring.CHUNK", 500)
    monkeypatch.setattr("taper.plane.ring.SEGMENT_CHUNKS", 2)
    monkeypatch.setattr("taper.plane.ring.allocate_more", allocate_more)


def test_memory_that_runs_out_is_the_error_of_this_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """The volume is well, and the dumper too: no other volume is asked for."""
    no_more_memory(monkeypatch)
    transfer = transfer_of(PiecesSource(DATA), part_size=4000, cache=CacheKind.MEMORY)
    device = started(leom=False)
    result = transfer.write_part(device, HEADER)
    assert (result.size, result.successful, result.eom, result.eof) == (1000, False, False, False)
    assert result.error == (
        "No memory to keep more than 1000 bytes of a part: 7 MiB of memory are left"
    )
    assert transfer.take_errors() == []
    transfer.close()


def test_parts_that_fit_in_the_memory_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    no_more_memory(monkeypatch)
    plan = Plan(block_size=BLOCK, part_size=800, cache=CacheKind.MEMORY)
    dump = write_dump(
        Transfer(PiecesSource(DATA, [300]), plan), volumes(lambda: blank(2600, leom=False))
    )
    assert dump.stored == DATA
    assert not all(result.successful for result in dump.results)


def test_a_volume_that_warns_needs_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory runs out the part goes on without, and no byte is lost at the volume's end."""
    no_more_memory(monkeypatch)
    plan = Plan(block_size=BLOCK, part_size=4000, cache=CacheKind.MEMORY)
    transfer = Transfer(PiecesSource(DATA, [300]), plan)
    dump = write_dump(transfer, volumes(lambda: blank(6000, leom=True)))
    assert dump.stored == DATA
    assert dump.errors == []
    assert all(result.successful for result in dump.results)
    assert len(dump.results) > 2


def test_no_memory_at_all_touches_no_volume() -> None:
    transfer = transfer_of(PiecesSource(DATA), block_size=1 << 61, buffer_size=1 << 62)
    device = started(block_size=1 << 61)
    result = transfer.write_part(device, HEADER)
    assert (result.fileno, result.successful) == (0, False)
    assert result.error == "No memory for the data of a dump: Cannot allocate memory"
    assert transfer.take_errors() == []
    assert device.file == -1
    transfer.close()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (SystemError("<method> returned NULL without setting an exception"), "not enough memory"),
        (MemoryError(), "not enough memory"),
        (ImportError("failed to map segment"), "failed to map segment"),
    ],
)
def test_a_library_that_cannot_be_loaded_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    """The error is this side's, before anything is on the volume."""

    def refuse(name: str) -> None:
        raise error

    monkeypatch.setattr(native, "warm", refuse)
    crc._library.cache_clear()
    device = started()
    transfer = transfer_of(PiecesSource(b"data"))
    result = transfer.write_part(device, HEADER)
    expected = f"cannot load the library crc32c: {why}"
    assert (result.successful, result.error) == (False, expected)
    assert transfer.take_errors() == []
    transfer.close()


def test_a_source_for_which_memory_is_short_is_not_blamed() -> None:
    class Hungry(PiecesSource):
        def read_into(self, buffer: memoryview) -> int:
            raise MemoryError

    transfer = transfer_of(Hungry(b""))
    result = transfer.write_part(started(), HEADER)
    assert (result.successful, result.error) == (False, "Not enough memory to read the dump")
    assert transfer.take_errors() == []
    transfer.close()


def test_buffers_stay_small() -> None:
    """Three chunks at usual blocks, two blocks at huge ones; a memory cache adds its part."""
    for block in (1, 512, 32768, 49152, 1 << 20):
        size = ring_size(RING_SIZE, block)
        assert size % block == 0
        assert size <= 4 * CHUNK
    assert ring_size(RING_SIZE, 10 * CHUNK) == 20 * CHUNK
    assert memory_cache(10 * CHUNK, 2 * CHUNK, 32768).capacity == 12 * CHUNK
