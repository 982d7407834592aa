"""SHM-WRITE: what is said to the driver, and how its dumper's checksum is compared."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from taper.flow.interfaces import IBlockOrigin
from tests.core.conversing import (
    HANDLE,
    START,
    WORKER,
    Conversation,
    content,
    crc_text,
    shm_write,
    split_by,
)
from tests.core.stocked import Tape
from tests.core.surroundings import Dumped, MemoryRing

DATA = content(100_000)
CRC = crc_text(DATA)
OTHER = f"12345678:{len(DATA)}"


def writing(split: str = split_by(65536, "memory")) -> Conversation:
    """A dump through a ring that waits for its dumper's result."""
    talk = Conversation(Tape(), dumpers=[Dumped(DATA)])
    talk.say(START)
    replies = talk.say(shm_write(split=split))
    assert replies[0] == f"SHM-NAME {WORKER} {HANDLE} 40000 /ring"
    assert replies[-1] == f"DUMPER-STATUS {WORKER} {HANDLE}"
    return talk


def test_the_ring_is_offered_with_the_plan_known() -> None:
    """Its producer fills the ring before the header comes [data-plane 4.3]."""
    talk = writing()
    (ring,) = talk.origins.made
    verifyObject(IBlockOrigin, ring)
    assert isinstance(ring, MemoryRing)
    assert ring.plan is not None
    assert ring.plan.part_size == 65536
    talk.quit()


@pytest.mark.parametrize("said", [CRC, "00000000:0", "ffffffff:0"])
def test_a_dumper_that_counted_the_same_or_nothing(said: str) -> None:
    talk = writing()
    (reply,) = talk.say(f"DONE {WORKER} {HANDLE} 98 11111111:1 22222222:2 {said}")
    assert reply.startswith(f'DONE {WORKER} {HANDLE} INPUT-GOOD TAPE-GOOD "{CRC}" ')
    (logged,) = talk.logged("DONE")
    assert f" 11111111:1 22222222:2 {CRC} [" in logged
    talk.quit()


def test_a_dumper_that_counted_otherwise() -> None:
    """A dump that is not what its dumper sent is no DONE [data-plane Q16]."""
    talk = writing()
    (reply,) = talk.say(f"DONE {WORKER} {HANDLE} 98 11111111:1 22222222:2 {OTHER}")
    text = f"source server crc ({CRC}) and dumper crc ({OTHER}) differ"
    assert reply.startswith(f'PARTIAL {WORKER} {HANDLE} INPUT-ERROR TAPE-GOOD "{CRC}" ')
    assert reply.endswith(f'"{text}" ""')
    (logged,) = talk.logged("PARTIAL")
    assert logged.endswith(f'"{text}"')
    talk.quit()


def test_a_checksum_that_comes_early_is_compared_at_the_end() -> None:
    talk = Conversation(Tape(), dumpers=[Dumped(DATA)])
    talk.say(START)
    talk.tell(shm_write())
    talk.tell(f"DONE {WORKER} {HANDLE} 98 11111111:1 22222222:2 {OTHER}")
    talk.settle()
    assert talk.words()[-1] == "PARTIAL"
    assert "DUMPER-STATUS" not in talk.words()
    talk.quit()
