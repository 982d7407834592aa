"""Helpers of the data plane's tests: plans, sources, and a dump driven as the core drives it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import define, evolve, field, frozen
from zope.interface import implementer

from devices.errors import DeviceError
from devices.interfaces import AccessMode
from protocols.crc import Crc
from protocols.header import Header, HeaderType, build_header
from taper.core.splitting import CacheKind
from taper.plane.crc import RunningCrc
from taper.plane.interfaces import IReplay, ISource, SourceError
from taper.plane.pump import PartResult
from taper.plane.transfer import Transfer
from tests.fakes.device import FakeDevice

HEADER = Header(
    type=HeaderType.SPLIT_DUMPFILE,
    datestamp="20261123000000",
    host="localhost",
    disk="/srv",
    program="/usr/bin/tar",
    partnum=1,
    totalparts=-1,
)


@frozen(kw_only=True)
class Plan:
    """As much of a SplitPlan as the data plane looks at."""

    part_size: int = 0
    block_size: int = 32768
    buffer_size: int = 1310720
    cache: CacheKind = CacheKind.NONE
    cache_dir: str | None = None
    pause_at_space: bool = False


@implementer(ISource)
class PiecesSource:
    """Gives bytes in pieces of the given sizes, over and over; fails at the end if told to."""

    def __init__(self, data: bytes, pieces: Sequence[int] = (65536,), error: str = "") -> None:
        self._data = memoryview(data)
        self._pieces = pieces
        self._error = error
        self._at = 0
        self._reads = 0
        self.closed = False

    def read_into(self, buffer: memoryview) -> int:
        piece = self._pieces[self._reads % len(self._pieces)]
        self._reads += 1
        data = self._data[self._at : self._at + min(piece, len(buffer))]
        if not data and self._error:
            raise SourceError(self._error)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@implementer(IReplay)
class SeekableSource(PiecesSource):
    """The same, and what was read can be read again, unless it was forgotten."""

    def __init__(self, data: bytes, pieces: Sequence[int] = (65536,), error: str = "") -> None:
        super().__init__(data, pieces, error)
        self._kept_from = 0

    def reread(self, position: int, buffer: memoryview) -> int:
        assert self._kept_from <= position < self._at
        size = min(len(buffer), 5, self._at - position)
        buffer[:size] = self._data[position : position + size]
        return size

    def forget(self, position: int) -> None:
        assert position >= self._kept_from
        self._kept_from = position


def connection(data: bytes) -> tuple[socket.socket, threading.Thread]:
    """A connection on which a peer sends ``data`` and closes."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs:
            theirs.sendall(data)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return ours, thread


def write_holding(directory: str, data: bytes, chunk: int) -> str:
    """Write a chain of holding files with ``chunk`` bytes of payload each; path of the first."""
    count = max(-(-len(data) // chunk), 1)
    paths = [f"{directory}/host._srv.0"] + [f"{directory}/host._srv.0.{n}" for n in range(1, count)]
    for number, path in enumerate(paths):
        header = Header(
            type=HeaderType.CONT_DUMPFILE if number else HeaderType.DUMPFILE,
            datestamp="20261123000000",
            host="localhost",
            disk="/srv",
            program="/usr/bin/tar",
            cont_filename=paths[number + 1] if number + 1 < count else "",
        )
        with open(path, "wb") as file:
            file.write(build_header(header, 32768, None))
            file.write(data[number * chunk : (number + 1) * chunk])
    return paths[0]


def crc_of(data: bytes) -> Crc:
    crc = RunningCrc()
    crc.update(memoryview(data))
    return crc.value()


@define
class Dump:
    """What came of a dump: each part's result, and the bytes of the good ones."""

    results: list[PartResult] = field(factory=list)
    stored: bytearray = field(factory=bytearray)
    source_crc: Crc | None = None
    dest_crc: Crc | None = None
    bytes_written: int = 0
    errors: list[str] = field(factory=list)

    @property
    def shape(self) -> list[tuple[int, bool, bool, bool]]:
        """(size, successful, eom, eof) of each part."""
        return [(part.size, part.successful, part.eom, part.eof) for part in self.results]


def data_of(device: Any, result: PartResult) -> bytes:
    """The bytes of a part on a fake volume."""
    file = device.volume.files[result.fileno]
    assert file.complete
    return bytes(file.data)


def _count(
    dump: Dump, device: Any, result: PartResult, stored_by: Callable[[Any, PartResult], bytes]
) -> None:
    dump.results.append(result)
    if result.successful and result.fileno:
        stored = stored_by(device, result)
        assert len(stored) == result.size
        dump.stored += stored


def volumes(make: Callable[[], FakeDevice]) -> Iterator[FakeDevice]:
    """Fresh volumes, ready to write."""
    while True:
        device = make()
        device.start(AccessMode.WRITE, "V", "20261123000000")
        yield device


def store_all(transfer: Transfer, parts: list[PartResult]) -> list[PartResult]:
    """Store what is behind, in order. :return: what became of them: good ones, perhaps a bad one"""
    settled: list[PartResult] = []
    for part in parts:
        assert part.store is not None
        try:
            part.store()
        except DeviceError as error:
            if not settled or settled[-1].successful:
                bad = evolve(part, successful=False, eof=False, eom=True, error=error.text)
                settled.append(bad)
        else:
            settled.append(part)
    if not settled[-1].successful:
        transfer.revoke()
    return settled


def write_dump(
    transfer: Transfer,
    devices: Iterator[Any],
    limit: int = 60,
    most_behind: int = 2,
    stored_by: Callable[[Any, PartResult], bytes] = data_of,
) -> Dump:
    """Drive a transfer as the core does, over at most ``limit`` volumes.

    :param most_behind: parts that are not stored before the next is written
    :param stored_by: the bytes of a good part that a device has stored
    """
    dump = Dump()
    transfer.start()
    device = next(devices)
    behind: list[PartResult] = []
    for _ in range(limit * 100):
        result = transfer.write_part(device, HEADER)
        assert not device.in_file
        if result.store is not None:
            behind.append(result)
        goes_on = result.store is not None and not (result.eof or result.eom)
        if behind and (not goes_on or len(behind) > most_behind):
            settled, behind = store_all(transfer, behind), []
            for part in settled:
                _count(dump, device, part, stored_by)
            if result.store is not None or not settled[-1].successful:
                result = settled[-1]
            else:
                _count(dump, device, result, stored_by)
        elif result.store is None:
            _count(dump, device, result, stored_by)
        if not behind:
            assert transfer.bytes_written == len(dump.stored)
        if result.eof or not (result.successful or transfer.can_retry()):
            break
        if result.eom or not result.successful:
            limit -= 1
            if not limit:
                break
            device = next(devices)
    dump.errors = transfer.take_errors()
    transfer.close()
    dump.source_crc, dump.dest_crc = transfer.source_crc(), transfer.dest_crc()
    dump.bytes_written = transfer.bytes_written
    assert dump.dest_crc == crc_of(bytes(dump.stored))
    return dump
