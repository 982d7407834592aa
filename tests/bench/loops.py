"""The same transport without a taper: what the kernel can do, and what a plain loop in Python does.

Run as ``python -m tests.bench.loops``, with a job (see :func:`main`) as one line of JSON on stdin.
Measured is the copying alone. Nothing is synchronised, as Amanda's own taper does not either.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crc32c import crc32c

from tests.bench.consumer import Consumer

HEADER = 32768
"""Bytes before the data of a holding file and of a part."""
AT_ONCE = 16 * 2**20
"""Bytes of one call that moves data within the kernel."""
READ, RECEIVE = 256 * 1024, 2**20
"""Bytes of a buffer of the plain loops."""
FICLONERANGE = 0x4020940D
F_SETPIPE_SZ = 1031
MAP_POPULATE = 0x8000
NO_END = 2**62

Piece = tuple[str, int, int]
"""A file, where its data begin, and how many bytes they are."""


class Volume:
    """Files in a directory, each a header and a part of at most so many bytes.

    :ivar fd: of the file that is written.
    :ivar at: where its next byte goes.
    """

    def __init__(self, directory: str, part: int) -> None:
        """:param part: bytes; 0: one part, of any size"""
        self._directory = directory
        self._part = part or NO_END
        self._count = 0
        self.fd = -1
        self.at = 0

    def room(self) -> int:
        """Begin the next file if this one is full. :return: bytes that still fit into it"""
        if self.fd < 0 or self.at == HEADER + self._part:
            self.close()
            path = f"{self._directory}/{self._count:05d}"
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            self.at = os.write(self.fd, bytes(HEADER))
            self._count += 1
        return HEADER + self._part - self.at

    def close(self) -> None:
        """End the file."""
        if self.fd >= 0:
            os.close(self.fd)


class Sum:
    """A running CRC-32C. :ivar value: of all bytes so far; :ivar size: their number."""

    def __init__(self) -> None:
        self.value = self.size = 0

    def add(self, data: memoryview) -> None:
        self.value = crc32c(data, self.value)
        self.size += len(data)

    def __str__(self) -> str:
        """As Amanda writes it; empty if nothing was summed."""
        return f"{self.value:08x}:{self.size}" if self.size else ""


Step = Callable[[int, int, Volume, int], int]
"""Moves at most so many bytes (the last) from a place in a file onto a volume; their number."""


def send(fd: int, offset: int, volume: Volume, size: int) -> int:
    """sendfile."""
    return os.sendfile(volume.fd, fd, offset, min(size, AT_ONCE))


def copy(fd: int, offset: int, volume: Volume, size: int) -> int:
    """copy_file_range."""
    return os.copy_file_range(fd, volume.fd, min(size, AT_ONCE), offset, volume.at)


def reading(total: Sum) -> Step:
    """Read, sum and write, in one thread."""
    buffer = memoryview(bytearray(READ))

    def step(fd: int, offset: int, volume: Volume, size: int) -> int:
        data = buffer[: os.preadv(fd, [buffer[:size]], offset)]
        total.add(data)
        return os.write(volume.fd, data)

    return step


def cloning(total: Sum) -> Step:
    """Clone a whole part; then read it for the sum, which no clone gives."""
    buffer = memoryview(bytearray(READ))

    def step(fd: int, offset: int, volume: Volume, size: int) -> int:
        place = struct.pack("qQQQ", fd, offset, size, volume.at)
        fcntl.ioctl(volume.fd, FICLONERANGE, place)
        os.lseek(volume.fd, size, os.SEEK_CUR)
        end = offset + size
        while offset < end:
            data = buffer[: os.preadv(fd, [buffer[: end - offset]], offset)]
            total.add(data)
            offset += len(data)
        return size

    return step


def cloning_mapped(total: Sum) -> Step:
    """The same, but the sum is taken from the page cache where it lies."""

    def step(fd: int, offset: int, volume: Volume, size: int) -> int:
        place = struct.pack("qQQQ", fd, offset, size, volume.at)
        fcntl.ioctl(volume.fd, FICLONERANGE, place)
        os.lseek(volume.fd, size, os.SEEK_CUR)
        flags = mmap.MAP_SHARED | MAP_POPULATE
        with (
            mmap.mmap(fd, size, flags, mmap.PROT_READ, offset=offset) as mapped,
            memoryview(mapped) as data,
        ):
            total.add(data)
        return size

    return step


STEPS: dict[str, Callable[[Sum], Step]] = {
    "sendfile": lambda total: send,
    "copy_file_range": lambda total: copy,
    "read": reading,
    "clone": cloning,
    "clone, mapped": cloning_mapped,
}
"""From files."""


def move(pieces: Sequence[Piece], volume: Volume, step: Step) -> None:
    """All data of some files, in order."""
    for path, offset, left in pieces:
        fd = os.open(path, os.O_RDONLY)
        while left:
            done = step(fd, offset, volume, min(left, volume.room()))
            volume.at += done
            offset += done
            left -= done
        os.close(fd)


def splice(link: socket.socket, volume: Volume) -> None:
    """From a socket through a pipe, within the kernel."""
    out, into = os.pipe()
    fcntl.fcntl(into, F_SETPIPE_SZ, RECEIVE)
    while moved := os.splice(link.fileno(), into, min(RECEIVE, volume.room())):
        while moved:
            done = os.splice(out, volume.fd, moved)
            volume.at += done
            moved -= done


def receive(link: socket.socket, volume: Volume, total: Sum) -> None:
    """Receive, sum and write, in one thread."""
    buffer = memoryview(bytearray(RECEIVE))
    while size := link.recv_into(buffer[: min(RECEIVE, volume.room())]):
        total.add(buffer[:size])
        os.write(volume.fd, buffer[:size])
        volume.at += size


class Clock:
    """What was taken since it was started, last."""

    def start(self) -> None:
        self._time, self._cpu = time.monotonic(), time.process_time()

    def taken(self) -> tuple[float, float]:
        """Seconds, and seconds of CPU, all threads."""
        return time.monotonic() - self._time, time.process_time() - self._cpu


def say(answer: object) -> None:
    """A line of JSON for the bench."""
    print(json.dumps(answer), flush=True)


def listener() -> socket.socket:
    """Where a sender connects to."""
    return socket.create_server(("127.0.0.1", 0))


def from_files(kind: str, dumps: Sequence[tuple[Sequence[Piece], Volume]]) -> Sum:
    """Each dump in a thread of its own: while data move, no other is held up. :return: the first's
    sum"""
    sums = [Sum() for _ in dumps]
    with ThreadPoolExecutor(len(dumps)) as pool:
        moves = [
            pool.submit(move, pieces, volume, STEPS[kind](total))
            for (pieces, volume), total in zip(dumps, sums, strict=True)
        ]
        for done in moves:
            done.result()
    return sums[0]


def from_socket(kind: str, volume: Volume, clock: Clock) -> Sum:
    """As a dumper sends it: the header on one connection, the data on another, which count."""
    total = Sum()
    with listener() as headers, listener() as data:
        say([headers.getsockname()[1], data.getsockname()[1]])
        with headers.accept()[0] as link:
            while link.recv(HEADER):
                continue
        with data.accept()[0] as link:
            clock.start()
            if kind == "splice":
                splice(link, volume)
            else:
                receive(link, volume, total)
    return total


def from_ring(kind: str, volume: Volume, clock: Clock) -> Sum:
    """As a dumper fills a ring; there is no header connection."""
    total = Sum()
    consumer = Consumer()
    try:
        say([0, consumer.name])
        consumer.negotiate()
        clock.start()
        for data in consumer.stretches():
            rest = data
            while rest:
                piece = rest[: volume.room()]
                if kind == "ring, summed":
                    total.add(piece)
                volume.at += os.write(volume.fd, piece)
                rest = rest[len(piece) :]
            consumer.free(len(data))
    finally:
        consumer.close()
    return total


def into_bucket(pieces: Sequence[Piece], bucket: dict[str, Any], clock: Clock) -> Sum:
    """Read, sum and put one block after the other, as a simple program does with boto3.

    :param bucket: ``client``, the arguments of a client; ``name``; ``block``, bytes
    """
    import boto3

    client = boto3.client("s3", **bucket["client"])
    total = Sum()
    count = 0
    clock.start()
    for path, offset, size in pieces:
        with open(path, "rb") as file:
            file.seek(offset)
            while size:
                data = file.read(min(size, bucket["block"]))
                total.add(memoryview(data))
                client.put_object(Bucket=bucket["name"], Key=f"loop-{count:08}", Body=data)
                size -= len(data)
                count += 1
    return total


def main() -> None:
    """Do a job: ``kind``; ``part``, bytes or 0; ``dumps``, each its pieces and its target;
    ``bucket``, as :func:`into_bucket` takes it, or null.

    Where a sender is needed, the first line of the answer says where it may send to. The last line
    is seconds, CPU seconds and the sum (empty: none was taken).
    """
    job = json.loads(sys.stdin.readline())
    kind = job["kind"]
    dumps = []
    for pieces, target in job["dumps"]:
        os.makedirs(target, exist_ok=True)
        dumps.append((pieces, Volume(target, job["part"])))
    clock = Clock()
    clock.start()
    if kind in STEPS:
        total = from_files(kind, dumps)
    elif kind == "put_object":
        total = into_bucket(dumps[0][0], job["bucket"], clock)
    elif kind.startswith("ring"):
        total = from_ring(kind, dumps[0][1], clock)
    else:
        total = from_socket(kind, dumps[0][1], clock)
    for _, volume in dumps:
        volume.close()
    say([*clock.taken(), str(total)])


if __name__ == "__main__":
    main()
