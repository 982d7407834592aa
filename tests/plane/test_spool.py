"""The file behind a window."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from protocols.crc import Crc
from protocols.rendezvous.window import BLOCK, ISpool, SpoolError, Window
from taper.plane.crc import RunningCrc
from taper.plane.native import load
from taper.plane.spool import FileSpool


def test_a_window_in_memory_and_on_disk(tmp_path: Path) -> None:
    """Nothing is seen of it in the directory, it does not outgrow its size, and all comes back."""
    spool = FileSpool(str(tmp_path), 4 * BLOCK)
    window = Window(2 * BLOCK, load("crc32c").crc32c, spool)
    data = os.urandom(20 * BLOCK)
    for begin in range(0, len(data), 50000):
        piece = data[begin : begin + 50000]
        window.acknowledge(0, max(window.end + len(piece) - window.capacity, 0))
        window.append(piece)
        assert os.fstat(spool._fd).st_size <= spool.size
    assert list(tmp_path.iterdir()) == []
    assert window.start <= window.end - window.capacity
    read = bytearray()
    while piece := window.read(window.start + len(read), 1 << 20):
        read += piece
    assert read == data[window.start :]
    crc = RunningCrc()
    crc.update(memoryview(data)[: window.start + 12345])
    assert window.crc_at(window.start + 12345) == crc.value()
    assert window.crc_at(window.end).size == len(data)
    window.close()
    window.close()


def test_it_goes_on_behind_what_is_done() -> None:
    """The checksum, too."""
    crc32c = load("crc32c").crc32c
    window = Window(BLOCK, crc32c, done=Crc(crc32c(b"abc"), 3))
    window.append(b"defg")
    assert window.crc_at(5) == Crc(crc32c(b"abcde"), 5)
    assert (window.start, window.end) == (3, 7)


def test_places_beyond_the_end(tmp_path: Path) -> None:
    """They are a mistake of the caller's; what was never written cannot be read."""
    spool: ISpool = FileSpool(str(tmp_path), 100)
    with pytest.raises(ValueError, match="2 bytes at 99 are beyond 100"):
        spool.write(99, memoryview(b"ab"))
    spool.write(0, memoryview(b"ab"))
    with pytest.raises(SpoolError, match="ends too early"):
        spool.read(1, 2)


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    """The reason is the system's."""
    with pytest.raises(SpoolError, match=r"/none' cannot be made: No such file or directory"):
        FileSpool(str(tmp_path / "none"), 100)


def test_a_disk_that_fails(tmp_path: Path) -> None:
    """Full, or gone."""
    spool = FileSpool(str(tmp_path), 100)
    os.dup2(os.open("/dev/full", os.O_WRONLY), spool._fd)
    with pytest.raises(SpoolError, match="cannot be written: No space left on device"):
        spool.write(0, memoryview(b"ab"))
    with pytest.raises(SpoolError, match="cannot be read: Bad file descriptor"):
        spool.read(0, 2)
    spool.close()
