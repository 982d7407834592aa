"""The dumper of a PORT-WRITE: it gives the taper a header, then the data [protocol 5.2]."""

from __future__ import annotations

import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.python.failure import Failure

from devices.base import HEADER_SIZE
from protocols.crc import UNKNOWN, Crc
from protocols.directtcp import Address, AddressError
from protocols.driver import replies
from protocols.header import Header, HeaderType, build_header
from protocols.twisted_transports.indirect import IndirectError, resolve
from taper.demo.tar import Tar

CONNECT_SECONDS = 30.0


class DumpFailed(Exception):
    """The data of a dump is not good; the text says why."""

    taper_code = 8011


def dump_header(disk: str, datestamp: str, host: str = "localhost") -> Header:
    """The header that a dumper sends for a dump of ``disk`` on ``host``."""
    return Header(
        type=HeaderType.DUMPFILE,
        datestamp=datestamp,
        host=host,
        disk=disk,
        level=0,
        program="/bin/tar",
        recover_cmd="/bin/tar -xpf - ...",
    )


class Dumper(ABC):
    """Sends one dump, in a thread. What carries the data is for a subclass to say.

    :ivar crc: of the data; unknown until all of it was sent
    :ivar error: why the data is not good; empty: nothing speaks against it
    :ivar indirect: the taper's addresses had to be asked for
    """

    def __init__(self, reactor: Any, header: Header) -> None:
        self.crc = UNKNOWN
        self.error = ""
        self.indirect = False
        self._reactor = reactor
        self._header = header
        self._link: socket.socket | None = None
        self._running: Deferred[None] | None = None
        self._stopped = False

    def start(self, reply: replies.Port, failed: Callable[[], None]) -> None:
        """Begin to send to the ports that the taper named.

        :param failed: called at once when it goes wrong: where a client sends to a mover, the
            taper cannot see that nothing more will come
        """
        self._running = deferToThread(self._send, reply).addErrback(self._failed, failed)

    def _send(self, reply: replies.Port) -> None:
        self._send_header(build_header(self._header, HEADER_SIZE, None), reply.header_port)
        offered = tuple(Address.parse(address) for address in reply.ipports)
        self.indirect = offered[0].is_indirect
        # here, as the question is for localhost of the server [ndmp 6.2.21]
        asked: tuple[Address, ...] = blockingCallFromThread(
            self._reactor, resolve, self._reactor, offered, CONNECT_SECONDS
        )
        self.crc = self._send_data(asked)

    def _failed(self, failure: Failure, failed: Callable[[], None]) -> None:
        if self._stopped:
            return
        failure.trap(OSError, AddressError, IndirectError, DumpFailed)
        self.error = failure.getErrorMessage()
        failed()

    def _send_header(self, block: bytes, port: int) -> None:
        with socket.create_connection(("localhost", port)) as link:
            link.sendall(block)

    @abstractmethod
    def _send_data(self, addresses: tuple[Address, ...]) -> Crc:
        """Send all data to one of these addresses; blocks. Its connection is in ``_link``.

        :return: checksum of the data
        :raise DumpFailed: it is not good
        :raise OSError: no connection, or it broke
        """

    async def finished(self) -> Crc | None:
        """Wait until all is sent. :return: the checksum; None: it failed, as was said before"""
        assert self._running is not None
        await self._running
        return None if self.error else self.crc

    async def stop(self) -> None:
        """Stop sending, if it still does; what goes wrong then is of no interest."""
        self._stopped = True
        if self._link is not None:
            with contextlib.suppress(OSError):  # nothing to shut down any more
                self._link.shutdown(socket.SHUT_RDWR)
        if self._running is not None:
            await self._running


class TarDumper(Dumper):
    """Sends what tar writes."""

    def __init__(self, reactor: Any, header: Header, tar: Tar) -> None:
        super().__init__(reactor, header)
        self._tar = tar

    def _send_data(self, addresses: tuple[Address, ...]) -> Crc:
        with socket.create_connection((addresses[0].host, addresses[0].port)) as link:
            self._link = link
            crc = self._tar.dump_to(link.sendall)
        if self._tar.died:
            raise DumpFailed(f"tar ended with status {self._tar.status}")
        return crc

    async def stop(self) -> None:
        self._tar.stop()
        await super().stop()
