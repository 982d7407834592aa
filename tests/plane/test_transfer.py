"""What is said of parts, good and bad, and how a transfer is stopped [data-plane 2, 7]."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.errors import VolumeFailed
from devices.interfaces import AccessMode, Streaming
from taper.core.splitting import CacheKind
from taper.plane import crc, native
from taper.plane.cache import memory_cache
from taper.plane.interfaces import ISource
from taper.plane.memory import NoMemory
from taper.plane.pump import PartResult
from taper.plane.ring import CHUNK, ring_size
from taper.plane.sources import HoldingSource, SocketSource
from taper.plane.transfer import (
    BLOCK_SIZES_DIFFER,
    NO_CACHE,
    PART_BEFORE_LOST,
    RING_SIZE,
    Transfer,
)
from tests.fakes.device import FULL_TEXT, SPACE_TEXT, FakeDevice, FakeVolume
from tests.plane.dumping import (
    HEADER,
    PiecesSource,
    Plan,
    SeekableSource,
    connection,
    crc_of,
    volumes,
    write_dump,
    write_holding,
)

BLOCK = 100
DATA = bytes(n * 7 % 251 for n in range(10_050))


class Faults:
    """Makes the n-th call (from 0) of one kind fail."""

    def __init__(self, kind: str, *numbers: int) -> None:
        self._kind = kind
        self._numbers = numbers
        self._count = -1

    def __call__(self, what: str) -> bool:
        if what != self._kind:
            return False
        self._count += 1
        return self._count in self._numbers


def blank(capacity: int | None = None, **options: object) -> FakeDevice:
    """A device with an unlabelled volume; a header takes one block of room."""
    options = {"block_size": BLOCK, "header_size": BLOCK} | options
    return FakeDevice(FakeVolume(capacity), **options)  # type: ignore[arg-type]


def started(capacity: int | None = None, **options: object) -> FakeDevice:
    device = blank(capacity, **options)
    device.start(AccessMode.WRITE, "V", "20261123000000")
    return device


def transfer_of(source: ISource, **plan: object) -> Transfer:
    transfer = Transfer(source, Plan(**({"block_size": BLOCK} | plan)))  # type: ignore[arg-type]
    transfer.start()
    return transfer


def stored(device: FakeDevice, number: int = 1) -> bytes:
    assert device.volume is not None
    return bytes(device.volume.files[number].data)


def ticking() -> Iterator[float]:
    return (float(second) for second in range(100, 200, 7))


def test_a_dump_without_splitting_is_one_part() -> None:
    clock = ticking()
    transfer = Transfer(PiecesSource(DATA), Plan(block_size=BLOCK), clock=lambda: next(clock))
    transfer.start()
    device = started()
    result = transfer.write_part(device, HEADER)
    assert result == PartResult(
        size=len(DATA), duration=7.0, fileno=1, successful=True, eom=False, eof=True
    )
    assert stored(device) == DATA
    assert transfer.bytes_written == len(DATA)
    assert transfer.source_crc() == transfer.dest_crc() == crc_of(DATA)
    transfer.close()
    assert transfer.take_errors() == []


def test_an_empty_dump_is_one_empty_part() -> None:
    dump = write_dump(
        Transfer(PiecesSource(b""), Plan(block_size=BLOCK, part_size=1000)),
        volumes(blank),
    )
    assert dump.shape == [(0, True, False, True)]


def test_a_dump_of_whole_parts_ends_with_an_empty_one() -> None:
    dump = write_dump(
        Transfer(PiecesSource(DATA[:2000]), Plan(block_size=BLOCK, part_size=1000)),
        volumes(blank),
    )
    assert [(part.size, part.eof) for part in dump.results] == [
        (1000, False),
        (1000, False),
        (0, True),
    ]


def test_leom_on_the_last_block_asks_for_a_volume_for_the_empty_part() -> None:
    dump = write_dump(
        Transfer(PiecesSource(DATA[:1000]), Plan(block_size=BLOCK)),
        # label, header, ten blocks, and four before the end
        volumes(lambda: blank(100 + 100 + 1000 + 300)),
    )
    assert dump.shape == [(1000, True, True, False), (0, True, False, True)]


def test_no_room_for_the_header_is_an_empty_good_part_without_number() -> None:
    """Whether a full volume refuses it or warns only."""
    for leom, capacity in ((False, 150), (True, 250)):
        transfer = transfer_of(PiecesSource(DATA))
        device = started(capacity, leom=leom)
        result = transfer.write_part(device, HEADER)
        assert (result.fileno, result.size, result.successful) == (0, 0, True)
        assert (result.eom, result.eof) == (True, False)
        assert result.error == (None if leom else FULL_TEXT)
        assert transfer.write_part(started(), HEADER).size == len(DATA)
        transfer.close()


def test_a_header_that_fails_otherwise_says_why() -> None:
    transfer = transfer_of(PiecesSource(DATA))
    result = transfer.write_part(started(faults=Faults("start_file", 0)), HEADER)
    assert (result.fileno, result.successful, result.eom) == (0, True, True)
    assert (result.error, result.refused) == ("the fake header fails", True)
    transfer.close()


@pytest.mark.parametrize(("shared", "text"), [(False, FULL_TEXT), (True, SPACE_TEXT)])
def test_a_volume_that_takes_no_more_ends_a_good_part(shared: bool, text: str) -> None:
    """The block that was refused is the next part's first."""
    transfer = transfer_of(PiecesSource(DATA))
    device = started(1200, warning=0)
    assert device.volume is not None
    device.volume.shared = shared
    device._warn = lambda size: None  # type: ignore[method-assign]
    result = transfer.write_part(device, HEADER)
    assert (result.size, result.successful, result.eom, result.error) == (1000, True, True, text)
    rest = started()
    assert transfer.write_part(rest, HEADER).eof
    assert stored(device) + stored(rest) == DATA
    transfer.close()


def test_a_failed_part_comes_again_from_its_first_byte_however_often_it_ends_early() -> None:
    """First attempt 50 blocks, second fails at 20, third ends well at 10 by the warning: nothing
    between is lost, and the checksums agree."""
    transfer = transfer_of(SeekableSource(DATA))
    first = transfer.write_part(started(faults=Faults("write", 50)), HEADER)
    assert (first.size, first.successful, first.error) == (5000, False, "the fake block fails")
    assert transfer.can_retry()
    assert transfer.bytes_written == 0
    second = transfer.write_part(started(faults=Faults("write", 20)), HEADER)
    assert (second.size, second.successful) == (2000, False)
    third_device = started(100 + 100 + 1000 + 300)
    third = transfer.write_part(third_device, HEADER)
    assert (third.size, third.successful, third.eom) == (1000, True, True)
    last_device = started()
    last = transfer.write_part(last_device, HEADER)
    assert (last.size, last.eof) == (len(DATA) - 1000, True)
    assert stored(third_device) + stored(last_device) == DATA
    assert transfer.source_crc() == transfer.dest_crc() == crc_of(DATA)
    transfer.close()


def test_a_short_last_block_is_repeated_after_a_failed_filemark(tmp_path: Path) -> None:
    transfer = transfer_of(HoldingSource(write_holding(str(tmp_path), DATA, 3333)))
    result = transfer.write_part(started(faults=Faults("finish_file", 0)), HEADER)
    assert (result.size, result.successful, result.eof) == (len(DATA), False, False)
    assert result.error == "the fake filemark fails"
    device = started()
    assert transfer.write_part(device, HEADER).eof
    assert stored(device) == DATA
    transfer.close()


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


def test_a_device_with_other_blocks_is_refused_untouched() -> None:
    transfer = transfer_of(PiecesSource(DATA))
    device = started(block_size=200)
    result = transfer.write_part(device, HEADER)
    assert (result.fileno, result.successful, result.error) == (0, False, BLOCK_SIZES_DIFFER)
    assert device.file == -1
    transfer.close()


def test_a_source_that_fails_is_blamed_though_the_cache_has_the_part() -> None:
    """With what was read of the part in memory, the reason is told just the same."""
    transfer = transfer_of(PiecesSource(DATA, error="gone"), part_size=4000, cache=CacheKind.MEMORY)
    device = started()
    results = [transfer.write_part(device, HEADER) for _ in range(3)]
    assert [result.successful for result in results] == [True, True, False]
    assert transfer.take_errors() == ["gone"]
    transfer.close()


def test_parts_complete_before_the_source_fails_are_good() -> None:
    """Only the part the failure falls into is bad, and the reason is told then, not before."""
    transfer = transfer_of(
        PiecesSource(DATA, error="while reading holding file: E"), part_size=4000
    )
    device = started()
    for _ in range(2):
        assert transfer.write_part(device, HEADER).successful
        assert transfer.take_errors() == []
    result = transfer.write_part(device, HEADER)
    assert (result.size, result.successful, result.eof, result.error) == (2000, False, False, None)
    assert transfer.take_errors() == ["while reading holding file: E"]
    assert transfer.take_errors() == []
    assert not transfer.can_retry()
    assert transfer.write_part(device, HEADER).fileno == 0
    assert device.file == 3
    assert transfer.dest_crc() == crc_of(DATA[:8000])
    transfer.close()


@pytest.mark.parametrize("sent", [b"", b"x" * 250])
def test_a_reset_connection_is_told(sent: bytes) -> None:
    """Also one that comes together with data: the system tells it only once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    transfer = transfer_of(SocketSource(ours))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sendall(sent)
    peer.close()
    device = started()
    result = transfer.write_part(device, HEADER)
    assert (result.successful, result.eof) == (False, False)
    assert stored(device) == sent[:200] or not stored(device)  # a reset may overtake the data
    (text,) = transfer.take_errors()
    assert text.endswith("Connection reset by peer")
    transfer.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_reader_that_breaks_is_told_and_nobody_waits(
    threads: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The dump's end tells it, and the mistake itself is where mistakes are looked for."""

    class Broken(PiecesSource):
        def read_into(self, buffer: memoryview) -> int:
            raise RuntimeError("a mistake")

    hooked: list[object] = []
    hook, threading.excepthook = threading.excepthook, hooked.append
    try:
        transfer = transfer_of(Broken(b""), buffer_size=RING_SIZE + threads - 1)
        assert not transfer.write_part(started(), HEADER).successful
        transfer.close()
    finally:
        threading.excepthook = hook
    assert transfer.take_errors() == ["error while reading: RuntimeError('a mistake')"]
    assert len(hooked) == threads - 1
    assert caplog.text.count("RuntimeError: a mistake") == 2 - threads


def test_cancelling_ends_a_part_that_waits_for_its_peer() -> None:
    """The peer never closes; the part ends all the same, and everything can be closed."""
    ours, theirs = socket.socketpair()
    theirs.sendall(DATA)
    transfer = transfer_of(SocketSource(ours))
    device = started(streaming=Streaming.REQUIRED)
    results: list[PartResult] = []
    writer = threading.Thread(
        target=lambda: results.append(transfer.write_part(device, HEADER)), daemon=True
    )
    writer.start()
    transfer.cancel("dumper failed")
    transfer.cancel("")
    writer.join(60)
    (result,) = results
    assert (result.successful, result.eof, result.error) == (False, False, None)
    assert not device.in_file
    assert transfer.take_errors() == ["dumper failed"]
    assert not transfer.can_retry()
    transfer.close()
    assert theirs.recv(1) == b""
    theirs.close()


def test_a_cancelled_transfer_does_not_touch_the_next_device() -> None:
    transfer = transfer_of(SeekableSource(DATA))
    transfer.cancel("")
    device = started()
    assert transfer.write_part(device, HEADER).fileno == 0
    assert device.file == -1
    transfer.close()
    assert transfer.take_errors() == []


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


def test_a_device_that_breaks_leaves_the_part_repeatable() -> None:
    """A mistake in a device comes out as it is; the bytes are not gone."""
    transfer = transfer_of(SeekableSource(DATA))
    broken = started(faults=Faults("write"))
    broken.write_blocks = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):
        transfer.write_part(broken, HEADER)
    device = started()
    assert transfer.write_part(device, HEADER).eof
    assert stored(device) == DATA
    transfer.close()


def test_calls_out_of_order_are_refused() -> None:
    transfer = Transfer(PiecesSource(DATA), Plan(block_size=BLOCK))
    with pytest.raises(ValueError, match="not started"):
        transfer.write_part(started(), HEADER)
    transfer.start()
    with pytest.raises(ValueError, match="started before"):
        transfer.start()
    transfer.close()
    with pytest.raises(ValueError, match="needs a directory"):
        Transfer(PiecesSource(b""), Plan(cache=CacheKind.DISK, part_size=32768))


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """No thread, no descriptor: neither after a whole dump nor after one never started."""
    before = set(os.listdir("/proc/self/fd"))
    ours, peer = connection(DATA)
    options = {"part_size": 4000, "cache": CacheKind.DISK, "cache_dir": str(tmp_path)}
    transfer = transfer_of(SocketSource(ours), **options)
    assert transfer.write_part(started(), HEADER).successful
    transfer.close()
    peer.join()
    source = PiecesSource(DATA)
    Transfer(source, Plan()).close()
    assert source.closed
    holding = transfer_of(HoldingSource(write_holding(str(tmp_path), DATA, 400)), part_size=1000)
    holding.write_part(started(faults=Faults("write", 5)), HEADER)
    holding.write_part(started(faults=Faults("write", 3)), HEADER)
    holding.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert all(thread.name != "taper-reader" for thread in threading.enumerate())


def test_buffers_stay_small() -> None:
    """Three chunks at usual blocks, two blocks at huge ones; a memory cache adds its part."""
    for block in (1, 512, 32768, 49152, 1 << 20):
        size = ring_size(RING_SIZE, block)
        assert size % block == 0
        assert size <= 4 * CHUNK
    assert ring_size(RING_SIZE, 10 * CHUNK) == 20 * CHUNK
    assert memory_cache(10 * CHUNK, 2 * CHUNK, 32768).capacity == 12 * CHUNK


# waiting for space


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
