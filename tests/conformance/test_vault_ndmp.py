"""VAULT-WRITE onto a device with a mover: the volumes are read here and sent to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.harness import STAMP, World
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload, stats
from tests.conformance.vaulting import DUMP, Library, ending, vault
from tests.fakes.ndmjob import NdmJob, missing_ndmjob

pytestmark = pytest.mark.skipif(missing_ndmjob() is not None, reason="no ndmjob here")

BLOCK = 32768
DATA = payload(200_000)
PADDED = -(-len(DATA) // BLOCK) * BLOCK
TWO_VOLUMES = [("SRC01", 131_072), ("SRC02", 68_928)]


@pytest.fixture
def server() -> Iterator[NdmJob]:
    with NdmJob() as job:
        job.blank("tape1")
        yield job


def begun(world: World, server: NdmJob, indirect: bool) -> tuple[Library, Conversation]:
    library = Library(world)
    drive = f"""
define changer drive {{
  tpchanger "chg-single:{server.url("tape1")}"
  device-property "INDIRECT" "{str(indirect).lower()}"
}}
"""
    library.configure(drive, slots=0, usage_kib=None, leom=None, changer='tpchanger "drive"')
    talk = world.start()
    talk.send(f"START-TAPER taper0 {WORKER} PROTO {STAMP}")
    talk.expect(f"TAPER-OK {WORKER} NO-TAKE-SCRIBE-FROM")
    return library, talk


@pytest.mark.parametrize("indirect", [True, False], ids=["indirect", "at once"])
def test_from_volumes_to_a_mover(world: World, server: NdmJob, indirect: bool) -> None:
    """Checksum and true size are known, padded parts or not; the source is changed meanwhile."""
    library, talk = begun(world, server, indirect)
    library.dump(DATA, TWO_VOLUMES)
    vault(talk, split=split_by(4 * BLOCK))
    line = ending(talk)
    assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(DATA)}"'), line
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.quit()
    tape = (server.directory / "tape1").read_bytes()
    assert all(DATA[at : at + BLOCK] in tape for at in range(0, len(DATA), BLOCK))
    world.check_logged(
        f'PART taper "ST:PROTO" "POOL:PROTO" PROTO01 2 localhost /home {DUMP.datestamp} 2/-1 0 '
        f"{stats(PADDED - 4 * BLOCK, 64)}"
    )


@pytest.mark.known_stock_failure("stock says DONE of what came before the lost volume")
def test_a_source_that_is_lost_on_the_way_to_a_mover(world: World, server: NdmJob) -> None:
    """The connection is broken off, nobody takes what came for the whole."""
    library, talk = begun(world, server, True)
    library.dump(DATA, TWO_VOLUMES)
    world.path(f"{library.slot('SRC02')}/00000.SRC02").unlink()
    vault(talk, split=split_by(2 * BLOCK))
    line = ending(talk)
    assert line.split()[0] in ("PARTIAL", "FAILED"), line
    assert " INPUT-ERROR " in line
    assert "File 0 not found" in line
    talk.quit()
