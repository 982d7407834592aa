"""What runs on the server host of three: the driver, and the dumper's part in a DirectTCP dump.

Run as ``python -m taper.demo.server_host TASK``, the task as JSON; how the dump ended is told as
one line of JSON on standard output. The bytes of the dump do not come by here.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

from attrs import asdict, frozen
from twisted.internet.protocol import Factory

from protocols.crc import UNKNOWN, Crc
from protocols.directtcp import Address
from protocols.driver import replies
from taper.demo.driver import Driver, Dump
from taper.demo.dumper import CONNECT_SECONDS, Dumper, DumpFailed, dump_header
from taper.demo.running import run_reactor
from taper.demo.screen import DemoFailed
from taper.demo.stage import Stage

_LOST_SECONDS = 5
_REPORT_LIMIT = 1 << 20


@frozen(kw_only=True)
class Task:
    """What to do.

    :ivar stage: of the taper
    :ivar client: address of the client host's service
    :ivar taper: address of the taper; empty: it runs here
    :ivar relay: address of the service that passes the header on to the taper; empty likewise
    :ivar stamp: datestamp of the dump
    :ivar data_path: as the driver says it, ``AMANDA`` or ``DIRECTTCP``
    """

    stage: Stage
    client: str
    taper: str = ""
    relay: str = ""
    stamp: str
    data_path: str = "DIRECTTCP"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        values = json.loads(text)
        return cls(**{**values, "stage": Stage(**values["stage"])})

    @property
    def dump(self) -> Dump:
        """As driver and dumper know it. The client is named by its address: the taper takes data
        from the dump's host only, and there is no name service between these hosts."""
        header = dump_header("/home", self.stamp, Address.parse(self.client).host)
        return Dump("PORT-WRITE", "00-00001", header)


@frozen(kw_only=True)
class Outcome:
    """How it ended.

    :ivar said: the taper's last word on the dump: ``DONE``, ``PARTIAL`` or ``FAILED``
    :ivar error: why it is not good, by the taper
    :ivar client_error: what the dumper found wrong with the client; empty: nothing
    :ivar taper_crc: what the taper counted
    :ivar client_crc: what the client sent; both may be unknown
    :ivar indirect: the addresses had to be asked for
    """

    said: str
    error: str
    client_error: str
    taper_crc: str
    client_crc: str
    indirect: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        return cls(**json.loads(text))


def _link_to(address: str) -> socket.socket:
    """A connection that notices within seconds that the other host is gone, idle or not."""
    there = Address.parse(address)
    link = socket.create_connection((there.host, there.port), CONNECT_SECONDS)
    link.settimeout(None)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _LOST_SECONDS)
    return link


class ClientDumper(Dumper):
    """Gives the client the taper's addresses, and takes the client's report: the client sends."""

    def __init__(self, reactor: Any, task: Task) -> None:
        super().__init__(reactor, task.dump.header)
        self._task = task

    def _send_header(self, block: bytes, port: int) -> None:
        if not self._task.relay:
            super()._send_header(block, port)
            return
        with _link_to(self._task.relay) as link:
            link.sendall(b"%d\n" % port + block)

    def _send_data(self, addresses: tuple[Address, ...]) -> Crc:
        try:
            with _link_to(self._task.client) as link:
                self._link = link
                link.sendall(" ".join(map(str, addresses)).encode("ascii") + b"\n")
                with link.makefile("rb") as report:
                    said = report.read(_REPORT_LIMIT).decode("utf-8", "replace")
        except OSError as fault:
            client = f"the client, {self._task.client}"
            raise DumpFailed(f"no report from {client}: {fault.strerror or fault}") from fault
        return read_report(said)


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


class FarDriver(Driver):
    """Drives a taper that a service of another host starts."""

    def __init__(self, reactor: Any, stage: Stage, address: str) -> None:
        super().__init__(reactor, stage)
        self._address = address

    def _spawn(self) -> None:
        with _link_to(self._address) as link:
            link.setblocking(False)
            factory = Factory.forProtocol(lambda: self._protocol)
            self._reactor.adoptStreamConnection(link.fileno(), link.family, factory)

    async def _ended(self) -> int:
        return 0  # the status is known on its host only


async def dump(reactor: Any, task: Task) -> Outcome:
    """Start the taper, let it take the dump, see it off.

    :raise DemoFailed: something is wrong with the taper
    """
    if task.taper:
        driver: Driver = FarDriver(reactor, task.stage, task.taper)
    else:
        driver = Driver(reactor, task.stage)
    dumper = ClientDumper(reactor, task)
    try:
        await driver.start(task.stamp)
        result = await driver.port_write(task.dump, dumper, task.data_path)
        await driver.finish()
    finally:
        driver.kill()
    return Outcome(
        said=result.name,
        error="; ".join(filter(None, (result.inputerr, result.tapererr))),
        client_error=dumper.error,
        taper_crc=str(UNKNOWN if isinstance(result, replies.Failed) else result.server_crc),
        client_crc=str(dumper.crc),
        indirect=dumper.indirect,
    )


def main(argument: str) -> int:
    """Do the task and tell the outcome. :return: the exit status"""
    task = Task.from_json(argument)
    try:
        outcome = run_reactor(lambda reactor: dump(reactor, task))
    except (DemoFailed, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    print(outcome.to_json(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
