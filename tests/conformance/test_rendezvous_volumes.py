"""Dumps by rendezvous over several volumes of vtapes, and onto tape servers of both kinds."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from protocols.directtcp import Address
from protocols.rendezvous.application import Names
from protocols.rendezvous.frames import Outcome
from tests.conformance.harness import ETC, STAMP, Options, World
from tests.conformance.harness_files import Dump
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload, split_line
from tests.fakes.ndmjob import NdmJob, missing_ndmjob
from tests.fakes.ndmp_process import NdmpProcess
from tests.flow.rendezvous_peer import KEY, Application, Cut, Script

pytestmark = pytest.mark.own_only

BLOCK = 32768
DATA = payload(1_500_000)
PADDED = -(-len(DATA) // BLOCK) * BLOCK
NAMES = Names("localhost", "/home", 0, "amdirecttar")
POOL = '"ST:PROTO" "POOL:PROTO"'
KEY_FILE = f"{ETC}/rendezvous-key"
MEETING = f"""
define application meeting-tar {{
  plugin "amdirecttar"
  property "RENDEZVOUS" "YES"
}}
define dumptype meeting {{
  program "APPLICATION"
  application "meeting-tar"
  compress none
  data-path directtcp
}}
property "rendezvous-key-file" "{KEY_FILE}"
property "rendezvous-address" "127.0.0.1"
"""


def begin(world: World, options: Options, part: int) -> tuple[Conversation, socket.socket, Any]:
    """A taper that was told of a dump; the dumper's silent connection, and the addresses."""
    world.write(KEY_FILE, KEY + b"\n")
    world.write(f"{ETC}/disklist", "localhost /home meeting\n")
    options.extra = MEETING
    world.configure(options)
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f"TAPER-OK {WORKER} <*>")
    dump = Dump()
    who = f"{dump.host} {dump.disk} {dump.level} {dump.datestamp}"
    talk.send(f"PORT-WRITE {WORKER} {HANDLE} {who} {split_by(part)} DIRECTTCP")
    words = split_line(talk.expect(f'PORT {WORKER} {HANDLE} <n> "<*>"'))
    assert words[4].startswith("127.0.0.1:")
    silent = socket.create_connection(("127.0.0.1", int(words[3])), 10)
    return talk, silent, tuple(map(Address.parse, words[4].split(";")))


def drive(talk: Conversation) -> int:
    """Grant volumes as long as the dump wants them. :return: bytes of good parts"""
    told = 0
    while not (line := talk.read_line() or "").startswith("DUMPER-STATUS"):
        assert line, talk.transcript
        assert line.split()[0] not in ("FAILED", "PARTIAL", "DONE"), line
        if line.startswith("REQUEST-NEW-TAPE"):
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        elif line.startswith("PARTDONE"):
            told += int(split_line(line)[6].split()[3])
    return told


def end_well(talk: Conversation, world: World, application: Application) -> None:
    """The application knows before its dumper can."""
    application.thread.join(60)
    result = application.result
    assert result is not None, application.error
    assert (result.result, result.size) == (Outcome.GOOD, len(application.data))
    talk.send(f"DONE {WORKER} {HANDLE} 64 aaaaaaaa:1 bbbbbbbb:2 00000000:0")
    talk.done(crc(application.data))
    talk.quit()
    dump = f"{POOL} localhost /home {STAMP}"
    sums = f"aaaaaaaa:1 bbbbbbbb:2 {crc(application.data)}"
    world.check_logged(f"DONE taper {dump} <n> 0 {sums} <*>")
    world.check_not_logged("INFO taper no header <*>")


def test_over_several_vtapes(world: World) -> None:
    """In parts, over volumes that end, and with a data connection that is cut twice."""
    talk, silent, addresses = begin(world, Options(usage_kib=640, leom=True), 262144)
    script = Script(cuts=[Cut(700_000), Cut(1_200_000, link=True)])
    application = Application(addresses, DATA, script, NAMES).start()
    assert drive(talk) == len(DATA)
    end_well(talk, world, application)
    silent.close()
    world.check_dump(HANDLE, DATA)
    assert application.doubled <= 2 << 20
    first = world.volume("PROTO01")[1].header
    assert "APPLICATION=amdirecttar\n" in first


@contextmanager
def tape_server(kind: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """A drive, and what is on its tape in the end."""
    if kind == "ndmjob":
        if missing_ndmjob() is not None:
            pytest.skip("no ndmjob here")
        with NdmJob() as job:
            job.blank("tape1")
            yield job.url("tape1"), (job.directory / "tape1").read_bytes
        return
    with NdmpProcess({"tape1": "16777216"}, arguments=[f"--{kind}"]) as process:

        def payload_of() -> bytes:
            files = process.files("tape1")[1:]
            return b"".join(b"".join(records[1:]) for records in files)

        yield process.url("tape1"), payload_of


@pytest.mark.parametrize("kind", ["ndmjob", "conforming", "strict"])
def test_past_this_host(world: World, kind: str) -> None:
    """The client sends straight to the mover, which a strict one lets listen late; nobody is told
    255.255.255.255, and the log has a real checksum."""
    with tape_server(kind) as (url, on_tape):
        options = Options(
            slots=0, usage_kib=None, leom=None, changer=f'tpchanger "chg-single:{url}"'
        )
        talk, silent, addresses = begin(world, options, 8 * BLOCK)
        application = Application(addresses, DATA, names=NAMES).start()
        assert drive(talk) == PADDED
        end_well(talk, world, application)
        silent.close()
        port = int(url.split(":")[2].split("@")[0])
        (order,) = application.orders
        assert all(address.port not in (port, addresses[0].port) for address in order.addresses)
        found = on_tape()
        assert all(DATA[at : at + BLOCK] in found for at in range(0, len(DATA), BLOCK))
