"""SHM-WRITE to a tape whose server takes data from a connection only: the taper sends it on."""

from collections.abc import Iterator

import pytest

from tests.conformance.harness import World
from tests.conformance.harness_shm import Ring, gone
from tests.conformance.harness_talk import HANDLE, SOON, WORKER, split_by
from tests.conformance.harness_text import crc, payload
from tests.conformance.test_ndmp import BLOCK, PADDED, begun, on_tape
from tests.fakes.ndmjob import NdmJob, missing_ndmjob

pytestmark = pytest.mark.skipif(missing_ndmjob() is not None, reason="no ndmjob here")

ABORTS = pytest.mark.known_stock_failure(
    "stock aborts: it knows no way from a ring to a connection (element-glue.c:1745)"
)
DATA = payload(200_000)
SPLIT = split_by(4 * BLOCK)


@pytest.fixture
def server() -> Iterator[NdmJob]:
    """A tape server with one blank tape."""
    with NdmJob() as job:
        job.blank("tape1")
        yield job


@ABORTS
@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "at once"])
def test_a_dump_by_shared_memory(world: World, server: NdmJob, indirect: bool) -> None:
    """Ring to connection to tape; every byte is there, and nothing is left."""
    talk = begun(world, server, indirect)
    ring = Ring(talk, SPLIT, HANDLE)
    ring.send(DATA)
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 4 * BLOCK, None)
    talk.part("PROTO01", 2, PADDED - 4 * BLOCK, None)
    ring.sent()
    ring.dumper_done(DATA)
    talk.expect(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "<crc>" <*> "" ""')
    gone(world, talk)
    talk.quit()
    tape = on_tape(server)
    assert all(DATA[at : at + BLOCK] in tape for at in range(0, len(DATA), BLOCK))


@ABORTS
def test_its_checksum_is_known(world: World, server: NdmJob) -> None:
    """We have sent it ourselves."""
    talk = begun(world, server)
    ring = Ring(talk, SPLIT, HANDLE)
    ring.send(DATA)
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 4 * BLOCK, None)
    talk.part("PROTO01", 2, PADDED - 4 * BLOCK, None)
    ring.dumper_done(DATA)
    talk.done(crc(DATA))
    world.check_logged(f"DONE taper <*> aaaaaaaa:1 bbbbbbbb:2 {crc(DATA)} <*>")


@ABORTS
def test_a_producer_that_cancels(world: World, server: NdmJob) -> None:
    """Never DONE, and the mover does not take it for the end of the data."""
    talk = begun(world, server)
    ring = Ring(talk, SPLIT, HANDLE)
    producer = ring.attach()
    ring.header()
    talk.grant("PROTO01")
    talk.ready()
    producer.negotiate()
    producer.write(DATA)
    talk.part("PROTO01", 1, 4 * BLOCK, None)
    producer.cancel()
    producer.close()
    line = talk.expect("<w> <*>")
    assert line.startswith(f"PARTIAL {WORKER} {HANDLE} INPUT-ERROR "), line
    assert "shm-ring cancelled" in line
    gone(world, talk)


@pytest.mark.parametrize("moment", ["header", "data"])
@ABORTS
def test_failed_at_any_moment(world: World, server: NdmJob, moment: str) -> None:
    """An answer soon, and the producer is told."""
    talk = begun(world, server)
    ring = Ring(talk, SPLIT, HANDLE)
    producer = ring.attach()
    if moment == "data":
        ring.header()
        talk.grant("PROTO01")
        talk.ready()
        producer.negotiate()
        producer.write(DATA)
        talk.part("PROTO01", 1, 4 * BLOCK, None)
    talk.send(f"FAILED {WORKER} {HANDLE}")
    producer.wait_cancelled(SOON)
    talk.expect(f"<w> {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD <*>", timeout=SOON)
    gone(world, talk)
