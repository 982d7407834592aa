"""Dumps onto rait volumes of three vtapes: whole, over two of them, and with a child in trouble."""

import pytest

from devices.file import FileDevice
from devices.interfaces import AccessMode
from devices.rait import RaitDevice
from tests.conformance.harness import Options, World
from tests.conformance.harness_talk import HANDLE, PLAIN, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload

ROOTS = [f"/var/lib/amanda/r{number}" for number in range(3)]
DATA = payload(3_000_000)
HIDES = "stock's rait hides what its children say of their end"


def raided(
    world: World, small: int | None = None, kib: int = 0, properties: str = ""
) -> Conversation:
    """Two slots on each of three children, one of which may have little room in its first."""
    changer = "".join(
        f'define changer c{n} {{\n  tpchanger "chg-disk:{root}"\n  {properties}\n}}\n'
        for n, root in enumerate(ROOTS)
    )
    changer += 'tpchanger "chg-rait:c{0..2}"'
    world.configure(Options(slots=0, usage_kib=None, leom=None, changer=changer))
    for number, root in enumerate(ROOTS):
        for slot in (1, 2):
            world.mkdir(f"{root}/slot{slot}")
        if number == small:
            world.mount_small(f"{root}/slot1", kib)
    talk = world.start()
    talk.start_taper()
    return talk


def stored(world: World, parts: list[tuple[str, int]], without: int | None = None) -> bytes:
    """What these files hold, read with one child missing, padding included."""
    data = b""
    for label, number in parts:
        paths = [world.path(f"{root}/slot{int(label[-1])}") for root in ROOTS]
        children = [
            None if n == without else FileDevice(str(path), str(path))
            for n, path in enumerate(paths)
        ]
        device = RaitDevice("rait", children)
        device.properties.set("block-size", 65536)
        device.start(AccessMode.READ)
        assert device.label == label
        assert device.seek_file(number) is not None
        buffer = memoryview(bytearray(1 << 20))
        while got := device.read_blocks(buffer):
            data += buffer[:got]
        device.finish()
    return data


def check(world: World, parts: list[tuple[str, int]]) -> None:
    """Every byte is there, whichever child is lost."""
    for without in (None, 0, 1, 2):
        data = stored(world, parts, without)
        assert data[: len(DATA)] == DATA
        assert not data[len(DATA) :].strip(b"\0")


def test_a_dump_on_three_children(world: World) -> None:
    """The plain story, part by part."""
    talk = raided(world)
    talk.file_write(world.holding(DATA), split_by(1 << 20))
    talk.grant("PROTO01")
    talk.ready()
    sizes = [1 << 20, 1 << 20, len(DATA) - (2 << 20)]
    for number, size in enumerate(sizes[:2], 1):
        talk.part("PROTO01", number, size)
    talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO01 3 <*>")
    talk.expect(f"DONE {WORKER} {HANDLE} <*>")
    talk.quit()
    check(world, [("PROTO01", number) for number in (1, 2, 3)])


@pytest.mark.known_stock_failure(HIDES)
@pytest.mark.parametrize("small", [0, 2])
def test_one_child_has_less_room(world: World, small: int) -> None:
    """Its warning ends the part for all; the next volume takes the rest, and nothing twice."""
    talk = raided(world, small, 1024)
    talk.file_write(world.holding(DATA), PLAIN)
    talk.grant("PROTO01")
    talk.ready()
    talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO01 1 <*>")
    talk.grant("PROTO02")
    talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO02 1 <*>")
    talk.done(crc(DATA))
    talk.quit()
    world.check_not_logged("PARTPARTIAL <*>")
    check(world, [("PROTO01", 1), ("PROTO02", 1)])


@pytest.mark.known_stock_failure(HIDES)
def test_one_child_is_full_without_warning(world: World) -> None:
    """What the others have stored of the part counts for nothing: it is written again."""
    talk = raided(world, 1, 1024, 'device-property "MONITOR_FREE_SPACE" "no"')
    talk.file_write(world.holding(DATA), split_by(1 << 20))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, 1 << 20)
    talk.grant("PROTO02")
    talk.part("PROTO02", 1, 1 << 20)
    talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO02 2 <*>")
    talk.done(crc(DATA))
    talk.quit()
    failed = f"One or more devices failed to write_block: file:{ROOTS[1]}/slot1: <*>"
    world.check_logged(f'PARTPARTIAL taper "ST:PROTO" "POOL:PROTO" PROTO01 2 <*> "{failed}"')
    check(world, [("PROTO01", 1), ("PROTO02", 1), ("PROTO02", 2)])
