"""The dumper's end of a PORT-WRITE: a process of its own, which sends without copying.

Run as ``python sender.py FILE``; then a line ``HEADERPORT DATAPORT`` on stdin. FILE is a holding
file: its first 32 KiB are the header, the rest are the data.
"""

import os
import socket
import sys

HEADER = 32768


def send(path: str, header_port: int, data_port: int) -> None:
    """Send the header on one connection and the data on another."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        with socket.create_connection(("127.0.0.1", header_port)) as link:
            link.sendall(file.read(HEADER))
        with socket.create_connection(("127.0.0.1", data_port)) as link:
            offset = HEADER
            while offset < size:
                offset += os.sendfile(link.fileno(), file.fileno(), offset, size - offset)


if __name__ == "__main__":
    ports = sys.stdin.readline().split()
    send(sys.argv[1], int(ports[0]), int(ports[1]))
