"""A source whose connection may be dead without anybody having told us."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from protocols.crc import Crc
from taper.flow.rendezvous.source import ResumingSource
from taper.plane.interfaces import SourceError


class AtOnce:
    """A reactor for whoever calls it from a thread, and whose answers are there already."""

    def callFromThread(self, what: Callable[[], object]) -> None:
        what()


class Connections:
    """Those that the source gets, one after another.

    :ivar ends: the other ends.
    :ivar asked: for which byte, and what became of the one before.
    """

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.asked: list[tuple[int, str | None]] = []
        self._ours: list[socket.socket] = []
        for _ in range(2):
            ours, theirs = socket.socketpair()
            self._ours.append(ours)
            self.ends.append(theirs)

    def next(self, offset: int, before: Crc, lost: str | None) -> Deferred[socket.socket | None]:
        self.asked.append((offset, lost))
        return succeed(self._ours.pop(0) if self._ours else None)

    def close(self) -> None:
        for each in self.ends + self._ours:
            each.close()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    monkeypatch.setattr("taper.flow.rendezvous.source.SILENCE", 0.02)
    made = Connections()
    yield made
    made.close()


def source_of(connections: Connections, sent: Callable[[], int], patience: float) -> Any:
    return ResumingSource(AtOnce(), connections.next, sent, patience, 100)


def test_what_was_sent_does_not_come(connections: Connections) -> None:
    """Then the connection is dead, though nobody knows, and the next one brings it."""
    connections.ends[1].sendall(b"data")
    source = source_of(connections, lambda: 104, 60.0)
    buffer = memoryview(bytearray(10))
    assert source.read_into(buffer) == 4
    assert connections.asked == [(100, None), (100, "nothing comes of 104 bytes that were sent")]
    connections.ends[1].close()
    assert source.read_into(buffer) == 0
    assert connections.asked[2] == (104, "")
    source.close()


def test_nothing_was_sent(connections: Connections) -> None:
    """An application may take its time, as long as patience lasts."""
    source = source_of(connections, lambda: 100, 0.1)
    with pytest.raises(SourceError, match=r"has sent nothing for 0\.1 s"):
        source.read_into(memoryview(bytearray(10)))
    assert len(connections.asked) == 1
    source.close()
