"""A catalogue from the volumes alone is the one that was lost."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from attrs import evolve
from pytest_twisted import ensureDeferred

from protocols.crc import UNKNOWN, Crc
from protocols.header import Header, HeaderType
from protocols.stored import End, told_dumps
from protocols.tapelist import parse_tapelist
from taper.people.exits import Exit
from taper.people.relogging import (
    FoundFile,
    FoundVolume,
    Proof,
    make_logs,
    make_tapelist,
    put_together,
)
from tests.people.nights import PART, Dump, Nights
from tests.plane.dumping import crc_of

FIRST, SECOND = "20260107000000", "20260108210000"


async def two_nights(tmp_path: Path) -> Nights:
    """Dumps over several volumes, each of which ends with a part that is repeated."""
    nights = Nights(tmp_path).make(6)
    nights.configure(
        device='device-property "MAX_VOLUME_USAGE" "400k"\n  device-property "LEOM" "no"',
        runtapes=4,
    )
    await nights.hold(FIRST, Dump("/srv", 100), Dump("/home", 6 * PART + 7), Dump("/a", 3000))
    nights.configure(tapecycle=9)
    await nights.hold(SECOND, Dump("/home", 10, level=1))
    return nights


def alike(record: Any) -> list[dict[str, Any]]:
    """What of dumps must be the same; how long writing took nobody knows any more, nor what only
    the driver knew."""
    unknown = ("seconds", "parts", "original_size")
    return [
        {
            **{name: dump[name] for name in dump if name not in unknown},
            "parts": [part for part in dump["parts"] if part["good"]],
        }
        for dump in sorted(record["dumps"], key=lambda dump: (dump["datestamp"], dump["disk"]))
    ]


@ensureDeferred
async def test_what_was_lost_is_there_again(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    before = await nights.record("dumps")
    volumes = nights.snapshot()
    made = tmp_path / "made"
    words = ("verify", "--rebuild-catalogue", str(made))
    (tmp_path / "tapelist").rename(tmp_path / "lost")
    shutil.rmtree(tmp_path / "log")
    (tmp_path / "log").mkdir()
    *_, proof, end = await nights.lines(*words)
    assert proof == "4 dumps: whole, by the checksum in the header"
    assert end == f"Tapelist and trace logs are in {made}."
    after = {name: data for name, data in nights.snapshot().items() if name.startswith("vtapes")}
    assert after.items() <= volumes.items()
    (tmp_path / "log").rmdir()
    (made / "log").rename(tmp_path / "log")
    (made / "tapelist").rename(tmp_path / "tapelist")
    assert alike(await nights.record("dumps")) == alike(before)
    old = parse_tapelist((tmp_path / "lost").read_bytes()).entries
    new = parse_tapelist((tmp_path / "tapelist").read_bytes()).entries
    assert {evolve(entry, reuse=True) for entry in new} == set(old)
    assert not any(entry.reuse for entry in new)
    await nights.lines("verify", "--all")


@ensureDeferred
async def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    (path,) = (tmp_path / "vtapes/slot1").glob("00001.*")
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "vtapes/slot2/00000.C02").write_bytes(b"rubbish" * 9000)
    record = await nights.record(
        "verify", "--rebuild-catalogue", str(tmp_path / "made"), exit=Exit.FOUND
    )
    assert "C02" not in [volume["label"] for volume in record["volumes"]]
    assert len(record["troubles"]) == 1
    proofs = {dump["disk"]: dump["proof"] for dump in record["dumps"] if dump["level"] == 0}
    assert proofs["/srv"] == proofs["/home"] == "lacking"


@ensureDeferred
async def test_changers_without_volumes(tmp_path: Path) -> None:
    """Nobody takes an empty catalogue for what there is."""
    nights = Nights(tmp_path).make()
    words = ("verify", "--rebuild-catalogue", str(tmp_path / "new"))
    said = await nights.lines(*words, exit=Exit.FOUND)
    assert "No labelled volume was found in a changer, so this catalogue is empty." in said


@ensureDeferred
async def test_a_directory_that_is_in_use(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    status, said = await nights.run("verify", "--rebuild-catalogue", str(tmp_path / "log"))
    assert (status, said) == (Exit.FAILED, "")
    assert nights.said == [f"{tmp_path}/log is there already: a new or empty directory expected"]


# Without volumes


def volume(label: str, *files: tuple[str, int, Crc, Crc]) -> FoundVolume:
    """:param files: disk, part, checksum of the part, and of the dump as the header has it"""
    made = FoundVolume(
        label=label, stamp=FIRST, storage="C", pool="P", config="C", block_size=32768
    )
    for number, (disk, part, crc, whole) in enumerate(files, 1):
        header = Header(
            type=HeaderType.SPLIT_DUMPFILE,
            datestamp=FIRST,
            host="localhost",
            disk=disk,
            partnum=part,
            server_crc=whole,
        )
        last = number == len(files)
        made.files.append(FoundFile(volume=made, number=number, header=header, crc=crc, last=last))
    return made


def test_the_part_that_was_repeated() -> None:
    """The one at the end of a volume is not the one; the checksum has the last word."""
    one, two, three = (random.Random(seed).randbytes(50) for seed in range(3))
    whole = crc_of(one + two)
    for where in (0, 1):
        bad = ("/a", 2, crc_of(three[: 60 - where * 40]), whole)
        good = ("/a", 2, crc_of(two), whole)
        pair = (bad, good) if where else (good, bad)
        volumes = [
            volume("A", ("/a", 1, crc_of(one), whole), pair[0]),
            volume("B", pair[1], ("/b", 1, crc_of(three), UNKNOWN)),
        ]
        first, second = put_together(volumes)
        assert (first.proof, first.crc) == (Proof.CHECKSUM, whole)
        assert second.proof is Proof.NONE


def test_what_is_missing() -> None:
    crc = crc_of(b"x")
    (dump,) = put_together([volume("A", ("/a", 3, crc, UNKNOWN), ("/a", 5, crc, UNKNOWN))])
    assert (dump.proof, dump.lacks) == (
        Proof.LACKING,
        "part 1, 2, 4 is on no volume that was read",
    )
    (dump,) = put_together([volume("A", ("/a", 1, crc, crc_of(b"y")))])
    assert (
        dump.lacks == "its 1 bytes do not make up the checksum " + f"{crc_of(b'y')} of its header"
    )


def test_logs_say_what_was_found() -> None:
    """One that is not whole is PARTIAL, which nobody takes for a dump that can be restored."""
    crc = crc_of(b"x")
    volumes = [volume("A", ("/a", 2, crc, UNKNOWN), ("/b", 1, crc, crc))]
    dumps = put_together(volumes)
    ((stamp, text),) = make_logs(volumes, dumps)
    assert stamp == FIRST
    found = list(told_dumps(text.decode().splitlines(), stamp, default_storage="C"))
    assert [(dump.name.disk, dump.end, dump.crc) for dump in found] == [
        ("/a", End.PARTIAL, UNKNOWN),
        ("/b", End.DONE, crc),
    ]
    (entry,) = make_tapelist(volumes).entries
    assert (entry.label, entry.reuse, entry.blocksize) == ("A", False, 32)
