"""A data connection loses nothing, whatever windows, records and tapes it meets."""

from __future__ import annotations

import socket
import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crc import Crc
from protocols.ndmp.codes import INFINITY
from protocols.ndmp_server.interfaces import MoveEnd, Progress, Window
from taper.plane.crc import RunningCrc
from taper.tapeserver.channel import DataChannel
from tests.fakes.medium import Limits, Medium


def crc_of(data: bytes) -> Crc:
    running = RunningCrc()
    running.update(memoryview(data))
    return running.value()


SIZES = st.sampled_from([1, 7, 512, 1000, 4096])


@settings(max_examples=150)
@given(
    data=st.binary(max_size=6000),
    size=SIZES,
    windows=st.lists(st.integers(0, 4), max_size=12),
    early=st.lists(st.integers(0, 4), max_size=3),
)
def test_a_stream_to_tapes(data: bytes, size: int, windows: list[int], early: list[int]) -> None:
    """Records in their order, over early warnings and window ends; the last one is filled up."""
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    channel, progress = DataChannel(ours, 5.0), Progress(size, counts_padding=False)
    tapes = [Medium(Limits(early_records=records)) for records in early] + [Medium()]
    tape = tapes.pop(0)
    used = [tape]
    while True:
        length = windows.pop(0) * size if windows else INFINITY
        progress.window = Window(progress.position, min(length, INFINITY - progress.position))
        before = progress.position
        channel.begin()
        end = channel.store(tape, progress)
        assert progress.position - before <= length
        if end is MoveEnd.EARLY:
            tape = tapes.pop(0)
            used.append(tape)
        elif end is not MoveEnd.WINDOW:
            break
        else:
            assert progress.position - before == length
    assert end is MoveEnd.CLOSED
    whole = data.ljust(-(-len(data) // size) * size, b"\0")
    records = [record for one in used for file in one.files() for record in file]
    assert b"".join(records) == whole
    assert {len(record) for record in records} <= {size}
    assert (progress.position, progress.moved) == (len(whole), len(data))
    assert channel.account() == f"{len(data)} bytes went by, CRC-32C {crc_of(data)}"
    channel.close()


@settings(max_examples=100)
@given(lengths=st.lists(st.integers(1, 700), max_size=12))
def test_a_tape_to_a_stream(lengths: list[int]) -> None:
    """Records of any length up to the mover's, each whole, up to the end of the tape."""
    tape = Medium()
    data = b"".join(bytes([number + 1]) * length for number, length in enumerate(lengths))
    for number, length in enumerate(lengths):
        tape.write(bytes([number + 1]) * length)
    tape.rewind()
    ours, theirs = socket.socketpair()
    channel, progress = DataChannel(ours, 5.0), Progress(700, aligned_at=0)
    progress.left = INFINITY
    assert channel.serve(tape, progress, watch=True) is MoveEnd.NOTHING
    assert progress.position == progress.moved == len(data)
    channel.close()
    got = b""
    while piece := theirs.recv(65536):
        got += piece
    theirs.close()
    assert got == data


def test_what_has_come_is_written_though_no_more_comes() -> None:
    """Its sender may be waiting for that; and what is no whole record waits for its rest."""
    ours, theirs = socket.socketpair()
    channel, progress = DataChannel(ours, None), Progress(512)
    tape = Medium()
    storing = threading.Thread(target=channel.store, args=(tape, progress))
    channel.begin()
    storing.start()
    for record in range(3):
        theirs.sendall(bytes([record]) * 600)
        while progress.moved < 600 * (record + 1) // 512 * 512:
            assert storing.is_alive()
            time.sleep(0.001)
    theirs.close()
    storing.join()
    assert [len(record) for file in tape.files() for record in file] == 4 * [512]
    channel.close()


def test_it_is_interrupted_and_woken() -> None:
    """By another thread: while nothing comes, while nothing is wanted, before it has begun."""
    ours, theirs = socket.socketpair()
    channel, progress = DataChannel(ours, None), Progress(512)
    for begin in (channel.store, lambda *rest: channel.serve(*rest, watch=True)):
        channel.begin()
        timer = threading.Timer(0.01, channel.interrupt)
        timer.start()
        assert begin(Medium(), progress) is MoveEnd.INTERRUPTED
        timer.join()
        channel.begin()
        channel.interrupt()
        assert begin(Medium(), progress) is MoveEnd.INTERRUPTED
    tape = Medium()
    tape.write(b"record")
    tape.rewind()
    progress.aligned_at = 0

    def want() -> None:
        progress.left = 100
        channel.wake()

    channel.begin()
    timer = threading.Timer(0.01, want)
    timer.start()
    assert channel.serve(tape, progress, watch=True) is MoveEnd.NOTHING
    assert theirs.recv(100) == b"record"
    timer.join()
    theirs.close()
    channel.begin()
    progress.left = 0
    assert channel.serve(tape, progress, watch=True) is MoveEnd.CLOSED
    channel.close()
