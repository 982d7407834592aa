"""``taperctl dumps``, over volumes that our taper has written."""

from __future__ import annotations

from pathlib import Path

from pytest_twisted import ensureDeferred

from taper.people.exits import Exit
from tests.people.nights import PART, Dump, Nights
from tests.plane.dumping import crc_of

FIRST, SECOND = "20260107000000", "20260108210000"


async def two_nights(tmp_path: Path) -> Nights:
    nights = Nights(tmp_path).make()
    await nights.hold(FIRST, Dump("/home", 2 * PART + 5), Dump("/srv", 100))
    await nights.hold(SECOND, Dump("/home", 10, level=1))
    return nights


@ensureDeferred
async def test_the_newest_first(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    nights.hold_back("20260109000000", Dump("/home", 7, level=1), partial=True)
    before = nights.snapshot()
    head, *lines = await nights.lines("dumps")
    assert head.split()[:8] == [
        *("host", "disk", "dumped", "level", "size", "parts", "checksum", "where")
    ]
    home, srv, late = (
        f"{crc_of(Dump(disk, size).data(stamp)).value:08x}"
        for disk, size, stamp in (
            ("/home", 2 * PART + 5, FIRST),
            ("/srv", 100, FIRST),
            ("/home", 10, SECOND),
        )
    )
    held = f"{tmp_path}/holding/20260109000000/localhost._home.1"
    assert [" ".join(line.split()) for line in lines] == [
        f"localhost /home 2026-01-09 1 7 B {held} no: the dump was not finished",
        f"localhost /home 2026-01-08 21:00:00 1 10 B 1 {late} C: C02 yes",
        f"localhost /home 2026-01-07 0 128.0 KiB 3 {home} C: C01 yes",
        f"localhost /srv 2026-01-07 0 100 B 1 {srv} C: C01 yes",
    ]
    assert nights.snapshot() == before


@ensureDeferred
async def test_of_one_disk_and_of_none(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    found = await nights.record("dumps", "LOCALHOST", "/srv")
    assert [dump["disk"] for dump in found["dumps"]] == ["/srv"]
    assert len((await nights.record("dumps", "localhost"))["dumps"]) == 3
    (line,) = await nights.lines("dumps", "localhost", "/sr", exit=Exit.FOUND)
    assert line == "There is no dump of localhost:/sr, on volumes or on a holding disk."


@ensureDeferred
async def test_as_json(tmp_path: Path) -> None:
    nights = await two_nights(tmp_path)
    nights.hold_back("20260109000000", Dump("/home", 7, level=1))
    record = await nights.record("dumps", "localhost", "/home")
    assert (record["schema"], record["config"]) == ("taper/dumps/1", "C")
    held, late, full = record["dumps"]
    crc = crc_of(Dump("/home", 2 * PART + 5).data(FIRST))
    seconds = full.pop("seconds")
    assert seconds > 0
    assert full == {
        "host": "localhost",
        "disk": "/home",
        "datestamp": FIRST,
        "level": 0,
        "restorable": True,
        "base_missing": False,
        "lacks": None,
        "size": 2 * PART + 5,
        "holding_file": None,
        "storage": "C",
        "pool": "C",
        "written": FIRST,
        "end": "done",
        "original_size": 1024,
        "server_crc": str(crc),
        "client_crc": None,
        "native_crc": None,
        "volumes": [{"label": "C01", "gone": False}],
        "parts": [
            {
                "number": number,
                "volume": "C01",
                "file": number,
                "size": min(PART, 2 * PART + 5 - (number - 1) * PART),
                "good": True,
                "why": None,
            }
            for number in (1, 2, 3)
        ],
    }
    assert held["holding_file"] == f"{tmp_path}/holding/20260109000000/localhost._home.1"
    assert (held["size"], held["restorable"], held["level"]) == (7, True, 1)
    assert set(held) == set(late) == {*full, "seconds"}


@ensureDeferred
async def test_what_was_written_over(tmp_path: Path) -> None:
    """The log of a night is there as long as one of its volumes is."""
    nights = Nights(tmp_path).make()
    nights.configure(device='device-property "MAX_VOLUME_USAGE" "250k"')
    await nights.hold(FIRST, Dump("/home", 3 * PART))
    (full,) = (await nights.record("dumps"))["dumps"]
    assert [volume["label"] for volume in full["volumes"]][:2] == ["C01", "C02"]
    text = (tmp_path / "tapelist").read_text()
    (tmp_path / "tapelist").write_text(text.replace(f"{FIRST} C02", f"{SECOND} C02"))
    (dump,) = (await nights.record("dumps"))["dumps"]
    assert (dump["restorable"], dump["lacks"]) == (
        False,
        "volume C02 written again",
    )
    assert dump["volumes"][1] == {"label": "C02", "gone": True}


@ensureDeferred
async def test_dumps_whose_base_is_gone(tmp_path: Path) -> None:
    """They are there, and yet not what somebody wants to restore."""
    nights = Nights(tmp_path).make()
    for day, level in ((1, 1), (2, 2), (3, 0), (4, 1), (5, 3), (6, 1)):
        stamp = f"2026010{day}000000"
        path = nights.hold_back(stamp, Dump("/home", 10, level=level), partial=day == 4)
        assert path.exists()
    record = await nights.record("dumps", "localhost", "/home")
    baseless = {dump["datestamp"][7]: dump["base_missing"] for dump in record["dumps"]}
    assert baseless == {"1": True, "2": True, "3": False, "4": False, "5": True, "6": False}
    said = await nights.lines("dumps", "localhost", "/home")
    assert said[-1].endswith("only what changed: what it builds on is gone")
    assert said[1].endswith("  yes")
