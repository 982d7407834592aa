"""A disk of vtapes that is full to the last byte: the run that frees it is not stopped by that."""

import os

import pytest

from tests.conformance.harness import VTAPES, Options, World
from tests.conformance.harness_files import label_header
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation
from tests.conformance.harness_text import crc, payload
from tests.small_disks import MAKE, make_image, trouble

NO_ROOM = "without room stock cannot lock its changer's state, or wipe what may be written over"
SMALL = payload(2_000_000)
OLD = "20250101000000"
FILL = """
cd "$0"
dd if=/dev/zero of=slot1/00001.localhost._home.0 bs=64k oflag=dsync
sync slot1
for size in 4096 512 1; do
  dd if=/dev/zero bs=$size >> slot1/00001.localhost._home.0
done
n=2
while [ $n -lt 3000 ] && : > slot1/$(printf %05d $n).localhost._home.0; do n=$((n + 1)); done
exit 0
"""


FLAT = """
cd "$0"
for size in 65536 4096 512 1; do
  dd if=/dev/zero bs=$size oflag=append conv=notrunc,fsync of=PROTO-01
done
exit 0
"""


def full(world: World, kind: str, labels: str = "") -> None:
    """Put the vtapes on such a disk."""
    reason = trouble(kind)
    if reason is not None:
        pytest.skip(reason)
    options = Options(slots=0, usage_kib=None, leom=None, tapecycle=1)
    if labels:
        options.labels = labels
        options.changer = f'tpchanger "chg-diskflat:{VTAPES}"'
    world.configure(options)
    image = world.base / "disk"
    make_image(kind, image)
    world.inside("mount", "-o", "loop", str(image), VTAPES)
    world.own(VTAPES)


def fill(world: World) -> None:
    """Let the first volume take all room, to the last empty file."""
    world.as_user("bash", "-c", FILL, VTAPES)


def written(world: World, label: str) -> Conversation:
    """Write a dump onto the one volume there is, in one part."""
    talk = world.start()
    talk.deadline = 60
    talk.start_taper()
    talk.file_write(world.holding(SMALL))
    talk.grant(label)
    talk.ready()
    talk.expect(f"PARTDONE {WORKER} {HANDLE} {label} 1 <*>")
    talk.done(crc(SMALL))
    return talk


def debug_log(world: World) -> str:
    """What our taper noted for whoever looks after it."""
    logs = world.path("/var/log/amanda").rglob("taper.*.debug")
    return "".join(log.read_text() for log in logs)


@pytest.mark.stock_may_fail(NO_ROOM)
@pytest.mark.parametrize("state", ["no state", "a state"])
@pytest.mark.parametrize("kind", MAKE)
def test_a_full_disk_is_freed(world: World, kind: str, state: str) -> None:
    """START-TAPER finds the old volume, labels it, and the dump has its room."""
    full(world, kind)
    world.mkdir(f"{VTAPES}/slot1")
    world.labelled(1, "PROTO01", OLD)
    if state == "a state":
        world.write(f"{VTAPES}/state", "$STATE = {'current' => 'slot1'};\n")
    fill(world)
    talk = written(world, "PROTO01")
    world.check_dump(HANDLE, SMALL)
    talk.quit()
    if world.program.stock:
        return  # how it is told is ours
    said = debug_log(world)
    told = said.count("no room for state file")
    assert told == said.count("/state' is written again")
    # a file that has a block already needs no room where it is rewritten in place
    assert told == 1 or (told == 0 and state == "a state")
    assert "slot1" in world.path(f"{VTAPES}/state").read_text()


@pytest.mark.stock_may_fail(NO_ROOM)
@pytest.mark.parametrize("kind", MAKE)
def test_a_full_disk_of_flat_volumes_is_freed(world: World, kind: str) -> None:
    """Likewise where a volume is one file, whose first bytes are to be written anew."""
    full(world, kind, 'labelstr "^PROTO-[0-9]*$"\nautolabel "PROTO-$2s" any')
    world.write(f"{VTAPES}/PROTO-01", label_header("PROTO-01", OLD))
    tail = "BLOCKSIZE:32 POOL:PROTO STORAGE:PROTO CONFIG:PROTO"
    world.tapelist_add(f"{OLD} PROTO-01 reuse {tail}")
    world.write(f"{VTAPES}/state", "$STATE = {'current' => 'slot1'};\n")
    world.as_user("bash", "-c", FLAT, VTAPES)
    talk = written(world, "PROTO-01")
    talk.quit()
    stored = world.path(f"{VTAPES}/PROTO-01").read_bytes()
    assert stored[65536 : 65536 + len(SMALL)] == SMALL


@pytest.mark.stock_may_fail(NO_ROOM)
@pytest.mark.parametrize("kind", MAKE)
def test_a_full_disk_of_volumes_in_use_stays(world: World, kind: str) -> None:
    """Nothing that must be kept is wiped to make room."""
    full(world, kind)
    world.mkdir(f"{VTAPES}/slot1")
    world.labelled(1, "PROTO01", "20251231000000", "no-reuse")
    fill(world)
    before = listing(world)
    talk = world.start()
    talk.deadline = 60
    talk.send("START-TAPER taper0 worker0-0 PROTO 20260101000000")
    talk.expect(f'TAPE-ERROR {WORKER} "No acceptable volumes found"')
    assert listing(world) == before
    quit_taper(talk)


def listing(world: World) -> list[tuple[str, int]]:
    """The volume's files and their sizes."""
    with os.scandir(world.path(f"{VTAPES}/slot1")) as entries:
        return sorted((entry.name, entry.stat().st_size) for entry in entries)


def quit_taper(talk: Conversation) -> None:
    talk.send("QUIT")
    talk.expect_end(None)
