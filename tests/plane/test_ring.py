"""The ring between reader and writer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from taper.plane.interfaces import CacheError
from taper.plane.memory import NoMemory
from taper.plane.ring import Left, Ring, Stopped


def ring_of(capacity: int, block: int, *, keep: bool = False) -> Ring:
    ring = Ring(capacity, block, keep=keep)
    ring.allocate()
    return ring


def fill(ring: Ring, data: bytes) -> None:
    space = ring.space()
    assert space is not None
    space[: len(data)] = data
    ring.publish(len(data))


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Run in a thread; the returned function waits for its result."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except (Stopped, Left) as end:
            found.append(end)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait() -> Any:
        thread.join(60)
        assert not thread.is_alive()
        return found[0]

    return wait


def test_a_ring_must_fit_its_blocks() -> None:
    with pytest.raises(ValueError, match="does not fit blocks of 10"):
        Ring(25, 10)
    with pytest.raises(ValueError, match="does not fit"):
        Ring(10, 10)


def test_only_whole_blocks_come_out_until_the_end() -> None:
    ring = ring_of(40, 10)
    fill(ring, b"a" * 20)
    fill(ring, b"b" * 7)
    assert ring.peek(100) == b"a" * 20
    assert ring.peek(10) == b"a" * 10
    ring.advance(20)
    ring.end()
    assert ring.peek(100) == b"b" * 7
    ring.advance(7)
    assert ring.peek(100) == b""


def test_a_writer_sleeps_until_a_block_is_there() -> None:
    ring = ring_of(40, 10)
    fill(ring, b"a" * 9)
    wait = in_thread(lambda: bytes(ring.peek(100)))
    fill(ring, b"b")
    assert wait() == b"a" * 9 + b"b"


def test_a_reader_sleeps_until_there_is_room() -> None:
    ring = ring_of(40, 10)
    fill(ring, b"a" * 20)
    fill(ring, b"b" * 20)
    wait = in_thread(lambda: len(ring.space() or b""))
    ring.wait_primed()
    ring.advance(20)
    assert wait() == 20


@pytest.mark.parametrize("side", ["reader", "writer", "primer"])
def test_stopping_wakes_everybody(side: str) -> None:
    ring = ring_of(20, 10)
    if side == "reader":
        fill(ring, b"a" * 10)
        fill(ring, b"a" * 10)
    calls = {"reader": ring.space, "writer": lambda: ring.peek(10), "primer": ring.wait_primed}
    wait = in_thread(calls[side])
    ring.stop()
    ring.stop()
    result = wait()
    assert result is None if side == "reader" else isinstance(result, Stopped)


def test_after_a_failure_whole_blocks_still_come_but_no_end() -> None:
    """What was read before the source failed belongs to parts that may be complete."""
    ring = ring_of(40, 10)
    fill(ring, b"a" * 15)
    ring.fail()
    assert ring.failed
    assert not ring.stopped
    ring.advance(len(ring.peek(100)))
    assert ring.stopped
    with pytest.raises(Stopped):
        ring.peek(100)


def test_a_ring_that_keeps_gives_the_part_again() -> None:
    ring = ring_of(40, 10, keep=True)
    fill(ring, b"a" * 20)
    ring.advance(20)
    ring.commit()
    fill(ring, b"b" * 20)
    ring.advance(20)
    fill(ring, b"c" * 20)
    assert ring.peek(100) == b"c" * 20
    ring.rewind()
    assert ring.cursor == 20
    assert ring.peek(100) == b"b" * 20


def test_a_ring_that_does_not_keep_cannot_go_back() -> None:
    with pytest.raises(ValueError, match="keeps nothing"):
        ring_of(20, 10).rewind()


def test_a_limit_holds_the_reader_at_the_end_of_the_part() -> None:
    ring = ring_of(40, 10)
    ring.limit(15)
    assert len(ring.space() or b"") == 15
    fill(ring, b"a" * 15)
    wait = in_thread(lambda: len(ring.space() or b""))
    ring.wait_primed()
    ring.limit(30)
    assert wait() == 15


def test_memory_that_cannot_be_had_is_an_error() -> None:
    with pytest.raises(NoMemory, match=r"^Cannot allocate memory$"):
        Ring(1 << 62, 1 << 61).allocate()


def short_of_memory(monkeypatch: pytest.MonkeyPatch, segments: int) -> None:
    """Let so many segments more be had, of two blocks of 10 bytes each."""
    left = [segments]

    def allocate_more(size: int) -> memoryview:
        if not left[0]:
            raise NoMemory("none is left")
        left[0] -= 1
        return memoryview(bytearray(size))

    monkeypatch.setattr("taper.plane.ring.CHUNK", 10)
    monkeypatch.setattr("taper.plane.ring.SEGMENT_CHUNKS", 2)
    monkeypatch.setattr("taper.plane.ring.allocate_more", allocate_more)


def test_a_ring_takes_memory_only_as_data_come() -> None:
    """However large it may become."""
    ring = ring_of(1 << 50, 1 << 20, keep=True)
    fill(ring, b"a" * (1 << 20))
    ring.end()
    assert ring.peek(1 << 50) == b"a" * (1 << 20)


def test_a_ring_is_as_large_as_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a part to be kept nothing is lost by that."""
    short_of_memory(monkeypatch, 1)
    ring = ring_of(80, 10)
    for letter in b"abcd":
        fill(ring, bytes([letter]) * 10)
    wait = in_thread(lambda: len(ring.space() or b""))
    ring.wait_primed()
    assert ring.capacity == 40
    for _ in range(2):  # half of it: the reader is not woken for less
        ring.advance(len(ring.peek(10)))
    assert wait() == 10
    fill(ring, b"e" * 10)
    got = b""
    while len(got) < 30:
        view = bytes(ring.peek(100))
        ring.advance(len(view))
        got += view
    assert got == b"c" * 10 + b"d" * 10 + b"e" * 10


def test_a_reader_that_is_not_wanted_any_more_leaves_the_rest() -> None:
    """It may sleep for room, or in the source; what it has read is taken to the last block."""
    ring = ring_of(40, 10)
    fill(ring, b"a" * 10)
    fill(ring, b"b" * 10)
    fill(ring, b"c" * 5)
    ring.dismiss()
    assert ring.space() is None
    assert ring.peek(100) == b"a" * 10 + b"b" * 10
    ring.advance(20)
    wait = in_thread(lambda: ring.peek(100))
    ring.leave()
    assert isinstance(wait(), Left)
    assert ring.rest() == b"c" * 5


@pytest.mark.parametrize("go_on", [False, True])
def test_a_part_that_memory_cannot_keep_is_told_to_the_writer(
    monkeypatch: pytest.MonkeyPatch, go_on: bool
) -> None:
    """Once all that could be kept is taken, and not before; then it can go on without."""
    short_of_memory(monkeypatch, 1)
    ring = ring_of(80, 10, keep=True)
    for letter in b"abcd":
        fill(ring, bytes([letter]) * 10)
    wait = in_thread(lambda: len(ring.space() or b""))
    ring.wait_primed()
    for _ in range(4):
        ring.advance(len(ring.peek(10)))
    with pytest.raises(CacheError, match=r"more than 40 bytes of a part: none is left$"):
        ring.peek(10)
    if go_on:
        ring.forgo()
        assert wait() == 10
        fill(ring, b"e" * 10)
        assert ring.peek(10) == b"e" * 10
    else:
        ring.stop()
        assert wait() == 0


def test_a_part_that_fits_in_what_was_had_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, 1)
    ring = ring_of(80, 10, keep=True)
    for letter in b"abcd":
        fill(ring, bytes([letter]) * 10)
    wait = in_thread(lambda: len(ring.space() or b""))
    ring.wait_primed()
    for _ in range(3):
        ring.advance(len(ring.peek(10)))
    ring.rewind()
    assert ring.peek(10) == b"a" * 10
    for _ in range(3):
        ring.advance(len(ring.peek(10)))
    ring.commit()
    assert wait() == 10


def test_blocks_never_lie_across_the_end_of_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, 9)
    ring = ring_of(60, 10)
    given, got = b"", b""
    for number in range(40):
        data = bytes([number]) * 7
        while data:
            space = ring.space()
            assert space is not None
            piece, data = data[: len(space)], data[len(space) :]
            space[: len(piece)] = piece
            ring.publish(len(piece))
            given += piece
        while len(given) - len(got) >= 10:
            view = bytes(ring.peek(10))
            assert len(view) == 10
            ring.advance(10)
            got += view
    assert given.startswith(got)
    assert len(given) - len(got) < 10


def test_a_ring_that_keeps_is_not_overwritten_before_the_commit() -> None:
    ring = ring_of(40, 10, keep=True)
    fill(ring, b"a" * 20)
    fill(ring, b"b" * 20)
    ring.advance(20)
    wait = in_thread(lambda: len(ring.space() or b""))
    ring.wait_primed()
    ring.rewind()
    assert ring.peek(20) == b"a" * 20
    ring.advance(20)
    ring.commit()
    assert wait() == 20
