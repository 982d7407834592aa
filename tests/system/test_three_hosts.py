"""The founding claim, measured: a DirectTCP dump crosses from client to tape server, and the
Amanda server's cable carries next to nothing of it.

Three hosts are three network namespaces on one switch, and the kernel counts what each cable
carries. On the client runs our application; on the server our taper, its driver and the dumper's
part. On the tape server: our NDMP server or the real ndmjob, which the taper commands. NDMP has
IPv4 addresses only, so by IPv6 the taper itself runs on the tape host, beside its volumes, and
the driver reaches it over the network.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from protocols.crc import Crc
from taper.demo.hosts import CLIENT, SERVER, SWITCH, TAPE, Hosts
from taper.demo.stage import Stage
from taper.demo.three_hosts import Dumped, ThreeHosts
from tests.fakes.ndmjob import missing_ndmjob
from tests.system.hosts import (
    MIB,
    TapeServer,
    VtapeServer,
    crc_on_tape,
    crc_on_volumes,
    missing_hosts,
    ndmjob_on,
    past_the_server,
    source_of,
    stage_of,
    until_carried,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(missing_hosts() is not None, reason=str(missing_hosts())),
]
needs_ndmjob = pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob()))

SIZE = 256 * MIB
SECONDS = 120


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with source_of(SIZE) as directory:
        yield directory


@pytest.fixture
def stage() -> Iterator[Stage]:
    with stage_of(SIZE) as stage:
        yield stage


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts() as hosts:
        yield hosts


def check_claim(dumped: Dumped) -> Crc:
    """The dump is good; all of it came over the tape host's cable, next to nothing of it over the
    server's. :return: what the client sent"""
    outcome, carried = dumped.outcome, dumped.carried
    assert (outcome.said, outcome.error, outcome.client_error) == ("DONE", "", "")
    sent = Crc.parse(outcome.client_crc)
    assert sent.size > SIZE
    assert carried[CLIENT].sent > sent.size
    assert carried[TAPE].received > sent.size
    assert 0 < carried[SERVER].both < sent.size / 100
    return sent


@pytest.mark.parametrize(
    ("profile", "indirect"),
    [("--lenient", False), ("--strict", True)],
    ids=["lenient", "strict, by IndirectTCP"],
)
def test_to_our_tape_server(
    hosts: Hosts, stage: Stage, source: str, profile: str, indirect: bool
) -> None:
    """The client is told the mover's address; an IndirectTCP question is asked on the server."""
    with TapeServer(hosts, profile) as server:
        with past_the_server(hosts, stage, source, server.device, indirect=indirect) as running:
            dumped = running.wait(SECONDS)
        sent = check_claim(dumped)
        assert dumped.outcome.indirect is indirect
        assert crc_on_tape(server.tape, sent.size) == str(sent)


def test_to_a_vtape_of_the_tape_host(hosts: Hosts, stage: Stage, source: str) -> None:
    """No ndmjob and no drive: our tape server, and a directory of its host."""
    with VtapeServer(hosts) as server:
        with past_the_server(hosts, stage, source, server.device) as running:
            dumped = running.wait(SECONDS)
        sent = check_claim(dumped)
        assert server.crc(sent.size) == str(sent)
        assert f"CRC-32C {sent}" in server.end()


@needs_ndmjob
def test_to_ndmjob(hosts: Hosts, stage: Stage, source: str) -> None:
    """The same with Amanda's own tape server."""
    with ndmjob_on(hosts) as (device, tape):
        with past_the_server(hosts, stage, source, device) as running:
            dumped = running.wait(SECONDS)
        sent = check_claim(dumped)
        assert crc_on_tape(tape, sent.size) == str(sent)


@pytest.mark.parametrize("ipv6", [False, True], ids=["IPv4", "IPv6"])
def test_to_a_taper_on_the_tape_host(stage: Stage, source: str, ipv6: bool) -> None:
    """With addresses of one kind only, for everything; the dump spans volumes."""
    with Hosts(ipv4=not ipv6, ipv6=ipv6) as hosts:
        assert (":" in hosts.address(TAPE)) is ipv6
        with ThreeHosts(hosts, stage, source, TAPE) as running:
            dumped = running.wait(SECONDS)
    sent = check_claim(dumped)
    assert dumped.outcome.taper_crc == str(sent)
    assert crc_on_volumes(stage) == str(sent)


@pytest.mark.parametrize("taper_host", [SERVER, TAPE])
def test_the_client_is_cut_off(hosts: Hosts, stage: Stage, source: str, taper_host: str) -> None:
    """Its cable is pulled in mid-dump: no end of stream comes, nor a reset. Within seconds the
    dumper notices, and the taper, be it on the mover or on the socket, says PARTIAL."""
    with ExitStack() as stack:
        if taper_host == SERVER:
            server = stack.enter_context(TapeServer(hosts))
            scene = past_the_server(hosts, stage, source, server.device)
            running = stack.enter_context(scene)
        else:
            running = stack.enter_context(ThreeHosts(hosts, stage, source, TAPE))
        until_carried(hosts, TAPE, SIZE // 4)
        pull = ["ip", "link", "set", CLIENT, "down"]  # its cable, out of the switch
        subprocess.run([*hosts.inside(SWITCH), *pull], check=True)
        began = time.monotonic()
        dumped = running.wait(SECONDS)
        assert time.monotonic() - began < 30
    assert dumped.outcome.said == "PARTIAL"
    assert dumped.outcome.error == "dumper failed"
    assert dumped.outcome.client_error.startswith("no report from the client, 198.51.100.2:")
    assert dumped.carried[TAPE].received < SIZE
