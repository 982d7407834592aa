"""What is told of a stream is what its volumes hold, however and whenever it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet import reactor
from twisted.internet.task import deferLater

from devices import datafile
from protocols.ndmp import messages as m
from protocols.ndmp.codes import INFINITY, ErrorCode, HaltReason, MoverState, TapeMode
from protocols.ndmp_server.interfaces import MoveEnd, Progress, TapeEnd, Window
from protocols.twisted_transports.ndmp import NdmpSession
from taper.plane.memory import NoMemory
from taper.tapeserver import records, writer
from taper.tapeserver.channel import DataChannel
from taper.tapeserver.vtape_tape import VtapeTape
from tests.fakes.ndmp_peers import Peer
from tests.opened import threads
from tests.tapeserver.serving import (
    BLOCK,
    Serving,
    halted,
    listening,
    opened,
    refusal,
    write_settings,
)
from tests.tapeserver.test_channel import crc_of
from tests.tapeserver.test_overlap import PATIENCE, stream, until
from tests.tapeserver.test_serving import labelled
from tests.tapeserver.test_vtape_tape import header, label

PLENTY = 1 << 40


class Disk:
    """``os.write`` on a disk that has so many bytes left for data, or breaks there.

    :ivar room: bytes that it takes still, behind headers.
    """

    def __init__(self) -> None:
        self.room, self.error = PLENTY, errno.ENOSPC
        self._real = os.write

    def __call__(self, fd: int, data: Any) -> int:
        if os.lseek(fd, 0, os.SEEK_CUR) < BLOCK:  # a header
            return self._real(fd, data)
        if not self.room:
            raise OSError(self.error, os.strerror(self.error))
        wrote = self._real(fd, data[: self.room])
        self.room -= wrote
        return wrote


class Volume:
    """A labelled vtape, behind the header of its first file.

    :ivar first: position in the stream of the first record here.
    """

    def __init__(self, path: Path, block: int, first: int) -> None:
        path.mkdir()
        self.first = first
        self._path = path
        self.tape = VtapeTape(str(path), block)
        self.tape.write(label().ljust(block, b"\0"))
        self.tape.write_filemark()
        self.tape.write(header().ljust(block, b"\0"))

    @property
    def data(self) -> bytes:
        return data_in(self._path)


def data_in(path: Path) -> bytes:
    """Of the first file of a vtape, behind its header."""
    (file,) = path.glob("00001.*")
    return file.read_bytes()[BLOCK:]


@settings(max_examples=60)
@given(
    data=st.integers(0, 20 * BLOCK).map(stream),
    block=st.sampled_from([BLOCK, BLOCK + 1000, 3 * BLOCK, 8 * BLOCK]),
    windows=st.lists(st.integers(1, 6), max_size=6),
    rooms=st.lists(st.tuples(st.integers(0, 12 * BLOCK), st.booleans()), max_size=3),
    breaks=st.none() | st.integers(0, 12 * BLOCK),
    run=st.sampled_from([1, 2 * BLOCK, 5 * BLOCK]),
)
def test_volumes_hold_what_was_told(
    data: bytes,
    block: int,
    windows: list[int],
    rooms: list[tuple[int, bool]],
    breaks: int | None,
    run: int,
) -> None:
    """Over windows, disks that fill up in the middle of a record, and at last one that breaks.

    :param rooms: bytes until the disk is full; then some is made there, or another volume taken
    """
    disk, whole = Disk(), data.ljust(-(-len(data) // block) * block, b"\0")
    rooms = [*rooms, (PLENTY if breaks is None else breaks, False)]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as root:
        patch.setattr(records, "RUN", run)
        patch.setattr(datafile, "WORTH", BLOCK)
        patch.setattr(os, "write", disk)
        ours, theirs = socket.socketpair()
        sending = threading.Thread(target=send, args=(theirs, data), daemon=True)
        sending.start()
        channel, progress = DataChannel(ours, PATIENCE), Progress(block)
        volumes = [Volume(Path(root, "0"), block, 0)]
        disk.room, _ = rooms.pop(0)
        while True:
            if breaks is not None and not rooms:
                disk.error = errno.EIO
            length = windows.pop() * block if windows else INFINITY - progress.position
            progress.window = Window(progress.position, length)
            channel.begin()
            end, volume = stored(channel, volumes[-1].tape, progress), volumes[-1]
            told, held = progress.position - volume.first, volume.data
            assert len(held) == (volume.tape.blockno - 1) * block
            assert whole[volume.first :].startswith(held)
            # who learns that a disk is broken does not count on its last run
            assert told == len(held) or (end is None and told < len(held))
            if end is MoveEnd.EARLY:
                disk.room, here = rooms.pop(0) if rooms else (PLENTY, False)
                if not here:
                    number = len(volumes)
                    volumes.append(Volume(Path(root, str(number)), block, progress.position))
            elif end is not MoveEnd.WINDOW:
                break
        channel.close()
        sending.join(PATIENCE)
        assert end in (MoveEnd.CLOSED, MoveEnd.FULL, None)
        assert end is not MoveEnd.CLOSED or progress.position == len(whole)
        count = min(progress.position, len(data))
        assert progress.moved == count
        account = f"{count} bytes went by, CRC-32C {crc_of(data[:count])}"
        assert channel.account() == account


def stored(channel: DataChannel, tape: VtapeTape, progress: Progress) -> MoveEnd | None:
    """:return: None: the disk is broken"""
    try:
        return channel.store(tape, progress)
    except OSError as fault:
        if fault.errno != errno.EIO:
            raise
        return None


def send(link: socket.socket, data: bytes) -> None:
    with link, contextlib.suppress(OSError):  # if nobody wants it any more
        link.sendall(data)


class HeldWrites:
    """Lets each run for a vtape wait until the data connection is told to stop.

    :ivar begun: runs that somebody wanted to write.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        told = threading.Event()
        write, interrupt = VtapeTape.write_run, DataChannel.interrupt

        def write_run(tape: VtapeTape, data: memoryview, size: int) -> tuple[int, TapeEnd | None]:
            self.begun += 1
            assert told.wait(PATIENCE)
            return write(tape, data, size)

        def tell(channel: DataChannel) -> None:
            interrupt(channel)
            told.set()

        patch.setattr(VtapeTape, "write_run", write_run)
        patch.setattr(DataChannel, "interrupt", tell)

    async def come(self) -> None:
        while not self.begun:
            await deferLater(reactor, 0.001)  # type: ignore[arg-type]


@async_yield_fixture
async def served(tmp_path: Path) -> AsyncIterator[Serving]:
    serving = Serving(write_settings(tmp_path))
    yield serving
    await serving.end()


async def in_a_write(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> tuple[NdmpSession, Peer, HeldWrites]:
    """A session whose mover is writing the first of three runs, all of which were sent."""
    monkeypatch.setattr(records, "RUN", BLOCK)
    session = await served.session()
    await opened(session)
    await labelled(session)
    held = HeldWrites(monkeypatch)
    peer = await listening(session)
    peer.send(stream(3 * BLOCK))
    await held.come()
    return session, peer, held


@ensureDeferred
async def test_an_abort_in_the_middle_of_a_write(
    served: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered when the run is over; nothing is written then, though more has come."""
    session, peer, held = await in_a_write(served, monkeypatch)
    state = await session.request(m.MoverGetState())
    assert (state.state, state.bytes_moved) == (MoverState.ACTIVE, 0)
    await session.request(m.MoverAbort())
    assert await halted(session) == (HaltReason.ABORTED, "")
    assert not await peer.ended
    assert (await session.request(m.MoverGetState())).bytes_moved == BLOCK
    assert held.begun == 1
    assert data_in(tmp_path / "vt") == stream(BLOCK)
    until(lambda: not threads(writer.NAME))


@ensureDeferred
async def test_no_memory_for_records(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told, and keeps its session."""

    def refuse(size: int, *, large_pages: bool = False) -> memoryview:
        raise NoMemory("Cannot allocate memory")

    session = await served.session()
    await opened(session)
    await labelled(session)
    monkeypatch.setattr(records, "allocate", refuse)
    await listening(session)
    assert await halted(session) == (HaltReason.MEDIA_ERROR, "mover halted: Cannot allocate memory")


@ensureDeferred
async def test_a_client_that_goes_in_the_middle_of_a_write(
    served: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drive is free for the next one when the run is over, and holds what was written."""
    session, peer, held = await in_a_write(served, monkeypatch)
    await session.close()
    assert not await peer.ended
    second = await served.session()
    tape = m.TapeOpen(device="vt", mode=TapeMode.RDWR)
    while (error := await refusal(second, tape)) == ErrorCode.DEVICE_BUSY:
        pass  # the session that is over still lets it go
    assert error == ErrorCode.NO_ERR
    assert held.begun == 1
    assert data_in(tmp_path / "vt") == stream(BLOCK)
    until(lambda: not threads(writer.NAME))
