"""VAULT-WRITE from volumes in NDMP drives: to slots of a disk, and from mover to mover."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.harness import STAMP, World
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc
from tests.conformance.vaulting import DUMP, ending, vault
from tests.conformance.vaulting_ndmp import BLOCK, WHOLE, TapeLibrary, drive, on_tape
from tests.fakes.ndmjob import NdmJob, missing_ndmjob

pytestmark = pytest.mark.skipif(missing_ndmjob() is not None, reason="no ndmjob here")

PART = 4 * BLOCK
NO_CRC = "00000000:0"


@pytest.fixture
def server() -> Iterator[NdmJob]:
    with NdmJob() as job:
        job.blank("tape1")
        job.blank("tape2")
        yield job


def start(world: World, take: str) -> Conversation:
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f"TAPER-OK {WORKER} {take}-TAKE-SCRIBE-FROM")
    return talk


def close(talk: Conversation) -> None:
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.quit()


def test_to_a_disk(world: World, server: NdmJob) -> None:
    """The mover reads; what comes is counted, and part ends are our own."""
    library = TapeLibrary(world, tapes={"SRC01": server.directory / "tape1"})
    library.setup("from", drive("from", server.url("tape1")))
    library.dump(WHOLE, [("SRC01", PART), ("SRC01", len(WHOLE) - PART)])
    talk = start(world, "ALLOW")
    vault(talk, split=split_by(3 * BLOCK))
    line = ending(talk)
    assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(WHOLE)}"'), line
    close(talk)
    world.check_dump(HANDLE, WHOLE, DUMP)
    assert not server.locked("tape1")


@pytest.mark.stock_may_fail("reader and writer of one process meet in its type system")
@pytest.mark.parametrize("servers", [1, 2])
def test_from_mover_to_mover(world: World, server: NdmJob, servers: int) -> None:
    """No byte comes by us, so there is no checksum of ours."""
    straight(world, server, servers, indirect=False)


@pytest.mark.known_stock_failure("it sends the source's mover to 255.255.255.255, fails or dies")
def test_from_mover_to_mover_with_indirect_tcp(world: World, server: NdmJob) -> None:
    """The default: the other mover listens when the header is on its volume."""
    straight(world, server, 1, indirect=True)


def straight(world: World, server: NdmJob, servers: int, *, indirect: bool) -> None:
    with NdmJob() as other:
        other.blank("tape2")
        target = server if servers == 1 else other
        library = TapeLibrary(world, tapes={"SRC01": server.directory / "tape1"})
        changers = drive("from", server.url("tape1"))
        changers += drive("to", target.url("tape2"), indirect=indirect)
        library.setup("from", changers, "to")
        library.dump(WHOLE, [("SRC01", PART), ("SRC01", len(WHOLE) - PART)])
        talk = start(world, "NO")
        vault(talk, split=split_by(3 * BLOCK))
        line = ending(talk)
        assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{NO_CRC}"'), line
        close(talk)
        assert on_tape(target.directory / "tape2") == WHOLE
        assert not server.locked("tape1")
        assert not target.locked("tape2")
