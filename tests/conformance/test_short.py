"""Memory, shared memory and room for caches that are short: said, and survived."""

import os

import pytest

from tests.conformance.harness import Options, World
from tests.conformance.harness_files import Dump, dump_header
from tests.conformance.harness_talk import HANDLE, PLAIN, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload

HEADER = dump_header(Dump())
SMALL = payload(65_536)
H2 = "00-00002"
TIB = 2**40
SHM = "/dev/shm"


def writes(world: World, talk: Conversation, label: str = "PROTO01") -> None:
    """Check that the worker takes the next dump and writes it right."""
    talk.file_write(world.holding(SMALL), handle=H2)
    talk.grant(label, H2)
    talk.ready(H2)
    talk.expect(f"PARTDONE {WORKER} {H2} {label} 1 64 <*>")
    talk.done(crc(SMALL), handle=H2)
    world.check_dump(H2, SMALL)


def test_a_part_larger_than_the_memory(world: World) -> None:
    """A memory cache takes what the dump needs, not what a part could be."""
    world.configure(Options(leom=False))
    talk = world.start()
    talk.start_taper()
    dumper = talk.port_write(split_by(64 * TIB, "memory"))
    dumper.header(HEADER)
    dumper.data(SMALL)
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65_536, None)
    talk.dumper_done()
    talk.done(crc(SMALL))
    world.check_dump(HANDLE, SMALL)


@pytest.mark.known_stock_failure("stock allocates a whole part, and dies when it cannot")
def test_memory_that_ends_within_a_part(world: World) -> None:
    """The device's side is blamed with the reason; the taper and its volume are well."""
    world.configure(Options(leom=False, usage_kib=300_000))
    talk = world.start()
    talk.deadline = 60
    talk.start_taper()
    dumper = talk.port_write(split_by(TIB, "memory"))
    dumper.header(HEADER)
    talk.grant("PROTO01")
    talk.ready()
    talk.still_there()
    limit = address_space(talk.process.pid) + 160 * 2**20
    world.as_user("prlimit", f"--pid={talk.process.pid}", f"--as={limit}")
    dumper.data(bytes(160 * 2**20))
    talk.expect(
        f"PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR <*> "
        '"No memory to keep more than <n> bytes of a part: <n> MiB of memory are left"'
    )
    talk.file_write(world.holding(SMALL), handle=H2)
    talk.ready(H2)
    talk.expect(f"PARTDONE {WORKER} {H2} PROTO01 2 64 <*>")
    talk.done(crc(SMALL), handle=H2)
    talk.quit()


def address_space(pid: int) -> int:
    """Bytes of address space that a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.known_stock_failure("stock is ended by SIGBUS")
@pytest.mark.parametrize("kib", [4, 16, 24, 256])
def test_shared_memory_that_is_full(world: World, kib: int) -> None:
    """FAILED with the reason, nothing left there, and other dumps are well."""
    world.mount_small(SHM, kib)
    talk = world.start()
    talk.start_taper()
    talk.send(f"SHM-WRITE {WORKER} {HANDLE} localhost /home 0 20261123000000 {PLAIN} AMANDA")
    talk.expect(
        f"FAILED {WORKER} {HANDLE} INPUT-GOOD TAPE-ERROR "
        '"" "cannot make the shm-ring /amanda_shm_control-<n>-<n>: No space left on device"'
    )
    assert os.listdir(world.path(SHM)) == []
    writes(world, talk)
    talk.quit()
