"""``taperctl volumes``, over volumes that our taper has written."""

from __future__ import annotations

from pathlib import Path

from pytest_twisted import ensureDeferred

from taper.people.exits import Exit
from tests.people.nights import PART, Dump, Nights

FIRST, SECOND = "20260107000000", "20260108210000"


async def two_nights(tmp_path: Path, slots: int = 4) -> Nights:
    """C01 with two dumps, and C02 with one."""
    nights = Nights(tmp_path).make(slots)
    await nights.hold(FIRST, Dump("/home", 2 * PART + 5), Dump("/srv", 100))
    await nights.hold(SECOND, Dump("/home", 10, level=1))
    return nights


@ensureDeferred
async def test_what_is_where_and_why_it_is_kept(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    nights.configure(policy="retention-tapes 1\n  retention-days 9")
    before = nights.snapshot()
    head, *lines = await nights.lines("volumes")
    assert head.split() == [
        *("volume", "storage", "slot", "barcode", "written", "used", "dumps"),
        *("may", "it", "be", "written", "over?"),
    ]
    days = "retention-days until 2026-01-{}"
    assert [line.split(maxsplit=7) for line in lines] == [
        ["C01", "C", "1", "2026-01-07", "128.1", "KiB", "2", "no: it is retained by "
        + days.format("16")],
        ["C02", "C", "2", "2026-01-08", "21:00:00", "10", "B", "1  no: it is retained by "
        "retention-tapes until 1 other volume of storage C is written, and by "
        + days.format("17 21:00:00")],
        ["-", "C", "3", "blank"],
        ["-", "C", "4", "blank"],
    ]  # fmt: skip
    assert nights.snapshot() == before


@ensureDeferred
async def test_as_json(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    nights.configure(policy="retention-tapes 1")
    record = await nights.record("volumes")
    assert (record["schema"], record["config"], record["troubles"]) == ("taper/volumes/1", "C", [])
    first, second, *blank = record["volumes"]
    assert first == {
        "label": "C01",
        "listed": True,
        "storage": "C",
        "capacity": 10 << 20,
        "barcode": None,
        "content": "labelled",
        "places": [
            {
                "changer": "vtapes",
                "slot": "1",
                "drive": None,
                "in_use": False,
                "current": False,
                "import_export": False,
            }
        ],
        "pool": "C",
        "config": "C",
        "meta": None,
        "written": FIRST,
        "reuse": True,
        "block_size": 32768,
        "used": 2 * PART + 105,
        "parts": 4,
        "broken_parts": 0,
        "dumps": 2,
        "overwritable": True,
        "reason": None,
        "kept_by": [],
    }
    assert (second["overwritable"], second["places"][0]["current"]) == (False, True)
    assert second["kept_by"] == [
        {"rule": "retention-tapes", "storage": "C", "until": None, "volumes": 1}
    ]
    assert [(one["label"], one["listed"], one["content"]) for one in blank] == [
        (None, False, "blank")
    ] * 2
    assert set(blank[0]) == set(first)


@ensureDeferred
async def test_without_the_changer(tmp_path: Path) -> None:
    """What the tapelist and the logs tell is told, and the trouble too."""
    nights = await two_nights(tmp_path)
    lines = await nights.lines("volumes", "--offline")
    assert [line.split()[:3] for line in lines[1:]] == [
        ["C01", "C", "2026-01-07"],
        ["C02", "C", "2026-01-08"],
    ]
    (tmp_path / "vtapes").rename(tmp_path / "elsewhere")
    *lines, trouble = await nights.lines("volumes", exit=Exit.FOUND)
    assert len(lines) == 3
    assert trouble.startswith(f"changer vtapes: directory '{tmp_path}/vtapes' does not exist")


@ensureDeferred
async def test_volumes_that_nobody_knows_or_that_are_there_twice(tmp_path: Path) -> None:
    """A label in two slots is a trouble; what the labels say does nothing to a terminal."""
    nights = await two_nights(tmp_path)
    (tmp_path / "vtapes/slot3/00000.C01").write_bytes(b"")
    (tmp_path / "vtapes/slot4/00000.\x1b[31m").write_bytes(b"")
    lines = await nights.lines("volumes", exit=Exit.FOUND)
    assert lines[1].split()[:4] == ["C01", "C", "1,", "3"]
    assert lines[3].split(maxsplit=3) == ["\\x1b[31m", "C", "4", "it is not in the tapelist"]
    assert lines[4:] == ["volume C01 is in more than one slot"]


@ensureDeferred
async def test_a_volume_that_is_in_use(tmp_path: Path) -> None:
    """Whoever holds a slot, the state says so."""
    nights = await two_nights(tmp_path)
    state = tmp_path / "vtapes/state"
    text = state.read_text()
    assert "'drives'" in text
    holder = "'drives' => { 'drive0' => { 'slot' => 'slot1', 'pid' => '1' } }"
    state.write_text(text.replace("'drives' => {}", holder))
    lines = await nights.lines("volumes")
    assert lines[1].split()[2:5] == ["1", "(in", "use)"]


@ensureDeferred
async def test_of_one_storage(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    assert len((await nights.record("volumes", "--storage", "C"))["volumes"]) == 4
    status, said = await nights.run("volumes", "--storage", "D")
    assert (status, said) == (Exit.FAILED, "")
    assert nights.said == ["there is no storage 'D' in C, but 'C'"]


@ensureDeferred
async def test_a_tapelist_that_is_damaged(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    (tmp_path / "tapelist").write_text("rubbish\n")
    status, said = await nights.run("volumes")
    assert (status, said) == (Exit.FAILED, "")
    assert nights.said == [f"Failed to read tapelist file '{tmp_path}/tapelist' on line 1: rubbish"]
