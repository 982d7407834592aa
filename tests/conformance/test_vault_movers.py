"""VAULT-WRITE from NDMP volumes in trouble, to slots of a disk and from mover to mover."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.harness import World
from tests.conformance.harness_talk import HANDLE, WORKER, split_by
from tests.conformance.harness_text import crc
from tests.conformance.vaulting import ending, server_crc, vault
from tests.conformance.vaulting_ndmp import (
    BLOCK,
    DISK,
    MOVER,
    PART,
    SECOND,
    WHOLE,
    TapeLibrary,
    check_input_error,
    too_short,
    two_dumps,
    vaulting,
    wrong_volume,
)

NO_CRC = "00000000:0"
both_ways = pytest.mark.parametrize("to", [DISK, MOVER])
DAMAGES = [
    (too_short, f"part 2 on {SECOND} is truncated: {2 * BLOCK} bytes, {3 * BLOCK} expected"),
    (wrong_volume, "'SRC02' file 1: no tape label found"),
]


@pytest.mark.known_stock_failure("stock says DONE of whatever came, or PARTIAL and not why")
@both_ways
@pytest.mark.parametrize(("damage", "text"), DAMAGES, ids=[it[0].__name__ for it in DAMAGES])
def test_a_damaged_source(
    world: World, to: str, damage: Callable[[TapeLibrary], None], text: str
) -> None:
    """What was read before is kept; volume and file are named; no device is to blame."""
    with vaulting(world, to, damage) as made:
        talk = made.start(indirect=False)
        vault(talk, split=split_by(2 * BLOCK))
        check_input_error(ending(talk), text)
        talk.quit()
        assert WHOLE.startswith(made.stored()[:PART])


@pytest.mark.known_stock_failure("stock says DONE, or blames the wrong side")
def test_a_source_that_breaks_off(world: World) -> None:
    """In the second part, on its way from mover to mover."""
    with vaulting(world, MOVER, two_dumps) as made:
        assert made.source.command("fault after:MOVER_CONTINUE:1:halt=MEDIA_ERROR") == "OK"
        talk = made.start(indirect=False)
        vault(talk, split=split_by(2 * BLOCK))
        check_input_error(ending(talk), SECOND)
        talk.quit()


@pytest.mark.known_stock_failure("stock says DONE, or blames the wrong side")
@pytest.mark.parametrize("fault", ["kill-data", "end-data"])
def test_a_connection_that_breaks(world: World, fault: str) -> None:
    """In the second part: the source is read anew from there, past this host again."""
    with vaulting(world, MOVER, two_dumps) as made:
        assert made.source.command(f"fault after:MOVER_CONTINUE:1:{fault}") == "OK"
        talk = made.start(indirect=False)
        vault(talk, split=split_by(2 * BLOCK))
        line = ending(talk)
        assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{NO_CRC}"'), line
        talk.quit()
        assert made.stored() == WHOLE
        assert made.source.said("MOVER_CONNECT") > 1
        assert not made.source.said("MOVER_LISTEN")


def padded(library: TapeLibrary) -> None:
    """The last record is padded, and the header tells."""
    data = WHOLE[:-1000]
    library.dump(data, [("SRC01", PART), ("SRC02", len(data) - PART)], lines=server_crc(data))


@pytest.mark.known_stock_failure("stock copies the padding and complains of the checksum")
def test_a_padded_dump_to_a_disk(world: World) -> None:
    """The padding is cut."""
    data = WHOLE[:-1000]
    with vaulting(world, DISK, padded) as made:
        talk = made.start()
        vault(talk, split=split_by(2 * BLOCK))
        line = ending(talk)
        assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(data)}"'), line
        talk.quit()
        assert made.stored() == data
        world.check_logged(f"DONE taper <*> {crc(data)} [sec <*>")


@pytest.mark.stock_may_fail("reader and writer of one process meet in its type system")
def test_a_padded_dump_from_mover_to_mover(world: World) -> None:
    """The new padding covers the old; the log has the checksum of the header."""
    data = WHOLE[:-1000]
    with vaulting(world, MOVER, padded) as made:
        talk = made.start(indirect=False)
        vault(talk, split=split_by(2 * BLOCK))
        line = ending(talk)
        assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{NO_CRC}"'), line
        talk.quit()
        assert made.stored() == data + bytes(1000)
        world.check_logged(f"DONE taper <*> {crc(data)} [sec <*>")


@pytest.mark.known_stock_failure("stock fails the dump")
def test_movers_that_cannot_meet(world: World) -> None:
    """The source's cannot connect: the dump passes through this host, and is counted."""
    with vaulting(world, MOVER, two_dumps) as made:
        assert made.source.command("fault request:MOVER_CONNECT:1+:wrong=CONNECT") == "OK"
        talk = made.start(indirect=False)
        vault(talk, split=split_by(2 * BLOCK))
        line = ending(talk)
        assert line.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{crc(WHOLE)}"'), line
        talk.quit()
        assert made.stored() == WHOLE
        assert made.source.said("MOVER_LISTEN")
