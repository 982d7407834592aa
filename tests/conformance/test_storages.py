"""Storage options, and volumes of one file: what a storage section makes of its volumes."""

import pytest

from tests.conformance.harness import TAPELIST, VTAPES, Options, World
from tests.conformance.harness_files import BLOCK, Dump, dump_header, label_header
from tests.conformance.harness_talk import HANDLE, WORKER, Conversation, split_by
from tests.conformance.harness_text import crc, payload
from tests.conformance.kinds import AT_ONCE

ETC = "/etc/amanda/PROTO"
STAMP = "20260101000000"
KIB = 1024
SMALL = payload(70_000)
FLAT = f"""tpchanger "flat"
define changer flat {{
  tpchanger "chg-diskflat:{VTAPES}"
  property "auto-create-slot" "yes"
  property "num-slot" "9"
}}"""
FLAT_LABELS = 'labelstr "^PROTO[0-9][0-9]$"\nautolabel "PROTO$2s" any'


def storage(*lines: str, policy: str = "", tpchanger: str = f"chg-disk:{VTAPES}") -> str:
    """Write the section of the storage PROTO: what the globals say, and these lines."""
    return "\n".join(
        [
            "define storage PROTO {",
            f'  tpchanger "{tpchanger}"',
            '  tapetype "T"',
            '  tapepool "PROTO"',
            *lines,
            policy,
            "}",
            'storage "PROTO"',
        ]
    )


def begun(world: World, options: Options) -> Conversation:
    """Configure a world and start a worker in it."""
    world.configure(options)
    talk = world.start()
    talk.start_taper()
    return talk


# one file a volume


def flat_volume(world: World, label: str) -> tuple[bytes, bytes, bytes]:
    """Read a volume of one file: label block, header block, data."""
    content = world.path(f"{VTAPES}/{label}").read_bytes()
    return content[:BLOCK], content[BLOCK : 2 * BLOCK], content[2 * BLOCK :]


def test_diskflat_takes_one_dump_a_volume(world: World) -> None:
    """A dump, CLOSE-VOLUME as at max-dle-by-volume 1, another dump: two files named by label."""
    talk = begun(world, Options(slots=0, changer=FLAT, labels=FLAT_LABELS, usage_kib=None))
    for number, data in enumerate((SMALL, payload(150_000)), 1):
        label, handle = f"PROTO{number:02d}", f"00-0000{number}"
        dump = Dump(disk=f"/disk{number}")
        talk.file_write(world.holding(data, dump), handle=handle, dump=dump)
        talk.grant(label, handle)
        talk.ready(handle)
        talk.part(label, 1, len(data), handle=handle)
        talk.done(crc(data), handle=handle)
        talk.send(f"CLOSE-VOLUME {WORKER}")
        talk.expect(f"CLOSED-VOLUME {WORKER}")
        volume, header, stored = flat_volume(world, label)
        assert volume == label_header(label, STAMP)
        assert b"SPLIT_FILE 20260101000000 localhost /disk" in header
        assert stored == data
    talk.quit()
    assert sorted(line.split()[1] for line in world.tapelist()) == ["PROTO01", "PROTO02"]
    names = {path.name for path in world.path(VTAPES).iterdir()}
    assert names == {"PROTO01", "PROTO02", "state"}


def test_diskflat_spans_with_a_part_on_each_volume(world: World) -> None:
    """A dump in three parts needs three volumes; the header that did not fit is not there."""
    talk = begun(world, Options(slots=0, changer=FLAT, labels=FLAT_LABELS, leom=True))
    data = payload(600_000)
    talk.file_write(world.holding(data), split_by(262_144))
    for number, size in enumerate((262_144, 262_144, 75_712), 1):
        label = f"PROTO{number:02d}"
        line = talk.expect(f"<w> {WORKER} {HANDLE}<*>")
        if line.startswith("PARTDONE"):  # stock tells of a part without a file
            assert f"{HANDLE} PROTO{number - 1:02d} 0 0 " in line
            line = talk.expect(f"<w> {WORKER} {HANDLE}<*>")
        assert line == f"REQUEST-NEW-TAPE {WORKER} {HANDLE}"
        talk.send(f"START-SCAN {WORKER} {HANDLE}", f"NEW-TAPE {WORKER} {HANDLE}")
        talk.expect(f"NEW-TAPE {WORKER} {HANDLE} {label}")
        if number == 1:
            talk.ready()
        talk.part(label, 1, size)
    talk.done(crc(data))
    talk.quit()
    assert b"".join(flat_volume(world, f"PROTO0{n}")[2] for n in (1, 2, 3)) == data


def test_diskflat_volumes_taken_away_are_not_made_again(world: World) -> None:
    """A label in the tapelist whose file is gone is no blank volume: the next slot is taken."""
    world.tapelist_add(f"{STAMP} PROTO01 reuse BLOCKSIZE:32 POOL:PROTO STORAGE:PROTO CONFIG:PROTO")
    talk = begun(world, Options(slots=0, changer=FLAT, labels=FLAT_LABELS))
    talk.file_write(world.holding(SMALL))
    talk.grant("PROTO02")
    talk.ready()
    talk.part("PROTO02", 1, len(SMALL))
    talk.done(crc(SMALL))
    talk.quit()


# erasing


def entries(world: World) -> dict[str, str]:
    """Read the tapelist: label to the rest of its line, datestamp first."""
    return {
        line.split()[1]: " ".join([line.split()[0], *line.split()[2:]]) for line in world.listed()
    }


@pytest.mark.only_on(*AT_ONCE, why="a tape cannot be erased")
def test_erase_on_failure(world: World) -> None:
    """A volume that got no good part is as if only labelled, in the tapelist and on the medium."""
    extra = storage("  erase-on-failure yes", tpchanger=world.kind.tpchanger)
    talk = begun(world, Options(extra=extra))
    dumper = talk.port_write()
    dumper.header(dump_header(Dump()))
    talk.grant("PROTO01")
    talk.ready()
    link = dumper.connect()
    link.sendall(SMALL)
    talk.send(f"FAILED {WORKER} {HANDLE}")
    link.close()
    line = talk.expect(f"<w> {WORKER} {HANDLE}<*>")
    # DONE where the data were over before the failure was heard of
    while not line.startswith(("FAILED", "PARTIAL", "DONE")):
        line = talk.expect(f"<w> {WORKER} {HANDLE}<*>")
    good = "PARTDONE" in "".join(talk.transcript)
    talk.send(f"CLOSE-VOLUME {WORKER}")
    talk.expect(f"CLOSED-VOLUME {WORKER}")
    talk.quit()
    if good:  # the taper stored what came before the failure: that is kept
        assert entries(world)["PROTO01"].startswith(STAMP)
        return
    assert entries(world) == {"PROTO01": "0 reuse BLOCKSIZE:32 POOL:PROTO"}
    (volume,) = world.slot(1)
    assert volume.header.startswith("AMANDA: TAPESTART DATE X TAPE PROTO01")


def ballast(world: World, slot: int, kib: int) -> None:
    """Put a dump file into a slot, as large as that."""
    content = dump_header(Dump(), "SPLIT_FILE", part="part 1/-1 ") + bytes((kib - 32) * KIB)
    world.write(world.slot_path(slot, "00001.localhost._old.0"), content)


def crowded(world: World, scan: str, *, volumes: int = 4, options: str = "") -> Conversation:
    """Volumes of 600 KiB on a file system of 2600; the newest is retained."""
    world.mount_small(VTAPES, 2600)
    for number in range(1, volumes + 1):
        world.mkdir(f"{VTAPES}/slot{number}")
    for number in reversed(range(1, volumes + 1)):
        world.labelled(number, f"PROTO0{number}", f"202512{number:02d}000000")
        ballast(world, number, 600)
    return begun(
        world,
        Options(
            slots=volumes,
            usage_kib=None,
            leom=True,
            tapecycle=2,
            properties=options,
            extra=storage("  erase-on-full yes", f'  taperscan "{scan}"'),
        ),
    )


def written_while_erasing(world: World, talk: Conversation, size: int) -> None:
    """A dump larger than what is free, but not than what can be freed, is one part."""
    data = payload(size)
    talk.file_write(world.holding(data))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, size)
    talk.done(crc(data))
    talk.quit()
    world.check_dump(HANDLE, data)


UNWATCHED = 'device-property "MONITOR_FREE_SPACE" "no"'


@pytest.mark.only_on("file", why="it is about the room on one disk")
@pytest.mark.known_stock_failure("stock dies: its tapelist is not locked when it writes it")
def test_erase_on_full_lexical(world: World) -> None:
    """The dump goes on in the same part once the oldest reusable volume is erased."""
    talk = crowded(world, "lexical", options=UNWATCHED)
    written_while_erasing(world, talk, 1_000 * KIB)
    left = entries(world)
    assert left["PROTO01"].startswith(STAMP)
    assert left["PROTO02"] == "0 reuse BLOCKSIZE:32 POOL:PROTO"
    assert [left[f"PROTO0{n}"].split()[0] for n in (3, 4)] == ["20251203000000", "20251204000000"]
    (volume,) = world.slot(2)
    assert volume.header.startswith("AMANDA: TAPESTART DATE X TAPE PROTO02")


@pytest.mark.only_on("file", why="it is about the room on one disk")
@pytest.mark.known_stock_failure("stock ends the part at the early warning, and dies without one")
def test_erase_on_full_traditional(world: World) -> None:
    """The same; and the warning of the file system's end is not waited for."""
    talk = crowded(world, "traditional")
    written_while_erasing(world, talk, 1_000 * KIB)
    assert entries(world)["PROTO02"] == "0 reuse BLOCKSIZE:32 POOL:PROTO"


@pytest.mark.only_on("file", why="it is about the room on one disk")
@pytest.mark.known_stock_failure("stock dies when it erases the first volume")
def test_erase_on_full_again(world: World) -> None:
    """One volume after the other is erased while the part goes on."""
    talk = crowded(world, "lexical", options=UNWATCHED)
    written_while_erasing(world, talk, 1_700 * KIB)
    left = entries(world)
    assert [left[f"PROTO0{n}"].split()[0] for n in (2, 3, 4)] == ["0", "0", "20251204000000"]


@pytest.mark.only_on("file", why="it is about the room on one disk")
@pytest.mark.known_stock_failure("stock dies or waits for ever when no volume can be erased")
def test_erase_on_full_with_nothing_to_erase(world: World) -> None:
    """The part ends, another volume is asked for, and the active one keeps its data."""
    talk = crowded(world, "lexical", volumes=2, options=UNWATCHED)
    world.write(f"{VTAPES}/filler", bytes(1300 * KIB))
    dumper = talk.port_write(split_by(2 << 20))
    dumper.header(dump_header(Dump()))
    talk.grant("PROTO01")
    talk.ready()
    kept = "\n".join(world.tapelist()).replace("PROTO02 reuse", "PROTO02 no-reuse")
    world.write(TAPELIST, kept + "\n")
    dumper.data(payload(900 * KIB))
    talk.expect(f"PARTDONE {WORKER} {HANDLE} PROTO01 1 <*>")
    talk.deny("that is all")
    talk.expect(f'PARTIAL {WORKER} {HANDLE} INPUT-GOOD TAPE-CONFIG "<*>" "<*>" "" "that is all"')
    talk.quit()
    assert entries(world)["PROTO02"].startswith("20251202000000")
    assert [file.number for file in world.slot(2)] == [0, 1]


@pytest.mark.only_on("file", "aggregate", "rait", why="others know no label before they load")
def test_erase_volume(world: World) -> None:
    """At the start every reusable volume is erased, keeps its label, and can be written."""
    world.write(f"{ETC}/disklist", "")
    for number in (3, 2, 1):
        world.labelled(number, f"PROTO0{number}", f"202512{number:02d}000000")
        ballast(world, number, 64)
    lines = ("  erase-volume yes", '  taperscan "lexical"')
    extra = storage(*lines, tpchanger=world.kind.tpchanger)
    talk = begun(world, Options(slots=3, tapecycle=2, extra=extra))
    talk.file_write(world.holding(SMALL))
    talk.grant("PROTO01")
    talk.ready()
    talk.part("PROTO01", 1, len(SMALL))
    talk.done(crc(SMALL))
    talk.quit()
    left = entries(world)
    assert left["PROTO01"].startswith(STAMP)
    assert left["PROTO02"] == "0 reuse BLOCKSIZE:32 POOL:PROTO"
    assert left["PROTO03"].startswith("20251203000000")
    assert [len(world.slot(number)) for number in (1, 2, 3)] == [2, 1, 2]
    assert world.slot(2)[0].header.startswith("AMANDA: TAPESTART DATE X TAPE PROTO02")
