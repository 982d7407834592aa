"""Recovery between three hosts, each a network namespace: amrecover and our application on the
client, our stand-in for amidxtaped on the server, and the tapes on a third, in Amanda's ndmjob or
in vtapes of our own tape server.

The data go from the tape host to the client; the server's cable carries next to nothing of them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from ipaddress import ip_interface
from pathlib import Path

import pytest

from taper.demo.hosts import CLIENT, SERVER, TAPE, Hosts
from tests.fakes.ndmjob import NdmJob, missing_ndmjob, private_command
from tests.system.amanda import ETC, Amanda
from tests.system.bsdtcp import SERVICES
from tests.system.conftest import MakeAmanda
from tests.system.hosts import MIB, missing_hosts
from tests.system.recovering import Amrecover, check_good, our_logs, story
from tests.system.test_ndmp_night import library_of
from tests.system.test_recovery_direct import dumped
from tests.tapeserver.process import TapeServerProcess

_REASONS = [reason for reason in (missing_hosts(), missing_ndmjob()) if reason is not None]
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(_REASONS), reason="; ".join(_REASONS)),
]

SIZE = 60 * MIB
VOLUME = 24 * MIB
OUR_LIBRARY = """
define changer library {{
  tpchanger "chg-ndmp:{where}robot"
  property "tape-device" "0=ndmp:{where}d0" "1=ndmp:{where}d1"
  changerfile "{etc}/library"
}}
tpchanger "library"
"""
PORT = 10080
INETD = """
import socket, subprocess, sys

address, port, *command = sys.argv[1:]
with socket.create_server((address, int(port))) as listener:
    print(flush=True)
    while True:
        link, _ = listener.accept()
        with link:
            subprocess.Popen(command, stdin=link.fileno(), stdout=link.fileno())
"""
"""Every connection gets a program of its own."""


@contextmanager
def serving(hosts: Hosts, amanda: Amanda) -> Iterator[None]:
    """Amanda's amandad on the server, for the client."""
    names = "".join(f"{hosts.address(host)} {host}.example\n" for host in (SERVER, CLIENT, TAPE))
    amanda.write("/tmp/amanda/hosts", f"127.0.0.1 localhost\n{names}")
    amanda.inside("mount", "--bind", "/tmp/amanda/hosts", "/etc/hosts")
    allowed = amanda.path(f"{amanda.user.pw_dir}/.amandahosts")
    with allowed.open("a") as file:
        file.write(f"client.example root {' '.join(SERVICES[1:])}\n")
    amandad = ["/usr/lib/amanda/amandad", "-auth=bsdtcp", *SERVICES[1:]]
    inetd = subprocess.Popen(
        [
            *hosts.inside(SERVER),
            *(sys.executable, "-c", INETD, hosts.address(SERVER), str(PORT)),
            *amanda.command(*amandad),
        ],
        stdout=subprocess.PIPE,
        env=amanda.environment,
    )
    try:
        assert inetd.stdout is not None
        assert inetd.stdout.readline() == b"\n"
        yield
    finally:
        inetd.kill()
        inetd.communicate()


def use_tapes_elsewhere(amanda: Amanda, before: str, after: str) -> None:
    """Let the configuration know the same tapes in another place."""
    conf = amanda.read(f"{ETC}/amanda.conf")
    assert before in conf
    amanda.write(f"{ETC}/amanda.conf", conf.replace(before, after))


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts(ipv6=False) as hosts:
        yield hosts


@contextmanager
def tapes_of_ndmjob(make: MakeAmanda, hosts: Hosts) -> Iterator[Amanda]:
    """A night on three tapes, which are on the tape host then."""
    with ExitStack() as stack, NdmJob(tape_limit=VOLUME) as job:
        local = f"127.0.0.1:{job.port}@"
        amanda = stack.enter_context(night(make, library_of(job, indirect=False)))
        job.stop()
        alone = stack.enter_context(private_command())

        def command(*program: str, cwd: str = "/") -> list[str]:
            return [*hosts.inside(TAPE), *alone(*program, cwd=cwd)]

        with NdmJob(tape_limit=VOLUME, command=command, directory=job.directory) as there:
            use_tapes_elsewhere(amanda, local, f"{hosts.address(TAPE)}:{there.port}@")
            yield amanda


@contextmanager
def vtapes_of_ours(make: MakeAmanda, hosts: Hosts) -> Iterator[Amanda]:
    """The same on volumes of ``file:``, in a library that our tape server makes of them."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vtapes.")))
        for slot in range(1, 6):
            (root / f"slot{slot}").mkdir()
        robot = f"[library robot]\ndisk = {root}\ndrives = d0 d1\nlimit = {VOLUME}\n"
        with TapeServerProcess(robot, "data-peers = 127.0.0.1") as here:
            local = f"127.0.0.1:{here.port}@"
            amanda = stack.enter_context(night(make, OUR_LIBRARY.format(where=local, etc=ETC)))
        address = hosts.address(TAPE)
        network = ip_interface(f"{address}/24").network
        peers = f"clients = {network}\ndata-peers = {network}"
        inside = hosts.inside(TAPE)
        with TapeServerProcess(robot, peers, inside=inside, host=address) as there:
            use_tapes_elsewhere(amanda, local, f"{address}:{there.port}@")
            yield amanda


def night(
    make: MakeAmanda, library: str, size: int = SIZE, volume: int = VOLUME
) -> AbstractContextManager[Amanda]:
    """A dump on three volumes, in parts of 2 MiB."""
    return dumped(
        make,
        size // MIB,
        length_mb=volume // MIB,
        tapetype="part-size 2 mbytes",
        extra=library,
    )


@pytest.mark.parametrize("tapes", [tapes_of_ndmjob, vtapes_of_ours])
def test_past_the_server(
    make_amanda: MakeAmanda,
    hosts: Hosts,
    recoveries: int,
    tapes: Callable[[MakeAmanda, Hosts], AbstractContextManager[Amanda]],
) -> None:
    """60 MB on three tapes, in parts of 2 MiB: every file equal, every time."""
    with tapes(make_amanda, hosts) as amanda, serving(hosts, amanda):
        for _ in range(recoveries):
            recover_past_the_server(hosts, amanda)


def test_from_volumes_of_the_server(make_amanda: MakeAmanda, hosts: Hosts, recoveries: int) -> None:
    """Of vtapes: the client's application connects to a socket of ours, and is let in."""
    size, volume = (SIZE, VOLUME) if recoveries > 1 else (SIZE // 5, VOLUME // 5)
    limit = f'device-property "MAX_VOLUME_USAGE" "{volume}"\ndevice-property "LEOM" "true"\n'
    with night(make_amanda, limit, size, volume) as amanda, serving(hosts, amanda):
        for _ in range(recoveries):
            recover_all(hosts, amanda)
            log = our_logs(amanda)[-1]
            assert f"the data connection is with ('{hosts.address(CLIENT)}'" in log


def recover_all(hosts: Hosts, amanda: Amanda) -> None:
    """Recover all on the client."""
    amrecover = Amrecover(
        amanda, server="server.example", auth="bsdtcp", prefix=hosts.inside(CLIENT)
    )
    amrecover.type(f"{story('home', '*')}quit\n")
    check_good(amanda, "home", amrecover.place, amrecover.end())


def recover_past_the_server(hosts: Hosts, amanda: Amanda) -> None:
    """Recover all, and look at the cables."""
    before = {host: hosts.carried(host) for host in (SERVER, CLIENT, TAPE)}
    recover_all(hosts, amanda)
    carried = {host: hosts.carried(host).since(before[host]) for host in before}
    assert carried[TAPE].sent > SIZE
    assert carried[CLIENT].received > SIZE
    assert len(amanda.trace_log("PART taper")) >= 30
    assert carried[SERVER].both < SIZE / 100
