"""Dumps onto a drive of a real NDMP server, from a holding disk, a dumper and a client."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from tests.conformance.harness import STAMP, Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload, split_line, stats
from tests.fakes.ndmjob import NdmJob, missing_ndmjob

pytestmark = pytest.mark.skipif(missing_ndmjob() is not None, reason="no ndmjob here")

BLOCK = 32768
DATA = payload(200_000)
PADDED = -(-len(DATA) // BLOCK) * BLOCK
HEADER = dump_header(Dump())
POOL = '"ST:PROTO" "POOL:PROTO"'
HOME = f"localhost /home {STAMP}"


@pytest.fixture
def server() -> Iterator[NdmJob]:
    with NdmJob() as job:
        job.blank("tape1")
        yield job


def begun(world: World, server: NdmJob, indirect: bool = True) -> Conversation:
    world.configure(
        Options(
            slots=0,
            usage_kib=None,
            leom=None,
            changer=f'tpchanger "chg-single:{server.url("tape1")}"',
            properties=f'device-property "INDIRECT" "{str(indirect).lower()}"',
        )
    )
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f"TAPER-OK {WORKER} NO-TAKE-SCRIBE-FROM")
    return talk


def direct(talk: Conversation, path: str, split: str) -> tuple[int, str]:
    talk.send(f"PORT-WRITE {WORKER} {HANDLE} localhost /home 0 {STAMP} {split} {path}")
    words = split_line(talk.expect(f'PORT {WORKER} {HANDLE} <n> "<*>"'))
    return int(words[3]), words[4]


def send(address: str, data: bytes, *, broken: bool = False) -> threading.Thread:
    """The other end: asks where to go if it must, sends, ends."""

    def run() -> None:
        where = address
        if where.startswith("255.255.255.255:"):
            with socket.create_connection(("127.0.0.1", int(where.split(":")[1])), 30) as link:
                where = link.makefile().read().split(" ")[0]
        host, _, port = where.rpartition(":")
        with socket.create_connection((host, int(port)), 30) as link:
            link.settimeout(60)
            link.sendall(data)
            if broken:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def end() -> None:
        # a taper that has died meanwhile is found out by the conversation, not here
        with contextlib.suppress(ConnectionError):
            run()

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    return thread


def on_tape(server: NdmJob) -> bytes:
    return (server.directory / "tape1").read_bytes()


@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "at once"])
@pytest.mark.parametrize("path", ["DIRECTTCP", "AMANDA"])
def test_a_dump_past_this_host(world: World, server: NdmJob, path: str, indirect: bool) -> None:
    """The mover takes it; sizes with padding, no checksum of ours, the dumper has the word."""
    talk = begun(world, server, indirect)
    port, address = direct(talk, path, split_by(4 * BLOCK))
    assert address.startswith("255.255.255.255:") is indirect
    sender = send(address, DATA)
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 4 * BLOCK, None)
    talk.part("PROTO01", 2, PADDED - 4 * BLOCK, None)
    sender.join(60)
    talk.dumper_done()
    text = f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "00000000:0" "{stats(PADDED, 64)}" "" ""'
    talk.expect(text)
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.quit()
    tape = on_tape(server)
    assert all(DATA[at : at + BLOCK] in tape for at in range(0, len(DATA), BLOCK))
    assert not server.locked("tape1")
    sums = "aaaaaaaa:1 bbbbbbbb:2 00000000:0"
    world.check_logged(f"DONE taper {POOL} {HOME} 2 0 {sums} {stats(PADDED, 64)}")


@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "at once"])
def test_a_holding_file(world: World, server: NdmJob, indirect: bool) -> None:
    """We connect to the mover ourselves: checksum and true size are known."""
    talk = begun(world, server, indirect)
    path = world.holding(DATA)
    talk.file_write(path, split_by(4 * BLOCK))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 4 * BLOCK)
    talk.part("PROTO01", 2, PADDED - 4 * BLOCK)
    talk.done(crc(DATA))
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.quit()
    world.check_logged(f"INFO taper tape PROTO01 kb {PADDED // 1024} fm 2 [OK]")


def test_a_holding_file_with_a_wrong_checksum(world: World, server: NdmJob) -> None:
    """All of it is stored, and its size is told without the padding, as if it were right."""
    talk = begun(world, server)
    path = world.holding(DATA, lines="SERVER-CRC=12345678:1\n")
    talk.file_write(path, split_by(0))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, PADDED)
    found = f'"{crc(DATA)}" "{stats(len(DATA), 64)}"'
    talk.expect(f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD {found} "<*>" ""')
    talk.quit()


@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "at once"])
def test_one_dump_after_another(world: World, server: NdmJob, indirect: bool) -> None:
    """The volume is kept in hand; the mover listens anew for each."""
    talk = begun(world, server, indirect)
    path = world.holding(DATA)
    talk.file_write(path, split_by(0))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, PADDED)
    talk.done(crc(DATA))
    talk.file_write(path, split_by(0), handle="00-00002")
    talk.ready("00-00002")
    talk.part("PROTO01", 2, PADDED, handle="00-00002")
    talk.done(crc(DATA), handle="00-00002")
    talk.quit()


@pytest.mark.known_stock_failure("it waits for the question for ever, whatever the driver says")
def test_failed_while_nobody_asks(world: World, server: NdmJob) -> None:
    """The driver's FAILED ends the wait for a question that never comes."""
    talk = begun(world, server)
    port, _ = direct(talk, "DIRECTTCP", split_by(4 * BLOCK))
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    talk.send(f"FAILED {WORKER} {HANDLE}")
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*>")
    talk.quit()
    assert not server.locked("tape1")


@pytest.mark.known_stock_failure("it waits for a header that no dumper of 3.5.1 ever sends")
def test_a_silent_dumper(world: World, server: NdmJob) -> None:
    """The question shows that the client began: the header is made, and the dump goes on."""
    world.write("/etc/amanda/PROTO/disklist", 'localhost /home {\n program "GNUTAR"\n}\n')
    talk = begun(world, server)
    port, address = direct(talk, "DIRECTTCP", split_by(0))
    with socket.create_connection(("127.0.0.1", port), 10):
        send(address, DATA)
        talk.grant("PROTO01")
        talk.ready()
        talk.part("PROTO01", 1, PADDED, None)
        talk.dumper_done()
    talk.expect(f"DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD <*>")
    world.check_logged("INFO taper no header came for this dump: <*>")


@pytest.mark.known_stock_failure("it never ends such a dump")
def test_a_holding_file_that_breaks_off(world: World, server: NdmJob) -> None:
    """A chunk is missing: what the mover got is never taken for the whole dump."""
    talk = begun(world, server)
    path = world.holding(DATA, chunk=100_000)
    world.path(f"{path}.1").unlink()
    talk.file_write(path, split_by(1 << 20))
    talk.grant("PROTO01")
    talk.ready()
    talk.expect(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*>")
    talk.quit()
    world.check_logged(f"PARTIAL taper {POOL} {HOME} <*>")
