"""The dumper's end of PORT-WRITE and SHM-WRITE: a process of its own, which copies little.

Run as ``python -m tests.bench.sender FILE``. It says ``ready``; then it takes a line ``HEADERPORT
TARGET`` on stdin. TARGET is the data port, or the name of a ring; HEADERPORT 0: nobody wants the
header. FILE is a holding file: its first 32 KiB are the header, the rest are the data.
"""

import os
import socket
import sys
import time

from tests.conformance.producer import READX, WRITE_OFFSET, WRITTEN, Producer

HEADER = 32768
QUICK = 0.02
"""Seconds until somebody speaks who has connected, as a dumper has more to do than to connect: our
taper lets one wait who has hung up before it could look. Nothing is measured before READY."""


def send_header(path: str, port: int) -> None:
    """On a connection of its own."""
    with open(path, "rb") as file, socket.create_connection(("127.0.0.1", port)) as link:
        time.sleep(QUICK)
        link.sendall(file.read(HEADER))


def send(path: str, port: int) -> None:
    """The data, without copying."""
    with (
        open(path, "rb", buffering=0) as file,
        socket.create_connection(("127.0.0.1", port)) as link,
    ):
        size = os.fstat(file.fileno()).st_size
        offset = HEADER
        while offset < size:
            offset += os.sendfile(link.fileno(), file.fileno(), offset, size - offset)


def fill(path: str, name: str, header_port: int) -> None:
    """The data read right into a ring, block by block, as sendbackup does."""
    ring = Producer(name)
    if header_port:
        send_header(path, header_port)
    ring.negotiate()
    with open(path, "rb", buffering=0) as file:
        file.seek(HEADER)
        while True:
            while ring.size - (ring.get(WRITTEN) - ring.get(READX)) < ring.step:
                ring.wait("write")
            at = ring.get(WRITE_OFFSET)
            size = file.readinto(ring.data[at : at + min(ring.step, ring.size - at)])
            if not size:
                break
            ring.publish(size)
    ring.finish()


def main(path: str) -> None:
    """Say that all is imported, hear where to, send."""
    print("ready", flush=True)
    header_port, target = sys.stdin.readline().split()
    if target.startswith("/"):
        fill(path, target, int(header_port))
    else:
        if int(header_port):
            send_header(path, int(header_port))
        send(path, int(target))


if __name__ == "__main__":
    main(sys.argv[1])
