"""Holding disk and vtapes on one file system: ours shares blocks there that can be shared."""

import pytest

from tests.conformance.harness import VTAPES, Options, World
from tests.conformance.harness_files import Dump, holding_chunks
from tests.conformance.harness_talk import HANDLE, WORKER, split_by
from tests.conformance.harness_text import crc, payload
from tests.conformance.kinds_disk import Vtapes
from tests.small_disks import make_image, trouble

PART = 1 << 20
SHARING = {"xfs": True, "btrfs": True, "ext4": False}


def disk(world: World, kind: str) -> None:
    """Put vtapes and holding files on such a disk."""
    reason = trouble(kind)
    if reason is not None:
        pytest.skip(reason)
    world.configure(Options(slots=0, usage_kib=None, leom=None))
    image = world.base / "disk"
    make_image(kind, image)
    world.inside("mount", "-o", "loop", str(image), VTAPES)
    world.own(VTAPES)
    for name in ("slot1", "slot2", "holding"):
        world.mkdir(f"{VTAPES}/{name}")


@pytest.mark.parametrize(
    ("size", "chunk"),
    [
        pytest.param(3_500_000, 0, id="one file"),
        pytest.param(3_500_000, 1_310_720, id="chunks of whole blocks"),
        pytest.param(3_500_000, 1_000_000, id="chunks of odd sizes"),
        pytest.param(2 * PART, 0, id="whole parts"),
        pytest.param(100, 0, id="less than a block"),
    ],
)
@pytest.mark.parametrize("kind", SHARING)
def test_a_dump_is_the_same_whether_shared_or_copied(
    world: World, kind: str, size: int, chunk: int
) -> None:
    disk(world, kind)
    data = payload(size)
    first = f"{VTAPES}/holding/dump"
    for path, content in holding_chunks(Dump(), data, chunk, first, "").items():
        world.write(path, content)
    talk = world.start()
    talk.start_taper()
    talk.file_write(first, split_by(PART))
    talk.grant("PROTO01")
    talk.ready()
    for number, at in enumerate(range(0, size + 1 if size % PART == 0 else size, PART), 1):
        talk.part("PROTO01", number, min(PART, size - at))
    talk.done(crc(data))
    world.check_dump(HANDLE, data)
    # what was shared is the volume's own: it stays when the holding file is gone, or changed
    world.write(first, b"x" * size)
    world.check_dump(HANDLE, data)
    talk.quit()
    if not world.program.stock:
        logs = world.path("/var/log/amanda").rglob("taper.*.debug")
        said = "".join(log.read_text() for log in logs)
        assert ("bytes were shared, not copied" in said) is SHARING[kind]


@pytest.mark.parametrize("kind", SHARING)
def test_a_volume_that_ends_in_mid_dump_goes_on_with_the_next(world: World, kind: str) -> None:
    """The volume's limit is judged for shared blocks as for written ones."""
    disk(world, kind)
    options = Options(slots=0, usage_kib=2048, leom=None)
    world.write("/etc/amanda/PROTO/amanda.conf", options.text(Vtapes(world).text(options)))
    data = payload(3_000_000)
    first = f"{VTAPES}/holding/dump"
    for path, content in holding_chunks(Dump(), data, 0, first, "").items():
        world.write(path, content)
    talk = world.start()
    talk.start_taper()
    talk.file_write(first, split_by(PART))
    talk.grant("PROTO01")
    talk.ready()
    for line in iter(talk.read_line, None):
        if line.startswith("REQUEST-NEW-TAPE"):
            talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        if line.startswith("DONE"):
            break
    world.check_dump(HANDLE, data)
    talk.quit()
