"""A tapelist that is a symbolic link, to a file that several configurations share, say."""

import os

import pytest

from tests.conformance.harness import TAPELIST, World
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation
from tests.conformance.harness_text import crc, payload

SMALL = payload(65_536)
SHARED = "/var/lib/amanda/shared/tapelist"
LINK = f"../../..{SHARED}"  # which is the same when seen from outside of the namespace
HOLD = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(lock, fcntl.LOCK_EX)
open(sys.argv[2], "w").close()
while not os.path.exists(sys.argv[3]):
    pass
"""


def linked(world: World) -> None:
    """Let the tapelist be a link."""
    world.mkdir(os.path.dirname(SHARED))
    world.write(SHARED, "20250101000000 OTHER reuse POOL:OTHER STORAGE:OTHER CONFIG:OTHER\n")
    os.symlink(LINK, world.path(TAPELIST))


def small_dump(world: World, talk: Conversation) -> None:
    """Write a dump on the first volume."""
    talk.file_write(world.holding(SMALL))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65_536)
    talk.done(crc(SMALL))


@pytest.mark.known_stock_failure("stock puts a file in the place of the link")
def test_the_link_stays(world: World) -> None:
    """The new entry is in what it leads to, beside those of others; no draft is left."""
    linked(world)
    for name in (SHARED, TAPELIST):
        world.write(f"{name}-new-1764444444", "2025")
    talk = world.start()
    talk.start_taper()
    small_dump(world, talk)
    talk.quit()
    assert os.readlink(world.path(TAPELIST)) == LINK
    labels = [line.split()[1] for line in world.path(SHARED).read_text().splitlines()]
    assert labels == ["PROTO01", "OTHER"]
    for name in (SHARED, TAPELIST):
        assert not [
            entry
            for entry in os.listdir(world.path(os.path.dirname(name)))
            if entry.startswith("tapelist-new-")
        ]


def test_stock_programs_read_and_write_it(world: World) -> None:
    """amadmin knows the new volume; what it writes is in what we read afterwards."""
    if not os.path.exists("/usr/sbin/amadmin"):
        pytest.skip("/usr/sbin/amadmin is not installed")
    linked(world)
    world.write("/etc/amanda/PROTO/disklist", "")
    talk = world.start()
    talk.start_taper()
    small_dump(world, talk)
    talk.quit()
    world.as_user("env", "-C", "/tmp/amanda", "/usr/sbin/amadmin", "PROTO", "no-reuse", "PROTO01")
    (entry,) = [line for line in world.tapelist() if "PROTO01" in line]
    assert entry.split()[2] == "no-reuse"


@pytest.mark.parametrize("name", [TAPELIST, SHARED])
def test_a_lock_of_others_is_waited_for(world: World, name: str) -> None:
    """Beside the link, where stock's programs lock; beside the target, of which stock's taper
    knows nothing."""
    if world.program.stock and name is SHARED:
        pytest.xfail("stock knows no lock there")
    linked(world)
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(SMALL))
    talk.expect(f"REQUEST-NEW-TAPE {WORKER} {HANDLE}")
    held, go = "/tmp/amanda/held", "/tmp/amanda/go"
    script = world.write("/tmp/amanda/hold.py", HOLD)
    world.as_user(
        "sh",
        "-c",
        f"/usr/bin/python3 {script} {name}.lock {held} {go} </dev/null >/dev/null 2>&1 &",
    )
    world.wait_for("the lock to be held", lambda: world.path(held).exists())
    talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
    talk.expect_silence()
    world.write(go, "")
    talk.expect(f"NEW-TAPE {WORKER} {HANDLE} PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 65_536)
    talk.done(crc(SMALL))
