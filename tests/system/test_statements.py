"""The statements S1 to S8 of the founding page, each on real peers: docs/directtcp.md lists them.

Client, server and tape host are network namespaces. The taper, the tape server, our application and
``taper-recovery`` are the processes that they are in real life; the driver's and the dumper's part
is played. Three dumps and a recovery are made once, and each statement is looked up in them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from attrs import evolve, frozen

from protocols.directtcp import Address
from protocols.recovery.features import OURS
from taper.demo.hosts import CLIENT, HOSTS, SERVER, TAPE, Carried, Hosts
from taper.demo.stage import Stage
from taper.demo.three_hosts import Dumped, ThreeHosts
from tests.recovery.amandad import Amandad
from tests.system.hosts import (
    MIB,
    Socket,
    VtapeServer,
    crc_on_volumes,
    missing_hosts,
    parts_in,
    sockets,
    source_of,
    stage_of,
    use_tape_server,
)
from tests.system.recovering import until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(missing_hosts() is not None, reason=str(missing_hosts())),
]

SIZE = 32 * MIB
HALF = SIZE // 2
SECONDS = 120
OTHER_ADDRESS = "198.51.100.33"
"""One more of the tape host."""

# where to send comes in as a line; whoever watches says "on" or "die" in the file go
_TOLD = """
set -f
read -r where
echo "$where" >told
"""
_WAIT = """
touch there
until [ -s go ]; do sleep 0.02; done
"""
_PLAIN = f"""
{_TOLD}
first=${{where%% *}}
exec 3>"/dev/tcp/${{first%:*}}/${{first##*:}}"
head -c {HALF} "$1" >&3
{_WAIT}
[ "$(cat go)" = on ] || kill -KILL $$
tail -c +{HALF + 1} "$1" >&3
exec 3>&-
echo "sendbackup: end"
"""
_APPLICATION = f"""
{_TOLD}
{_WAIT}
for address in $where; do set -- "$@" --direct-tcp "$address"; done
"$@" </dev/null 3>&1 >&2 && echo "sendbackup: end"
"""
_READER = 'exec cat <"/dev/tcp/$1/$2"'


class Watched(ThreeHosts):
    """A dump whose client stops in the middle, and goes on when it is told to."""

    plain = True

    def _client(self) -> list[str]:
        if self.plain:  # no program of ours: whoever can write a file can send a dump
            command = ["bash", "-c", _PLAIN, "bash", os.path.join(self._source, "file")]
        else:
            command = ["bash", "-c", _APPLICATION, "bash", *super()._client()[4:]]
        return ["env", f"--chdir={self.place}", *command]

    @property
    def place(self) -> Path:
        return Path(self._stage.path("restored"))

    def wait_for_client(self) -> tuple[Address, ...]:
        """Wait until it is where it stops. :return: where it was told to send"""
        until((self.place / "there").exists, "the client stops")
        return tuple(map(Address.parse, (self.place / "told").read_text().split()))

    def go(self, word: str = "on") -> None:
        """Let the client go on, or die."""
        (self.place / "go").write_text(word)


class WatchedApplication(Watched):
    """The client is our application, which stops before it connects."""

    plain = False


@frozen
class Seen:
    """A dump.

    :ivar told: where the client was told to send.
    :ivar sockets: of each host, when half of it was sent, or before it connected.
    """

    stage: Stage
    told: tuple[Address, ...]
    sockets: dict[str, list[Socket]]
    dumped: Dumped


@contextmanager
def stage_with_parts() -> Iterator[Stage]:
    """Four parts to a dump."""
    with stage_of(SIZE) as stage:
        yield evolve(stage, part_size=SIZE // 4)


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with Hosts() as hosts:
        yield hosts


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    with source_of(SIZE) as directory:
        yield directory


@pytest.fixture(scope="module")
def server(hosts: Hosts) -> Iterator[VtapeServer]:
    with VtapeServer(hosts) as server:
        assert isinstance(server, VtapeServer)
        yield server


def all_sockets(hosts: Hosts) -> dict[str, list[Socket]]:
    return {host: sockets(hosts, host) for host in HOSTS}


@pytest.fixture(scope="module")
def backup(hosts: Hosts, source: str, server: VtapeServer) -> Iterator[Seen]:
    """To a vtape of the tape host, from a client that has no program of ours."""
    with stage_with_parts() as stage:
        use_tape_server(stage, server.device, indirect=False)
        with Watched(hosts, stage, source, SERVER) as running:
            told = running.wait_for_client()
            seen = all_sockets(hosts)
            running.go()
            yield Seen(stage, told, seen, running.wait(SECONDS))


@pytest.fixture(scope="module")
def cut(hosts: Hosts, source: str, server: VtapeServer) -> Iterator[Seen]:
    """The same, without a word of DirectTCP from the driver; and the client is killed."""
    with stage_with_parts() as stage:
        use_tape_server(stage, server.other_device, indirect=False)
        with Watched(hosts, stage, source, SERVER, "AMANDA") as running:
            told = running.wait_for_client()
            seen = all_sockets(hosts)
            running.go("die")
            yield Seen(stage, told, seen, running.wait(SECONDS))


@pytest.fixture(scope="module")
def choice(hosts: Hosts, source: str) -> Iterator[Seen]:
    """To a taper on the tape host, which has two addresses; the client has no way to the first."""
    card = [*hosts.inside(TAPE), "ip", "addr", "add", f"{OTHER_ADDRESS}/24", "dev", "eth0"]
    subprocess.run(card, check=True)
    with stage_with_parts() as stage, WatchedApplication(hosts, stage, source, TAPE) as running:
        told = running.wait_for_client()
        seen = all_sockets(hosts)
        route = [*hosts.inside(CLIENT), "ip", "route"]
        subprocess.run([*route, "add", "unreachable", told[0].host], check=True)
        running.go()
        dumped = running.wait(SECONDS)
        subprocess.run([*route, "del", "unreachable", told[0].host], check=True)
        yield Seen(stage, told, seen, dumped)


@frozen
class Recovered:
    """What the client got, and what the cables carried."""

    told: Address
    data: bytes
    carried: dict[str, Carried]


@pytest.fixture(scope="module")
def recovered(hosts: Hosts, backup: Seen) -> Recovered:
    """The backup, by taper-recovery, to a client that has no program of ours."""
    stage = backup.stage
    Path(stage.path("etc", "demo", "disklist")).touch()
    label = Path(stage.path("etc", "demo", "tapelist")).read_text().split()[1]
    service = [*hosts.inside(SERVER), sys.executable, "-m", "taper.recovery.cli"]
    packet = f"OPTIONS features={OURS.text()};auth=bsdtcp;\n"
    before = {host: hosts.carried(host) for host in HOSTS}
    with closing(Amandad([*service, "amandad", "bsdtcp"], packet, stage.environment())) as server:
        server.type(f"FEATURES={OURS.text()}", "CONFIG=demo", f"LABEL=demo:{label}:1,2,3,4", "END")
        server.type("STATE-READY", "STATE-DONE", "USE-DAR NO", "AVAIL-DATAPATH DIRECT-TCP")
        told = Address.parse(server.wait_for("USE-DATAPATH DIRECT-TCP"))
        reader = subprocess.Popen(
            [*hosts.inside(CLIENT), "bash", "-c", _READER, "bash", told.host, str(told.port)],
            stdout=subprocess.PIPE,
        )
        server.type("DATAPATH-OK", "DATA-READY")
        data, _ = reader.communicate(timeout=SECONDS)
        status, _, said = server.end()
    assert (status, reader.returncode) == (0, 0), said
    carried = {host: hosts.carried(host).since(before[host]) for host in HOSTS}
    return Recovered(told, data, carried)


def content(source: str) -> bytes:
    return Path(source, "file").read_bytes()


def test_S1_the_data_travel_alone(backup: Seen, source: str, server: VtapeServer) -> None:
    """The shell's ``cat`` is sender enough: what it sends is what the parts hold, byte by byte."""
    assert backup.dumped.outcome.said == "DONE"
    parts = parts_in(server.vtape)
    assert len(parts) == 4
    assert b"".join(parts) == content(source)


def test_S2_neither_end_is_the_server(backup: Seen, recovered: Recovered) -> None:
    """Backup and recovery go over the cables of the others."""
    carried = backup.dumped.carried
    assert carried[CLIENT].sent > SIZE
    assert carried[TAPE].received > SIZE
    assert 0 < carried[SERVER].both < SIZE / 100
    assert recovered.carried[TAPE].sent > SIZE
    assert recovered.carried[CLIENT].received > SIZE
    assert 0 < recovered.carried[SERVER].both < SIZE / 100


def test_S3_addresses_are_offered_and_one_is_used(choice: Seen) -> None:
    """The first one leads nowhere, so our application takes the next."""
    hosts = [address.host for address in choice.told]
    assert hosts[0] != hosts[1]
    assert OTHER_ADDRESS in hosts[:2]
    outcome = choice.dumped.outcome
    assert (outcome.said, outcome.client_error) == ("DONE", "")
    assert outcome.taper_crc == outcome.client_crc == crc_on_volumes(choice.stage)


def test_S4_who_connects_may_send_or_read(
    backup: Seen, recovered: Recovered, hosts: Hosts, source: str
) -> None:
    """Both times the client connects to the tape host; the data flow there, and back."""
    for told in (backup.told[0], recovered.told):
        assert told.host == hosts.address(TAPE)
    assert recovered.data == content(source)


def test_S5_amanda_connects(backup: Seen, hosts: Hosts) -> None:
    """In the middle of the dump nobody can connect to client or server, and nobody need."""
    assert [each for each in backup.sockets[CLIENT] if each.listens] == []
    assert all(each.is_local for each in backup.sockets[SERVER] if each.listens)
    (data,) = [each for each in backup.sockets[CLIENT] if each.peer == str(backup.told[0])]
    assert data.here.startswith(hosts.address(CLIENT))


def test_S6_the_end_of_the_stream_is_no_success(cut: Seen, server: VtapeServer) -> None:
    """A client that is killed ends its stream in good order; only what it says later counts."""
    outcome = cut.dumped.outcome
    # how much of it the device had when the driver told of the death is a matter of luck
    assert outcome.said in ("PARTIAL", "FAILED")
    assert "the client's report is cut short" in outcome.client_error
    assert sum(map(len, parts_in(server.other))) <= HALF


def test_S7_the_device_listens_and_accepts(backup: Seen, choice: Seen) -> None:
    """The mover of the tape server; or the taper, for a device that has none."""
    (taken,) = [each for each in backup.sockets[TAPE] if each.here == str(backup.told[0])]
    assert " ndmp-tape " in taken.owner
    ports = {address.port for address in choice.told}
    listening = [each for each in choice.sockets[TAPE] if each.listens and each.port in ports]
    assert listening
    assert all(" --log-filename " in each.owner for each in listening)


def test_S8_directtcp_is_used_whenever_possible(cut: Seen, hosts: Hosts) -> None:
    """The driver said AMANDA, and the client is sent to the tape host nevertheless."""
    assert [address.host for address in cut.told] == [hosts.address(TAPE)]
    assert cut.dumped.carried[TAPE].received > SIZE / 8
    assert 0 < cut.dumped.carried[SERVER].both < SIZE / 100
