"""``taperctl show``, of volumes that our taper has written."""

from __future__ import annotations

from pathlib import Path

from pytest_twisted import ensureDeferred

from taper.people.exits import Exit
from tests.people.nights import PART, Dump, Nights
from tests.plane.dumping import crc_of

FIRST, SECOND = "20260107000000", "20260108210000"


async def two_nights(tmp_path: Path) -> Nights:
    nights = Nights(tmp_path).make()
    await nights.hold(FIRST, Dump("/home", PART + 5), Dump("/srv", 100))
    await nights.hold(SECOND, Dump("/home", 10, level=1))
    return nights


def squeezed(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


@ensureDeferred
async def test_a_volume_by_its_label(tmp_path: Path) -> None:
    """What is there, against the log; and all is as it was afterwards."""
    nights = await two_nights(tmp_path)
    before = nights.snapshot()
    assert squeezed(await nights.lines("show", "C01")) == [
        "Volume C01, labelled 2026-01-07, 3 files",
        "file host disk dumped level part kind size the log",
        "1 localhost /home 2026-01-07 0 1 tar 64.0 KiB agrees",
        "2 localhost /home 2026-01-07 0 2 tar 5 B agrees",
        "3 localhost /srv 2026-01-07 0 1 tar 100 B agrees",
    ]
    assert nights.snapshot() == before
    assert nights.said == []


@ensureDeferred
async def test_a_device_and_a_changer(tmp_path: Path) -> None:
    """The volume that is in it, or in its current slot."""
    nights = await two_nights(tmp_path)
    slot = f"file:{tmp_path}/vtapes/slot1"
    assert (await nights.lines("show", slot))[0] == "Volume C01, labelled 2026-01-07, 3 files"
    assert (await nights.lines("show", "vtapes"))[0].startswith("Volume C02, ")
    (line,) = await nights.lines("show", f"file:{tmp_path}/vtapes/slot3", exit=Exit.FOUND)
    assert line == (
        f"No labelled volume is in slot 1 of file:{tmp_path}/vtapes/slot3: File 0 not found"
    )


@ensureDeferred
async def test_as_json(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    record = await nights.record("show", "C02")
    (file,) = record.pop("files")
    assert record == {
        "schema": "taper/show/1",
        "config": "C",
        "label": "C02",
        "labelled": SECOND,
        "listed": True,
        "findings": [],
        "error": None,
    }
    header = file.pop("header")
    assert header["server_crc"] == str(crc_of(Dump("/home", 10).data(SECOND)))
    assert (header["type"], header["part"], header["total_parts"]) == ("SPLIT_DUMPFILE", 1, -1)
    assert file == {
        "file": 1,
        "written_instead": None,
        "logged": {
            "host": "localhost",
            "disk": "/home",
            "datestamp": SECOND,
            "level": "1",
            "part": 1,
            "size": 10,
            "good": True,
        },
    }


@ensureDeferred
async def test_what_differs_from_the_log(tmp_path: Path) -> None:
    """A file that is gone, one that is another's, one that no log tells of."""
    nights = await two_nights(tmp_path)
    slot = tmp_path / "vtapes/slot1"
    (first,) = slot.glob("00001.*")
    (third,) = slot.glob("00003.*")
    (slot / "00002.localhost._home.0").unlink()
    (slot / "00004.localhost._srv.0").write_bytes(third.read_bytes())
    third.write_bytes(first.read_bytes())
    lines = squeezed(await nights.lines("show", "C01", exit=Exit.FOUND))
    where = "localhost:/home level 0 of 2026-01-07"
    assert lines == [
        "Volume C01, labelled 2026-01-07, 4 files",
        "file host disk dumped level part kind size the log",
        "1 localhost /home 2026-01-07 0 1 tar 64.0 KiB agrees",
        "2 5 B differs",
        "3 localhost /home 2026-01-07 0 1 tar 100 B differs",
        "4 localhost /srv 2026-01-07 0 1 tar does not tell of it",
        "volume C01, file 3, part 1 of localhost:/srv level 0 of 2026-01-07: "
        "header on 'C01' file 3 does not match expectations: got disk '/home'; expected '/srv' "
        "[TAPER-7021]",
        "volume C01, file 4: no trace log tells of it [TAPER-7023]",
        f"volume C01, file 2, part 2 of {where}: the file is not on the volume [TAPER-7022]",
    ]
    record = await nights.record("show", "C01", exit=Exit.FOUND)
    assert [(one["kind"], one["file"], one["part"]) for one in record["findings"]] == [
        ("header", 3, 1),
        ("unlisted", 4, None),
        ("missing", 2, 2),
    ]


@ensureDeferred
async def test_another_volume_of_the_same_label(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    label = tmp_path / "vtapes/slot1/00000.C01"
    label.write_bytes(label.read_bytes().replace(b"20260107", b"20250107"))
    *_, finding = await nights.lines("show", "C01", exit=Exit.FOUND)
    assert finding == (
        "volume C01: it was labelled 20250107000000, the tapelist says 20260107000000 [TAPER-7020]"
    )


@ensureDeferred
async def test_a_volume_that_is_not_there(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    assert await nights.run("show", "C09") == (Exit.ABSENT, "")
    assert nights.said == ["volume 'C09' is not at hand: File 0 not found"]
