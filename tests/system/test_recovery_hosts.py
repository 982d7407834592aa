"""Recovery between three hosts, each a network namespace: amrecover and our application on the
client, our stand-in for amidxtaped on the server, and the tapes on a third, in Amanda's ndmjob.

The data go from the tape host to the client; the server's cable carries next to nothing of them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from taper.demo.hosts import CLIENT, SERVER, TAPE, Hosts
from tests.fakes.ndmjob import NdmJob, missing_ndmjob, private_command
from tests.system.amanda import ETC, Amanda
from tests.system.bsdtcp import SERVICES
from tests.system.conftest import MakeAmanda
from tests.system.hosts import MIB, missing_hosts
from tests.system.recovering import Amrecover, check_good, our_logs, story
from tests.system.test_ndmp_night import LIBRARY
from tests.system.test_recovery_direct import dumped

_REASONS = [reason for reason in (missing_hosts(), missing_ndmjob()) if reason is not None]
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(_REASONS), reason="; ".join(_REASONS)),
]

SIZE = 60 * MIB
HEADER = 32768
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


def test_past_the_server(make_amanda: MakeAmanda, hosts: Hosts, recoveries: int) -> None:
    """60 MB on three tapes, in parts of 2 MiB: every file equal, every time."""
    with ExitStack() as stack, NdmJob(tape_limit=24 << 20) as job:
        local = f"127.0.0.1:{job.port}@"
        library = LIBRARY.format(where=f"{local}{job.directory}", etc=ETC, indirect="no")
        night = dumped(
            make_amanda,
            SIZE // MIB,
            length_mb=24,
            tapetype="part-size 2 mbytes",
            extra=library,
        )
        amanda = stack.enter_context(night)
        job.stop()
        alone = stack.enter_context(private_command())

        def command(*program: str, cwd: str = "/") -> list[str]:
            return [*hosts.inside(TAPE), *alone(*program, cwd=cwd)]

        with NdmJob(tape_limit=24 << 20, command=command, directory=job.directory) as there:
            use_tapes_elsewhere(amanda, local, f"{hosts.address(TAPE)}:{there.port}@")
            stack.enter_context(serving(hosts, amanda))
            for _ in range(recoveries):
                recover_past_the_server(hosts, amanda)


def test_from_volumes_of_the_server(make_amanda: MakeAmanda, hosts: Hosts) -> None:
    """Of vtapes: the client's application connects to a socket of ours, and is let in."""
    extra = f'device-property "MAX_VOLUME_USAGE" "{5 << 20}"\ndevice-property "LEOM" "true"\n'
    split = "part-size 1 mbytes"
    with dumped(make_amanda, 12, length_mb=5, tapetype=split, extra=extra) as amanda:
        with serving(hosts, amanda):
            recover_all(hosts, amanda)
        assert f"the data connection is with ('{hosts.address(CLIENT)}'" in our_logs(amanda)[-1]


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
    headers = len(amanda.trace_log("PART taper")) * HEADER  # each is read, and compared
    assert carried[SERVER].both - headers < SIZE / 100
