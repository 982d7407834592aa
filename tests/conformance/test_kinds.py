"""One dump over volumes of several kinds, each behind the same changer."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from protocols.recovery.features import OURS
from tests.conformance.conftest import public_copy
from tests.conformance.harness import CONFIG, ETC, USER, VTAPES, Options, Program, World
from tests.conformance.harness_talk import HANDLE, WORKER, split_by
from tests.conformance.harness_text import crc, payload
from tests.conformance.kinds_rait import Mixed
from tests.conformance.vaulting import ending
from tests.fakes.ndmp_runs import (
    BLOCK,
    NO_CRC,
    Client,
    Outcome,
    begin,
    carry_on,
    port_write,
    send_header,
)
from tests.fakes.tape.stock_door import made_library, why_no_door
from tests.recovery.amandad import Amandad

DATA = payload(95 * BLOCK + 4321)
COPY = f"""
define storage COPY {{
  tpchanger "chg-disk:{VTAPES}/copy"
  tapetype "T"
  tapepool "COPY"
  labelstr "^COPY[0-9][0-9]$"
  autolabel "COPY%%" any
}}
"""


@pytest.fixture
def mixed(taper: Program) -> Iterator[World]:
    """A world whose slots are of ``file:``, ``s3:``, ``rait:`` and ``tape:`` by turns."""
    if not taper.stock:
        taper = Program(public_copy(), taper.name, False)  # the launcher that knows of drives
    world = World(taper, "mixed")
    try:
        yield world
    finally:
        world.close()


def chosen(properties: str = "") -> Options:
    """Nine volumes of some half a megabyte each, which warn before their end."""
    return Options(slots=9, usage_kib=20 * 32, leom=True, properties=properties, extra=COPY)


def spanned(world: World) -> Outcome:
    """A dump by one DirectTCP connection over six volumes, with an early warning on each."""
    options = chosen('device-property "DIRECTTCP-ADDRESS" "127.0.0.1"')
    talk = begin(world, options, "-oruntapes=12", take=True)
    port, address = port_write(talk, split_by(7 * BLOCK - 1000))
    assert ";" not in address, "one address, and so one connection"
    client = Client(address, DATA)
    send_header(port)
    outcome = carry_on(talk, dumper=f"DONE {WORKER} {HANDLE} 64 {crc(DATA)} {crc(DATA)} {NO_CRC}")
    assert outcome.word == "DONE", (outcome.words, world.log("INFO taper"))
    client.thread.join(60)
    assert client.fault is None
    talk.quit()
    return outcome


def kinds(world: World, outcome: Outcome) -> list[str]:
    """Of the volumes of a dump, in its order."""
    assert isinstance(world.kind, Mixed)
    return [world.kind.kind(int(label[-2:])) for label in outcome.labels]


@pytest.mark.known_stock_failure("it refuses DIRECTTCP dumps for all but ndmp: devices")
def test_one_connection_over_volumes_of_four_kinds(mixed: World) -> None:
    """Every byte of every part is where it was told to be, and in our own copy of the dump."""
    outcome = spanned(mixed)
    assert kinds(mixed, outcome) == (["file", "s3", "rait", "tape"] * 3)[: len(outcome.labels)]
    assert len(outcome.labels) > 6
    assert outcome.size == len(DATA)
    mixed.check_dump(HANDLE, DATA)
    mixed.mkdir(f"{VTAPES}/copy/slot1")
    talk = mixed.start(arguments=["--storage", "COPY", "--log-filename", "/var/log/amanda/log.x"])
    talk.start_taper()
    talk.send(
        f"VAULT-WRITE {WORKER} {HANDLE} PROTO PROTO PROTO01 localhost /home 0 20260101000000"
        f" {split_by(0)} 64"
    )
    line = ending(talk)
    assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(DATA)}"'), line
    talk.quit()
    (copy,) = mixed.path(f"{VTAPES}/copy/slot1").glob("00001.*")
    assert copy.read_bytes()[BLOCK:] == DATA


@contextmanager
def doors(world: World) -> Iterator[dict[str, str]]:
    """Let Amanda's programs use the drives. :return: the environment that they need"""
    assert isinstance(world.kind, Mixed)
    with ExitStack() as stack:
        library = stack.enter_context(made_library())
        for drive in world.kind.drives.values():
            stack.enter_context(drive.for_stock())
        yield {**os.environ, "LD_PRELOAD": str(library)}


@pytest.mark.known_stock_failure("it refuses DIRECTTCP dumps for all but ndmp: devices")
@pytest.mark.skipif(why_no_door() is not None, reason=str(why_no_door()))
def test_amanda_fetches_it_from_all_of_them(mixed: World) -> None:
    """Its own chg-multi and its own devices: amfetchdump puts the whole together."""
    spanned(mixed)
    mixed.configure(Options(slots=9, usage_kib=None, leom=None))  # without what only ours knows
    mixed.write(f"{ETC}/disklist", "")
    fetch = ["amfetchdump", "-p", CONFIG, "localhost", "/home"]
    drop = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    with doors(mixed) as environment:
        done = subprocess.run(
            ["nsenter", "-t", str(mixed.keeper.pid), "-m", "--wd=/tmp/amanda", *drop, *fetch],
            input=b"\n",  # the volumes are there
            capture_output=True,
            env=environment,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout[: len(DATA)] == DATA
    assert not done.stdout[len(DATA) :].strip(b"\0")


RECOVERY = "/tmp/amanda/taper-recovery"


def recovery(world: World, places: str) -> Amandad:
    """Our stand-in for amidxtaped, which is asked for the dump that lies there."""
    world.write(f"{ETC}/disklist", "")
    launcher = Path(world.program.path).read_text()
    assert "from taper.cli " in launcher
    world.write(RECOVERY, launcher.replace("from taper.cli ", "from taper.recovery.cli "), 0o755)
    drop = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    inside = ["nsenter", "-t", str(world.keeper.pid), "-m", "--wd=/tmp/amanda", *drop]
    service = Amandad(
        [*inside, RECOVERY, "amandad", "local"], f"OPTIONS features={OURS.text()};auth=local;\n"
    )
    service.type(f"FEATURES={OURS.text()}", f"CONFIG={CONFIG}", f"LABEL={places}", "END")
    service.type("STATE-READY", "STATE-DONE", "USE-DAR NO")
    return service


@pytest.mark.known_stock_failure("it refuses DIRECTTCP dumps for all but ndmp: devices")
def test_it_is_recovered_from_all_of_them(mixed: World) -> None:
    """By Amanda's data path, and by a connection to a socket of ours; every byte, and no more."""
    outcome = spanned(mixed)
    assert set(kinds(mixed, outcome)) == set(Mixed.KINDS)
    volumes = [
        f"{CONFIG}:{label}:{','.join(str(number) for _, number, _ in parts)}"
        for label, parts in groupby(outcome.parts, lambda part: part[0])
    ]
    with closing(recovery(mixed, ";".join(volumes))) as service:
        service.type("AVAIL-DATAPATH AMANDA", "DATAPATH-OK", "DATA-READY")
        assert service.read_data() == DATA
        status, _, said = service.end()
        assert (status, "MESSAGE" in said) == (0, False), said
    with closing(recovery(mixed, ";".join(volumes))) as service:
        service.type("AVAIL-DATAPATH DIRECT-TCP")
        host, _, port = service.wait_for("USE-DATAPATH DIRECT-TCP ").partition(":")
        with socket.create_connection((host, int(port)), 60) as link, link.makefile("rb") as data:
            service.type("DATAPATH-OK", "DATA-READY")
            assert data.read() == DATA
        status, _, said = service.end()
        assert (status, "MESSAGE" in said) == (0, False), said
