"""What runs on the server host of three: the driver, and the dumper's part in a DirectTCP dump.

Run as ``python -m taper.demo.server_host TASK``, the task as JSON; how the dump ended is told as
one line of JSON on standard output. The bytes of the dump do not come by here.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Factory
from twisted.internet.threads import blockingCallFromThread, deferToThread

from protocols.crc import UNKNOWN, Crc
from protocols.directtcp import Address, AddressError
from protocols.driver import commands, replies
from protocols.header import build_header
from protocols.twisted_transports.indirect import IndirectError, resolve
from taper.demo.driver import WORKER, Driver, Result
from taper.demo.screen import DemoFailed
from taper.demo.stage import HEADER_SIZE
from taper.demo.task import Outcome, Task

HANDLE = "00-00001"
_CONNECT_SECONDS = 30.0
_LOST_SECONDS = 5
_REPORT_LIMIT = 1 << 20


class DumpFailed(Exception):
    """The client's dump is not good; the text says why."""


def _link_to(address: Address) -> socket.socket:
    """A connection that notices within seconds that the other host is gone, idle or not."""
    link = socket.create_connection((address.host, address.port), _CONNECT_SECONDS)
    link.settimeout(None)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _LOST_SECONDS)
    return link


class Dumper:
    """Gives the taper the header, the client the addresses, and takes the client's report.

    :ivar indirect: the addresses had to be asked for
    """

    def __init__(self, reactor: Any, task: Task) -> None:
        self.indirect = False
        self._reactor = reactor
        self._task = task
        self._link: socket.socket | None = None

    def dump(self, reply: replies.Port) -> Crc:
        """Let the client dump; blocks, in a thread.

        :return: checksum of what it sent
        :raise DumpFailed: it says so
        :raise OSError: no connection, or it broke
        :raise IndirectError: the addresses could not be had
        :raise AddressError: they are none
        """
        self._send_header(reply.header_port)
        offered = tuple(Address.parse(address) for address in reply.ipports)
        self.indirect = offered[0].is_indirect
        # here, as the question is for localhost of the server [ndmp 6.2.21]
        asked: tuple[Address, ...] = blockingCallFromThread(self._reactor, self._resolve, offered)
        try:
            with _link_to(Address.parse(self._task.client)) as link:
                self._link = link
                link.sendall(" ".join(map(str, asked)).encode("ascii") + b"\n")
                with link.makefile("rb") as report:
                    said = report.read(_REPORT_LIMIT).decode("utf-8", "replace")
        except OSError as fault:
            client = f"the client, {self._task.client}"
            raise DumpFailed(f"no report from {client}: {fault.strerror or fault}") from fault
        return read_report(said)

    def _resolve(self, offered: tuple[Address, ...]) -> Deferred[tuple[Address, ...]]:
        return resolve(self._reactor, offered, _CONNECT_SECONDS)

    def _send_header(self, port: int) -> None:
        block = build_header(self._task.header, HEADER_SIZE, None)
        if self._task.relay:
            with _link_to(Address.parse(self._task.relay)) as link:
                link.sendall(b"%d\n" % port + block)
        else:
            with socket.create_connection(("localhost", port)) as link:
                link.sendall(block)

    def stop(self) -> None:
        """Let :meth:`dump` come back."""
        if self._link is not None:
            with contextlib.suppress(OSError):  # nothing to shut down any more
                self._link.shutdown(socket.SHUT_RDWR)


def read_report(said: str) -> Crc:
    """What the application said on the client.

    :return: the checksum of what it sent
    :raise DumpFailed: not that all is well
    """
    lines = said.splitlines()
    errors = [line for line in lines if line.startswith("sendbackup: error ")]
    if errors or "sendbackup: end" not in lines:
        raise DumpFailed("; ".join(errors) or "the client's report is cut short")
    start = "sendbackup: client-CRC "
    sums = [line.removeprefix(start) for line in lines if line.startswith(start)]
    return Crc.parse(sums[0]) if sums else UNKNOWN


class ServerHost(Driver):
    """A driver whose taper is here or on another host, and a DirectTCP dump that it has done."""

    def __init__(self, reactor: Any, task: Task) -> None:
        super().__init__(reactor, task.stage, lambda _: None, lambda: 0)
        self._task = task
        self._dumper = Dumper(reactor, task)
        self._dumping: Deferred[Crc | None] | None = None
        self._client_error = ""

    def _spawn(self) -> None:
        if not self._task.taper:
            super()._spawn()
            return
        with _link_to(Address.parse(self._task.taper)) as link:
            link.setblocking(False)
            factory = Factory.forProtocol(lambda: self._protocol)
            self._reactor.adoptStreamConnection(link.fileno(), link.family, factory)

    async def _ended(self) -> int | None:
        return 0 if self._task.taper else await super()._ended()

    async def run(self) -> Outcome:
        """Start the taper, let it take the dump, see it off.

        :raise DemoFailed: something is wrong with the taper
        """
        try:
            await self.start(self._task.stamp)
            result, crc = await self._dump()
            await self.finish()
        finally:
            self.kill()
        texts = (result.inputerr, result.tapererr)
        return Outcome(
            said=result.name,
            error="; ".join(filter(None, texts)),
            client_error=self._client_error,
            taper_crc=str(UNKNOWN if isinstance(result, replies.Failed) else result.server_crc),
            client_crc=str(crc),
            indirect=self._dumper.indirect,
        )

    async def _dump(self) -> tuple[Result, Crc]:
        header = self._task.header
        self._protocol.send(
            commands.PortWrite(
                worker=WORKER,
                handle=HANDLE,
                hostname=header.host,
                diskname=header.disk,
                level=str(header.level),
                datestamp=header.datestamp,
                split=self._split,
                data_path="DIRECTTCP",
            )
        )
        sent: Crc | None = None
        try:
            while True:
                reply = await self._reply()
                if isinstance(reply, Result):
                    return reply, sent or UNKNOWN
                sent = await self._answer(reply) or sent
        finally:
            self._dumper.stop()
            if self._dumping is not None:
                await self._dumping

    async def _answer(self, reply: Any) -> Crc | None:
        """:return: once the client is done, what it sent"""
        if isinstance(reply, replies.RequestNewTape):
            self._protocol.send(commands.StartScan(WORKER, HANDLE))
            self._protocol.send(commands.NewTape(WORKER, HANDLE))
        elif isinstance(reply, replies.Port):
            self._dumping = deferToThread(self._dumper.dump, reply)
            self._dumping.addErrback(self._dump_failed)
        elif isinstance(reply, replies.DumperStatus) and self._dumping is not None:
            dumping, self._dumping = self._dumping, None
            crc = await dumping
            if crc is not None:  # or FAILED was said already
                kib = str(-(-crc.size // 1024))
                self._protocol.send(commands.Done(WORKER, HANDLE, kib, crc, crc, crc))
            return crc
        return None

    def _dump_failed(self, failure: Any) -> None:
        """As the driver does when its dumper fails, whatever the taper is at."""
        failure.trap(OSError, IndirectError, AddressError, DumpFailed)
        self._client_error = failure.getErrorMessage()
        self._protocol.send(commands.Failed(WORKER, HANDLE))


def main(argument: str) -> int:
    """Run the reactor until it is done. :return: the exit status"""
    from twisted.internet import reactor as the_reactor

    reactor: Any = the_reactor
    task = Task.from_json(argument)
    status = 1

    def over(outcome: Outcome) -> None:
        nonlocal status
        status = 0
        print(outcome.to_json(), flush=True)

    def failed(failure: Any) -> None:
        if failure.check(DemoFailed, OSError):
            print(failure.getErrorMessage(), file=sys.stderr)
        else:
            failure.printTraceback()

    def begin() -> None:
        running = ensureDeferred(ServerHost(reactor, task).run())
        running.addCallbacks(over, failed).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
