"""Somebody before an NDMP server, who says that its movers listen elsewhere."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from protocols.directtcp import Address
from protocols.ndmp.codec import REPLY, decode_body, decode_header, encode
from protocols.ndmp.messages import MoverListen, MoverListenReply
from protocols.ndmp.record import RecordReader, encode_record

VERSION = 4


class Detour:
    """Passes on what is said on control connections, to a server of any make, version 4.

    :param port: of the server, on this host
    :param lead_to: is told where a mover listens, and says what is told instead
    :ivar port: to connect to, instead of the server's
    """

    def __init__(self, port: int, lead_to: Callable[[Address], Address]) -> None:
        self._real_port = port
        self._lead_to = lead_to
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                client = self._server.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._real_port), 60)
                server.settimeout(None)
                for story in (self._ask, self._answer):
                    threading.Thread(target=story, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one of them is gone
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        reader = RecordReader()
        with contextlib.suppress(OSError), client, server:
            while data := server.recv(65536):
                for message in reader.feed(data):
                    client.sendall(self._other(message))
            client.shutdown(socket.SHUT_RDWR)  # somebody waits for what it says, and keeps it open

    def _other(self, message: bytes) -> bytes:
        header = decode_header(message)
        if header.message_type == REPLY and header.code == MoverListen.code:
            body = decode_body(header, message, VERSION)
            if isinstance(body, MoverListenReply) and body.address.addresses:
                told = (self._lead_to(body.address.addresses[0]),)
                return encode(
                    header, body.evolve(address=body.address.evolve(addresses=told)), VERSION
                )
        return encode_record(message)

    def close(self) -> None:
        """Take no more; those that are connected stay so."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
