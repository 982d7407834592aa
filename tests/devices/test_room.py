"""The room on a volume: runs of blocks are judged as the same blocks one by one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from devices.room import NEAR_BLOCKS, POLL_BYTES, POLL_SECONDS, Room, Run, Terms

BLOCK = 4096


class FileSystem:
    """Free bytes, and how often they were asked for."""

    def __init__(self, free: int | None) -> None:
        self.free = free
        self.polls = 0
        self.now = 0.0

    def poll(self) -> int | None:
        self.polls += 1
        return self.free

    def clock(self) -> float:
        return self.now

    def room(self) -> Room:
        return Room(self.poll, self.clock)


def write_in_runs(
    free: int | None, offered: int, terms: Terms, size: int, max_run: int
) -> tuple[int, bool, bool]:
    """Write as a device does. :return: bytes written, early warning met, limit met"""
    system = FileSystem(free)
    room = system.room()
    room.size = size
    done = 0
    while done < offered:
        run = room.next_run(min(max_run, offered - done), terms)
        if not run.size:
            return done, run.early, True
        done += run.size
        room.wrote(run.size)
        if system.free is not None:
            system.free -= run.size
        if run.early:
            return done, True, False
    return done, False, False


@settings(max_examples=300)
@given(
    free=st.none() | st.integers(0, 400 * BLOCK),
    limit=st.just(0) | st.integers(1, 300 * BLOCK),
    size=st.integers(0, 20 * BLOCK),
    offered=st.integers(1, 300 * BLOCK),
    leom=st.booleans(),
    monitor=st.booleans(),
)
def test_runs(
    free: int | None, limit: int, size: int, offered: int, leom: bool, monitor: bool
) -> None:
    """Whatever room there is, one large offer ends exactly where single blocks do."""
    terms = Terms(block_size=BLOCK, limit=limit, leom=leom, monitor=monitor)
    large = write_in_runs(free, offered, terms, size, offered)
    single = write_in_runs(free, offered, terms, size, BLOCK)
    assert large == single
    expected = one_by_one(free if leom and monitor else None, offered, terms, size)
    assert large == expected


def one_by_one(free: int | None, offered: int, terms: Terms, size: int) -> tuple[int, bool, bool]:
    """The table of [volumes 4.5], block by block, with the free space known."""
    done = 0
    early = False
    while done < offered:
        block = min(BLOCK, offered - done)
        limit = terms.limit
        if terms.leom and limit and size + done + block + 4 * BLOCK > limit:
            early = True
        if free is not None and free - done - block <= 4 * BLOCK:
            early = True
        if limit and size + done + block > limit:
            return done, True, True
        done += block
        if early:
            break
    return done, early, False


def terms(**changes: bool) -> Terms:
    return Terms(block_size=BLOCK, limit=0, **{"leom": True, "monitor": True} | changes)


def test_free_space_smaller_than_a_block() -> None:
    """Less room than one block is the early-warning zone too."""
    assert FileSystem(100).room().next_run(BLOCK, terms()) == Run(BLOCK, True)


def test_free_space_is_not_asked_without_need() -> None:
    """Neither without LEOM nor without monitoring is the file system asked."""
    system = FileSystem(0)
    for changes in ({"leom": False}, {"monitor": False}):
        assert system.room().next_run(10 * BLOCK, terms(**changes)) == Run(10 * BLOCK, False)
    assert system.polls == 0


def test_when_the_file_system_is_asked() -> None:
    """It is asked first of all, then after 5 seconds, 100 MiB, or when little is left."""
    system = FileSystem(2**40)
    room = system.room()

    def offer() -> int:
        run = room.next_run(2**20, terms())
        room.wrote(run.size)
        return system.polls

    assert [offer() for _ in range(100)] == [1] * 100
    system.now = POLL_SECONDS
    assert offer() == 2
    system.free = (NEAR_BLOCKS + 2) * BLOCK
    system.now *= 2
    assert room.next_run(2**20, terms()) == Run(2 * BLOCK, False)
    assert system.polls == 3
    room.wrote(2 * BLOCK)
    system.free -= 2 * BLOCK
    assert room.next_run(2**20, terms()) == Run(BLOCK, False)
    assert system.polls == 4


def test_one_poll_serves_a_hundred_mebibytes() -> None:
    """An offer larger than that is cut where the file system must be asked again."""
    room = FileSystem(2**40).room()
    run = room.next_run(2 * POLL_BYTES, terms())
    assert run == Run(POLL_BYTES + BLOCK, False)
