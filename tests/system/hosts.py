"""Scenes between three hosts: a tape server of one kind or another, a client's files, and who is
connected to whom."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

from attrs import frozen
from crc32c import crc32c

from devices.base import HEADER_SIZE
from taper.demo.hosts import SERVER, TAPE, Hosts, NoHosts
from taper.demo.restore import checksum, read_shelf
from taper.demo.stage import Stage, remove_tree, stage_for
from taper.demo.three_hosts import ThreeHosts
from tests.fakes.ndmjob import NdmJob, private_command
from tests.fakes.ndmp_process import NdmpProcess
from tests.fakes.ndmp_server import Medium, TapeEnd
from tests.tapeserver.process import TapeServerProcess

MIB = 1 << 20

NDMP_CONF = """\
org "three hosts"
dumpuser "root"
logdir "{root}/log"
tapelist "{root}/etc/demo/tapelist"
tpchanger "chg-single:{device}"
device-property "INDIRECT" "{indirect}"
tapetype TAPE
tapecycle 1
runtapes 1
labelstr MATCH-AUTOLABEL
autolabel "TAPE-%%" any
define tapetype TAPE {{
  length 1 gbytes
}}
"""


@functools.cache
def missing_hosts() -> str | None:
    """Why there cannot be three hosts here; None: there can."""
    try:
        with Hosts():
            return None
    except NoHosts as reason:
        return str(reason)


@contextmanager
def source_of(size: int) -> Iterator[str]:
    """A directory with one file of noise, on the client's disk."""
    with tempfile.TemporaryDirectory(prefix="three-hosts.") as source:
        with open(os.path.join(source, "file"), "wb") as file:
            for _ in range(size // MIB):
                file.write(os.urandom(MIB))
        yield source


class TapeServer(NdmpProcess):
    """Our own NDMP server, on the tape host."""

    def __init__(self, hosts: Hosts, *arguments: str) -> None:
        self._address = hosts.address(TAPE)
        super().__init__({"tape": ""}, arguments=["--host", self._address, *arguments])
        self._command = [*hosts.inside(TAPE), *self._command]

    @property
    def device(self) -> str:
        """Its drive, as the server host knows it."""
        return f"ndmp:{self._address}:{self.port}@tape"

    @property
    def tape(self) -> Path:
        return self.directory / "tape"


class VtapeServer(TapeServerProcess):
    """Our tape server as a product, on the tape host: a drive or two, which are directories."""

    def __init__(self, hosts: Hosts) -> None:
        address = hosts.address(TAPE)
        self._root = Path(tempfile.mkdtemp(prefix="vtape."))
        self.vtape, self.other = self._root / "vtape", self._root / "other"
        for place in (self.vtape, self.other):
            place.mkdir()
        super().__init__(
            f"[drive vtape]\nvtape = {self.vtape}\n[drive other]\nvtape = {self.other}\n",
            f"clients = {_network(address)}\ndata-peers = {_network(address)}",
            inside=hosts.inside(TAPE),
            host=address,
        )
        self.device_host = address

    @property
    def device(self) -> str:
        """Its drive, as the server host knows it."""
        return f"ndmp:{self.device_host}:{self.port}@vtape"

    @property
    def other_device(self) -> str:
        """The second drive."""
        return f"ndmp:{self.device_host}:{self.port}@other"

    def crc(self, size: int) -> str:
        """Of so many bytes of the parts, in their order."""
        value, left = 0, size
        for part in parts_in(self.vtape):
            data = part[:left]
            value, left = crc32c(data, value), left - len(data)
        assert not left
        return f"{value:08x}:{size}"

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        remove_tree(str(self._root))


def parts_in(vtape: Path) -> list[bytes]:
    """The data of its parts, in their order."""
    return [path.read_bytes()[HEADER_SIZE:] for path in sorted(vtape.glob("0*"))[1:]]


def _network(address: str) -> str:
    return str(ip_interface(f"{address}/24").network)


@contextmanager
def ndmjob_on(hosts: Hosts) -> Iterator[tuple[str, Path]]:
    """The real ndmjob on the tape host: the device as the server host knows it, and its tape."""
    with private_command() as alone:

        def command(*program: str, cwd: str = "/") -> list[str]:
            return [*hosts.inside(TAPE), *alone(*program, cwd=cwd)]

        with NdmJob(command=command) as job:
            tape = job.blank("tape")
            device = f"ndmp:{hosts.address(TAPE)}:{job.port}@{job.device('tape')}"
            yield device, tape


@contextmanager
def stage_of(size: int) -> Iterator[Stage]:
    """A stage for a taper with volumes of its own, for a dump of about this size."""
    root = tempfile.mkdtemp(prefix="three-hosts.")
    try:
        stage = stage_for(root, size)
        stage.build()
        yield stage
    finally:
        remove_tree(root)


def use_tape_server(stage: Stage, device: str, *, indirect: bool) -> None:
    """Let the taper write to this device instead."""
    text = NDMP_CONF.format(root=stage.root, device=device, indirect=str(indirect).lower())
    Path(stage.path("etc", "demo", "amanda.conf")).write_text(text)


@contextmanager
def past_the_server(
    hosts: Hosts, stage: Stage, source: str, device: str, *, indirect: bool = False
) -> Iterator[ThreeHosts]:
    """A dump from the client to a tape server that the taper on the server host commands."""
    use_tape_server(stage, device, indirect=indirect)
    with ThreeHosts(hosts, stage, source, SERVER) as running:
        yield running


def until_carried(hosts: Hosts, host: str, size: int, seconds: float = 60) -> None:
    """Wait until so many bytes have come to a host."""
    end = time.monotonic() + seconds
    while hosts.carried(host).received < size:
        assert time.monotonic() < end, f"{size} bytes do not come to {host} in {seconds} s"
        time.sleep(0.01)


def crc_on_tape(tape: Path, size: int) -> str:
    """Checksum of the first ``size`` bytes of a dump on a simulated tape; what follows them, and
    fills the last record, must be zeros."""
    medium = Medium.in_file(tape)
    crc = done = 0
    try:
        while medium.forward_filemarks(1) == 0 and isinstance(medium.read(), bytes):
            while not isinstance(record := medium.read(), TapeEnd):
                data = record[: size - done]
                assert not any(record[len(data) :]), "something follows the dump"
                crc = crc32c(data, crc)
                done += len(data)
    finally:
        medium.close()
    return f"{crc:08x}:{done}"


def crc_on_volumes(stage: Stage) -> str:
    """Checksum of the one dump on the volumes of a stage."""
    shelf = read_shelf(stage)
    assert shelf.troubles == []
    first = shelf.volumes[0].parts[0].header
    return str(checksum(shelf.parts_of(first)))


_ESTABLISHED, _LISTENING = "01", "0A"  # linux/tcp_states.h


@frozen
class Socket:
    """A TCP socket of a host, as its kernel has it.

    :ivar here: address and port, likewise ``peer``, which is all zeros for a listener.
    :ivar owner: the command line of a process that has it.
    """

    here: str
    peer: str
    listens: bool
    owner: str

    @property
    def port(self) -> int:
        return int(self.here.rpartition(":")[2])

    @property
    def is_local(self) -> bool:
        """Nobody on another host can have to do with it."""
        return self.here.startswith("127.0.0.1:")


def sockets(hosts: Hosts, host: str) -> list[Socket]:
    """Those of a host that listen or are connected, by IPv4."""
    table = subprocess.run(
        [*hosts.inside(host), "cat", "/proc/net/tcp"], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in table.stdout.splitlines()[1:]]
    rows = [row for row in rows if row[3] in (_ESTABLISHED, _LISTENING)]
    owners = _owners()
    return [
        Socket(_place(row[1]), _place(row[2]), row[3] == _LISTENING, owners.get(row[9], ""))
        for row in rows
    ]


def _owners() -> dict[str, str]:
    """The command line of a process that has it, by the number of each socket."""
    found = {}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            kind, _, number = os.readlink(link).partition(":")
            if kind == "socket":
                command = (link.parents[1] / "cmdline").read_bytes().replace(b"\0", b" ")
                found[number.strip("[]")] = command.decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
    return found


def _place(text: str) -> str:
    address, port = text.split(":")
    # the kernel prints the address as a number of this machine
    number = int(address, 16).to_bytes(4, sys.byteorder)
    return f"{ip_address(number)}:{int(port, 16)}"
