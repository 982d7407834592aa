"""What sends a dump, and what undoes what the server did to it."""

from __future__ import annotations

import errno
import gzip
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from crc32c import crc32c
from zope.interface import implementer
from zope.interface.verify import verifyObject

from protocols.crc import Crc
from taper.plane.interfaces import ISource, SourceError
from taper.recovery.feed import Feed
from taper.recovery.undoing import Counted, Undone

SECONDS = 60
DATA = os.urandom(3 << 20)


@implementer(ISource)
class Pieces:
    """Gives bytes, and then an error if it has one."""

    def __init__(self, data: bytes, error: str | None = None) -> None:
        self._data = memoryview(data)
        self._error = error
        self.cancelled = threading.Event()
        self.closed = 0

    def read_into(self, buffer: memoryview) -> int:
        size = min(len(buffer), len(self._data), 100_000)
        if not size and self._error is not None:
            raise SourceError(self._error)
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        return size

    def cancel(self) -> None:
        self.cancelled.set()

    def close(self) -> None:
        self.closed += 1


class Feeding:
    """A feed and its end."""

    def __init__(self, source: ISource, descriptor: int, patience: float = SECONDS) -> None:
        self.through = threading.Event()
        self.feed = Feed(source, descriptor, patience, self.through.set)
        self.feed.start()

    def wait(self) -> Feed:
        assert self.through.wait(SECONDS)
        return self.feed


@pytest.fixture
def pair() -> Iterator[tuple[int, socket.socket]]:
    """A descriptor to be fed, and who reads it."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    listener.close()
    with closing(theirs):
        yield ours.detach(), theirs


def read_all(connection: socket.socket) -> bytes:
    data = bytearray()
    while piece := connection.recv(1 << 20):
        data += piece
    return bytes(data)


def crc(data: bytes) -> Crc:
    return Crc(crc32c(data), len(data))


def test_all_is_sent_and_counted(pair: tuple[int, socket.socket]) -> None:
    """Whoever reads sees the end only when all is judged."""
    descriptor, theirs = pair
    source = Pieces(DATA)
    feeding = Feeding(source, descriptor)
    data = bytearray()
    while len(data) < len(DATA):
        data += theirs.recv(1 << 20)
    feed = feeding.wait()
    assert (feed.finished, feed.error, feed.crc()) == (True, None, crc(DATA))
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    theirs.setblocking(True)
    feed.end_well()
    assert read_all(theirs) == b""
    feed.close()
    assert bytes(data) == DATA
    assert source.closed == 1


def test_a_source_that_fails_resets_the_connection(pair: tuple[int, socket.socket]) -> None:
    descriptor, theirs = pair
    feed = Feeding(Pieces(b"some", "no more"), descriptor).wait()
    assert (feed.finished, feed.error, feed.by_taker) == (False, "no more", False)
    feed.close()
    with pytest.raises(ConnectionResetError):
        read_all(theirs)


def test_a_reader_that_is_gone() -> None:
    """Of a pipe, as amandad's stream is."""
    reading, writing = os.pipe()
    os.close(reading)
    feed = Feeding(Pieces(DATA), writing).wait()
    assert (feed.error, feed.by_taker) == (os.strerror(errno.EPIPE), True)
    feed.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writing)


def test_a_reader_that_takes_nothing(pair: tuple[int, socket.socket]) -> None:
    descriptor, _ = pair
    feed = Feeding(Pieces(20 * DATA), descriptor, 0.2).wait()
    assert (feed.error, feed.by_taker) == ("it took nothing for 0.2 s", True)
    feed.close()


def test_a_feed_that_is_cancelled(pair: tuple[int, socket.socket]) -> None:
    descriptor, _ = pair
    source = Pieces(20 * DATA)
    feeding = Feeding(source, descriptor)
    feeding.feed.cancel()
    feeding.feed.cancel()
    feed = feeding.wait()
    assert feed.error == "the recovery was given up"
    assert source.cancelled.is_set()
    feed.close()


def drain(source: ISource) -> bytes:
    buffer, data = memoryview(bytearray(70_000)), bytearray()
    while size := source.read_into(buffer):
        data += buffer[:size]
    return bytes(data)


def test_programs_undo_what_was_done() -> None:
    source = Pieces(DATA)
    counted = Counted(source)
    undone = Undone(counted, (("/bin/gzip", "-c"), ("/bin/gzip", "-dc")))
    for one in (counted, undone):
        verifyObject(ISource, one)
    assert drain(undone) == DATA
    undone.close()
    undone.close()
    assert counted.crc() == crc(DATA)


def test_a_program_that_fails() -> None:
    undone = Undone(Pieces(b"no archive"), (("/bin/gzip", "-dc"),))
    with pytest.raises(SourceError, match=r"/bin/gzip failed with status 1: .*not in gzip format"):
        drain(undone)
    undone.close()


def test_a_program_that_is_not_there() -> None:
    undone = Undone(Pieces(b"x"), (("/no/such/program", "-d"),))
    with pytest.raises(SourceError, match="cannot run /no/such/program: No such file"):
        drain(undone)
    undone.close()


def test_what_programs_are_fed_with_fails() -> None:
    """What came out may not pass for the whole, whatever the program thinks of it."""
    undone = Undone(Pieces(DATA, "the volume is torn"), (("/bin/cat",),))
    with pytest.raises(SourceError, match="the volume is torn"):
        drain(undone)
    undone.close()


def test_programs_that_nobody_waits_for_any_more() -> None:
    undone = Undone(Pieces(DATA), (("/bin/sleep", "1000"),))

    def read() -> None:
        with suppress(SourceError):  # which may come, or not
            drain(undone)

    reading = threading.Thread(target=read)
    reading.start()
    undone.cancel()
    reading.join(SECONDS)
    assert not reading.is_alive()
    undone.close()


def test_gzip_only_warns_of_padding() -> None:
    """Whatever fills the last block of a volume, where nobody knows the size of the dump."""
    undone = Undone(Pieces(gzip.compress(DATA) + bytes(5000) + b"x"), (("/bin/gzip", "-dc"),))
    assert drain(undone) == DATA
    undone.close()
