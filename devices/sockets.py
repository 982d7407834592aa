"""What the kernel knows of a TCP connection."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import termios


def unacknowledged(connection: socket.socket) -> int:
    """Bytes that the peer's system has not got, an end of our side counted as one."""
    answer = array.array("i", [0])
    fcntl.ioctl(connection, termios.TIOCOUTQ, answer)
    return answer[0]


def raise_if_broken(connection: socket.socket) -> None:
    """:raise OSError: an error has come that nobody was told of"""
    code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
