"""Somebody on the way of a data connection who cuts it at a given byte."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterable

from protocols.directtcp import Address

_RESET = struct.pack("ii", 1, 0)
WAYS = ("reset", "sender only", "receiver only", "end")
"""What both ends see: a reset; that only one of them does and the other nothing; or a reset for
the sender, and for the receiver what looks like a good end."""


class Relay:
    """Passes on what connections say, one after another.

    :param cuts: for each of them after how many bytes it is cut, and how; the others are not
    :param over: is set when all cuts are made
    :ivar passed: bytes that each of them passed on.
    """

    def __init__(self, cuts: Iterable[tuple[int, str]], over: threading.Event) -> None:
        self.passed: list[int] = []
        self._target: Address | None = None
        self._cuts = list(cuts)
        self._over = over
        self._held: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._server.getsockname()[:2])
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def lead_to(self, target: Address) -> Address:
        """Where connections lead from now on. :return: where to connect instead"""
        self._target = target
        return self.address

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                sender = self._server.accept()[0]
                target = self._target
                assert target is not None
                try:
                    receiver = socket.create_connection((target.host, target.port), 30)
                except OSError:
                    sender.close()
                    continue
                receiver.settimeout(None)
                # what was passed on of many bytes was read, but for little
                receiver.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
                self._pass(sender, receiver)

    def _pass(self, sender: socket.socket, receiver: socket.socket) -> None:
        number = len(self.passed)
        self.passed.append(0)
        limit, how = self._cuts[number] if number < len(self._cuts) else (None, "")
        ended = False
        with contextlib.suppress(OSError):  # one of them is gone
            while limit is None or self.passed[number] < limit:
                room = 65536 if limit is None else min(65536, limit - self.passed[number])
                data = sender.recv(room)
                if not data:
                    ended = True
                    break
                receiver.sendall(data)
                self.passed[number] += len(data)
        if ended:
            how = "end"
        for link, left in ((sender, "receiver only"), (receiver, "sender only")):
            if how == left:
                self._held.append(link)
                continue
            if not (ended or (how == "end" and link is receiver)):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            link.close()
        if number + 1 >= len(self._cuts):
            self._over.set()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(60)
        for link in self._held:
            link.close()
