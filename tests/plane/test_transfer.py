"""What is said of parts, good and bad, and how a transfer is stopped [data-plane 2, 7]."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import pytest

from devices.interfaces import Streaming
from taper.core.splitting import CacheKind
from taper.plane.pump import PartResult
from taper.plane.sources import HoldingSource, SocketSource
from taper.plane.transfer import (
    BLOCK_SIZES_DIFFER,
    RING_SIZE,
    Transfer,
)
from tests.fakes.device import FULL_TEXT, SPACE_TEXT
from tests.opened import descriptors, threads
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
from tests.plane.transferring import (
    BLOCK,
    DATA,
    Faults,
    blank,
    started,
    stored,
    ticking,
    transfer_of,
)


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


def test_a_device_with_other_blocks_is_refused_untouched() -> None:
    transfer = transfer_of(PiecesSource(DATA))
    device = started(block_size=200)
    result = transfer.write_part(device, HEADER)
    assert (result.fileno, result.successful, result.error) == (0, False, BLOCK_SIZES_DIFFER)
    assert device.file == -1
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
    before, readers = descriptors(), threads("taper-reader")
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
    assert descriptors() <= before
    assert threads("taper-reader") <= readers
