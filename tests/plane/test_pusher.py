"""Sending a dump into a connection whose other end a mover holds."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from taper.plane.kept import Kept
from taper.plane.pusher import Pusher
from tests.plane.dumping import PiecesSource

DATA = bytes(range(256)) * 10_000


def make_pusher(source: PiecesSource, connection: socket.socket) -> Pusher:
    return Pusher(Kept(source).reader(), connection)


def received(peer: socket.socket) -> bytes:
    data = bytearray()
    while piece := peer.recv(65536):
        data += piece
    return bytes(data)


def connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection: a reset is seen as one, unlike with a socket pair."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        mine = socket.create_connection(server.getsockname())
        return mine, server.accept()[0]


def test_all_of_it_is_sent() -> None:
    """The peer sees every byte and an orderly end; all is counted."""
    mine, peer = connected()
    pusher = make_pusher(PiecesSource(DATA, (70_000,), ""), mine)
    over = threading.Event()
    pusher.tells_over = over.set
    pusher.start()
    assert received(peer) == DATA
    assert pusher.finished
    assert not pusher.delivered, "the peer may yet say that it has not taken all"
    peer.close()
    assert over.wait(60)
    assert pusher.delivered
    pusher.close()
    pusher.close()
    assert pusher.crc().size == len(DATA)
    assert not pusher.take_errors()


def test_a_peer_that_resets_behind_the_last_byte() -> None:
    """It may not have taken that."""
    mine, peer = connected()
    pusher = make_pusher(PiecesSource(DATA, (70_000,), ""), mine)
    told, over = threading.Event(), threading.Event()
    pusher.tells_broken, pusher.tells_over = told.set, over.set
    pusher.start()
    assert received(peer) == DATA
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert over.wait(60)
    assert told.is_set()
    assert pusher.finished
    assert not pusher.delivered
    assert pusher.broken == "behind the last byte: Connection reset by peer"
    pusher.close()


def test_a_peer_that_ends_its_side_before_all_is_there() -> None:
    """Its end says nothing of what is on its way to it."""
    mine, peer = connected()
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    pusher = make_pusher(PiecesSource(DATA[:200_000], (70_000,), ""), mine)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.shutdown(socket.SHUT_WR)
    over = threading.Event()
    pusher.tells_over = over.set
    pusher.start()
    peer.recv(100)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert over.wait(60)
    assert not pusher.delivered
    pusher.close()


def test_a_source_that_fails_resets_the_connection() -> None:
    """Nobody takes half a dump for a whole one."""
    mine, peer = connected()
    pusher = make_pusher(PiecesSource(b"x" * 100, (100,), "the disk is gone"), mine)
    pusher.start()
    with pytest.raises(ConnectionResetError):
        received(peer)
    pusher.close()
    assert not pusher.finished
    assert pusher.take_errors() == ["the disk is gone"]
    assert not pusher.take_errors()


def test_memory_that_is_short_is_told_in_words() -> None:
    class Hungry(PiecesSource):
        def read_into(self, buffer: memoryview) -> int:
            raise MemoryError

    mine, peer = connected()
    pusher = make_pusher(Hungry(b""), mine)
    pusher.start()
    with pytest.raises(ConnectionResetError):
        received(peer)
    pusher.close()
    assert pusher.take_errors() == ["Not enough memory to read the dump"]


def test_a_peer_that_goes_away() -> None:
    """What was done is named, nobody is blamed for it yet; nothing hangs."""
    mine, peer = connected()
    peer.close()
    pusher = make_pusher(PiecesSource(DATA * 4, (70_000,), ""), mine)
    pusher.start()
    pusher._thread.join(60)
    assert not pusher.finished
    assert pusher.take_errors() == []
    assert pusher.broken is not None
    assert pusher.broken.startswith("while sending to the device: ")
    pusher.close()


def test_giving_up_while_the_peer_waits() -> None:
    """A mover that takes nothing any more holds nobody."""
    mine, peer = connected()
    pusher = make_pusher(PiecesSource(DATA * 20, (70_000,), ""), mine)
    pusher.start()
    closing = threading.Thread(target=pusher.close)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    assert not pusher.finished
    assert not pusher.take_errors()
    peer.close()


def test_one_that_never_began() -> None:
    mine, peer = connected()
    pusher = make_pusher(PiecesSource(DATA, (70_000,), ""), mine)
    pusher.close()
    assert not pusher.finished
    peer.close()
